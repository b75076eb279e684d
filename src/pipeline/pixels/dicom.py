"""DICOM into pixels, with pydicom's parser and one fixed decoder for each compression.

A file without the 128-byte preamble is read where it parses and has pixels; without a transfer syntax, only
uncompressed little endian pixels are. Only `PixelData` counts: float pixels have no stored bit depth.
"""

import logging
import math
import warnings
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from pydicom.filereader import _read_file_meta_info
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.processing import apply_color_lut

from pipeline.errors import StudyError
from pipeline.pixels import codestream
from pipeline.pixels.contract import (
    LIMIT,
    Decoded,
    Frames,
    Inspection,
    PixelSpec,
    chosen,
    refusing,
    require,
    with_channels,
)
from pipeline.pixels.header import PALETTE, YBR_FULL, Header, read_header
from pipeline.pixels.monochrome import Monochrome

DECODERS = {
    uid.JPEGBaseline8Bit: "gdcm",
    uid.JPEGExtended12Bit: "gdcm",
    uid.JPEGLossless: "gdcm",
    uid.JPEGLosslessSV1: "gdcm",
    uid.JPEGLSLossless: "pyjpegls",
    uid.JPEGLSNearLossless: "pyjpegls",
    uid.JPEG2000Lossless: "pylibjpeg",
    uid.JPEG2000: "pylibjpeg",
    uid.HTJ2KLossless: "pylibjpeg",
    uid.HTJ2KLosslessRPCL: "pylibjpeg",
    uid.HTJ2K: "pylibjpeg",
    uid.RLELossless: "pylibjpeg",
}
"""Left to itself, pydicom tries one decoder after the other until one accepts a damaged frame.

Pillow decodes no JPEG here: it converts YBR with an Adobe marker to RGB, which pydicom 3.0.2 then does once more.
"""

NATIVE = (
    uid.ImplicitVRLittleEndian,
    uid.ExplicitVRLittleEndian,
    uid.ExplicitVRBigEndian,
    uid.DeflatedExplicitVRLittleEndian,
)


def recognises(data: bytes) -> bool:
    """Say whether this is DICOM: by its prefix, or by a first data element of group 0002 or 0008."""
    return data[128:132] == b"DICM" or data[:2] in (b"\x02\x00", b"\x08\x00")


def inspect(path: Path, spec: PixelSpec) -> Inspection:
    """Return what the header says; the pixel data is not read."""
    with path.open("rb") as file, _quiet(), refusing("the DICOM header cannot be read"):
        dataset = pydicom.dcmread(file, force=True, stop_before_pixels=True)
        dataset.PixelData = file.read(1)
        header = read_header(dataset, spec)
        return Inspection(
            header.frames,
            header.rows,
            header.columns,
            patient=_text(dataset, "PatientID"),
            study=_text(dataset, "StudyInstanceUID"),
            series=_text(dataset, "SeriesInstanceUID"),
            instance=_text(dataset, "SOPInstanceUID"),
            position=_numbers(dataset, "ImagePositionPatient", 3),
            orientation=_numbers(dataset, "ImageOrientationPatient", 6),
            warnings=tuple(_warnings(dataset, header, spec)),
        )


def _text(dataset: Dataset, keyword: str) -> str | None:
    return str(dataset.get(keyword) or "").strip("\0 ") or None


def _numbers(dataset: Dataset, keyword: str, count: int) -> Any:  # noqa: ANN401 - count numbers, or None
    try:
        numbers = tuple(float(number) for number in dataset.get(keyword) or ())
    except (TypeError, ValueError):
        return None
    return numbers if len(numbers) == count and all(map(math.isfinite, numbers)) else None


def read(path: Path, spec: PixelSpec, frames: Sequence[int] | None) -> Decoded:
    """Return the frames of a DICOM file; raise Refused where that is not possible without doubt."""
    decoded = decode(path.read_bytes(), spec)
    return Decoded(decoded.frames[chosen(frames, len(decoded.frames))], decoded.warnings)


