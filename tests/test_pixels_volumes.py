"""NIfTI volumes: against SimpleITK and DICOM slices of the same patient, in every orientation."""

import gzip
import itertools
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - its own abbreviation
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.errors import Refused
from pipeline.pixels import PixelSpec, inspect, read
from tests.pixel_files import STORED, early_reason, pixels, reason, window

NIB: Any = nibabel
SCRATCH = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
SPEC = window(-1000, 1000)
ENDINGS = [".nii", ".nii.gz"]


def write(path: Path, values: NDArray[Any], affine: NDArray[Any] | None = None, **header: float) -> Path:
    """Write right x front x head voxels; keywords set fields of the header on the disk, behind nibabel's back."""
    NIB.save(NIB.Nifti1Image(values, np.eye(4) if affine is None else affine), path)
    opened: Any = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rb") as file:
        content = bytearray(file.read())
    raw = np.frombuffer(content, dtype=NIB.Nifti1Header.template_dtype, count=1)
    for name, value in header.items():
        raw[name] = value
    with opened(path, "wb") as file:
        file.write(content)
    return path


def volume(shape: tuple[int, ...] = (4, 5, 6), dtype: Any = np.int16) -> NDArray[Any]:  # noqa: ANN401 - a numpy type
    return np.random.default_rng(0).integers(-1000, 1001, shape).astype(dtype)


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("axes", ["".join(p) for p in itertools.permutations("RAS")])
@pytest.mark.parametrize("flips", list(itertools.product([1, -1], repeat=3)))
def test_slices_are_axial_from_foot_to_head_however_the_file_stores_them(
    tmp_path: Path, ending: str, axes: str, flips: tuple[int, int, int]
) -> None:
    values = volume()
    opposite = {"R": "L", "A": "P", "S": "I"}
    codes = [axis if flip == 1 else opposite[axis] for axis, flip in zip(axes, flips, strict=True)]
    turn = NIB.orientations.ornt_transform(NIB.io_orientation(np.eye(4)), NIB.orientations.axcodes2ornt(codes))
    affine = NIB.orientations.inv_ornt_aff(turn, values.shape)
    path = write(tmp_path / f"x{ending}", NIB.apply_orientation(values, turn), affine)
    found = inspect(path, SPEC)
    assert (found.frames, found.height, found.width) == (6, 5, 4)
    shown = pixels(path, SPEC)[:, 0] * 2000 - 1000
    for head, front, right in itertools.product(range(6), range(5), range(4)):
        # The patient's right is the highest first index, and stands on the left; the front is on top.
        assert abs(shown[head, 4 - front, 3 - right] - values[right, front, head]) < 1e-3


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_volume_of_real_dicom_slices_shows_them_as_the_dicom_files_do(
    shared: Path, tmp_path: Path, ending: str
) -> None:
    folder = shared / "data/dicom/ct_rider_lung"
    names = sorted(folder.glob("06[013].dcm"), key=lambda path: (inspect(path, SPEC).position or (0, 0, 0))[2])
    names = names[:2]
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    sitk.WriteImage(sitk.ReadImage([str(name) for name in names]), str(tmp_path / f"x{ending}"))
    expected = np.concatenate([read(name, SPEC).frames for name in names])
    np.testing.assert_allclose(pixels(tmp_path / f"x{ending}", SPEC), expected, atol=1e-6)


def test_voxels_are_those_that_simpleitk_reads(tmp_path: Path) -> None:
    path = write(tmp_path / "x.nii.gz", volume(), np.diag([-2, -2, 3, 1]), scl_slope=0.5, scl_inter=-7)
    expected = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))  # head x back x left, for this affine
    np.testing.assert_allclose(pixels(path, SPEC)[:, 0] * 2000 - 1000, expected, atol=1e-3)


@pytest.mark.parametrize(
    ("slope", "intercept", "expected"), [(1, 0, 100), (2, 5, 205), (0, 5, 100), (0.5, 0, 50), (-1, 0, -100)]
)
def test_slope_and_intercept_are_applied_once_and_a_slope_of_zero_is_none(
    tmp_path: Path, slope: float, intercept: float, expected: float
) -> None:
    path = write(tmp_path / "x.nii", np.full((2, 2, 2), 100, np.int16), scl_slope=slope, scl_inter=intercept)
    np.testing.assert_allclose(pixels(path, SPEC) * 2000 - 1000, expected, atol=1e-3)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64])
@pytest.mark.parametrize("big_endian", [False, True])
def test_voxels_of_any_type_are_seen_through_a_window(tmp_path: Path, dtype: Any, big_endian: bool) -> None:  # noqa: ANN401
    values = np.arange(24).reshape(2, 3, 4).astype(dtype)
    order = ">" if big_endian else "<"
    image = NIB.Nifti1Image(values, np.eye(4), NIB.Nifti1Header(endianness=order), dtype=np.dtype(dtype))
    NIB.save(image, tmp_path / "x.nii")
    np.testing.assert_allclose(pixels(tmp_path / "x.nii", window(0, 23))[3, 0, 0, 0] * 23, 23, atol=1e-4)
    np.testing.assert_allclose(pixels(tmp_path / "x.nii", window(0, 23))[0, 0, 2, 1] * 23, 0, atol=1e-4)


@pytest.mark.parametrize(("dtype", "low", "high"), [(np.uint8, 0, 255), (np.int16, -32768, 32767)])
def test_stored_is_the_range_of_a_short_integer(tmp_path: Path, dtype: Any, low: int, high: int) -> None:  # noqa: ANN401
    path = write(tmp_path / "x.nii", np.array([[[low, high]]], dtype))
    assert pixels(path)[:, 0, 0, 0].tolist() == [0, 1]
    assert "declare a window" in early_reason(write(tmp_path / "f.nii", np.zeros((2, 2, 2), np.float32)))
    assert "declare a window" in early_reason(write(tmp_path / "i.nii", np.zeros((2, 2, 2), np.int32)))


