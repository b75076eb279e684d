"""NIfTI volumes (.nii, .nii.gz) into axial slices, with nibabel's reading of the header.

Frames are axial slices from foot to head. Each is shown as radiologists do, and as DICOM stores axial slices: the
patient's right on the image's left, anterior at the top. Values are the header's scl_slope and scl_inter applied once
(NIfTI-1 standard, `scl_slope`), and nothing else.
"""

import gzip
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from numpy.typing import NDArray

from pipeline.pixels.contract import (
    LIMIT,
    Decoded,
    Inspection,
    PixelSpec,
    chosen,
    quiet,
    refusing,
    require,
    require_size,
    with_channels,
)
from pipeline.pixels.hounsfield import Hounsfield, spaced
from pipeline.pixels.windows import require_shown, shown

NIB: Any = nibabel
"""Its functions have no annotations."""
GZIP = b"\x1f\x8b"
HEADER_BYTES = 540
"""The longer of the two versions' headers."""
OBLIQUE = 1.0
"""Degrees between a volume's axes and the patient's above which a person should know."""


def recognises(start: bytes) -> bool:
    """Say whether this is NIfTI of version 1 or 2, in one file, or something compressed by gzip."""
    return start[344:348] in (b"n+1\0", b"ni1\0") or start[4:7] in (b"n+2", b"ni2") or start.startswith(GZIP)


def inspect(path: Path, spec: PixelSpec) -> Inspection:
    """Return the size and number of axial slices from the header alone."""
    volume = _volume(path, spec)
    return Inspection(*volume.shape, warnings=volume.warnings())


def read(path: Path, spec: PixelSpec, frames: Sequence[int] | None) -> Decoded:
    """Return axial slices; raise Refused where that is not possible without doubt."""
    volume = _volume(path, spec)
    wanted = chosen(frames, Inspection(*volume.shape), spec)
    with refusing("the voxels cannot be read"):
        slices = volume.slices(path)
        if spec.hounsfield:
            counted = Hounsfield()
            for index in spaced(len(slices)):
                counted.add(volume.units(slices[index]))
            counted.require()
        channels = max(1, len(spec.windows or ()))
        out = np.empty((len(wanted), channels, *volume.shape[1:]), np.float32)
        for target, index in zip(out, wanted, strict=True):
            target[:] = shown(slices[index], volume.units(slices[index]), spec)
    return Decoded(with_channels(out, spec.channels), volume.warnings())


@dataclass(frozen=True)
class _Volume:
    """What the header says.

    Attributes:
        stored: The lengths of the three axes in the order of the file, in which the first varies fastest.
        kind: Type and byte order of a voxel.
        offset: Where in the file the voxels start.
        slope: What a stored value is multiplied by.
        intercept: What is added then.
        affine: Indices to millimetres towards the patient's right, front and head.
        compressed: Whether the file is one of gzip.
    """

    stored: tuple[int, int, int]
    kind: np.dtype[Any]
    offset: int
    slope: float
    intercept: float
    affine: NDArray[np.float64]
    compressed: bool

    @property
    def nbytes(self) -> int:
        return math.prod(self.stored) * self.kind.itemsize

    @property
    def shape(self) -> tuple[int, int, int]:
        """Slices, rows and columns as they are shown."""
        axes = [int(axis) for axis in NIB.io_orientation(self.affine)[:, 0]]
        right, front, head = (self.stored[axes.index(axis)] for axis in range(3))
        return head, front, right

    def slices(self, path: Path) -> NDArray[Any]:
        """Return slices x rows x columns of stored values: of an uncompressed file a view, read where it is touched."""
        if not self.compressed:
            flat: NDArray[Any] = np.memmap(path, self.kind, "r", self.offset, (math.prod(self.stored),))
        else:
            flat = np.frombuffer(_inflated(path, self.offset, self.nbytes), self.kind)
        canonical = NIB.apply_orientation(flat.reshape(self.stored, order="F"), NIB.io_orientation(self.affine))
        shown_up: NDArray[Any] = canonical.transpose(2, 1, 0)[:, ::-1, ::-1]
        return shown_up

    def units(self, stored: NDArray[Any]) -> NDArray[np.float64]:
        return stored.astype(np.float64) * self.slope + self.intercept

    def warnings(self) -> tuple[str, ...]:
        steps = self.affine[:3, :3] / np.linalg.norm(self.affine[:3, :3], axis=0)
        angle = np.degrees(np.arccos(np.abs(steps).max(axis=0).clip(0, 1))).max()
        found = [f"the volume is oblique by {angle:.0f} degrees, and its own slices are taken"] * bool(angle > OBLIQUE)
        sizes = np.linalg.norm(self.affine[:3, :3], axis=0)
        axes = [int(axis) for axis in NIB.io_orientation(self.affine)[:, 0]]
        ratio = sizes[axes.index(0)] / sizes[axes.index(1)]
        return (*found, *["pixels are not square, which is not corrected"] * bool(abs(math.log(ratio)) > 0.01))