def decode(data: bytes, spec: PixelSpec) -> Decoded:
    """Return every frame of a DICOM file; raise Refused where that is not possible without doubt."""
    with _quiet(), refusing("the DICOM header cannot be read"):
        dataset = _parse(data)
        header = read_header(dataset, spec)
        noted = _warnings(dataset, header, spec)
    with _quiet() as caught, refusing("the pixel data cannot be decoded"):
        frames = np.empty((header.frames, 1 if header.monochrome else 3, header.rows, header.columns), np.float32)
        convert = _converter(dataset, header, spec)
        count = 0
        for count, stored in enumerate(_stored_frames(dataset, header), start=1):
            require(count <= header.frames, "there are more frames than the header says")
            frames[count - 1] = convert(stored, count - 1)
        require(count == header.frames, "there are fewer frames than the header says")
    noted += sorted({str(warning.message) for warning in caught if warning.category is UserWarning})
    return Decoded(with_channels(frames, spec.channels), tuple(noted))


@contextmanager
def _quiet() -> Iterator[list[warnings.WarningMessage]]:
    """Keep pydicom's warnings, which may quote a patient, off the terminal and out of the logs."""
    logger = logging.getLogger("pydicom")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield caught
    finally:
        logger.setLevel(level)


def _parse(data: bytes) -> Dataset:
    _require_inflatable(data)
    dataset = pydicom.dcmread(BytesIO(data), force=True)
    if dataset.file_meta.get("TransferSyntaxUID") is None:
        implicit, little_endian = dataset.original_encoding
        native = bool(little_endian) and "PixelData" in dataset and not dataset["PixelData"].is_undefined_length
        require(native, "the file does not say how its pixels are encoded, or has none")
        dataset.file_meta.TransferSyntaxUID = uid.ImplicitVRLittleEndian if implicit else uid.ExplicitVRLittleEndian
    return dataset


def _require_inflatable(data: bytes) -> None:
    """Refuse a deflated file that would inflate beyond the limit, before pydicom inflates all of it at once."""
    if data[128:132] != b"DICM":
        return
    stream = BytesIO(data)
    stream.seek(132)
    meta = _read_file_meta_info(stream)
    if meta.get("TransferSyntaxUID") != uid.DeflatedExplicitVRLittleEndian:
        return
    inflate, rest, size = zlib.decompressobj(-zlib.MAX_WBITS), data[stream.tell() :], 0
    while rest and size <= LIMIT:
        size += len(inflate.decompress(rest, 2**24))
        rest = inflate.unconsumed_tail
    require(size <= LIMIT, "the deflated file is larger than the limit on one image")


def _stored_frames(dataset: Dataset, header: Header) -> Iterator[NDArray[Any]]:
    """Yield H x W or H x W x 3 stored values of each frame, sign-extended, with YBR converted to RGB once."""
    syntax = dataset.file_meta.TransferSyntaxUID
    require(syntax in NATIVE or syntax in DECODERS, f"the transfer syntax {_name(syntax)} is not supported")
    decoder = get_decoder(syntax)
    if syntax in NATIVE:
        _require_native_length(dataset, header)
        # All frames at once: pydicom 3.0.2 forgets YBR_FULL_422 after the first frame of an iteration.
        array, _ = decoder.as_array(dataset)
        frames: Any = array.reshape(header.frames, header.rows, header.columns, *([3] if header.samples == 3 else []))
    else:
        if DECODERS[syntax] not in decoder.available_plugins:
            raise StudyError(f"the decoder {DECODERS[syntax]} of {_name(syntax)} is not installed")
        _require_sound(dataset, header, syntax)
        frames = (frame for frame, _ in decoder.iter_array(dataset, decoding_plugin=DECODERS[syntax]))
    for frame in frames:
        in_range = header.lowest <= int(frame.min()) and int(frame.max()) <= header.highest
        require(in_range, "stored values need more bits than BitsStored")
        yield frame


def _name(syntax: uid.UID) -> str:
    return "of a private kind" if syntax.is_private or syntax.name == syntax else str(syntax.name)


