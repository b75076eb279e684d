"""Every real DICOM file against SimpleITK, an independent reader, or refused for a reason that is pinned.

SimpleITK decodes with the libraries of gdcm, and differs in four ways that are undone here. It applies the rescale
slope and intercept, which is what a window over all units gives back. It silently inverts MONOCHROME1 over the range
of BitsStored, as intensity `stored` does here. It cuts the 16-bit entries of palettes down to 8 bits. And it does not
know PixelPaddingValue, which is black here. The decoders that are compared: libjpeg-turbo (imagecodecs) with the IJG's
library for lossy JPEG, two implementations of RLE, and OpenJPEG and CharLS with other builds of themselves. What these
two have decoded without loss is also compared with the uncompressed file.
"""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk  # noqa: N813 - its own abbreviation
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels.decoders import JPEGBaseline8BitDecoder

from pipeline.pixels import PixelSpec, inspect, read
from tests.pixel_files import COLOUR, STORED, early_reason, pixels, window

UNITS = window(-8192, 8192)
FLOAT32 = 1e-3
"""What float32 leaves uncertain of units between -8192 and 8192."""

REFUSED = {"CT0012.fragmented_no_bot_jpeg_baseline.51.dcm": "supplemental palette"}
SLICE = "ct_transfer_syntaxes/CTImage.dcm"
LOSSLESS = ("2", "2.1", "2.1.99", "2.2", "2.4.57", "2.4.70", "2.4.80", "2.4.90", "2.5")
LOSSY = {"2.4.50": 80.0, "2.4.51": 40.0, "2.4.53": 40.0, "2.4.55": 40.0, "2.4.81": 1.01, "2.4.91": 6.0}
"""Transfer syntaxes below 1.2.840.10008.1, and the largest difference from the uncompressed slice in Hounsfield units.

That of 2.4.50 is of 8 bits, in steps of 32.
"""


@pytest.fixture(scope="session")
def real(shared: Path) -> Path:
    return shared / "data/dicom"


@cache
def by_itk(path: Path) -> NDArray[Any]:
    """Return what SimpleITK makes of a file: frames x H x W (x 3), in modality units."""
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    found: NDArray[Any] = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
    return found


def readable(real: Path) -> Iterator[tuple[Path, Dataset]]:
    for path in sorted(real.rglob("*.dcm")):
        if path.name not in REFUSED:
            yield path, pydicom.dcmread(path, stop_before_pixels=True)


def units(path: Path) -> NDArray[np.float64]:
    return pixels(path, UNITS)[:, 0].astype(np.float64) * 16384 - 8192


def test_the_folder_holds_what_is_pinned_here(real: Path) -> None:
    kinds = [str(header.PhotometricInterpretation) for _, header in readable(real)]
    counts = {kind: kinds.count(kind) for kind in sorted(set(kinds))}
    expected = {"MONOCHROME1": 3, "MONOCHROME2": 54, "PALETTE COLOR": 2, "YBR_FULL_422": 3, "YBR_RCT": 1}
    assert counts == expected


def test_headers_alone_say_what_is_in_a_file(real: Path) -> None:
    for path, header in readable(real):
        found = inspect(path, STORED)
        assert (found.height, found.width) == (header.Rows, header.Columns)
        assert found.frames == int(header.get("NumberOfFrames", 1))
        assert found.patient == (str(header.PatientID) or None)
        assert found.series == str(header.SeriesInstanceUID)


def test_the_only_refusal_is_pinned(real: Path) -> None:
    for name, expected in REFUSED.items():
        assert expected in early_reason(next(real.rglob(name)))


def test_monochrome2_is_in_the_units_that_simpleitk_gives(real: Path) -> None:
    for path, header in readable(real):
        if header.PhotometricInterpretation == "MONOCHROME2":
            found, expected = units(path), by_itk(path).astype(np.float64)
            stored = (expected - float(header.get("RescaleIntercept", 0))) / float(header.get("RescaleSlope", 1))
            padded = np.abs(stored - header.get("PixelPaddingValue", np.inf)) < 0.5
            assert np.abs(found - expected)[~padded].max() < FLOAT32, path.name
            assert (pixels(path, UNITS)[:, 0][padded] == 0).all(), path.name


def test_monochrome1_is_inverted_as_simpleitk_does(real: Path) -> None:
    for path, header in readable(real):
        if header.PhotometricInterpretation == "MONOCHROME1":
            top = 2**header.BitsStored - 1
            assert np.abs(pixels(path, STORED)[:, 0] * top - by_itk(path)).max() < FLOAT32, path.name
            turned = pixels(path, window(0, top))[:, 0] * top
            assert np.abs(turned - by_itk(path)).max() < 2 * FLOAT32, path.name


