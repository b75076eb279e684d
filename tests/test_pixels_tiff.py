"""TIFF and BigTIFF: against what was written, and against Pillow's libtiff."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageOps

from pipeline.errors import Refused
from pipeline.pixels import PixelSpec, inspect, read
from tests.pixel_files import COLOUR, STORED, early_reason, pixels, reason, save, window

SCRATCH = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def noise(shape: tuple[int, ...], dtype: Any = np.uint8) -> NDArray[Any]:  # noqa: ANN401 - a numpy type
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max, shape, endpoint=True).astype(dtype)


@pytest.mark.parametrize("compression", [None, "lzw", "deflate", "adobe_deflate", "packbits"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("layout", [{"tile": (16, 16)}, {"rowsperstrip": 7}, {"bigtiff": True}, {"byteorder": ">"}])
def test_samples_are_exact(tmp_path: Path, compression: str | None, dtype: Any, layout: dict[str, Any]) -> None:  # noqa: ANN401
    path = tmp_path / "x.tif"
    for shape, photometric in (((40, 30), "minisblack"), ((40, 30), "miniswhite"), ((40, 30, 3), "rgb")):
        predicted = compression in ("lzw", "deflate", "adobe_deflate")
        samples = noise(shape, dtype)
        tifffile.imwrite(path, samples, photometric=photometric, compression=compression, predictor=predicted, **layout)
        expected = np.atleast_3d(samples).transpose(2, 0, 1)
        top = np.iinfo(dtype).max
        shown = pixels(path, COLOUR if len(shape) == 3 else STORED)[0] * top
        assert np.array_equal(np.rint(shown), top - expected if photometric == "miniswhite" else expected)


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("options", [{}, {"tile": (16, 16)}, {"subsampling": (2, 2)}])
def test_jpeg_inside_is_as_libtiff_reads_it(tmp_path: Path, mode: str, options: dict[str, Any]) -> None:
    smooth = np.kron(noise((5, 4, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    samples = smooth if mode == "RGB" else smooth[..., 0]
    path = tmp_path / "x.tif"
    photometric = "rgb" if mode == "RGB" else "minisblack"
    subsampled = {"subsampling": options["subsampling"]} if "subsampling" in options and mode == "RGB" else {}
    tile = {"tile": options["tile"]} if "tile" in options else {}
    tifffile.imwrite(path, samples, photometric=photometric, compression="jpeg", **subsampled, **tile)
    with Image.open(path) as image:
        expected = np.atleast_3d(np.asarray(image.convert(mode))).transpose(2, 0, 1)
    shown = pixels(path, COLOUR if mode == "RGB" else STORED)[0] * 255
    # Where colour is subsampled, libtiff and libjpeg-turbo fill in between the samples in different ways.
    assert np.abs(shown - expected).mean() < (3 if subsampled else 0.01)


def test_planes_of_colour_kept_apart(tmp_path: Path) -> None:
    samples = noise((3, 20, 30))
    tifffile.imwrite(tmp_path / "x.tif", samples, photometric="rgb", planarconfig="separate", compression="lzw")
    assert np.array_equal(np.rint(pixels(tmp_path / "x.tif", COLOUR)[0] * 255), samples)


def test_pages_are_frames(tmp_path: Path) -> None:
    samples = noise((5, 20, 30), np.uint16)
    tifffile.imwrite(tmp_path / "x.tif", samples, photometric="minisblack", metadata=None)
    assert inspect(tmp_path / "x.tif", STORED).frames == 5
    few = read(tmp_path / "x.tif", STORED, [4, 1]).frames[:, 0] * 65535
    assert np.array_equal(np.rint(few), samples[[4, 1]])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_is_applied_as_pillow_does(tmp_path: Path, orientation: int) -> None:
    path = tmp_path / "x.tif"
    image = Image.fromarray(noise((16, 24)))
    image.save(path, tiffinfo={274: orientation})
    # Not by opening the file: Pillow 13.0 takes rows for columns in an uncompressed TIFF that lies on its side.
    image.getexif()[274] = orientation
    expected = np.asarray(ImageOps.exif_transpose(image))
    found = inspect(path, STORED)
    assert (found.height, found.width) == expected.shape
    assert np.array_equal(np.rint(pixels(path)[0, 0] * 255), expected)


def test_palettes_bitmaps_and_opaque_alpha(tmp_path: Path) -> None:
    colours = np.zeros((8, 8, 3), np.uint8)
    colours[:4] = (255, 128, 0)
    image = Image.fromarray(colours)
    for name, made in (("p", image.quantize(4)), ("a", image.convert("RGBA"))):
        shown = pixels(save(tmp_path / f"{name}.tif", made), COLOUR)[0] * 65535
        # Pillow writes the colours of a palette as multiples of 256 and not of 257, so white is 65280.
        assert np.array_equal(np.rint(shown) // 256, colours.transpose(2, 0, 1)), name
    bitmap = save(tmp_path / "b.tif", Image.fromarray(np.eye(9, dtype=bool)))
    assert np.array_equal(pixels(bitmap)[0, 0], np.eye(9))
    faint = save(tmp_path / "f.tif", Image.new("RGBA", (4, 4), (9, 9, 9, 200)))
    assert "transparent" in reason(faint)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16, np.uint16, np.uint32])
def test_grey_of_any_type_can_be_seen_through_a_window(tmp_path: Path, dtype: Any) -> None:  # noqa: ANN401 - a type
    values = np.arange(100).reshape(10, 10).astype(dtype)
    tifffile.imwrite(tmp_path / "x.tif", values, photometric="minisblack", metadata=None)
    shown = pixels(tmp_path / "x.tif", window(10, 60))[0, 0]
    np.testing.assert_allclose(shown, ((values.astype(float) - 10) / 50).clip(0, 1), atol=1e-6)
    three = PixelSpec(size=8, channels="rgb", intensity="windows", windows=((0, 1), (10, 60), (0, 99)))
    np.testing.assert_allclose(pixels(tmp_path / "x.tif", three)[0, 1], shown, atol=1e-6)


def test_values_without_a_range_need_a_window(tmp_path: Path) -> None:
    path = tmp_path / "x.tif"
    tifffile.imwrite(path, np.full((4, 4), np.nan, np.float32), metadata=None)
    assert "declare a window" in early_reason(path)
    assert "finite" in reason(path, window(0, 1))
    assert "no window of its own" in early_reason(path, PixelSpec(size=8, intensity="voi"))
    assert "tomography" in early_reason(path, window(0, 1, hounsfield=True))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"compression": "zstd"}, "compression"),
        ({"photometric": "cielab", "data": (8, 8, 3)}, "photometric"),
        ({"photometric": "separated", "data": (8, 8, 4)}, "photometric"),
        ({"photometric": "minisblack", "data": (8, 8, 2), "planarconfig": "contig"}, "samples"),
        ({"subfiletype": 1}, "reduced"),
        ({"data": (3, 8, 8), "imagej": True, "truncate": True}, "behind one page"),
        ({"data": (3, 8, 8), "metadata": {"axes": "ZYX"}, "truncate": True}, "behind one page"),
        ({"data": (8, 8), "dtype": np.complex64}, "bits a sample"),
    ],
)
def test_what_cannot_be_read_with_certainty_is_refused(tmp_path: Path, options: dict[str, Any], expected: str) -> None:
    path = tmp_path / "x.tif"
    values = np.zeros(options.pop("data", (8, 8)), options.pop("dtype", np.uint8))
    tifffile.imwrite(path, values, **{"metadata": None, "photometric": "minisblack", **options})
    assert expected in early_reason(path)


def test_pages_of_different_sizes_are_refused(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "x.tif") as file:
        file.write(noise((8, 8)), metadata=None)
        file.write(noise((8, 9)), metadata=None)
    assert "differ" in early_reason(tmp_path / "x.tif")


def test_pages_in_a_circle_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.tif"
    tifffile.imwrite(path, noise((2, 8, 8)), photometric="minisblack", metadata=None)
    content = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        first, second = (page.offset for page in file.pages)
        end = second + 2 + 12 * len(file.pages[1].tags)
    content[end : end + 4] = first.to_bytes(4, "little")
    path.write_bytes(content)
    assert "circle" in early_reason(path)


def test_a_bomb_is_refused_before_it_is_inflated(tmp_path: Path) -> None:
    path = tmp_path / "x.tif"
    tifffile.imwrite(path, np.zeros((64, 64), np.uint8), compression="deflate", metadata=None)
    with tifffile.TiffFile(path, mode="r+b") as file:
        for name in ("ImageWidth", "ImageLength", "RowsPerStrip"):
            file.pages[0].tags[name].overwrite(60000)
    assert "GiB" in early_reason(path)


@SCRATCH
@given(st.data())
def test_a_truncated_file_is_refused_or_right(tmp_path: Path, data: st.DataObject) -> None:
    path, values = tmp_path / "x.tif", noise((3, 32, 32))
    compression = data.draw(st.sampled_from([None, "lzw", "deflate", "packbits", "jpeg"]))
    tifffile.imwrite(path, values, compression=compression, photometric="minisblack", metadata=None, rowsperstrip=8)
    expected, whole = pixels(path), path.read_bytes()
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    try:
        assert np.array_equal(pixels(path), expected)
    except Refused:
        return


def test_no_path_of_a_damaged_file_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "secret-name.tif"
    tifffile.imwrite(path, noise((32, 32)), compression="lzw", metadata=None)
    path.write_bytes(path.read_bytes()[:300] + bytes(100))
    assert reason(path)
    assert "secret" not in caplog.text
