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

from pipeline.pixels.contract import PixelSpec, refusing, require
from pipeline.pixels.header import Header
from pipeline.pixels.tables import look_up, read_table

Values = NDArray[np.float64]
TABLE_BITS = 16


class Monochrome:
    """Maps stored values of one file's frames to [0, 1]; frames that share a transform share a table."""

    def __init__(self, dataset: Dataset, header: Header, spec: PixelSpec, big_endian: bool) -> None:
        self.dataset, self.header, self.spec, self.big_endian = dataset, header, spec, big_endian
        self.tables: dict[str, NDArray[np.float32]] = {}

    def __call__(self, stored: NDArray[Any], frame: int) -> NDArray[np.float32]:
        """Return H x W in [0, 1] for the stored values of one frame, counted from 0."""
        modality, voi = (self._functional_group(frame, name) for name in GROUPS)
        if self.header.bits_stored > TABLE_BITS:
            return self._transform(stored.astype(np.float64), modality, voi).astype(np.float32)
        own_table = id(voi) if "VOILUTSequence" in voi else None
        key = repr([own_table, *([source.get(name) for name in PER_FRAME] for source in (modality, voi))])
        if key not in self.tables:
            table = self._transform(self.header.stored_values(), modality, voi).astype(np.float32)
            # Rolled, so that a negative value counts from the end: stored values index without an offset, which is
            # several times faster than subtracting the lowest value first.
            self.tables[key] = np.roll(table, self.header.lowest)
        pixels: NDArray[np.float32] = self.tables[key][stored]
        return pixels

    def _transform(self, stored: Values, modality: Dataset, voi: Dataset) -> Values:
        header, spec = self.header, self.spec
        if spec.intensity == "stored":
            out = (stored - header.lowest) / (header.highest - header.lowest)
            return 1 - out if header.photometric == "MONOCHROME1" else out
        rescale = self._modality(modality)
        if spec.window is not None:
            low, high = spec.window
            out = ((rescale(stored) - low) / (high - low)).clip(0, 1)
        else:
            # A VOI table's first input is signed where the modality's values can be (PS3.3 C.11.2.1.1).
            lowest = rescale(np.array([header.lowest, header.highest], dtype=np.float64)).min()
            out = _voi(voi, bool(lowest < 0), self.big_endian)(rescale(stored))
        out = 1 - out if header.photometric == "MONOCHROME1" else out
        out[_padding(self.dataset, header, stored)] = 0
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


GROUPS = ("PixelValueTransformationSequence", "FrameVOILUTSequence")
PER_FRAME = ("RescaleSlope", "RescaleIntercept", "WindowCenter", "WindowWidth", "VOILUTFunction")


def _voi(source: Dataset, signed: bool, big_endian: bool) -> Callable[[Values], Values]:
    """Return modality units to [0, 1] by the file's first VOI table, else its first window."""
    if source.get("VOILUTSequence"):
        first, bits, entries = read_table(source.VOILUTSequence[0], big_endian)
        start = (first + 0x8000) % 0x10000 - 0x8000 if signed else first % 0x10000
        return lambda values: look_up(values, start, entries) / (2**bits - 1)
    centre, width = (_first(source.get(keyword)) for keyword in ("WindowCenter", "WindowWidth"))
    require(centre is not None and width is not None, "no window in the file, and intensity is voi")
    with refusing("the window in the file is not a number"):
        c, w = float(centre), float(width)
    require(math.isfinite(c) and math.isfinite(w), "the window in the file is not finite")
    return _window(str(source.get("VOILUTFunction") or "LINEAR").strip().upper(), c, w)


def _window(function: str, centre: float, width: float) -> Callable[[Values], Values]:
    """Return PS3.3 C.11.2.1.2 (LINEAR) or C.11.2.1.3 (SIGMOID, LINEAR_EXACT) with an output of [0, 1]."""
    require(function in ("LINEAR", "LINEAR_EXACT", "SIGMOID"), "the VOI LUT function is unknown")
    require(width >= 1 if function == "LINEAR" else width > 0, f"a window of width {width:g} in the file")
    if function == "SIGMOID":
        # The exponent is clipped only where the result is 0 or 1 to the last bit of float32.
        return lambda values: 1 / (1 + np.exp((-4 * (values - centre) / width).clip(-600, 600)))
    if function == "LINEAR":
        centre, width = centre - 0.5, width - 1
    if width == 0:
        return lambda values: (values > centre).astype(np.float64)
    return lambda values: ((values - centre) / width + 0.5).clip(0, 1)


def _first(value: Any) -> Any:  # noqa: ANN401 - one value, several or none
    return next(iter(value), None) if isinstance(value, list | tuple) or hasattr(value, "insert") else value


def _padding(dataset: Dataset, header: Header, stored: Values) -> NDArray[np.bool_]:
    """Return where there is no image but padding (PS3.3 C.7.5.1.1.2): one value, or a range with its limit."""
    value = dataset.get("PixelPaddingValue")
    if value is None:
        return np.zeros(stored.shape, dtype=np.bool_)
    with refusing("the padding value is not one whole number"):
        limit = dataset.get("PixelPaddingRangeLimit")
        ends = sorted(header.word(int(end)) for end in (value, value if limit is None else limit))
    return (stored >= ends[0]) & (stored <= ends[1])