def _require_native_length(dataset: Dataset, header: Header) -> None:
    """Refuse uncompressed pixels that are not exactly as long as the header says, but for one byte of padding."""
    samples = 2 if header.photometric == "YBR_FULL_422" else header.samples
    bits = header.frames * header.rows * header.columns * samples * header.bits_allocated
    expected = math.ceil(bits / 8)
    length = len(dataset.PixelData)
    require(length in (expected, expected + expected % 2), "the pixel data is not as long as the header says")


def _require_sound(dataset: Dataset, header: Header, syntax: uid.UID) -> None:
    jpeg_2000 = syntax in uid.JPEG2000TransferSyntaxes
    twelve_bit = syntax == uid.JPEGExtended12Bit and header.bits_stored != 8
    require(not twelve_bit, "JPEG Extended of 12 bits is not supported")
    # The codestream may hold a transform of its own, so that converting could do it twice.
    require(not (jpeg_2000 and header.photometric in YBR_FULL), "YBR_FULL inside JPEG 2000 is ambiguous")
    offsets = [dataset.get(name) for name in ("ExtendedOffsetTable", "ExtendedOffsetTableLengths")]
    extended = (offsets[0], offsets[1]) if None not in offsets else None
    compressed = list(generate_frames(dataset.PixelData, number_of_frames=header.frames, extended_offsets=extended))
    many = "more" if len(compressed) > header.frames else "fewer"
    require(len(compressed) == header.frames, f"there are {many} frames than the header says")
    for frame in compressed:
        if syntax == uid.RLELossless:
            continue
        codestream.require_sound(frame, header.rows, header.columns)
        if not jpeg_2000 and header.samples == 3:
            transform = codestream.adobe_transform(frame)
            agrees = transform is None or (transform == 1) == (header.photometric in YBR_FULL)
            require(agrees, "the JPEG's colour transform contradicts the photometric interpretation")


def _converter(dataset: Dataset, header: Header, spec: PixelSpec) -> Any:  # noqa: ANN401 - (stored, frame) -> pixels
    big_endian = dataset.file_meta.TransferSyntaxUID == uid.ExplicitVRBigEndian
    if header.monochrome:
        return Monochrome(dataset, header, spec, big_endian)
    if header.photometric == PALETTE:
        require(not big_endian, "a palette in big endian is not supported")
        table = _palette(dataset, header)
        return lambda stored, _frame: table[:, stored]
    return lambda stored, _frame: stored.transpose(2, 0, 1) / np.float32(header.highest)


def _palette(dataset: Dataset, header: Header) -> Frames:
    """Return 3 x 2^BitsStored: the colour of every stored value (PS3.3 C.7.6.3.1.5)."""
    with refusing("the palette cannot be read"):
        count, first, bits = (int(word) for word in dataset.RedPaletteColorLookupTableDescriptor)
        count = count % 0x10000 or 0x10000
        # pydicom looks up in the entries' own data type, in which larger indices would wrap around.
        require(bits == 16 or count <= 256, "a palette of more than 256 entries of 8 bits is not supported")
        values = header.stored_values().astype(np.int32).clip(first, first + count - 1)
        colours = apply_color_lut(values, dataset)
    require(colours.shape[-1] == 3, "a palette with transparency is not supported")
    wide = bits == 16 or int(colours.max()) > 255
    return np.ascontiguousarray(colours.T.astype(np.float32) / np.float32(65535 if wide else 255))


def _warnings(dataset: Dataset, header: Header, spec: PixelSpec) -> list[str]:
    found = []
    burned_in = dataset.get("BurnedInAnnotation")
    if burned_in != "NO":
        found.append(
            f"BurnedInAnnotation is {'YES' if burned_in == 'YES' else 'not stated'}: look for names in the image"
        )
    if dataset.get("LossyImageCompression") == "01":
        found.append("the pixels were once compressed with loss")
    inverse = dataset.get("PresentationLUTShape") == "INVERSE"
    if header.photometric == "MONOCHROME2" and inverse:
        found.append("PresentationLUTShape is INVERSE, against MONOCHROME2, which is followed")
    windows = dataset.get("WindowCenter")
    if spec.intensity == "voi" and not dataset.get("VOILUTSequence") and hasattr(windows, "insert"):
        found.append(f"the first of {len(windows)} windows is used")
    return found