def _volume(path: Path, spec: PixelSpec) -> _Volume:
    with path.open("rb") as file:
        compressed = file.read(2) == GZIP
    with quiet(), refusing("the NIfTI header cannot be read"), (gzip.open if compressed else open)(path, "rb") as file:
        start = file.read(HEADER_BYTES)
        require(recognises(start) and not start.startswith(GZIP), "a compressed file that is not NIfTI")
        pair = start[344:348] == b"ni1\0" or start[4:7] == b"ni2"
        require(not pair, "NIfTI as a pair of files is not supported")
        header = NIB.Nifti2Header(start[:540]) if start[4:7] == b"n+2" else NIB.Nifti1Header(start[:348])
        volume = _checked(header, spec, compressed)
    size = path.stat().st_size
    require(compressed or size >= volume.offset + volume.nbytes, "the NIfTI file is truncated")
    return volume


def _checked(header: Any, spec: PixelSpec, compressed: bool) -> _Volume:  # noqa: ANN401 - a header of either version
    shape = [int(length) for length in header.get_data_shape()]
    while len(shape) > 3 and shape[-1] == 1:
        shape.pop()
    require(len(shape) in (2, 3), f"a volume of {len(shape)} dimensions is not supported")
    shape += [1] * (3 - len(shape))
    kind = header.get_data_dtype()
    require(kind.kind in "iuf" and kind.itemsize <= 8, f"voxels of the type {kind.name} are not supported")
    require_shown(kind, spec, "NIfTI")
    require_size(shape[0], shape[1], shape[2], 1, kind.itemsize)
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    if slope == 0:  # The standard's way to say that there is none.
        slope, intercept = 1.0, 0.0
    require(math.isfinite(slope) and math.isfinite(intercept), "the slope or intercept is not finite")
    volume = _Volume(
        (shape[0], shape[1], shape[2]),
        kind,
        int(header.get_data_offset()),
        slope,
        intercept,
        _affine(header),
        compressed,
    )
    require(0 <= volume.offset <= LIMIT, "the voxels start nowhere in the file")
    return volume


def _affine(header: Any) -> NDArray[np.float64]:  # noqa: ANN401 - a header of either version
    """Return how the volume lies in the patient; Refused where the header does not say, or contradicts itself."""
    codes = [int(header["qform_code"]), int(header["sform_code"])]
    require(any(codes), "the header does not say how the volume lies in the patient")
    found = [form for code, form in zip(codes, (header.get_qform, header.get_sform), strict=True) if code]
    affines: list[NDArray[np.float64]] = [form() for form in found]
    for affine in affines:
        sound = bool(np.isfinite(affine).all()) and not np.isnan(NIB.io_orientation(affine)).any()
        require(sound and abs(np.linalg.det(affine[:3, :3])) > 0, "the header's affine is not a position in space")
    require(len({NIB.aff2axcodes(affine) for affine in affines}) == 1, "qform and sform contradict each other")
    return affines[-1]


def _inflated(path: Path, offset: int, nbytes: int) -> bytes:
    """Return the voxels of a compressed file: as many as the header says, and not a byte more is inflated."""
    with gzip.open(path, "rb") as file:
        file.seek(offset)
        voxels = file.read(nbytes)
        require(len(voxels) == nbytes, "the NIfTI file is truncated")
        # Reading on is what makes gzip compare its checksum.
        require(file.read(1) == b"", "the NIfTI file is longer than its header says")
    return voxels
