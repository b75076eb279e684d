"""Every compressed transfer syntax of DICOM, from frames that another library has encoded."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import uid
from pydicom.encaps import encapsulate, encapsulate_extended
from pydicom.pixels.encoders import RLELosslessEncoder
from pydicom.pixels.processing import convert_color_space

from pipeline.pixels import inspect, read
from tests.pixel_files import COLOUR, STORED, pixels, reason, write_dicom

Encode = Callable[[NDArray[Any]], bytes]


def rle(frame: NDArray[Any]) -> bytes:
    return RLELosslessEncoder.encode(
        frame,
        rows=frame.shape[0],
        columns=frame.shape[1],
        samples_per_pixel=1,
        bits_allocated=8 * frame.itemsize,
        bits_stored=8 * frame.itemsize,
        pixel_representation=0,
        number_of_frames=1,
        photometric_interpretation="MONOCHROME2",
        encoding_plugin="pydicom",
    )


LOSSLESS: dict[str, Encode] = {
    uid.JPEGLossless: lambda frame: imagecodecs.jpeg8_encode(frame, lossless=True, predictor=4),
    uid.JPEGLosslessSV1: lambda frame: imagecodecs.jpeg8_encode(frame, lossless=True, predictor=1),
    uid.JPEGLSLossless: imagecodecs.jpegls_encode,
    uid.JPEG2000Lossless: lambda frame: imagecodecs.jpeg2k_encode(frame, level=0, codecformat="J2K"),
    uid.JPEG2000: lambda frame: imagecodecs.jpeg2k_encode(frame, level=0, codecformat="JP2"),
    uid.HTJ2KLossless: lambda frame: imagecodecs.htj2k_encode(frame, reversible=True),
    uid.HTJ2K: lambda frame: imagecodecs.htj2k_encode(frame, reversible=True),
    uid.RLELossless: rle,
}
LOSSY: dict[str, Encode] = {
    uid.JPEGExtended12Bit: lambda frame: imagecodecs.jpeg8_encode(frame, level=100, bitspersample=12),
    "1.2.840.10008.1.2.4.53": lambda frame: imagecodecs.jpeg8_encode(frame, level=100, bitspersample=12),
    "1.2.840.10008.1.2.4.55": lambda frame: imagecodecs.jpeg8_encode(frame, level=100, bitspersample=12),
}


def frames(dtype: Any, top: int) -> NDArray[Any]:  # noqa: ANN401 - a numpy type
    return np.random.default_rng(0).integers(0, top, (4, 33, 47), endpoint=True).astype(dtype)


def header(values: NDArray[Any], bits: int) -> dict[str, Any]:
    count, rows, columns = values.shape[:3]
    size = {"Rows": rows, "Columns": columns, "NumberOfFrames": count, "SamplesPerPixel": 1, "PixelRepresentation": 0}
    return size | {"BitsAllocated": 8 * values.itemsize, "BitsStored": bits}


@pytest.mark.parametrize("syntax", LOSSLESS)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("fragments", [1, 3])
def test_lossless_frames_are_exact(tmp_path: Path, syntax: str, dtype: Any, fragments: int) -> None:  # noqa: ANN401
    values = frames(dtype, np.iinfo(dtype).max)
    coded = [LOSSLESS[syntax](frame) for frame in values]
    path = write_dicom(
        tmp_path, encapsulate(coded, fragments_per_frame=fragments), syntax, **header(values, 8 * values.itemsize)
    )
    assert inspect(path, STORED).frames == 4
    found = read(path, STORED, [2, 0, 3]).frames[:, 0] * np.iinfo(dtype).max
    assert np.array_equal(np.rint(found), values[[2, 0, 3]])


@pytest.mark.parametrize("syntax", LOSSY)
def test_twelve_bits_of_lossy_jpeg_keep_their_depth(tmp_path: Path, syntax: str) -> None:
    rows, columns = np.mgrid[:33, :47]
    values = np.stack([rows * 60 + columns * 40 + 7 * frame for frame in range(4)]).astype(np.uint16)
    path = write_dicom(tmp_path, encapsulate([LOSSY[syntax](frame) for frame in values]), syntax, **header(values, 12))
    assert np.abs(pixels(path)[:, 0] * 4095 - values).max() <= 2


@pytest.mark.parametrize("syntax", [uid.JPEG2000Lossless, uid.JPEGLosslessSV1, uid.HTJ2KLossless])
def test_lossless_colour_is_exact(tmp_path: Path, syntax: str) -> None:
    values = np.random.default_rng(1).integers(0, 256, (2, 20, 30, 3)).astype(np.uint8)
    encode: dict[str, Encode] = {
        uid.JPEG2000Lossless: lambda frame: imagecodecs.jpeg2k_encode(frame, level=0, codecformat="J2K", mct=True),
        uid.JPEGLosslessSV1: lambda frame: imagecodecs.jpeg8_encode(
            frame, lossless=True, predictor=1, colorspace="RGB", outcolorspace="RGB"
        ),
        uid.HTJ2KLossless: lambda frame: imagecodecs.htj2k_encode(frame, reversible=True, rgb=True),
    }
    photometric = "RGB" if syntax == uid.JPEGLosslessSV1 else "YBR_RCT"
    changes = header(values, 8) | {"SamplesPerPixel": 3, "PhotometricInterpretation": photometric}
    path = write_dicom(tmp_path, encapsulate([encode[syntax](frame) for frame in values]), syntax, **changes)
    assert np.array_equal(np.rint(pixels(path, COLOUR) * 255), values.transpose(0, 3, 1, 2))


@pytest.mark.parametrize("bits", range(2, 17))
@pytest.mark.parametrize("signed", [False, True])
def test_lossless_jpeg_of_any_depth_and_sign(tmp_path: Path, bits: int, signed: bool) -> None:
    dtype = np.uint8 if bits <= 8 else np.uint16
    values = frames(dtype, 2**bits - 1)
    coded = [imagecodecs.jpeg8_encode(frame, lossless=True, predictor=1, bitspersample=bits) for frame in values]
    changes = header(values, bits) | {"PixelRepresentation": int(signed)}
    path = write_dicom(tmp_path, encapsulate(coded), uid.JPEGLosslessSV1, **changes)
    expected = (values.astype(int) + 2 ** (bits - 1)) % 2**bits if signed else values
    assert np.array_equal(np.rint(pixels(path)[:, 0] * (2**bits - 1)), expected)


def test_ybr_inside_lossless_jpeg_is_converted_once(tmp_path: Path) -> None:
    values = np.random.default_rng(1).integers(0, 256, (1, 20, 30, 3)).astype(np.uint8)
    ybr = convert_color_space(values[0], "RGB", "YBR_FULL")
    coded = imagecodecs.jpeg8_encode(ybr, lossless=True, predictor=1, colorspace="RGB", outcolorspace="RGB")
    changes = header(values, 8) | {"SamplesPerPixel": 3, "PhotometricInterpretation": "YBR_FULL"}
    path = write_dicom(tmp_path, encapsulate([coded]), uid.JPEGLosslessSV1, **changes)
    assert "contradicts" in reason(path)  # libjpeg-turbo noted in an Adobe marker that this was RGB
    start = coded.index(b"\xff\xee")
    path = write_dicom(tmp_path, encapsulate([coded[:start] + coded[start + 16 :]]), uid.JPEGLosslessSV1, **changes)
    assert np.abs(pixels(path, COLOUR) * 255 - values.transpose(0, 3, 1, 2)).max() < 3


def test_an_extended_offset_table_is_followed(tmp_path: Path) -> None:
    values = frames(np.uint8, 255)
    value, offsets, lengths = encapsulate_extended([LOSSLESS[uid.JPEGLSLossless](frame) for frame in values])
    tables = {"ExtendedOffsetTable": offsets, "ExtendedOffsetTableLengths": lengths}
    path = write_dicom(tmp_path, value, uid.JPEGLSLossless, **header(values, 8), **tables)
    assert np.array_equal(np.rint(read(path, STORED, [3, 1]).frames[:, 0] * 255), values[[3, 1]])


@pytest.mark.parametrize("syntax", [uid.JPEGLSLossless, uid.JPEG2000Lossless, uid.RLELossless])
def test_values_above_bits_stored_and_missing_frames_are_refused(tmp_path: Path, syntax: str) -> None:
    values = frames(np.uint16, 65535)
    coded = [LOSSLESS[syntax](frame) for frame in values]
    path = write_dicom(tmp_path, encapsulate(coded), syntax, **header(values, 12))
    if syntax == uid.RLELossless:  # like uncompressed words, whose upper bits are no part of the value
        assert np.array_equal(np.rint(pixels(path)[:, 0] * 4095), values & 4095)
    else:
        assert "BitsStored" in reason(path)
    path = write_dicom(tmp_path, encapsulate(coded[:3]), syntax, **header(values, 16))
    assert "fewer frames" in reason(path)
    path = write_dicom(tmp_path, encapsulate(coded), syntax, **(header(values, 16) | {"NumberOfFrames": 3}))
    assert "more frames" in reason(path)
