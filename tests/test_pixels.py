"""Pixels of real and made files against pydicom's own processing, closed forms and other encodings of one image."""

import io
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut, apply_voi_lut
from pydicom.pixels.utils import pixel_array
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, JPEGBaseline8Bit

from pipeline.errors import Refused
from pipeline.pixels import PixelSpec, fit_to, inspect, read_frames
from pipeline.store import to_grid

STORED = PixelSpec(size=8)
COLOUR = PixelSpec(size=8, channels="rgb")
VOI = PixelSpec(size=8, intensity="voi")
SCRATCH = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
Make = Callable[..., Path]


def window(low: float, high: float) -> PixelSpec:
    return PixelSpec(size=8, intensity="window", window=(low, high))


@pytest.fixture
def dicom(tmp_path: Path) -> Make:
    """Write a DICOM file around an array of stored values; keywords replace or (None) remove attributes."""

    def make(values: np.ndarray | bytes, syntax: str = ExplicitVRLittleEndian, **changes: object) -> Path:
        dataset = Dataset()
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = UID(syntax)
        dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7", "1.2.3"
        dataset.PatientID, dataset.Modality = "patient-17", "OT"
        dataset.BurnedInAnnotation = "NO"
        if isinstance(values, np.ndarray):
            dataset.Rows, dataset.Columns = values.shape[:2]
            dataset.BitsAllocated = dataset.BitsStored = values.dtype.itemsize * 8
            dataset.PixelRepresentation = int(values.dtype.kind == "i")
            dataset.SamplesPerPixel = 3 if values.ndim == 3 else 1
            values = values.astype(values.dtype.newbyteorder(">" if syntax == ExplicitVRBigEndian else "<")).tobytes()
        dataset.PhotometricInterpretation = "MONOCHROME2"
        if changes.get("SamplesPerPixel", dataset.get("SamplesPerPixel")) == 3:
            dataset.PlanarConfiguration = 0
        dataset.PixelData = values + b"\0" * (len(values) % 2)
        for keyword, value in changes.items():
            if value is None:
                delattr(dataset, keyword)
            else:
                setattr(dataset, keyword, value)
        if "HighBit" not in changes:
            dataset.HighBit = dataset.BitsStored - 1
        if "PixelData" in dataset:
            dataset["PixelData"].VR = "OB" if dataset.BitsAllocated <= 8 else "OW"
        path = tmp_path / "made.dcm"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset.save_as(path, enforce_file_format=True)
        return path

    return make


def lut(first: int, entries: list[int], bits: int, signed: bool = False) -> Dataset:
    item = Dataset()
    item.add_new("LUTDescriptor", "SS" if signed else "US", [len(entries), first, bits])
    item.add_new("LUTData", "US", entries)
    return item


def reason(path: Path, spec: PixelSpec = STORED) -> str:
    with pytest.raises(Refused) as refused:
        read_frames(path, spec)
    assert "patient-17" not in str(refused.value)
    assert str(path.parent) not in str(refused.value)
    return str(refused.value)


# --- real files ---------------------------------------------------------------------------------------------------

NOT_SUPPORTED = {
    "CT0012.fragmented_no_bot_jpeg_baseline.51.dcm": "supplemental palette",
    "CTImage.dcm_JPEGProcess10_12TransferSyntax_1.2.840.10008.1.2.4.55.dcm": "Process 10 and 12",
    "CTImage.dcm_JPEGProcess2_4TransferSyntax_1.2.840.10008.1.2.4.51.dcm": "JPEG Extended of 12 bits",
    "CTImage.dcm_JPEGProcess6_8TransferSyntax_1.2.840.10008.1.2.4.53.dcm": "Process 6 and 8",
}
LOSSY = {"4.50": 80.0, "4.81": 1.01, "4.91": 6.0}
"""Largest error that is tolerated, in Hounsfield units; 4.50 is of 8 bits, in steps of 32."""


