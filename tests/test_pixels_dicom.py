"""Layouts and encodings of made DICOM files, and what their headers tell."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRBigEndian, JPEGBaseline8Bit

from pipeline.pixels import PixelSpec, inspect, read
from tests.pixel_files import COLOUR, STORED, VOI, early_reason, pixels, reason, write_dicom

SCRATCH = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@SCRATCH
@given(st.integers(1, 16), st.booleans(), st.data())
def test_stored_is_the_full_range_of_the_stored_bits(
    tmp_path: Path, bits: int, signed: bool, data: st.DataObject
) -> None:
    raw = data.draw(st.lists(st.integers(0, 2**16 - 1), min_size=4, max_size=4))
    path = write_dicom(tmp_path, np.array(raw).astype(np.int16 if signed else np.uint16).reshape(2, 2), BitsStored=bits)
    kept = [value % 2**bits for value in raw]  # what is in the upper bits is no part of the pixel
    shifted = [(value + 2 ** (bits - 1)) % 2**bits if signed else value for value in kept]
    expected = np.reshape(shifted, (2, 2)) / (2**bits - 1)
    np.testing.assert_allclose(pixels(path, STORED)[0, 0], expected, atol=1e-7)


def test_big_endian_pixels(tmp_path: Path) -> None:
    path = write_dicom(tmp_path, np.array([[1, 256, 65535]], dtype=np.uint16), ExplicitVRBigEndian)
    np.testing.assert_allclose(pixels(path, STORED)[0, 0] * 65535, [[1, 256, 65535]], atol=0.01)


def test_grey_and_colour_become_each_other(tmp_path: Path) -> None:
    path = write_dicom(
        tmp_path, np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]]], np.uint8), PhotometricInterpretation="RGB"
    )
    np.testing.assert_allclose(pixels(path, STORED)[0, 0], [[0.299, 0.587, 0.114]], atol=1e-6)
    assert pixels(write_dicom(tmp_path, np.eye(3, dtype=np.uint8)), COLOUR).shape == (1, 3, 3, 3)


def test_uncompressed_ybr_of_several_frames_is_converted_once(tmp_path: Path) -> None:
    grey_pairs = bytes([10, 20, 128, 128] * 2)  # Y1 Y2 Cb Cr, 1 x 2 pixels a frame
    path = write_dicom(
        tmp_path,
        grey_pairs,
        PhotometricInterpretation="YBR_FULL_422",
        SamplesPerPixel=3,
        Rows=1,
        Columns=2,
        NumberOfFrames=2,
        BitsAllocated=8,
        BitsStored=8,
        PixelRepresentation=0,
    )
    np.testing.assert_allclose(pixels(path, COLOUR) * 255, np.broadcast_to([10, 20], (2, 3, 1, 2)), atol=0.01)


@pytest.mark.parametrize("photometric", ["YBR_FULL_422", "YBR_FULL", "RGB"])
@pytest.mark.parametrize("transform", [None, 0, 1])
def test_jpeg_colour_is_right_or_refused_whatever_the_adobe_marker_says(
    tmp_path: Path, photometric: str, transform: int | None
) -> None:
    rows, columns = np.mgrid[:64, :64].astype(np.uint8)
    colours = np.stack([columns * 4, rows * 4, 255 - columns * 2], -1)
    buffer = io.BytesIO()
    Image.fromarray(colours).save(buffer, "JPEG", quality=98, subsampling=0)
    coded = buffer.getvalue()
    marker = b"" if transform is None else b"\xff\xee\x00\x0eAdobe\x00\x64\0\0\0\0" + bytes([transform])
    coded = coded[:2] + marker + coded[20:]  # in place of the JFIF marker
    size = {"Rows": 64, "Columns": 64, "SamplesPerPixel": 3, "BitsAllocated": 8, "BitsStored": 8}
    path = write_dicom(
        tmp_path,
        encapsulate([coded]),
        JPEGBaseline8Bit,
        PhotometricInterpretation=photometric,
        PixelRepresentation=0,
        **size,
    )
    agrees = transform is None or (transform == 1) == photometric.startswith("YBR")
    if not agrees:
        assert "contradicts" in reason(path, COLOUR)
    elif photometric != "RGB":  # an RGB header on this YBR codestream without a marker is a lie that nobody can see
        assert np.abs(pixels(path, COLOUR)[0] - colours.transpose(2, 0, 1) / 255).mean() < 0.005


def test_frames_come_as_they_are_asked_for(tmp_path: Path) -> None:
    values = np.arange(5, dtype=np.uint8).repeat(4).reshape(10, 2)
    path = write_dicom(tmp_path, values, Rows=2, NumberOfFrames=5)
    found = read(path, STORED, [3, 0, 3]).frames
    assert (found[:, 0, 0, 0] * 255).round().tolist() == [3, 0, 3]
    assert read(path, STORED, []).frames.shape == (0, 1, 2, 2)
    for frame in (-1, 5):
        with pytest.raises(Exception, match="does not have all frames"):
            read(path, STORED, [frame])


@pytest.mark.parametrize("planar", [0, 1])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_uncompressed_colour_in_either_layout(tmp_path: Path, planar: int, dtype: type) -> None:
    samples: NDArray[Any] = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (5, 6, 3)).astype(dtype)
    layout = samples.transpose(2, 0, 1) if planar else samples
    size = {"Rows": 5, "Columns": 6, "SamplesPerPixel": 3, "BitsAllocated": samples.itemsize * 8}
    depth = {"BitsStored": samples.itemsize * 8, "PixelRepresentation": 0, "PlanarConfiguration": planar}
    path = write_dicom(tmp_path, layout.tobytes(), PhotometricInterpretation="RGB", **size, **depth)
    expected = pydicom.dcmread(path).pixel_array.transpose(2, 0, 1) / np.iinfo(dtype).max
    np.testing.assert_allclose(pixels(path, COLOUR)[0], expected, atol=1e-7)


def test_single_bits_are_read_across_frames(tmp_path: Path) -> None:
    bits = np.random.default_rng(1).integers(0, 2, (3, 5, 5)).astype(np.uint8)
    packed = np.packbits(bits.reshape(-1), bitorder="little").tobytes()
    size = {"Rows": 5, "Columns": 5, "NumberOfFrames": 3, "BitsAllocated": 1, "BitsStored": 1}
    path = write_dicom(tmp_path, packed, SamplesPerPixel=1, PixelRepresentation=0, **size)
    assert np.array_equal(read(path, STORED, [2, 1]).frames[:, 0], bits[[2, 1]])


def test_bytes_swapped_in_pairs_by_big_endian_words(tmp_path: Path) -> None:
    path = write_dicom(tmp_path, np.array([[2, 1, 4, 3]], np.uint8), ExplicitVRBigEndian)
    content = path.read_bytes()
    path.write_bytes(content.replace(b"\x7f\xe0\x00\x10OB", b"\x7f\xe0\x00\x10OW"))
    assert (pixels(path)[0, 0, 0] * 255).round().tolist() == [1, 2, 3, 4]


def test_identity_and_geometry_stand_in_the_inspection(tmp_path: Path) -> None:
    path = write_dicom(
        tmp_path,
        np.eye(2, dtype=np.uint8),
        StudyInstanceUID="1.2",
        SeriesInstanceUID="1.3",
        ImagePositionPatient=[1, -2.5, 3],
        ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
    )
    found = inspect(path, STORED)
    assert (found.patient, found.study, found.series, found.instance) == ("patient-17", "1.2", "1.3", "1.2.3")
    assert (found.position, found.orientation) == ((1, -2.5, 3), (1, 0, 0, 0, 1, 0))
    bare = inspect(write_dicom(tmp_path, np.eye(2, dtype=np.uint8), PatientID=None), STORED)
    assert (bare.patient, bare.study, bare.position, bare.orientation) == (None, None, None, None)


@pytest.mark.parametrize(
    ("changes", "spec", "expected"),
    [
        ({"BurnedInAnnotation": None}, STORED, "not stated"),
        ({"BurnedInAnnotation": "YES"}, STORED, "YES"),
        ({"LossyImageCompression": "01"}, STORED, "loss"),
        ({"PixelSpacing": [1, 2]}, STORED, "not square"),
        ({"PixelAspectRatio": [4, 3]}, STORED, "not square"),
        ({"WindowCenter": [1, 2], "WindowWidth": [3, 4]}, VOI, "first of 2 windows"),
    ],
)
def test_what_a_person_should_know_is_said(
    tmp_path: Path, changes: dict[str, Any], spec: PixelSpec, expected: str
) -> None:
    path = write_dicom(tmp_path, np.eye(2, dtype=np.uint8), **changes)
    for warnings in (inspect(path, spec).warnings, read(path, spec).warnings):
        assert any(expected in warning for warning in warnings)


def test_a_jpeg_of_another_depth_than_the_header_is_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(buffer, "JPEG")
    size = {"Rows": 8, "Columns": 8, "SamplesPerPixel": 1, "BitsAllocated": 16, "BitsStored": 12}
    coded = encapsulate([buffer.getvalue()])
    extended = write_dicom(tmp_path, coded, "1.2.840.10008.1.2.4.51", PixelRepresentation=0, **size)
    assert "bit depth" in reason(extended)
    baseline = write_dicom(tmp_path, coded, JPEGBaseline8Bit, PixelRepresentation=0, **size)
    assert "12 unsigned grey bits" in early_reason(baseline)
