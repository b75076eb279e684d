"""What is refused of DICOM files, and how early: before a pixel is read, wherever the header tells."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian

from pipeline.errors import Refused
from pipeline.pixels import PixelSpec, inspect, read
from pipeline.pixels.contract import LIMIT
from pipeline.pixels.header import read_header
from tests.pixel_files import COLOUR, STORED, VOI, early_reason, lut, pixels, reason, window, write_dicom

SCRATCH = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.parametrize(
    ("changes", "spec", "expected"),
    [
        ({"PhotometricInterpretation": "CMYK"}, STORED, "photometric"),
        ({"PhotometricInterpretation": None}, STORED, "photometric"),
        ({"Rows": 60000, "Columns": 60000}, STORED, "GiB"),
        ({"NumberOfFrames": 2**30}, STORED, "GiB"),
        ({"Rows": 3}, STORED, "not as long"),
        ({"Rows": 1}, STORED, "not as long"),
        ({"Rows": 0}, STORED, "no pixels"),
        ({"PixelRepresentation": 2}, STORED, "PixelRepresentation"),
        ({"HighBit": 6}, STORED, "HighBit"),
        ({"BitsStored": 9}, STORED, "BitsStored"),
        ({"PixelData": None, "FloatPixelData": b"\0" * 16}, STORED, "no PixelData"),
        ({"SamplesPerPixel": 3}, STORED, "samples"),
        ({"PixelPresentation": "MIXED"}, STORED, "supplemental"),
        ({}, VOI, "no window in the file"),
        ({"WindowCenter": 1, "WindowWidth": 0}, VOI, "width 0"),
        ({"WindowCenter": 1, "WindowWidth": 0.5}, VOI, "width 0.5"),
        ({"WindowCenter": 1, "WindowWidth": 9, "VOILUTFunction": "CUBIC"}, VOI, "unknown"),
        ({"RescaleSlope": 0, "RescaleIntercept": 1}, window(0, 1), "slope"),
        ({"RescaleSlope": 1}, window(0, 1), "rescale"),
        ({"Modality": "CT"}, window(0, 1), "Hounsfield"),
        ({"VOILUTSequence": [lut(0, [0, 5000], 12)]}, VOI, "above its 12 bits"),
        ({"PhotometricInterpretation": "RGB", "SamplesPerPixel": 3}, VOI, "colour"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, STORED, "palette"),
        ({"PerFrameFunctionalGroupsSequence": [Dataset()] * 2}, window(0, 1), "functional groups"),
    ],
)
def test_what_cannot_be_read_with_certainty_is_refused(
    tmp_path: Path, changes: dict[str, Any], spec: PixelSpec, expected: str
) -> None:
    assert expected in early_reason(write_dicom(tmp_path, np.eye(2, dtype=np.uint8), **changes), spec)


@pytest.mark.parametrize("number", ["nan", "inf", "x"])
def test_numbers_that_are_none_are_refused(tmp_path: Path, number: str) -> None:
    path = write_dicom(tmp_path, np.eye(2, dtype=np.uint8), RescaleSlope="1.5", RescaleIntercept=0)
    path.write_bytes(path.read_bytes().replace(b"1.5 ", number.ljust(4).encode()))
    assert reason(path, window(0, 1))


@pytest.mark.parametrize("content", [b"", b"hello", b"GIF89a" + b"\0" * 200, b"\0" * 128 + b"DICM", b"\x08\0\x05\0"])
def test_other_content_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.dcm").write_bytes(content)
    assert reason(tmp_path / "x.dcm")


def test_a_missing_file_is_no_refusal(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        pixels(tmp_path / "none.dcm", STORED)


def test_a_file_without_preamble_is_read(tmp_path: Path) -> None:
    path = write_dicom(tmp_path, np.eye(2, dtype=np.uint8))
    expected = pixels(path, STORED)
    path.write_bytes(path.read_bytes()[132:])
    assert np.array_equal(pixels(path, STORED), expected)


def test_a_file_is_known_by_its_content(tmp_path: Path) -> None:
    path = write_dicom(tmp_path, np.eye(2, dtype=np.uint8))
    path = path.rename(path.with_suffix(".png"))
    assert pixels(path, STORED).shape == (1, 1, 2, 2)


@SCRATCH
@given(st.data())
def test_a_truncated_file_is_refused_or_right(tmp_path: Path, shared: Path, data: st.DataObject) -> None:
    folder = shared / "data/dicom/ct_transfer_syntaxes"
    kind = data.draw(st.sampled_from(["made", "4.70", "4.80", "4.90", "4.50", "1.2.5", "1.99", "png", "jpeg"]))
    values = (np.arange(4096) % 251).astype(np.uint8).reshape(64, 64)
    path = tmp_path / "made.dcm"
    if kind == "made":
        write_dicom(tmp_path, values)
    elif kind in ("png", "jpeg"):
        Image.fromarray(values).save(path, kind)
    else:
        path.write_bytes(next(folder.glob(f"*{kind}.dcm")).read_bytes())
    expected = pixels(path, STORED)
    whole = path.read_bytes()
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    try:
        assert np.array_equal(pixels(path, STORED), expected)
    except Refused:
        return


def test_a_codestream_of_another_size_is_refused_before_it_is_decoded(shared: Path, tmp_path: Path) -> None:
    for key in ("4.90", "4.80", "4.70"):
        path = next((shared / "data/dicom/ct_transfer_syntaxes").glob(f"*{key}.dcm"))
        dataset = pydicom.dcmread(path)
        dataset.Rows = 256
        dataset.save_as(tmp_path / "x.dcm")
        assert "size" in reason(tmp_path / "x.dcm")


def test_inspecting_reads_no_pixel_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, total = write_dicom(tmp_path, np.zeros((1024, 1024), np.uint16)), 0

    class Counting(io.FileIO):
        def readinto(self, buffer: Any) -> int | None:  # noqa: ANN401 - any writable buffer
            nonlocal total
            count = super().readinto(buffer)
            total += count or 0
            return count

    monkeypatch.setattr(Path, "open", lambda self, _mode: io.BufferedReader(Counting(self), 512))
    assert inspect(path, STORED).height == 1024
    assert total < 8192


@pytest.mark.parametrize("cut", [1, 100, 2**20])
def test_a_file_shorter_than_its_header_requires_is_refused_early(tmp_path: Path, cut: int) -> None:
    path = write_dicom(tmp_path, np.zeros((1024, 1024), np.uint16))
    path.write_bytes(path.read_bytes()[:-cut])
    assert "truncated" in early_reason(path)


def test_compressed_pixels_cannot_have_a_length(tmp_path: Path) -> None:
    path = write_dicom(tmp_path, np.eye(2, dtype=np.uint8))
    path.write_bytes(path.read_bytes().replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.5\0"))
    assert "though it is compressed" in early_reason(path)


def test_a_syntax_without_a_decoder_is_refused_by_name(tmp_path: Path) -> None:
    path = write_dicom(tmp_path, np.eye(2, dtype=np.uint8))
    path.write_bytes(path.read_bytes().replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.113619.5.2\0\0"))
    assert "transfer syntax" in early_reason(path)


def test_a_deflated_header_is_inflated_only_up_to_its_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_dicom(tmp_path, np.zeros((512, 512), np.uint16), DeflatedExplicitVRLittleEndian)
    assert path.stat().st_size < 4096
    assert inspect(path, STORED).frames == 1
    assert not pixels(path).any()
    monkeypatch.setattr("pipeline.pixels.dicomfile.HEADER_LIMIT", 64)
    monkeypatch.setattr("pipeline.pixels.streams.BLOCK", 64)
    assert "deflated file is larger" in early_reason(path)


def test_a_deflated_file_is_read_where_its_pixels_are_whole(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 2**16, (64, 64), np.uint16)
    path = write_dicom(tmp_path, values, DeflatedExplicitVRLittleEndian)
    np.testing.assert_allclose(pixels(path)[0, 0] * 65535, values, atol=0.01)
    path.write_bytes(path.read_bytes()[:-400])
    assert inspect(path, STORED).frames == 1
    assert "truncated" in reason(path)


def test_a_file_that_says_the_wrong_vr_encoding_of_itself_is_read(tmp_path: Path) -> None:
    path = write_dicom(tmp_path, np.array([[7, 9]], np.uint8))
    path.write_bytes(path.read_bytes().replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2\0\0\0"))
    assert (pixels(path)[0, 0, 0] * 255).round().tolist() == [7, 9]


def test_memory_is_asked_for_the_frames_that_are_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_dicom(tmp_path, np.zeros((80, 8), np.uint8), Rows=8, NumberOfFrames=10)
    monkeypatch.setattr("pipeline.pixels.contract.LIMIT", 80 * 8 * 4)
    assert inspect(path, COLOUR).frames == 10
    assert read(path, COLOUR, [7, 8, 9]).frames.shape == (3, 3, 8, 8)
    assert "GiB" in reason(path, COLOUR)


@given(
    rows=st.integers(0, 2**16 - 1),
    columns=st.integers(0, 2**16 - 1),
    frames=st.integers(0, 2**31 - 1),
    bits=st.sampled_from([1, 8, 16, 32]),
    stored=st.integers(0, 40),
    signed=st.integers(0, 2),
    colour=st.booleans(),
)
def test_an_accepted_header_adds_up(
    rows: int, columns: int, frames: int, bits: int, stored: int, signed: int, colour: bool
) -> None:
    dataset = Dataset()
    dataset.Rows, dataset.Columns, dataset.NumberOfFrames = rows, columns, frames
    dataset.BitsAllocated, dataset.BitsStored, dataset.PixelRepresentation = bits, stored, signed
    dataset.SamplesPerPixel, dataset.PlanarConfiguration = (3, 0) if colour else (1, 0)
    dataset.PhotometricInterpretation = "RGB" if colour else "MONOCHROME2"
    try:
        header = read_header(dataset, STORED)
    except Refused:
        return
    values = rows * columns * frames * (3 if colour else 1)
    assert 0 < values * max(bits // 8, 4) <= LIMIT
    assert header.frame_bits * frames == values * bits
    assert header.highest - header.lowest + 1 == 2**stored == len(range(header.lowest, header.highest + 1))
    assert header.lowest == (-(2 ** (stored - 1)) if signed else 0)


@given(value=st.integers(-(2**15), 2**16 - 1), signed=st.booleans())
def test_a_word_is_read_with_the_sign_of_the_pixels(value: int, signed: bool) -> None:
    dataset = Dataset()
    dataset.Rows = dataset.Columns = dataset.SamplesPerPixel = 1
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.PixelRepresentation, dataset.PhotometricInterpretation = int(signed), "MONOCHROME2"
    word = read_header(dataset, STORED).word(value)
    assert word == int(np.array(value % 2**16, np.uint16).astype(np.int16 if signed else np.uint16))
