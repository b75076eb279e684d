"""PNG and JPEG into pixels.

Their samples are taken as they are stored: colour profiles and gamma chunks are ignored, as every public benchmark
does. They have no modality units, so `stored` is the only intensity.
"""

import struct
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

from pipeline.pixels.contract import (
    Decoded,
    Inspection,
    PixelSpec,
    chosen,
    refusing,
    require,
    require_size,
    with_channels,
)
from pipeline.pixels.orientation import upright, upright_size
from pipeline.pixels.windows import scaled

PNG = b"\x89PNG\r\n\x1a\n"
JPEG = b"\xff\xd8\xff"
PNG_END = b"IEND\xaeB\x60\x82"
JPEG_SCAN, JPEG_END = b"\xff\xda", b"\xff\xd9"
GREY = ("1", "L", "I;16")
ORIENTATION = 0x0112


def recognises(start: bytes) -> bool:
    """Say whether the first bytes are those of a PNG or a JPEG."""
    return start.startswith((PNG, JPEG))


def inspect(path: Path, spec: PixelSpec) -> Inspection:
    """Return the size from the header; nothing is decoded, so damage behind it is found by `read`."""
    with path.open("rb") as file, _opened(file, spec) as (image, orientation):
        return Inspection(1, *upright_size(image.height, image.width, orientation))


def read(path: Path, spec: PixelSpec, frames: Sequence[int] | None) -> Decoded:
    """Return the one frame of a PNG or JPEG; raise Refused where that is not possible without doubt."""
    data = path.read_bytes()
    with _opened(BytesIO(data), spec) as (image, orientation):
        wanted = chosen(frames, Inspection(1, image.height, image.width), spec, 3)
        _require_complete(data)
        _require_checksums(data)
        samples = _sixteen_bit(data) if _is_sixteen_bit(data) else _eight_bit(image)
        return Decoded(with_channels(scaled(upright(samples, orientation))[None], spec.channels)[wanted])


@contextmanager
def _opened(file: BinaryIO, spec: PixelSpec) -> Iterator[tuple[Image.Image, int]]:
    """Open an image whose header promises that it can be read, and say how it is turned."""
    require(spec.intensity == "stored", "a PNG or JPEG file has no modality units: its intensity can only be 'stored'")
    # This process may hold code that asked Pillow to invent what is missing of a truncated file.
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    # Pillow's own limit would refuse what is within ours, by another reason; ours is checked from the header, too.
    Image.MAX_IMAGE_PIXELS = None
    with warnings.catch_warnings(), refusing("the image cannot be decoded"):
        warnings.simplefilter("ignore")
        with Image.open(file, formats=("PNG", "JPEG")) as image:
            require_size(image.height, image.width, 1, 3, 2)
            _require_plain(image)
            yield image, _png_orientation(file) if image.format == "PNG" else image.getexif().get(ORIENTATION, 1)


def _require_plain(image: Image.Image) -> None:
    """Refuse, from the header, what would be reduced or guessed."""
    require(image.format == "MPO" or getattr(image, "n_frames", 1) == 1, "the image is animated")
    require(image.mode not in ("CMYK", "YCCK"), "CMYK has no defined conversion to grey or RGB")
    known = image.mode in (*GREY, "P", "PA", "LA", "RGB", "RGBA")
    require(known, f"images of the mode {image.mode} are not supported")


def _png_orientation(file: BinaryIO) -> int:
    """Return what the EXIF chunk says, wherever it stands; Pillow would decode the image to look behind it."""
    exif, position = Image.Exif(), file.tell()
    for kind, length in _chunks(file):
        if kind == b"eXIf":
            exif.load(b"Exif\0\0" + file.read(length))
            break
    file.seek(position)
    return int(exif.get(ORIENTATION, 1))


def _chunks(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Yield the kind of every PNG chunk and the length of its body, at which the file then stands."""
    place = len(PNG)
    file.seek(place)
    while len(head := file.read(8)) == 8:
        length, kind = struct.unpack(">L4s", head)
        yield kind, length
        place += length + 12
        file.seek(place)


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
        with Image.open(BytesIO(data), formats=("PNG",)) as image:
            image.verify()


def _is_sixteen_bit(data: bytes) -> bool:
    return data.startswith(PNG) and data[24] == 16


def _sixteen_bit(data: bytes) -> NDArray[np.uint16]:
    """Return H x W x 1 or 3. Not by Pillow, which drops the lower byte of every colour sample."""
    keyed = any(kind == b"tRNS" for kind, _ in _chunks(BytesIO(data)))
    samples: NDArray[np.uint16] = np.atleast_3d(imagecodecs.png_decode(data))
    colours = 3 if data[25] & 2 else 1
    opaque = not keyed and bool((samples[..., colours:] == 65535).all())
    require(opaque, "the image has transparent pixels")
    return samples[..., :colours]


def _eight_bit(image: Image.Image) -> NDArray[np.uint8]:
    """Return H x W x 1 or 3."""
    if image.mode in ("PA", "LA", "RGBA") or "transparency" in image.info:
        alpha = np.asarray(image.convert("RGBA").getchannel("A"))
        require(bool((alpha == 255).all()), "the image has transparent pixels")
    return np.atleast_3d(np.asarray(image.convert("L" if image.mode in (*GREY, "LA") else "RGB")))