def test_every_real_file_is_read_or_refused_for_a_known_reason(shared: Path) -> None:
    files = sorted(path for path in (shared / "data/dicom").rglob("*.dcm") if path.name != "color3d_jpeg_baseline.dcm")
    assert len(files) >= 60
    for path in files:
        if path.name in NOT_SUPPORTED:
            assert NOT_SUPPORTED[path.name] in reason(path)
        else:
            found = inspect(path, COLOUR)
            header = pydicom.dcmread(path, stop_before_pixels=True)
            assert (found.height, found.width) == (header.Rows, header.Columns)
            assert found.frames == len(found.pixel_hash) == int(header.get("NumberOfFrames", 1))
            assert found.patient == (str(header.PatientID) or None)


def test_one_slice_in_many_transfer_syntaxes_is_one_image(shared: Path) -> None:
    folder = shared / "data/dicom/ct_transfer_syntaxes"
    spec = window(-1000, 1000)
    expected = read_frames(folder / "CTImage.dcm", spec)
    compared = 0
    for path in sorted(folder.glob("CTImage*.dcm")):
        if path.name in NOT_SUPPORTED:
            continue
        tolerance = next((lossy for key, lossy in LOSSY.items() if path.name.endswith(f"{key}.dcm")), 0.0)
        assert np.abs(read_frames(path, spec) - expected).max() * 2000 <= tolerance, path.name
        compared += 1
    assert compared == 13


def test_air_and_fat_in_a_real_ct_are_where_hounsfield_put_them(shared: Path) -> None:
    for path in sorted((shared / "data/dicom/ct_rider_lung").glob("*1.dcm"))[5:15:3]:
        units = read_frames(path, window(-2000, 2000))[0, 0] * 4000 - 2000
        counts, edges = np.histogram(units, bins=np.arange(-1500, 501, 20))
        centres = edges[:-1] + 10
        outside, inside = centres < -600, centres > -300
        # This scanner cuts the noise of air off at -1024.
        assert -1040 <= centres[outside][counts[outside].argmax()] <= -960
        assert -120 <= centres[inside][counts[inside].argmax()] <= -50  # fat


def test_padding_of_a_real_ct_is_black(shared: Path) -> None:
    path = shared / "data/dicom/ct_rider_lung/111.dcm"
    padded = pydicom.dcmread(path).pixel_array == -2000
    assert padded.any()
    assert (read_frames(path, window(-5000, 1000))[0, 0][padded] == 0).all()


def test_an_inverted_radiograph_shows_exposed_air_dark_and_bone_bright(shared: Path) -> None:
    pixels = read_frames(shared / "data/dicom/cr/RG3_J2KI.dcm", STORED)[0, 0]
    assert pixels[:500, 520:560].mean() < 0.2  # beside the leg
    assert pixels[1500:1650, 820:900].mean() > 0.6  # heel
    raw = pydicom.dcmread(shared / "data/dicom/cr/RG3_J2KI.dcm").pixel_array
    np.testing.assert_allclose(pixels, 1 - raw / 1023, atol=2 / 1023)


def test_colour_agrees_with_pydicom_and_pillow(shared: Path) -> None:
    path = shared / "data/dicom/us/examples_ybr_color.dcm"
    expected = pixel_array(path, decoding_plugin="pillow", index=3).transpose(2, 0, 1) / 255
    assert np.abs(read_frames(path, COLOUR)[3] - expected).max() <= 4 / 255


def test_a_palette_gives_colours_as_pydicom_does(shared: Path) -> None:
    path = shared / "data/dicom/us/examples_palette.dcm"
    dataset = pydicom.dcmread(path)
    expected = apply_color_lut(dataset.pixel_array, dataset)
    np.testing.assert_allclose(read_frames(path, COLOUR)[0], expected.transpose(2, 0, 1) / 65535, atol=1e-6)


# --- intensities --------------------------------------------------------------------------------------------------


