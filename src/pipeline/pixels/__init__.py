"""Files into pixels: DICOM, PNG, JPEG, TIFF and NIfTI, told apart by their content, become float32 in [0, 1].

The pixel contract: intensities come from the stored bit depth or from a declared window, never from an image's own
minimum and maximum. What cannot be read with certainty is refused with a reason. Nothing here isolates the native
decoders, some of which can end the interpreter on a damaged file: call it through `pipeline.quarantine.survive`.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.errors import Refused
from pipeline.pixels.contract import LIMIT, Decoded, Frames, Inspection, PixelSpec, require

__all__ = ["Decoded", "Frames", "Inspection", "PixelSpec", "fit_to", "inspect", "pixel_hash", "read"]


def inspect(path: Path, spec: PixelSpec) -> Inspection:
    """Say what a file holds by its header alone: nothing is decoded, and a DICOM file's pixel data is not read.

    Raises:
        Refused: The file cannot become pixels under this specification, as far as its header tells.
        OSError: The file is missing or unreadable, which says nothing about its content.
    """
    # Imported late: the Snakefile needs PixelSpec alone, and is parsed anew in every cluster job.
    from pipeline.pixels import dicom, raster

    start = _start(path)
    if raster.recognises(start):
        return raster.inspect(path, spec)
    if dicom.recognises(start):
        return dicom.inspect(path, spec)
    raise Refused("not a DICOM, PNG, JPEG, TIFF or NIfTI file")


def read(path: Path, spec: PixelSpec, frames: Sequence[int] | None = None) -> Decoded:
    """Return a file's frames at native size, in [0, 1]; raises as `inspect` does.

    Args:
        path: The file.
        spec: How its values become intensities.
        frames: Which frames, counted from 0, in the order in which they are to come; None for all of them.
    """
    from pipeline.pixels import dicom, raster

    start = _start(path)
    if raster.recognises(start):
        return raster.read(path, spec, frames)
    if dicom.recognises(start):
        return dicom.read(path, spec, frames)
    raise Refused("not a DICOM, PNG, JPEG, TIFF or NIfTI file")


def pixel_hash(frame: Frames) -> str:
    """Return the sha256 of the shape and the float32 pixels of one C x H x W frame."""
    digest = hashlib.sha256(repr(frame.shape).encode())
    digest.update(np.ascontiguousarray(frame, dtype="<f4").tobytes())
    return digest.hexdigest()


def fit_to(frames: Frames, spec: PixelSpec) -> Frames:
    """Resize frames x C x H x W to frames x C x size x size, clipped to [0, 1].

    Bilinear, and antialiased: where it shrinks, Pillow widens the filter's support. Pixels that have the wanted size
    already are returned unchanged.
    """
    count, channels, _, _ = frames.shape
    out = np.zeros((count, channels, spec.size, spec.size), dtype=np.float32)
    for target, plane in zip(out.reshape(-1, spec.size, spec.size), frames.reshape(-1, *frames.shape[2:]), strict=True):
        _fit_plane(plane, target, spec)
    return out.clip(0, 1)


def _start(path: Path) -> bytes:
    require(path.stat().st_size <= LIMIT, "the file is larger than the limit on one image")
    with path.open("rb") as file:
        return file.read(512)


def _fit_plane(plane: NDArray[np.float32], target: NDArray[np.float32], spec: PixelSpec) -> None:
    """Write an H x W plane into a target that starts black."""
    height, width = plane.shape
    rows = columns = spec.size
    if spec.fit == "crop":
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        plane = plane[top : top + side, left : left + side]
    elif spec.fit == "pad":
        rows, columns = (max(1, round(spec.size * length / max(height, width))) for length in (height, width))
    image = Image.fromarray(np.ascontiguousarray(plane, dtype=np.float32), mode="F")
    top, left = (spec.size - rows) // 2, (spec.size - columns) // 2
    resized = np.asarray(image.resize((columns, rows), Image.Resampling.BILINEAR))
    target[top : top + rows, left : left + columns] = resized
