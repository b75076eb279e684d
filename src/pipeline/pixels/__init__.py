"""Files into pixels: DICOM, PNG, JPEG, TIFF and NIfTI, told apart by their content, become float32 in [0, 1].

The pixel contract: intensities come from the stored bit depth or from a declared window, never from an image's own
minimum and maximum. What cannot be read with certainty is refused with a reason. Nothing here isolates the native
decoders, some of which can end the interpreter on a damaged file: call it through `pipeline.quarantine.survive`.
"""

import hashlib
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from pipeline.errors import Refused
from pipeline.pixels.contract import LIMIT, Decoded, Frames, Inspection, PixelSpec, require
from pipeline.pixels.fit import fit_to

__all__ = ["READERS", "Decoded", "Frames", "Inspection", "PixelSpec", "fit_to", "inspect", "pixel_hash", "read"]

READERS = tuple(f"pipeline.pixels.{name}" for name in ("dicom", "nifti", "raster", "tiff"))
"""Modules that are imported only where a file is read: worker processes may load them ahead."""
START = 512
"""Bytes that tell formats apart."""


def inspect(path: Path, spec: PixelSpec) -> Inspection:
    """Say what a file holds by its header alone: nothing is decoded, and a DICOM file's pixel data is not read.

    Raises:
        Refused: The file cannot become pixels under this specification, as far as its header tells.
        OSError: The file is missing or unreadable, which says nothing about its content.
    """
    return _reader(path).inspect(path, spec)


def read(path: Path, spec: PixelSpec, frames: Sequence[int] | None = None) -> Decoded:
    """Return a file's frames at native size, in [0, 1]; raises as `inspect` does.

    Args:
        path: The file.
        spec: How its values become intensities.
        frames: Which frames, counted from 0, in the order in which they are to come; None for all of them.
    """
    return _reader(path).read(path, spec, frames)


def pixel_hash(frame: Frames) -> str:
    """Return the sha256 of the shape and the float32 pixels of one C x H x W frame."""
    digest = hashlib.sha256(repr(frame.shape).encode())
    digest.update(np.ascontiguousarray(frame, dtype="<f4").data)
    return digest.hexdigest()


class _Reader(Protocol):
    def inspect(self, path: Path, spec: PixelSpec) -> Inspection: ...

    def read(self, path: Path, spec: PixelSpec, frames: Sequence[int] | None) -> Decoded: ...


def _reader(path: Path) -> _Reader:
    """Return the module that reads what a file's first bytes say it is, whatever its name says."""
    # Imported late: the Snakefile needs PixelSpec alone, and is parsed anew in every cluster job.
    from pipeline.pixels import dicom, nifti, raster, tiff

    status = path.stat()
    # Opening a pipe would wait for somebody to write into it.
    require(stat.S_ISREG(status.st_mode), "not a file but a device, a pipe or a folder")
    require(status.st_size <= LIMIT, "the file is larger than the limit on one image")
    with path.open("rb") as file:
        start = file.read(START)
    for reader in (raster, dicom, tiff, nifti):
        if reader.recognises(start):
            return reader
    raise Refused("not a DICOM, PNG, JPEG, TIFF or NIfTI file")
