"""Files into pixels: DICOM, PNG and JPEG, told apart by their content, become float32 in [0, 1].

The pixel contract: intensities come from the stored bit depth or from a declared window, never from an image's own
minimum and maximum. What cannot be read with certainty is refused with a reason. Nothing here isolates the native
decoders, some of which can end the interpreter on a damaged file: call it through `pipeline.quarantine.survive`.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.errors import Refused
from pipeline.pixels.contract import LIMIT, Decoded, Frames, PixelSpec, require

__all__ = ["Frames", "Inspection", "PixelSpec", "fit_to", "inspect", "read_frames"]


@dataclass(frozen=True)
class Inspection:
    """What is known of a file after all of it was decoded.

    Attributes:
        frames: Number of images.
        height: Rows, after an EXIF orientation was applied.
        width: Columns.
        patient: DICOM's PatientID, or None. The caller hashes it; it is never written as it is.
        pixel_hash: A sha256 for each frame, of its shape and float32 pixels under this specification.
        warnings: For a person to judge, without identifiers.
    """

    frames: int
    height: int
    width: int
    patient: str | None
    pixel_hash: tuple[str, ...]
    warnings: tuple[str, ...]


def read_frames(path: Path, spec: PixelSpec) -> Frames:
    """Return frames x C x H x W at native size, in [0, 1].

    Raises:
        Refused: The file cannot become pixels under this specification.
        OSError: The file is missing or unreadable, which says nothing about its content.
    """
    return _decode(path, spec).frames


def inspect(path: Path, spec: PixelSpec) -> Inspection:
    """Decode all of a file and say what it holds; raises as `read_frames` does."""
    decoded = _decode(path, spec)
    count, _, height, width = decoded.frames.shape
    hashes = tuple(_hash(frame) for frame in decoded.frames)
    return Inspection(count, height, width, decoded.patient, hashes, decoded.warnings)


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


def _decode(path: Path, spec: PixelSpec) -> Decoded:
    # Imported late: the Snakefile needs PixelSpec alone, and is parsed anew in every cluster job.
    from pipeline.pixels import dicom, raster

    require(path.stat().st_size <= LIMIT, "the file is larger than the limit on one image")
    data = path.read_bytes()
    if raster.recognises(data):
        return raster.decode(data, spec)
    if dicom.recognises(data):
        return dicom.decode(data, spec)
    raise Refused("not a DICOM, PNG or JPEG file")


def _hash(frame: Frames) -> str:
    digest = hashlib.sha256(repr(frame.shape).encode())
    digest.update(np.ascontiguousarray(frame, dtype="<f4").tobytes())
    return digest.hexdigest()


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