@SCRATCH
@given(st.data(), st.integers(2, 16), st.booleans())
def test_window_and_voi_agree_with_pydicom(dicom: Make, data: st.DataObject, bits: int, signed: bool) -> None:
    low = -(2 ** (bits - 1)) if signed else 0
    ends = st.integers(low, low + 2**bits - 1)
    values = np.array(data.draw(st.lists(ends, min_size=6, max_size=6))).reshape(2, 3)
    values = values.astype(np.int16 if signed else np.uint16)
    number = st.integers(-4000, 4000).map(lambda k: k / 4)
    slope, intercept = data.draw(number.filter(bool)), data.draw(number)
    centre, width = data.draw(number), data.draw(st.integers(2, 4000).map(float))
    function = data.draw(st.sampled_from(["LINEAR", "LINEAR_EXACT", "SIGMOID"]))
    path = dicom(
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
    np.testing.assert_allclose(read_frames(path, window(centre, centre + width))[0, 0], expected, atol=1e-6)
    limits = apply_modality_lut(np.array([low, low + 2**bits - 1]), dataset)
    with np.errstate(over="ignore"):
        shown = (apply_voi_lut(units, dataset) - limits[0]) / (limits[1] - limits[0])
    np.testing.assert_allclose(read_frames(path, VOI)[0, 0], shown, atol=1e-5)


@SCRATCH
@given(st.integers(1, 16), st.booleans(), st.data())
def test_stored_is_the_full_range_of_the_stored_bits(dicom: Make, bits: int, signed: bool, data: st.DataObject) -> None:
    raw = data.draw(st.lists(st.integers(0, 2**16 - 1), min_size=4, max_size=4))
    path = dicom(np.array(raw).astype(np.int16 if signed else np.uint16).reshape(2, 2), BitsStored=bits)
    kept = [value % 2**bits for value in raw]  # what is in the upper bits is no part of the pixel
    shifted = [(value + 2 ** (bits - 1)) % 2**bits if signed else value for value in kept]
    expected = np.reshape(shifted, (2, 2)) / (2**bits - 1)
    np.testing.assert_allclose(read_frames(path, STORED)[0, 0], expected, atol=1e-7)


def test_wide_pixels_take_the_same_path_without_a_table(dicom: Make) -> None:
    values = np.array([[-(2**31), 0, 1000, 2**31 - 1]], dtype=np.int32)
    path = dicom(values, RescaleSlope="0.5", RescaleIntercept="-100")
    np.testing.assert_allclose(read_frames(path, window(-100, 500))[0, 0], [[0, 0, 5 / 6, 1]], atol=1e-6)


def test_big_endian_pixels(dicom: Make) -> None:
    path = dicom(np.array([[1, 256, 65535]], dtype=np.uint16), ExplicitVRBigEndian)
    np.testing.assert_allclose(read_frames(path, STORED)[0, 0] * 65535, [[1, 256, 65535]], atol=0.01)


def test_a_modality_table_comes_before_slope_and_intercept(dicom: Make) -> None:
    table = lut(10, [0, 100, 1000], 16)
    path = dicom(np.array([[0, 10, 11, 12, 99]], np.uint8), ModalityLUTSequence=[table], RescaleSlope=7)
    np.testing.assert_allclose(read_frames(path, window(0, 1000))[0, 0], [[0, 0, 0.1, 1, 1]], atol=1e-6)


def test_a_table_packs_bytes_into_words(dicom: Make) -> None:
    table = lut(0, [0x0100, 0x0302], 8)
    table.LUTDescriptor = [3, 0, 8]
    path = dicom(np.array([[0, 1, 2]], np.uint8), ModalityLUTSequence=[table])
    np.testing.assert_allclose(read_frames(path, window(0, 4))[0, 0], [[0, 0.25, 0.5]], atol=1e-6)


def test_a_voi_table_comes_before_a_window_and_its_first_input_may_be_negative(dicom: Make) -> None:
    table = lut(-1000 % 65536, [0, 1023, 4095], 12)
    path = dicom(
        np.array([[0, 24, 25, 26, 99]], np.uint8),
        RescaleSlope=1,
        RescaleIntercept=-1024,
        VOILUTSequence=[table],
        WindowCenter=0,
        WindowWidth=1,
    )
    np.testing.assert_allclose(read_frames(path, VOI)[0, 0] * 4095, [[0, 0, 1023, 4095, 4095]], atol=1e-3)


def test_the_first_of_several_windows_is_used_and_said(dicom: Make) -> None:
    path = dicom(np.array([[0, 50, 100]], np.uint8), WindowCenter=[50.5, 10], WindowWidth=[101, 1])
    np.testing.assert_allclose(read_frames(path, VOI)[0, 0], [[0, 0.5, 1]], atol=1e-6)
    assert inspect(path, VOI).warnings == ("the first of 2 windows is used",)


def test_each_frame_has_its_own_slope(dicom: Make) -> None:
    groups = []
    for slope in (1, 2):
        group, transform = Dataset(), Dataset()
        transform.RescaleSlope, transform.RescaleIntercept = slope, 0
        group.PixelValueTransformationSequence = [transform]
        groups.append(group)
    values = np.full((4, 2), 50, np.uint8)
    path = dicom(values, Rows=2, NumberOfFrames=2, PerFrameFunctionalGroupsSequence=groups)
    assert read_frames(path, window(0, 100)).mean((1, 2, 3)) == pytest.approx([0.5, 1.0])


@pytest.mark.parametrize("limit", [None, 3])
def test_padding_is_black_after_inversion_too(dicom: Make, limit: int | None) -> None:
    changes = {} if limit is None else {"PixelPaddingRangeLimit": limit}
    values = np.array([[1, 2, 3, 100]], np.uint8)
    path = dicom(values, PhotometricInterpretation="MONOCHROME1", PixelPaddingValue=1, **changes)
    expected = [0, 0.98, 0.97, 0] if limit is None else [0, 0, 0, 0]
    np.testing.assert_allclose(read_frames(path, window(0, 100))[0, 0, 0], expected, atol=1e-6)


def test_a_window_of_width_one_is_a_step(dicom: Make) -> None:
    path = dicom(np.array([[9, 10, 11]], np.uint8), WindowCenter=10, WindowWidth=1)
    assert read_frames(path, VOI)[0, 0].tolist() == [[0, 1, 1]]


def test_grey_and_colour_become_each_other(dicom: Make) -> None:
    path = dicom(np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]]], np.uint8), PhotometricInterpretation="RGB")
    np.testing.assert_allclose(read_frames(path, STORED)[0, 0], [[0.299, 0.587, 0.114]], atol=1e-6)
    assert read_frames(dicom(np.eye(3, dtype=np.uint8)), COLOUR).shape == (1, 3, 3, 3)


