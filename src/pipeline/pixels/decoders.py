"""Stored values of DICOM frames: one fixed decoder for each compression, and only the frames that are asked for."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.processing import convert_color_space

from pipeline.errors import StudyError
from pipeline.pixels import codestream
from pipeline.pixels.contract import require
from pipeline.pixels.dicomfile import Opened
from pipeline.pixels.header import YBR_FULL, Header

SPECTRAL_SELECTION, FULL_PROGRESSION = uid.UID("1.2.840.10008.1.2.4.53"), uid.UID("1.2.840.10008.1.2.4.55")
"""JPEG processes 6 and 8, 10 and 12: retired from the standard, and unknown to pydicom's decoders."""

LOSSY_JPEG = (uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit, SPECTRAL_SELECTION, FULL_PROGRESSION)
LOSSLESS_JPEG = (uid.JPEGLossless, uid.JPEGLosslessSV1)
JPEG = (*LOSSY_JPEG, *LOSSLESS_JPEG)
"""libjpeg-turbo (imagecodecs) decodes these, at any depth.

Not through pydicom: of its decoders Pillow converts YBR with an Adobe marker to RGB, which pydicom 3.0.2 then does once
more; and gdcm, which agrees to the last bit, is several times slower, has no 12 bits, and aborts on some damage.
"""

DECODERS = {
    uid.JPEGLSLossless: "pyjpegls",
    uid.JPEGLSNearLossless: "pyjpegls",
    uid.JPEG2000Lossless: "pylibjpeg",
    uid.JPEG2000: "pylibjpeg",
    uid.HTJ2KLossless: "pylibjpeg",
    uid.HTJ2KLosslessRPCL: "pylibjpeg",
    uid.HTJ2K: "pylibjpeg",
    uid.RLELossless: "pylibjpeg",
}
"""Left to itself, pydicom tries one decoder after the other until one accepts a damaged frame."""

NATIVE = (
    uid.ImplicitVRLittleEndian,
    uid.ExplicitVRLittleEndian,
    uid.ExplicitVRBigEndian,
    uid.DeflatedExplicitVRLittleEndian,
)


def require_readable(file: Opened, header: Header) -> None:
    """Refuse, without reading a pixel, what has no decoder or is shorter than its header says."""
    syntax = file.syntax
    native, known = syntax in NATIVE, syntax in DECODERS or syntax in JPEG
    require(native or known, f"the transfer syntax {_name(syntax)} is not supported")
    if native:
        require(file.length is not None, "the pixel data has no length, though it is not compressed")
        expected = math.ceil(header.frames * header.frame_bits / 8)
        require(file.length in (expected, expected + expected % 2), "the pixel data is not as long as the header says")
        require(file.available >= expected, "the pixel data is truncated")
        return
    require(file.length is None, "the pixel data has a length, though it is compressed")
    require(file.available > 8 * header.frames, "the pixel data is truncated")
    # The codestream may hold a transform of its own, so that converting could do it twice.
    ambiguous = syntax in uid.JPEG2000TransferSyntaxes and header.photometric in YBR_FULL
    require(not ambiguous, "YBR_FULL inside JPEG 2000 is ambiguous")
    if syntax in LOSSY_JPEG and header.bits_stored > 8:
        grey = header.samples == 1 and header.bits_stored == 12 and header.bits_allocated == 16 and not header.signed
        twelve_bit = grey and syntax != uid.JPEGBaseline8Bit
        require(twelve_bit, "lossy JPEG of more than 8 bits is supported for 12 unsigned grey bits only")


def stored_frames(file: Opened, header: Header, wanted: Sequence[int]) -> Iterator[NDArray[Any]]:
    """Yield H x W or H x W x 3 stored values of each wanted frame, sign-extended, with YBR converted to RGB once."""
    require_readable(file, header)
    if file.syntax in NATIVE and header.photometric not in YBR_FULL and _is_plain(file, header.bits_allocated):
        yield from (_plain(file, header, index) for index in wanted)
        return
    for frame in (_by_pydicom if file.syntax in NATIVE else _compressed)(file, header, wanted):
        require(_is_in_range(frame, header), "stored values need more bits than BitsStored")
        yield frame


def _is_plain(file: Opened, bits: int) -> bool:
    """Tell whether samples lie there as numbers: in big endian, bytes and long words may be swapped as 16-bit words."""
    return bits == 16 or (bits in (8, 32) and not (file.big_endian and (file.words or bits == 32)))


def _plain(file: Opened, header: Header, index: int) -> NDArray[Any]:
    """Return an uncompressed frame; bits above BitsStored are no part of a value."""
    size = header.frame_bits // 8
    order = ">" if file.big_endian else "<"
    kind = f"{order}{'i' if header.signed else 'u'}{header.bits_allocated // 8}"
    stored = np.frombuffer(file.bytes_at(index * size, size), dtype=kind)
    if header.samples == 1:
        stored = stored.reshape(header.rows, header.columns)
    elif header.planar:
        stored = stored.reshape(3, header.rows, header.columns).transpose(1, 2, 0)
    else:
        stored = stored.reshape(header.rows, header.columns, 3)
    return _extended(stored, header)