def test_three_windows_make_three_channels(tmp_path: Path) -> None:
    spec = PixelSpec(size=8, channels="rgb", intensity="windows", windows=((0, 100), (50, 150), (-100, 100)))
    shown = pixels(write(tmp_path / "x.nii", np.full((1, 1, 1), 75, np.int16)), spec)
    np.testing.assert_allclose(shown[0, :, 0, 0], [0.75, 0.25, 0.875], atol=1e-6)


@pytest.mark.parametrize("ending", ENDINGS)
def test_only_the_slices_that_are_asked_for(tmp_path: Path, ending: str) -> None:
    path = write(tmp_path / f"x{ending}", volume())
    assert np.array_equal(read(path, SPEC, [5, 2]).frames, pixels(path, SPEC)[[5, 2]])


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ({"sform_code": 0, "qform_code": 0}, "how the volume lies"),
        ({"srow_x": [0, 0, 0, 0], "sform_code": 1}, "position in space"),
        ({"srow_x": [np.nan, 0, 0, 0], "sform_code": 1}, "position in space"),
        ({"srow_x": [-1, 0, 0, 0], "sform_code": 1, "qform_code": 1}, "contradict"),
        ({"scl_slope": np.nan}, "slope or intercept"),
        ({"scl_inter": np.inf}, "slope or intercept"),
        ({"dim": [3, 30000, 30000, 30000, 1, 1, 1, 1]}, "GiB"),
        ({"dim": [3, 4, 5, 60, 1, 1, 1, 1]}, "truncated"),
        ({"dim": [3, 4, 5, 0, 1, 1, 1, 1]}, "no pixels"),
        ({"dim": [4, 2, 5, 6, 2, 1, 1, 1]}, "4 dimensions"),
        ({"datatype": 128, "bitpix": 24}, "type"),
        ({"datatype": 32, "bitpix": 64}, "type"),
        ({"vox_offset": 1e9}, "truncated"),
    ],
)
def test_what_cannot_be_read_with_certainty_is_refused(tmp_path: Path, header: dict[str, Any], expected: str) -> None:
    path = write(tmp_path / "x.nii", volume(), **header)
    assert expected in early_reason(path, SPEC)


def test_values_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    assert "finite" in reason(write(tmp_path / "x.nii", np.full((2, 2, 2), np.nan, np.float32)), SPEC)


def test_other_compressed_files_and_pairs_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x.nii.gz").write_bytes(gzip.compress(b"hello" * 1000))
    assert "not NIfTI" in early_reason(tmp_path / "x.nii.gz", SPEC)
    NIB.save(NIB.Nifti1Pair(volume(), np.eye(4)), tmp_path / "x.img")
    assert "pair" in early_reason(tmp_path / "x.hdr", SPEC)


def test_a_compressed_bomb_is_inflated_only_as_far_as_its_header_says(tmp_path: Path) -> None:
    small = write(tmp_path / "x.nii", volume()).read_bytes()
    (tmp_path / "bomb.nii.gz").write_bytes(gzip.compress(small + bytes(50_000_000), 1))
    assert "longer than its header" in reason(tmp_path / "bomb.nii.gz", SPEC)


@SCRATCH
@given(st.data())
def test_a_truncated_or_damaged_file_is_refused_or_right(tmp_path: Path, data: st.DataObject) -> None:
    ending = data.draw(st.sampled_from(ENDINGS))
    path = write(tmp_path / f"x{ending}", volume())
    expected, whole = pixels(path, SPEC), path.read_bytes()
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    try:
        assert np.array_equal(pixels(path, SPEC), expected)
    except Refused:
        return


def test_a_flipped_bit_of_a_compressed_file_is_found(tmp_path: Path) -> None:
    path = write(tmp_path / "x.nii.gz", volume((20, 20, 20)))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert reason(path, SPEC)


def test_oblique_and_stretched_volumes_are_said_to_be(tmp_path: Path) -> None:
    angle = np.radians(20)
    turn = np.array(
        [[np.cos(angle), -np.sin(angle), 0, 0], [np.sin(angle), np.cos(angle), 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    )
    assert inspect(write(tmp_path / "x.nii", volume(), turn), SPEC).warnings == (
        "the volume is oblique by 20 degrees, and its own slices are taken",
    )
    assert "not square" in inspect(write(tmp_path / "y.nii", volume(), np.diag([1, 2, 3, 1])), SPEC).warnings[0]
    assert inspect(write(tmp_path / "z.nii", volume(), np.diag([2, 2, 3, 1])), SPEC).warnings == ()


def test_hounsfield_units_that_were_rescaled_twice_or_never_are_refused(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    units = np.where(rng.random((16, 16, 30)) < 0.3, -1000, 40) + rng.normal(0, 20, (16, 16, 30))
    spec = window(-1000, 1000, hounsfield=True)
    for frames in (None, [0], []):
        assert read(write(tmp_path / "x.nii", units.astype(np.int16)), spec, frames).frames.size >= 0
    for wrong in (units - 1024, units + 1024):
        path = write(tmp_path / "y.nii", wrong.astype(np.int16))
        assert "plausible" in reason(path, spec)
        assert pixels(path, SPEC).any()


def test_nothing_of_a_dicom_file_passes_for_hounsfield_units_but_ct(shared: Path) -> None:
    path = shared / "data/dicom/cr/RG3_J2KI.dcm"
    assert "tomography" in early_reason(path, window(0, 1, hounsfield=True))
    assert STORED.hounsfield is False
