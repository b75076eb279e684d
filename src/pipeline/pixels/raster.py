"""PNG and JPEG into pixels.

Their samples are taken as they are stored: colour profiles and gamma chunks are ignored, as every public benchmark
does. They have no modality units, so `stored` is the only intensity.
"""

import warnings
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, ImageOps

from pipeline.pixels.contract import (
    Decoded,
    Frames,
    Inspection,
    PixelSpec,
    chosen,
    refusing,
    require,
    require_size,
    with_channels,
)

PNG = b"\x89PNG\r\n\x1a\n"
JPEG = b"\xff\xd8\xff"
PNG_END = b"IEND\xaeB\x60\x82"
JPEG_SCAN, JPEG_END = b"\xff\xda", b"\xff\xd9"
GREY = ("1", "L", "I;16")


def recognises(data: bytes) -> bool:
    """Say whether the first bytes are those of a PNG or a JPEG."""
    return data.startswith((PNG, JPEG))


def inspect(path: Path, spec: PixelSpec) -> Inspection:
    """Return the size."""
    frames = decode(path.read_bytes(), spec).frames
    return Inspection(1, *frames.shape[2:])


def read(path: Path, spec: PixelSpec, frames: Sequence[int] | None) -> Decoded:
    """Return the one frame of a PNG or JPEG; raise Refused where that is not possible without doubt."""
    return Decoded(decode(path.read_bytes(), spec).frames[chosen(frames, 1)])


def decode(data: bytes, spec: PixelSpec) -> Decoded:
    """Return the one frame of a PNG or JPEG; raise Refused where that is not possible without doubt."""
    require(spec.intensity == "stored", "a PNG or JPEG file has no modality units: its intensity can only be 'stored'")
    _require_complete(data)
    with warnings.catch_warnings(), refusing("the image cannot be decoded"):
        warnings.simplefilter("ignore")
        _require_checksums(data)
        with _open(data) as image:
            _require_plain(image, data)
            return Decoded(with_channels(_pixels(image), spec.channels))


def _open(data: bytes) -> Image.Image:
    # This process may hold code that asked Pillow to invent what is missing of a truncated file.
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    return Image.open(BytesIO(data), formats=("PNG", "JPEG"))


def _require_complete(data: bytes) -> None:
    """Refuse a file without its end, which a decoder might fill up with grey.

    A damaged scan before the end marker of a JPEG cannot be seen: the format has no checksum.
    """
    if data.startswith(PNG):
        require(PNG_END in data, "the PNG file is truncated")
    else:
        require(data.rfind(JPEG_END) > data.rfind(JPEG_SCAN), "the JPEG file is truncated")


def _require_checksums(data: bytes) -> None:
    """Check every PNG chunk's CRC, which Pillow skips for pixel data when it decodes."""
    if data.startswith(PNG):
        with _open(data) as image:
            image.verify()


def _require_plain(image: Image.Image, data: bytes) -> None:
    """Refuse, from the header, what would be reduced or guessed."""
    require_size(image.height, image.width, 1, 3, 2)
    require(image.format == "MPO" or getattr(image, "n_frames", 1) == 1, "the image is animated")
    require(image.mode not in ("CMYK", "YCCK"), "CMYK has no defined conversion to grey or RGB")
    known = image.mode in (*GREY, "P", "PA", "LA", "RGB", "RGBA")
    require(known, f"images of the mode {image.mode} are not supported")
    sixteen_bit = data.startswith(PNG) and data[24] == 16
    # Pillow would drop the lower byte of every sample.
    require(not sixteen_bit or image.mode == "I;16", "16-bit PNG is supported for grey without alpha only")
    require(image.mode != "I;16" or "transparency" not in image.info, "the image has transparent pixels")


def _pixels(image: Image.Image) -> Frames:
    """Return 1 x C x H x W in [0, 1], upright."""
    upright = ImageOps.exif_transpose(image)
    if upright.mode == "I;16":
        return _scaled(np.asarray(upright), 65535)
    if upright.mode in ("PA", "LA", "RGBA") or "transparency" in upright.info:
        alpha = np.asarray(upright.convert("RGBA").getchannel("A"))
        require(bool((alpha == 255).all()), "the image has transparent pixels")
    return _scaled(np.asarray(upright.convert("L" if upright.mode in (*GREY, "LA") else "RGB")), 255)


def _scaled(samples: NDArray[np.uint8] | NDArray[np.uint16], maximum: int) -> Frames:
    planes = samples.reshape(*samples.shape[:2], -1).transpose(2, 0, 1)
    return np.ascontiguousarray(planes[None].astype(np.float32) / np.float32(maximum))
