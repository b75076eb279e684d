"""From stored values to [0, 1] in made DICOM files: against pydicom's own processing and closed forms."""

from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut

from pipeline.pixels import PixelSpec, inspect
from tests.pixel_files import VOI, lut, pixels, reason, window, write_dicom

SCRATCH = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@SCRATCH
@given(st.data(), st.integers(2, 16), st.booleans())
def test_window_and_voi_agree_with_pydicom(tmp_path: Path, data: st.DataObject, bits: int, signed: bool) -> None:
    low = -(2 ** (bits - 1)) if signed else 0
    ends = st.integers(low, low + 2**bits - 1)
    values = np.array(data.draw(st.lists(ends, min_size=6, max_size=6))).reshape(2, 3)
    values = values.astype(np.int16 if signed else np.uint16)
    number = st.integers(-4000, 4000).map(lambda k: k / 4)
    slope, intercept = data.draw(number.filter(bool)), data.draw(number)
    centre, width = data.draw(number), data.draw(st.integers(2, 4000).map(float))
    function = data.draw(st.sampled_from(["LINEAR", "LINEAR_EXACT", "SIGMOID"]))
    path = write_dicom(
        tmp_path,
        values,
        BitsStored=bits,
        RescaleSlope=slope,
        RescaleIntercept=intercept,
        WindowCenter=centre,
        WindowWidth=width,
        VOILUTFunction=function,
    )
    dataset = pydicom.dcmread(path)
    units = apply_modality_lut(dataset.pixel_array, dataset)
    expected = ((units - centre) / width).clip(0, 1)
    np.testing.assert_allclose(pixels(path, window(centre, centre + width))[0, 0], expected, atol=1e-6)
    limits = apply_modality_lut(np.array([low, low + 2**bits - 1]), dataset)
    with np.errstate(over="ignore"):
        shown = (apply_voi_lut(units, dataset) - limits[0]) / (limits[1] - limits[0])
    np.testing.assert_allclose(pixels(path, VOI)[0, 0], shown, atol=1e-5)


def test_wide_pixels_take_the_same_path_without_a_table(tmp_path: Path) -> None:
    values = np.array([[-(2**31), 0, 1000, 2**31 - 1]], dtype=np.int32)
    path = write_dicom(tmp_path, values, RescaleSlope="0.5", RescaleIntercept="-100")
    np.testing.assert_allclose(pixels(path, window(-100, 500))[0, 0], [[0, 0, 5 / 6, 1]], atol=1e-6)


def test_a_modality_table_comes_before_slope_and_intercept(tmp_path: Path) -> None:
    table = lut(10, [0, 100, 1000], 16)
    path = write_dicom(tmp_path, np.array([[0, 10, 11, 12, 99]], np.uint8), ModalityLUTSequence=[table], RescaleSlope=7)
    np.testing.assert_allclose(pixels(path, window(0, 1000))[0, 0], [[0, 0, 0.1, 1, 1]], atol=1e-6)


def test_a_table_packs_bytes_into_words(tmp_path: Path) -> None:
    table = lut(0, [0x0100, 0x0302], 8)
    table.LUTDescriptor = [3, 0, 8]
    path = write_dicom(tmp_path, np.array([[0, 1, 2]], np.uint8), ModalityLUTSequence=[table])
    np.testing.assert_allclose(pixels(path, window(0, 4))[0, 0], [[0, 0.25, 0.5]], atol=1e-6)


def test_a_voi_table_comes_before_a_window_and_its_first_input_may_be_negative(tmp_path: Path) -> None:
    table = lut(-1000 % 65536, [0, 1023, 4095], 12)
    path = write_dicom(
        tmp_path,
        np.array([[0, 24, 25, 26, 99]], np.uint8),
        RescaleSlope=1,
        RescaleIntercept=-1024,
        VOILUTSequence=[table],
        WindowCenter=0,
        WindowWidth=1,
    )
    np.testing.assert_allclose(pixels(path, VOI)[0, 0] * 4095, [[0, 0, 1023, 4095, 4095]], atol=1e-3)


def test_the_first_of_several_windows_is_used_and_said(tmp_path: Path) -> None:
    path = write_dicom(tmp_path, np.array([[0, 50, 100]], np.uint8), WindowCenter=[50.5, 10], WindowWidth=[101, 1])
    np.testing.assert_allclose(pixels(path, VOI)[0, 0], [[0, 0.5, 1]], atol=1e-6)
    assert inspect(path, VOI).warnings == ("the first of 2 windows is used",)