def test_uncompressed_ybr_of_several_frames_is_converted_once(dicom: Make) -> None:
    grey_pairs = bytes([10, 20, 128, 128] * 2)  # Y1 Y2 Cb Cr, 1 x 2 pixels a frame
    path = dicom(
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
    np.testing.assert_allclose(read_frames(path, COLOUR) * 255, np.broadcast_to([10, 20], (2, 3, 1, 2)), atol=0.01)


@pytest.mark.parametrize("photometric", ["YBR_FULL_422", "YBR_FULL", "RGB"])
@pytest.mark.parametrize("transform", [None, 0, 1])
def test_jpeg_colour_is_right_or_refused_whatever_the_adobe_marker_says(
    dicom: Make, photometric: str, transform: int | None
) -> None:
    rows, columns = np.mgrid[:64, :64].astype(np.uint8)
    colours = np.stack([columns * 4, rows * 4, 255 - columns * 2], -1)
    buffer = io.BytesIO()
    Image.fromarray(colours).save(buffer, "JPEG", quality=98, subsampling=0)
    coded = buffer.getvalue()
    marker = b"" if transform is None else b"\xff\xee\x00\x0eAdobe\x00\x64\0\0\0\0" + bytes([transform])
    coded = coded[:2] + marker + coded[20:]  # in place of the JFIF marker
    size = {"Rows": 64, "Columns": 64, "SamplesPerPixel": 3, "BitsAllocated": 8, "BitsStored": 8}
    path = dicom(
        encapsulate([coded]), JPEGBaseline8Bit, PhotometricInterpretation=photometric, PixelRepresentation=0, **size
    )
    agrees = transform is None or (transform == 1) == photometric.startswith("YBR")
    if not agrees:
        assert "contradicts" in reason(path, COLOUR)
    elif photometric != "RGB":  # an RGB header on this YBR codestream without a marker is a lie that nobody can see
        assert np.abs(read_frames(path, COLOUR)[0] - colours.transpose(2, 0, 1) / 255).mean() < 0.005


# --- refusals -----------------------------------------------------------------------------------------------------


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
    dicom: Make, changes: dict[str, Any], spec: PixelSpec, expected: str
) -> None:
    assert expected in reason(dicom(np.eye(2, dtype=np.uint8), **changes), spec)


