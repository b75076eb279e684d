"""From stored values to [0, 1], in DICOM's order.

Stored value, modality look-up table (PS3.3 C.11.1: a sequence before slope and intercept), intensity, inversion of
MONOCHROME1, padding. Values of up to 16 bits take one precomputed table with all of it inside.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from pipeline.pixels.contract import Frames, PixelSpec, refusing, require
from pipeline.pixels.header import Header
from pipeline.pixels.hounsfield import Hounsfield
from pipeline.pixels.tables import look_up, read_table
from pipeline.pixels.voi import Values, view
from pipeline.pixels.windows import windowed

TABLE_BITS = 16
GROUPS = ("PixelValueTransformationSequence", "FrameVOILUTSequence")
PER_FRAME = ("RescaleSlope", "RescaleIntercept", "WindowCenter", "WindowWidth", "VOILUTFunction")


class Monochrome:
    """Maps stored values of one file's frames to [0, 1]; frames that share a transform share a table."""

    def __init__(self, dataset: Dataset, header: Header, spec: PixelSpec, big_endian: bool) -> None:
        self.dataset, self.header, self.spec, self.big_endian = dataset, header, spec, big_endian
        self.channels = max(1, len(spec.windows or ()))
        self.hounsfield = Hounsfield()
        self.tables: dict[str, Frames] = {}

    def __call__(self, stored: NDArray[Any], frame: int, out: Frames) -> None:
        """Write the H x W stored values of one frame, counted from 0, to C x H x W in [0, 1]."""
        modality, voi = (self._functional_group(frame, name) for name in GROUPS)
        if self.header.bits_stored > TABLE_BITS:
            out[:] = self._transform(stored.astype(np.float64), modality, voi)
            return
        for channel, table in zip(out, self._table(modality, voi), strict=True):
            # A negative index counts from the end, so stored values need no offset. Wrapping, which never happens
            # otherwise, is what lets numpy write without a copy.
            np.take(table, stored, out=channel, mode="wrap")

    def require_defined(self) -> None:
        """Refuse, without a pixel, a first frame whose units or window the header does not define."""
        ends = np.array([self.header.lowest, self.header.highest], dtype=np.float64)
        self._transform(ends, *(self._functional_group(0, name) for name in GROUPS))

    def examine(self, stored: NDArray[Any], frame: int) -> None:
        """Count the frame's values towards the question whether they are Hounsfield units."""
        rescale = self._modality(self._functional_group(frame, GROUPS[0]))
        self.hounsfield.add(rescale(stored.astype(np.float64)))

    def _table(self, modality: Dataset, voi: Dataset) -> Frames:
        """Return C x 2^BitsStored, rolled: what becomes of 0, 1, ..., and at the end of ..., -2, -1."""
        own_table = id(voi) if "VOILUTSequence" in voi else None
        key = repr([own_table, *([source.get(name) for name in PER_FRAME] for source in (modality, voi))])
        if key not in self.tables:
            table = self._transform(self.header.stored_values(), modality, voi).astype(np.float32)
            self.tables[key] = np.roll(table, self.header.lowest, axis=1)
        return self.tables[key]

    def _transform(self, stored: Values, modality: Dataset, voi: Dataset) -> Values:
        """Return the channels, in front of the dimensions of the stored values."""
        header, spec = self.header, self.spec
        if spec.intensity == "stored":
            out = (stored - header.lowest) / (header.highest - header.lowest)
            return (1 - out if header.photometric == "MONOCHROME1" else out)[None]
        rescale = self._modality(modality)
        if spec.intensity == "voi":
            # A VOI table's first input is signed where the modality's values can be (PS3.3 C.11.2.1.1).
            lowest = rescale(np.array([header.lowest, header.highest], dtype=np.float64)).min()
            out = view(voi, spec.voi, bool(lowest < 0), self.big_endian)(rescale(stored))[None]
        else:
            out = windowed(rescale(stored), spec.shown())
        out = 1 - out if header.photometric == "MONOCHROME1" else out
        out[:, _padding(self.dataset, header, stored)] = 0
        return out

    def _modality(self, source: Dataset) -> Callable[[Values], Values]:
        """Return stored values to modality units (Hounsfield units for CT)."""
        if self.dataset.get("ModalityLUTSequence"):
            first, _, entries = read_table(self.dataset.ModalityLUTSequence[0], self.big_endian)
            return lambda stored: look_up(stored, self.header.word(first), entries)
        slope, intercept = source.get("RescaleSlope"), source.get("RescaleIntercept")
        if slope is None and intercept is None:
            calibrated = self.dataset.get("Modality") != "CT"
            require(calibrated, "CT without a rescale slope and intercept has no Hounsfield units")
            return lambda stored: stored
        with refusing("the rescale slope or intercept is not one number"):
            a, b = float(slope), float(intercept)
        require(
            math.isfinite(a) and math.isfinite(b) and a != 0, "the rescale slope or intercept is zero or not finite"
        )
        return lambda stored: stored * a + b

    def _functional_group(self, frame: int, name: str) -> Dataset:
        """Return where a macro's attributes stand: for this frame, shared by all frames, or in the file itself."""
        per_frame = self.dataset.get("PerFrameFunctionalGroupsSequence")
        shared = self.dataset.get("SharedFunctionalGroupsSequence")
        complete = not per_frame or len(per_frame) == self.header.frames
        require(complete, "the functional groups are not as many as the frames")
        for group in (per_frame[frame] if per_frame else None, shared[0] if shared else None):
            if group is not None and group.get(name):
                found: Dataset = group[name].value[0]
                return found
        return self.dataset


def _padding(dataset: Dataset, header: Header, stored: Values) -> NDArray[np.bool_]:
    """Return where there is no image but padding (PS3.3 C.7.5.1.1.2): one value, or a range with its limit."""
    value = dataset.get("PixelPaddingValue")
    if value is None:
        return np.zeros(stored.shape, dtype=np.bool_)
    with refusing("the padding value is not one whole number"):
        limit = dataset.get("PixelPaddingRangeLimit")
        ends = sorted(header.word(int(end)) for end in (value, value if limit is None else limit))
    return (stored >= ends[0]) & (stored <= ends[1])
