"""TIFF and BigTIFF into pixels, with tifffile; each page is a frame.

Samples are taken as they are stored, as those of PNG. Grey pages may be seen through a window in their own units, and
pages of floating point must be.
"""

import math
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from tifffile import COMPRESSION, PHOTOMETRIC, TiffFile, TiffPage

from pipeline.errors import Refused
from pipeline.pixels import codestream
from pipeline.pixels.contract import (
    Decoded,
    Frames,
    Inspection,
    PixelSpec,
    chosen,
    quiet,
    refusing,
    require,
    require_size,
    with_channels,
)
from pipeline.pixels.orientation import upright, upright_size
from pipeline.pixels.windows import require_shown, scaled, shown

STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
COMPRESSIONS = (
    COMPRESSION.NONE,
    COMPRESSION.LZW,
    COMPRESSION.JPEG,
    COMPRESSION.ADOBE_DEFLATE,
    COMPRESSION.DEFLATE,
    COMPRESSION.PACKBITS,
)
GREY = (PHOTOMETRIC.MINISWHITE, PHOTOMETRIC.MINISBLACK)
ALPHA = (1, 2)
ORIENTATION = 274
TYPE_BYTES = {3: 2, 4: 4, 5: 8, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
"""Bytes of a value of each of TIFF's and BigTIFF's types; of the others it is one."""


def recognises(start: bytes) -> bool:
    """Say whether the first bytes are those of a TIFF or BigTIFF."""
    return start.startswith(STARTS)


def inspect(path: Path, spec: PixelSpec) -> Inspection:
    """Return the number of pages and their size; none is decoded."""
    with _opened(path, spec) as pages:
        return _inspection(pages)


def read(path: Path, spec: PixelSpec, frames: Sequence[int] | None) -> Decoded:
    """Return pages; raise Refused where that is not possible without doubt."""
    with _opened(path, spec) as pages:
        found = _inspection(pages)
        wanted = chosen(frames, found, spec, 3)
        decoded = [_pixels(pages[index], spec) for index in wanted]
        channels = decoded[0].shape[0] if decoded else 1
        out = np.array(decoded, np.float32).reshape(len(wanted), channels, found.height, found.width)
    return Decoded(with_channels(out, spec.channels))


def _inspection(pages: list[TiffPage]) -> Inspection:
    first = pages[0]
    return Inspection(len(pages), *upright_size(first.imagelength, first.imagewidth, _orientation(first)))


@contextmanager
def _opened(path: Path, spec: PixelSpec) -> Iterator[list[TiffPage]]:
    """Open a file and return its pages, which are alike and promise by their tags that they can be read."""
    with path.open("rb") as file, quiet(), refusing("the TIFF file cannot be decoded"):
        count = _number_of_pages(file)
        file.seek(0)
        tiff = TiffFile(file)
        tiff.pages.useframes = False
        pages = [page.aspage() for page in tiff.pages]
        require(len(pages) == count > 0, "the TIFF file is truncated")
        for page in pages:
            _require_readable(page, spec, path.stat().st_size)
        require(len({_layout(page) for page in pages}) == 1, "the pages of the TIFF file differ in size or kind")
        first = pages[0]
        require_size(first.imagelength, first.imagewidth, len(pages), first.samplesperpixel, _kind(first).itemsize)
        _require_every_page(tiff, pages)
        yield pages


def _number_of_pages(file: BinaryIO) -> int:
    """Follow the chain of pages to its end, and refuse tags that are larger than the file.

    tifffile takes a link that leads out of the file for the end, runs in circles if the chain does, and allocates what
    a tag asks for.
    """
    size = file.seek(0, 2)
    file.seek(0)
    start = file.read(16)
    order, big = "<" if start[:2] == b"II" else ">", start[2:4] in (b"+\0", b"\0+")
    link, number = struct.Struct(order + ("Q" if big else "L")), struct.Struct(order + ("Q" if big else "H"))
    tag = struct.Struct(order + ("HHQ8x" if big else "HHL4x"))
    (offset,) = link.unpack_from(start, 8 if big else 4)
    seen: set[int] = set()
    while offset:
        require(offset not in seen, "the TIFF file's pages run in a circle")
        seen.add(offset)
        file.seek(offset)
        (tags,) = number.unpack(file.read(number.size))
        require(tags * tag.size <= size, "the TIFF file is truncated")
        for _, kind, count in tag.iter_unpack(file.read(tags * tag.size)):
            require(count * TYPE_BYTES.get(kind, 1) <= size, "a tag of the TIFF file is larger than the file")
        (offset,) = link.unpack(file.read(link.size))
    return len(seen)


def _layout(page: TiffPage) -> tuple[Any, ...]:
    return page.shape, page.dtype, page.photometric, page.samplesperpixel, page.planarconfig, _orientation(page)


def _require_readable(page: TiffPage, spec: PixelSpec, file_size: int) -> None:
    kind = _kind(page)
    numbers = (page.imagelength, page.imagewidth, page.samplesperpixel, page.bitspersample)
    require(all(isinstance(number, int) for number in numbers), "a tag of the TIFF file is not one whole number")
    require_size(page.imagelength, page.imagewidth, 1, max(3, page.samplesperpixel), kind.itemsize)
    require(page.compression in COMPRESSIONS, "the TIFF file's compression is not supported")
    require(not (page.is_reduced or page.is_mask), "the TIFF file has masks or reduced copies among its pages")
    grey, colours = page.photometric in GREY, _colours(page)
    known = grey or page.photometric in (PHOTOMETRIC.RGB, PHOTOMETRIC.PALETTE)
    coded = page.photometric == PHOTOMETRIC.YCBCR and page.compression == COMPRESSION.JPEG
    require(known or coded, "the TIFF file's photometric interpretation is not supported")
    alpha = page.samplesperpixel - colours
    described = alpha == 0 or (alpha == 1 and page.extrasamples and page.extrasamples[0] in ALPHA)
    require(bool(described), f"a TIFF file with {page.samplesperpixel} samples a pixel of this kind is not supported")
    whole = page.bitspersample in (1, 8 * kind.itemsize) and kind.kind in "buif"
    require(whole, f"{page.bitspersample} bits a sample are not supported in a TIFF file")
    _require_intensity(page, spec, grey)
    _require_segments(page, file_size)


def _require_intensity(page: TiffPage, spec: PixelSpec, grey: bool) -> None:
    require(not spec.hounsfield, "a TIFF file does not say that it is computed tomography, and hounsfield is asked for")
    kind = _kind(page)
    if grey:
        require_shown(np.dtype("u1") if kind.kind == "b" else kind, spec, "TIFF")
        return
    require(spec.intensity == "stored", "a colour image has no modality units: its intensity can only be 'stored'")
    require(kind.kind == "u" and kind.itemsize <= 2, "colour samples that are not 8- or 16-bit unsigned")


def _require_segments(page: TiffPage, file_size: int) -> None:
    """Refuse strips and tiles that are missing, which tifffile would fill with zeros, or lie behind the end."""
    pieces = list(zip(page.dataoffsets, page.databytecounts, strict=True))
    complete = page.is_contiguous or len(pieces) == math.prod(page.chunked)
    present = all(start > 0 and count > 0 and start + count <= file_size for start, count in pieces)
    require(complete and present, "the TIFF file is truncated")


def _require_every_page(tiff: TiffFile, pages: list[TiffPage]) -> None:
    """Refuse the layouts that keep several images behind one page."""
    images = int((tiff.imagej_metadata or {}).get("images", 1))
    values = math.prod(tiff.shaped_metadata[0].get("shape", ())) if tiff.shaped_metadata else 0
    hidden = images > len(pages) or values > len(pages) * math.prod(pages[0].shape)
    hidden = hidden or tiff.is_stk or pages[0].imagedepth > 1
    require(not hidden, "the TIFF file keeps several images behind one page")


def _kind(page: TiffPage) -> np.dtype[Any]:
    require(page.dtype is not None, "the type of the TIFF file's samples is not supported")
    return np.dtype(page.dtype)


def _colours(page: TiffPage) -> int:
    return 3 if page.photometric in (PHOTOMETRIC.RGB, PHOTOMETRIC.YCBCR) else 1


def _orientation(page: TiffPage) -> int:
    tag = page.tags.get(ORIENTATION)
    return int(tag.value) if tag is not None else 1


def _pixels(page: TiffPage, spec: PixelSpec) -> Frames:
    """Return C x H x W in [0, 1] of one page, upright."""
    samples = upright(_samples(page), _orientation(page))
    if page.photometric == PHOTOMETRIC.PALETTE:
        return _palette(page)[:, samples[..., 0]]
    if samples.dtype.kind == "b":
        samples = samples.astype(np.uint8) * np.uint8(255)
    if page.photometric not in GREY:
        return scaled(samples)
    out: Frames = shown(samples[..., 0], None, spec).astype(np.float32)
    return 1 - out if page.photometric == PHOTOMETRIC.MINISWHITE else out


def _samples(page: TiffPage) -> NDArray[Any]:
    """Return H x W x samples as they are stored, without the alpha channel."""
    if page.compression == COMPRESSION.JPEG:
        _require_sound_jpeg(page)
    samples: NDArray[Any] = page.asarray(maxworkers=1, squeeze=False)[:, 0]
    samples = samples.transpose(1, 2, 3, 0)[..., 0, :] if page.planarconfig == 2 else samples[0]
    colours = _colours(page)
    if samples.shape[-1] > colours:
        opaque = np.iinfo(samples.dtype).max
        require(bool((samples[..., colours:] == opaque).all()), "the image has transparent pixels")
    return samples[..., :colours]


def _require_sound_jpeg(page: TiffPage) -> None:
    """Refuse a JPEG strip or tile that would become larger than the tags say."""
    file = page.parent.filehandle
    rows = page.tilelength if page.is_tiled else min(page.rowsperstrip, page.imagelength)
    columns = page.tilewidth if page.is_tiled else page.imagewidth
    for start, count in zip(page.dataoffsets, page.databytecounts, strict=True):
        file.seek(start)
        height, width = codestream.jpeg_size(file.read(count))
        require(height <= rows and width <= columns, "a compressed strip is larger than the TIFF file's tags say")


def _palette(page: TiffPage) -> Frames:
    """Return 3 x 2^bits colours; some writers wrote bytes where the standard says words, as libtiff knows too."""
    table = page.colormap
    if table is None or _kind(page).kind != "u":
        raise Refused("the palette cannot be read")
    wide = int(table.max()) > 255
    return np.ascontiguousarray(table.astype(np.float32) / np.float32(65535 if wide else 255))