@pytest.mark.parametrize("number", ["nan", "inf", "x"])
def test_numbers_that_are_none_are_refused(dicom: Make, number: str) -> None:
    path = dicom(np.eye(2, dtype=np.uint8), RescaleSlope="1.5", RescaleIntercept=0)
    path.write_bytes(path.read_bytes().replace(b"1.5 ", number.ljust(4).encode()))
    assert reason(path, window(0, 1))


@pytest.mark.parametrize("content", [b"", b"hello", b"GIF89a" + b"\0" * 200, b"\0" * 128 + b"DICM", b"\x08\0\x05\0"])
def test_other_content_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.dcm").write_bytes(content)
    assert reason(tmp_path / "x.dcm")


def test_a_missing_file_is_no_refusal(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_frames(tmp_path / "none.dcm", STORED)


def test_a_file_without_preamble_is_read(dicom: Make) -> None:
    path = dicom(np.eye(2, dtype=np.uint8))
    expected = read_frames(path, STORED)
    path.write_bytes(path.read_bytes()[132:])
    assert np.array_equal(read_frames(path, STORED), expected)


def test_a_file_is_known_by_its_content(dicom: Make) -> None:
    path = dicom(np.eye(2, dtype=np.uint8))
    path = path.rename(path.with_suffix(".png"))
    assert read_frames(path, STORED).shape == (1, 1, 2, 2)


@SCRATCH
@given(st.data())
def test_a_truncated_file_is_refused_or_right(tmp_path: Path, dicom: Make, shared: Path, data: st.DataObject) -> None:
    folder = shared / "data/dicom/ct_transfer_syntaxes"
    kind = data.draw(st.sampled_from(["made", "4.70", "4.80", "4.90", "4.50", "1.2.5", "1.99", "png", "jpeg"]))
    values = (np.arange(4096) % 251).astype(np.uint8).reshape(64, 64)
    path = tmp_path / "made.dcm"
    if kind == "made":
        dicom(values)
    elif kind in ("png", "jpeg"):
        Image.fromarray(values).save(path, kind)
    else:
        path.write_bytes(next(folder.glob(f"*{kind}.dcm")).read_bytes())
    expected = read_frames(path, STORED)
    whole = path.read_bytes()
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    try:
        assert np.array_equal(read_frames(path, STORED), expected)
    except Refused:
        return


def test_a_codestream_of_another_size_is_refused_before_it_is_decoded(shared: Path, tmp_path: Path) -> None:
    for key in ("4.90", "4.80", "4.70"):
        path = next((shared / "data/dicom/ct_transfer_syntaxes").glob(f"*{key}.dcm"))
        dataset = pydicom.dcmread(path)
        dataset.Rows = 256
        dataset.save_as(tmp_path / "x.dcm")
        assert "size" in reason(tmp_path / "x.dcm")


# --- PNG and JPEG -------------------------------------------------------------------------------------------------


def save(path: Path, image: Image.Image, **options: Any) -> Path:  # noqa: ANN401 - Pillow's own options
    image.save(path, **options)
    return path


@pytest.mark.parametrize(("dtype", "maximum"), [(np.uint8, 255), (np.uint16, 65535)])
def test_png_samples_are_exact(tmp_path: Path, dtype: type, maximum: int) -> None:
    values: np.ndarray[Any, Any] = np.linspace(0, maximum, 600).astype(dtype).reshape(20, 30)
    pixels = read_frames(save(tmp_path / "x.png", Image.fromarray(values)), STORED)[0, 0]
    assert np.array_equal(np.rint(pixels * maximum), values)
    assert np.array_equal(to_grid(pixels), values.astype(np.uint32) * (65535 // maximum))


def test_a_palette_a_bitmap_and_opaque_alpha_are_read(tmp_path: Path) -> None:
    values: np.ndarray = np.zeros((4, 4, 3), np.uint8)
    values[0, 0] = (255, 128, 0)
    expected = values.transpose(2, 0, 1) / np.float32(255)
    image = Image.fromarray(values)
    for name, made in (("p", image.quantize(4)), ("a", image.convert("RGBA")), ("rgb", image)):
        assert np.allclose(read_frames(save(tmp_path / f"{name}.png", made), COLOUR)[0], expected)
    bitmap = Image.fromarray(np.eye(4, dtype=bool))
    assert np.array_equal(read_frames(save(tmp_path / "b.png", bitmap), STORED)[0, 0], np.eye(4))


def test_transparency_is_refused(tmp_path: Path) -> None:
    faint = Image.new("RGBA", (4, 4), (9, 9, 9, 200))
    assert "transparent" in reason(save(tmp_path / "a.png", faint))
    keyed = Image.new("P", (4, 4), 0)
    assert "transparent" in reason(save(tmp_path / "b.png", keyed, transparency=0))


def test_cmyk_and_windows_of_rasters_are_refused(tmp_path: Path) -> None:
    assert "CMYK" in reason(save(tmp_path / "a.jpg", Image.new("CMYK", (8, 8))))
    assert "modality" in reason(save(tmp_path / "b.png", Image.new("L", (8, 8))), window(0, 1))


def test_the_exif_orientation_is_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn a quarter clockwise to see it upright
    values: np.ndarray = np.zeros((8, 16), np.uint8)
    values[:, :8] = 255  # bright on the left: on top when it is upright
    path = save(tmp_path / "x.jpg", Image.fromarray(values), exif=exif, quality=95)
    pixels = read_frames(path, STORED)[0, 0]
    assert pixels.shape == (16, 8)
    assert pixels[:8].mean() > 0.95
    assert pixels[8:].mean() < 0.05


def test_a_damaged_png_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "x.png", Image.effect_noise((64, 64), 50))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert "cannot be decoded" in reason(path)


def test_sixteen_bit_colour_png_is_refused(shared: Path, tmp_path: Path) -> None:
    import struct
    import zlib

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 16, 2, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(b"\0" + bytes(6)))
    (tmp_path / "x.png").write_bytes(b"\x89PNG\r\n\x1a\n" + head + body + chunk(b"IEND", b""))
    assert "16-bit" in reason(tmp_path / "x.png")


# --- fitting and storing ------------------------------------------------------------------------------------------


def test_fits_differ_in_what_they_keep() -> None:
    frames = np.zeros((1, 1, 10, 20), np.float32)
    frames[..., 5:15] = 1
    fitted = {fit: fit_to(frames, PixelSpec(size=10, fit=fit)) for fit in ("squash", "crop", "pad")}
    assert all(result.shape == (1, 1, 10, 10) for result in fitted.values())
    assert (fitted["crop"] == 1).all()
    assert fitted["squash"].mean() == pytest.approx(0.5, abs=0.01)
    assert fitted["pad"].mean() == pytest.approx(0.25, abs=0.01)
    assert fitted["pad"][0, 0, 0].max() == 0


def test_shrinking_is_antialiased_and_keeping_the_size_is_exact() -> None:
    stripes = np.tile(np.array([0, 1], np.float32), (1, 1, 64, 32))
    assert np.ptp(fit_to(stripes, PixelSpec(size=8))[..., 1:-1]) < 0.05
    assert np.array_equal(fit_to(stripes, PixelSpec(size=64)), stripes)


@pytest.mark.parametrize(
    "wrong", [{"intensity": "window"}, {"window": (0, 1)}, {"intensity": "window", "window": (1, 1)}, {"fits": "pad"}]
)
def test_a_specification_that_contradicts_itself_is_an_error(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        PixelSpec.model_validate({"size": 8, **wrong})


def test_hashes_tell_frames_apart_and_equal_images_alike(dicom: Make, tmp_path: Path) -> None:
    values = np.array([[0, 255], [3, 4]], np.uint8)
    first = inspect(dicom(values), STORED)
    second = inspect(save(tmp_path / "same.png", Image.fromarray(values)), STORED)
    turned = inspect(save(tmp_path / "turned.png", Image.fromarray(values.T.copy())), STORED)
    assert first.pixel_hash == second.pixel_hash != turned.pixel_hash
    assert (first.patient, first.warnings, second.patient) == ("patient-17", (), None)
