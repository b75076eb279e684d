"""PNG and JPEG: samples exactly as they are stored, upright, of 8 and of 16 bits."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps

from pipeline.pixels import inspect, read
from pipeline.store import to_grid
from tests.pixel_files import COLOUR, STORED, early_reason, pixels, reason, save, window, write_png


@pytest.mark.parametrize(("dtype", "maximum"), [(np.uint8, 255), (np.uint16, 65535)])
def test_png_samples_are_exact(tmp_path: Path, dtype: type, maximum: int) -> None:
    values: np.ndarray[Any, Any] = np.linspace(0, maximum, 600).astype(dtype).reshape(20, 30)
    shown = pixels(save(tmp_path / "x.png", Image.fromarray(values)))[0, 0]
    assert np.array_equal(np.rint(shown * maximum), values)
    assert np.array_equal(to_grid(shown), values.astype(np.uint32) * (65535 // maximum))


def test_a_palette_a_bitmap_and_opaque_alpha_are_read(tmp_path: Path) -> None:
    values: np.ndarray = np.zeros((4, 4, 3), np.uint8)
    values[0, 0] = (255, 128, 0)
    expected = values.transpose(2, 0, 1) / np.float32(255)
    image = Image.fromarray(values)
    for name, made in (("p", image.quantize(4)), ("a", image.convert("RGBA")), ("rgb", image)):
        assert np.allclose(pixels(save(tmp_path / f"{name}.png", made), COLOUR)[0], expected)
    bitmap = Image.fromarray(np.eye(4, dtype=bool))
    assert np.array_equal(pixels(save(tmp_path / "b.png", bitmap), STORED)[0, 0], np.eye(4))


def test_transparency_is_refused(tmp_path: Path) -> None:
    faint = Image.new("RGBA", (4, 4), (9, 9, 9, 200))
    assert "transparent" in reason(save(tmp_path / "a.png", faint))
    keyed = Image.new("P", (4, 4), 0)
    assert "transparent" in reason(save(tmp_path / "b.png", keyed, transparency=0))


def test_cmyk_and_windows_of_rasters_are_refused(tmp_path: Path) -> None:
    assert "CMYK" in early_reason(save(tmp_path / "a.jpg", Image.new("CMYK", (8, 8))))
    assert "modality" in early_reason(save(tmp_path / "b.png", Image.new("L", (8, 8))), window(0, 1))


def test_a_damaged_png_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "x.png", Image.effect_noise((64, 64), 50))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert "cannot be decoded" in reason(path)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_sixteen_bit_png_is_not_squeezed_through_eight_bits(tmp_path: Path, channels: int) -> None:
    samples = np.random.default_rng(0).integers(0, 65536, (7, 9, channels)).astype(np.uint16)
    colours = 3 if channels > 2 else 1
    samples[..., colours:] = 65535
    shown = pixels(write_png(tmp_path / "x.png", samples), COLOUR)[0] * 65535
    expected = np.broadcast_to(samples[..., :colours].transpose(2, 0, 1), (3, 7, 9))
    assert np.array_equal(np.rint(shown), expected)


def test_sixteen_bit_transparency_is_refused(tmp_path: Path) -> None:
    samples = np.full((4, 4, 4), 65534, np.uint16)
    assert "transparent" in reason(write_png(tmp_path / "a.png", samples))
    keyed = write_png(tmp_path / "b.png", samples[..., :3], (b"tRNS", bytes(6)))
    assert "transparent" in reason(keyed)


def test_gamma_and_significant_bits_change_nothing(tmp_path: Path) -> None:
    samples = np.arange(16, dtype=np.uint16).reshape(4, 4) * 4096
    chunks = [(b"gAMA", (45455).to_bytes(4, "big")), (b"sBIT", bytes([12]))]
    plain = pixels(write_png(tmp_path / "x.png", samples))
    assert np.array_equal(pixels(write_png(tmp_path / "y.png", samples, *chunks)), plain)


@pytest.mark.parametrize("orientation", range(10))
@pytest.mark.parametrize("kind", ["jpeg", "png", "sixteen", "late"])
def test_the_exif_orientation_is_applied_as_pillow_does(tmp_path: Path, orientation: int, kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    values = (np.mgrid[:16, :24][1] * 9 + np.mgrid[:16, :24][0]).astype(np.uint8)
    chunk = (b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0"))
    path = tmp_path / "image"
    if kind in ("sixteen", "late"):
        write_png(path, values.astype(np.uint16) * 257, chunk, after=kind == "late")
    else:
        Image.fromarray(values).save(path, kind, exif=exif)
    with Image.open(path) as image:
        expected = np.asarray(ImageOps.exif_transpose(image)) / (257 if kind in ("sixteen", "late") else 1)
    found = inspect(path, STORED)
    assert (found.frames, found.height, found.width) == (1, *expected.shape)
    np.testing.assert_allclose(pixels(path)[0, 0] * 255, expected, atol=1e-4)


def test_inspecting_decodes_nothing(tmp_path: Path) -> None:
    path = save(tmp_path / "x.png", Image.effect_noise((64, 64), 50))
    path.write_bytes(path.read_bytes()[:1000])
    assert inspect(path, STORED).height == 64
    assert "truncated" in reason(path)


def test_a_bomb_is_refused_by_its_header(tmp_path: Path) -> None:
    path = write_png(tmp_path / "x.png", np.zeros((1, 1), np.uint16))
    content = path.read_bytes().replace((1).to_bytes(4, "big") * 2, (2**30).to_bytes(4, "big") * 2)
    path.write_bytes(content)
    assert early_reason(path)


def test_real_photographs_and_radiographs_are_as_pillow_reads_them(shared: Path) -> None:
    for folder in ("chest-xray", "dermatoscopy", "lung-ultrasound"):
        for path in sorted((shared / "data" / folder / "images").iterdir())[:3]:
            with Image.open(path) as image:
                expected: NDArray[Any] = np.asarray(image.convert("RGB")).transpose(2, 0, 1)
            assert np.array_equal(np.rint(pixels(path, COLOUR)[0] * 255), expected)


def test_the_only_frame_can_be_asked_for(tmp_path: Path) -> None:
    path = save(tmp_path / "x.png", Image.new("L", (2, 2), 255))
    assert read(path, STORED, [0, 0]).frames.shape == (2, 1, 2, 2)
    with pytest.raises(Exception, match="all frames"):
        read(path, STORED, [1])