def test_each_frame_has_its_own_slope(tmp_path: Path) -> None:
    groups = []
    for slope in (1, 2):
        group, transform = Dataset(), Dataset()
        transform.RescaleSlope, transform.RescaleIntercept = slope, 0
        group.PixelValueTransformationSequence = [transform]
        groups.append(group)
    values = np.full((4, 2), 50, np.uint8)
    path = write_dicom(tmp_path, values, Rows=2, NumberOfFrames=2, PerFrameFunctionalGroupsSequence=groups)
    assert pixels(path, window(0, 100)).mean((1, 2, 3)) == pytest.approx([0.5, 1.0])


@pytest.mark.parametrize("limit", [None, 3])
def test_padding_is_black_after_inversion_too(tmp_path: Path, limit: int | None) -> None:
    changes = {} if limit is None else {"PixelPaddingRangeLimit": limit}
    values = np.array([[1, 2, 3, 100]], np.uint8)
    path = write_dicom(tmp_path, values, PhotometricInterpretation="MONOCHROME1", PixelPaddingValue=1, **changes)
    expected = [0, 0.98, 0.97, 0] if limit is None else [0, 0, 0, 0]
    np.testing.assert_allclose(pixels(path, window(0, 100))[0, 0, 0], expected, atol=1e-6)


def test_a_window_of_width_one_is_a_step(tmp_path: Path) -> None:
    path = write_dicom(tmp_path, np.array([[9, 10, 11]], np.uint8), WindowCenter=10, WindowWidth=1)
    assert pixels(path, VOI)[0, 0].tolist() == [[0, 1, 1]]


def test_the_order_of_operations_is_that_of_the_standard(tmp_path: Path) -> None:
    """A 12-bit signed value in 16 bits, with rubbish above: sign, slope, window, inversion, padding, by hand."""
    stored = np.array([-1000, -24, 0, 16, 2047])
    rubbish = (stored & 0x0FFF) | 0x5000
    path = write_dicom(
        tmp_path,
        rubbish.astype(np.int16)[None],
        BitsStored=12,
        RescaleSlope=2,
        RescaleIntercept=-100,
        PhotometricInterpretation="MONOCHROME1",
        PixelPaddingValue=-1000,
    )
    # units: -2100, -148, -100, -68, 3994; of [-148, -68]: 0, 0, 0.6, 1, 1; inverted: 1, 1, 0.4, 0, 0; padding is black
    np.testing.assert_allclose(pixels(path, window(-148, -68))[0, 0, 0], [0, 1, 0.4, 0, 0], atol=1e-6)


def test_three_windows_make_three_channels(tmp_path: Path) -> None:
    spec = PixelSpec(size=8, channels="rgb", intensity="windows", windows=((0, 100), (50, 60), (-100, 100)))
    path = write_dicom(tmp_path, np.array([[0, 55, 100]], np.uint8), PhotometricInterpretation="MONOCHROME1")
    expected = [[1, 0.45, 0], [1, 0.5, 0], [0.5, 0.225, 0]]
    np.testing.assert_allclose(pixels(path, spec)[0, :, 0], expected, atol=1e-6)


@pytest.mark.parametrize(("index", "expected"), [(0, [0, 0.5, 1]), (1, [0, 1, 1])])
def test_a_files_windows_can_be_chosen_among(tmp_path: Path, index: int, expected: list[float]) -> None:
    path = write_dicom(tmp_path, np.array([[0, 50, 100]], np.uint8), WindowCenter=[50.5, 10], WindowWidth=[101, 1])
    spec = PixelSpec(size=8, intensity="voi", voi=index)
    np.testing.assert_allclose(pixels(path, spec)[0, 0, 0], expected, atol=1e-6)
    assert "no window 2" in reason(path, PixelSpec(size=8, intensity="voi", voi=2))


def test_a_files_tables_can_be_chosen_among(tmp_path: Path) -> None:
    tables = [lut(0, [0, 255], 8), lut(0, [255, 0], 8)]
    path = write_dicom(tmp_path, np.array([[0, 1]], np.uint8), VOILUTSequence=tables)
    assert pixels(path, PixelSpec(size=8, intensity="voi", voi=1))[0, 0, 0].tolist() == [1, 0]
    assert "no VOI table 2" in reason(path, PixelSpec(size=8, intensity="voi", voi=2))


def test_as_many_window_widths_as_centres(tmp_path: Path) -> None:
    path = write_dicom(tmp_path, np.eye(2, dtype=np.uint8), WindowCenter=[1, 2], WindowWidth=3)
    assert "widths" in reason(path, VOI)