def _is_in_range(stored: NDArray[Any], header: Header) -> bool:
    full = header.bits_stored == 8 * stored.itemsize and (stored.dtype.kind == "i") == header.signed
    return full or (header.lowest <= int(stored.min()) and int(stored.max()) <= header.highest)


def _by_pydicom(file: Opened, header: Header, wanted: Sequence[int]) -> Iterator[NDArray[Any]]:
    """Yield uncompressed frames of the rarer layouts: single bits, YBR, and bytes swapped in pairs."""
    dataset = _with_pixels(file, file.bytes_at(0, file.length or 0), header.frames)
    # All frames at once: pydicom 3.0.2 forgets YBR_FULL_422 after the first frame of an iteration.
    array, _ = get_decoder(file.syntax).as_array(dataset)
    shape = (header.frames, header.rows, header.columns, *([3] if header.samples == 3 else []))
    yield from array.reshape(shape)[list(wanted)]


def _compressed(file: Opened, header: Header, wanted: Sequence[int]) -> Iterator[NDArray[Any]]:
    every = _split(file, header)
    frames = [every[index] for index in wanted]
    if file.syntax != uid.RLELossless:
        for frame in set(frames):
            _require_sound(frame, file.syntax, header)
    if file.syntax in JPEG:
        return (_jpeg(frame, header, file.syntax in LOSSLESS_JPEG) for frame in frames)
    decoder, plugin = get_decoder(file.syntax), DECODERS[file.syntax]
    if plugin not in decoder.available_plugins:
        raise StudyError(f"the decoder {plugin} of {_name(file.syntax)} is not installed")
    dataset = _with_pixels(file, encapsulate(frames, has_bot=False), len(frames))
    return (frame for frame, _ in decoder.iter_array(dataset, decoding_plugin=plugin))


def _jpeg(frame: bytes, header: Header, lossless: bool) -> NDArray[Any]:
    precision = codestream.jpeg_precision(frame)
    whole = precision in (header.bits_stored, header.bits_allocated)
    agrees = whole or not header.signed if lossless else precision == (12 if header.bits_stored > 8 else 8)
    require(agrees, "a compressed frame has another bit depth than the DICOM header")
    ybr = header.photometric in YBR_FULL
    # In lossless JPEG the library converts no colours.
    source, shown = ("YCBCR" if ybr and not lossless else "RGB", "RGB") if header.samples == 3 else (None, None)
    stored: NDArray[Any] = imagecodecs.jpeg8_decode(frame, colorspace=source, outcolorspace=shown)
    samples = 1 if stored.ndim == 2 else stored.shape[2]
    require(samples == header.samples, "a compressed frame has another number of samples than the DICOM header")
    if ybr and lossless:
        stored = convert_color_space(stored, "YBR_FULL", "RGB")
    return _extended(stored.view(f"i{stored.itemsize}"), header) if header.signed else stored


def _extended(stored: NDArray[Any], header: Header) -> NDArray[Any]:
    """Return values without what stands in the bits above BitsStored, and with the sign in its place."""
    unused = max(0, 8 * stored.itemsize - header.bits_stored)
    # Looking is cheaper than shifting, which next to no file needs.
    return stored if _is_in_range(stored, header) else (stored << unused) >> unused


def _split(file: Opened, header: Header) -> list[bytes]:
    """Return the compressed frames, each of which may have been cut into several fragments."""
    offsets = [file.dataset.get(name) for name in ("ExtendedOffsetTable", "ExtendedOffsetTableLengths")]
    extended = (offsets[0], offsets[1]) if None not in offsets else None
    value = file.bytes_at(0, file.available)
    frames = list(generate_frames(value, number_of_frames=header.frames, extended_offsets=extended))
    many = "more" if len(frames) > header.frames else "fewer"
    require(len(frames) == header.frames, f"there are {many} frames than the header says")
    return frames


def _require_sound(frame: bytes, syntax: uid.UID, header: Header) -> None:
    codestream.require_sound(frame, header.rows, header.columns)
    if syntax not in uid.JPEG2000TransferSyntaxes and header.samples == 3:
        transform = codestream.adobe_transform(frame)
        agrees = transform is None or (transform == 1) == (header.photometric in YBR_FULL)
        require(agrees, "the JPEG's colour transform contradicts the photometric interpretation")


def _with_pixels(file: Opened, value: bytes, frames: int) -> Dataset:
    dataset = Dataset(file.dataset)
    dataset.file_meta = file.dataset.file_meta
    implicit, little_endian = file.dataset.original_encoding
    dataset.set_original_encoding(implicit, little_endian)
    dataset.add_new("PixelData", "OW" if file.words else "OB", value)
    dataset["PixelData"].is_undefined_length = file.length is None
    dataset.NumberOfFrames = frames
    for name in ("ExtendedOffsetTable", "ExtendedOffsetTableLengths"):
        if name in dataset:
            del dataset[name]
    return dataset


def _name(syntax: uid.UID) -> str:
    return "of a private kind" if syntax.is_private or syntax.name == syntax else str(syntax.name)