def test_colour_is_that_of_simpleitk(real: Path) -> None:
    for path, header in readable(real):
        if header.SamplesPerPixel == 3:
            expected = by_itk(path).reshape(-1, header.Rows, header.Columns, 3)
            wanted = [0, len(expected) // 2, len(expected) - 1]
            found = read(path, COLOUR, wanted).frames * 255
            assert np.abs(found - expected[wanted].transpose(0, 3, 1, 2)).max() < FLOAT32, path.name


def test_palettes_are_those_of_simpleitk_but_of_sixteen_bits(real: Path) -> None:
    for path, header in readable(real):
        if header.PhotometricInterpretation == "PALETTE COLOR":
            expected = by_itk(path).reshape(-1, header.Rows, header.Columns, 3).transpose(0, 3, 1, 2)
            entries = np.rint(pixels(path, COLOUR).astype(np.float64) * 65535).astype(int)
            assert np.array_equal(entries // 256, expected), path.name


def test_one_slice_in_many_transfer_syntaxes_is_one_image(real: Path) -> None:
    expected, seen = units(real / SLICE), set()
    for path in (real / SLICE).parent.glob("CTImage.dcm_*"):
        syntax = path.name.removesuffix(".dcm").split("10008.1.")[1]
        assert np.abs(units(path) - expected).max() <= LOSSY.get(syntax, 0), path.name
        seen.add(syntax)
    assert seen == {*LOSSLESS, *LOSSY}


def test_lossy_jpeg_agrees_with_another_decoder_to_the_last_bit(real: Path) -> None:
    path = real / "us/color3d_jpeg_baseline.dcm"
    dataset = pydicom.dcmread(path)
    frames = list(generate_frames(dataset.PixelData, number_of_frames=120))
    dataset.PixelData, dataset.NumberOfFrames = encapsulate(frames[:2]), 2
    expected, _ = JPEGBaseline8BitDecoder.as_array(dataset, decoding_plugin="gdcm")
    found = read(path, COLOUR, [0, 1]).frames * 255
    assert np.abs(found - expected.transpose(0, 3, 1, 2)).max() < FLOAT32


def test_three_frames_of_a_long_cine_are_what_all_of_it_has_there(real: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = []
    whole = imagecodecs.jpeg8_decode
    monkeypatch.setattr(imagecodecs, "jpeg8_decode", lambda *a, **k: decoded.append(1) or whole(*a, **k))
    path = real / "us/examples_ybr_color.dcm"
    few = read(path, COLOUR, [29, 3, 11]).frames
    assert len(decoded) == 3
    assert np.array_equal(few, pixels(path, COLOUR)[[29, 3, 11]])


def test_a_real_ct_is_in_hounsfield_units_unless_rescaled_once_more_or_never(real: Path, tmp_path: Path) -> None:
    spec = window(-1000, 1000, hounsfield=True)
    paths = [*sorted((real / "ct_rider_lung").glob("*.dcm")), real / SLICE]
    assert len(paths) == 38
    for path in paths:
        assert np.array_equal(pixels(path, spec), pixels(path, window(-1000, 1000)))
    for path in paths[::12]:
        for slope, intercept in ((1, -2048), (1, 0)):
            dataset = pydicom.dcmread(path)
            dataset.RescaleSlope, dataset.RescaleIntercept = slope, intercept
            dataset.save_as(tmp_path / "wrong.dcm")
            with pytest.raises(Exception, match="plausible"):
                read(tmp_path / "wrong.dcm", spec)


def test_air_and_fat_in_a_real_ct_are_where_hounsfield_put_them(real: Path) -> None:
    for path in sorted((real / "ct_rider_lung").glob("*1.dcm"))[5:15:3]:
        counts, edges = np.histogram(units(path), bins=np.arange(-1500, 501, 20))
        centres = edges[:-1] + 10
        outside, inside = centres < -600, centres > -300
        # This scanner cuts the noise of air off at -1024.
        assert -1040 <= centres[outside][counts[outside].argmax()] <= -960
        assert -120 <= centres[inside][counts[inside].argmax()] <= -50  # fat


def test_an_inverted_radiograph_shows_exposed_air_dark_and_bone_bright(real: Path) -> None:
    shown = pixels(real / "cr/RG3_J2KI.dcm", PixelSpec(size=8))[0, 0]
    assert shown[:500, 520:560].mean() < 0.2  # beside the leg
    assert shown[1500:1650, 820:900].mean() > 0.6  # heel
