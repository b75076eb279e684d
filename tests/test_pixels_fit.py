"""Resampling against torch and a closed form, what each fit keeps, and hashes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from pydantic import ValidationError

from pipeline.pixels import Frames, PixelSpec, fit_to, pixel_hash
from tests.pixel_files import pixels, save, write_dicom

KERNELS: dict[str, tuple[float, Callable[[NDArray[Any]], NDArray[Any]]]] = {
    "box": (0.5, lambda x: ((x > -0.5) & (x <= 0.5)).astype(float)),
    "bilinear": (1, lambda x: (1 - np.abs(x)).clip(0)),
    "bicubic": (2, lambda x: cubic(np.abs(x))),
    "lanczos": (3, lambda x: np.where(np.abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0)),
}


def cubic(x: NDArray[Any], a: float = -0.5) -> NDArray[Any]:
    """Keys, 1981, equation 4."""
    inner, outer = ((a + 2) * x - (a + 3)) * x * x + 1, (((x - 5) * x + 8) * x - 4) * a
    return np.where(x < 1, inner, np.where(x < 2, outer, 0))


def weights(length: int, size: int, name: str) -> NDArray[Any]:
    """Return size x length: the kernel stretched by the factor of shrinking, and cut off at the edges."""
    support, kernel = KERNELS[name]
    scale = length / size
    stretch = max(scale, 1.0)
    centres, places = ((np.arange(size) + 0.5) * scale)[:, None], np.arange(length)
    inside = places >= np.floor((centres - support * stretch + 0.5).clip(0))
    inside &= places < np.floor(centres + support * stretch + 0.5)
    found = kernel((places - centres + 0.5) * (1 / stretch)) * inside
    return np.asarray(found / found.sum(axis=1, keepdims=True))


def noise(height: int, width: int) -> Frames:
    return np.random.default_rng(height * width).random((1, 1, height, width), dtype=np.float32)


@settings(max_examples=40, deadline=None)
@given(height=st.integers(1, 70), width=st.integers(1, 70), size=st.integers(1, 40))
@pytest.mark.parametrize("name", list(KERNELS))
def test_every_filter_is_its_closed_form_to_half_a_millionth(name: Any, height: int, width: int, size: int) -> None:  # noqa: ANN401
    frames = noise(height, width)
    down, across = weights(height, size, name), weights(width, size, name)
    expected = (down @ frames[0, 0].astype(np.float64) @ across.T).clip(0, 1)
    found = fit_to(frames, PixelSpec(size=size, filter=name))[0, 0]
    assert np.abs(found - expected).max() < 5e-7


@pytest.mark.parametrize("name", ["bilinear", "bicubic"])
@pytest.mark.parametrize(
    ("height", "width", "size"), [(512, 512, 224), (480, 640, 64), (100, 37, 256), (2048, 1500, 512)]
)
def test_filters_agree_with_torch_to_a_level_of_the_grid(name: Any, height: int, width: int, size: int) -> None:  # noqa: ANN401
    import torch

    torch.set_num_threads(1)  # torch computes weights in float32: that, and not Pillow, is what the bound allows for
    frames = noise(height, width)
    interpolate = torch.nn.functional.interpolate
    expected = interpolate(torch.from_numpy(frames), (size, size), mode=name, antialias=True, align_corners=False)
    found = fit_to(frames, PixelSpec(size=size, filter=name))
    assert np.abs(found - expected.numpy().clip(0, 1)).max() < 1 / 65535


def test_shrinking_by_a_whole_number_with_a_box_is_the_mean() -> None:
    frames = noise(64, 96)
    expected = frames.reshape(1, 1, 16, 4, 16, 6).mean((3, 5), dtype=np.float64)
    np.testing.assert_allclose(fit_to(frames, PixelSpec(size=16, filter="box")), expected, atol=1e-6)


def test_fits_differ_in_what_they_keep() -> None:
    frames = np.zeros((1, 1, 10, 20), np.float32)
    frames[..., 5:15] = 1
    fitted = {
        fit: fit_to(frames, PixelSpec.model_validate({"size": 10, "fit": fit})) for fit in ("squash", "crop", "pad")
    }
    assert all(result.shape == (1, 1, 10, 10) for result in fitted.values())
    assert (fitted["crop"] == 1).all()
    assert fitted["squash"].mean() == pytest.approx(0.5, abs=0.01)
    assert fitted["pad"].mean() == pytest.approx(0.25, abs=0.01)
    assert fitted["pad"][0, 0, 0].max() == 0


@pytest.mark.parametrize("name", list(KERNELS))
def test_shrinking_is_antialiased_and_keeping_the_size_is_exact(name: Any) -> None:  # noqa: ANN401 - a filter
    stripes = np.tile(np.array([0, 1], np.float32), (1, 1, 64, 32))
    assert np.ptp(fit_to(stripes, PixelSpec(size=8, filter=name))[..., 1:-1]) < 0.05
    assert np.array_equal(fit_to(stripes, PixelSpec(size=64, filter=name)), stripes)


@pytest.mark.parametrize("name", ["bicubic", "lanczos"])
def test_what_a_filter_overshoots_is_clipped(name: Any) -> None:  # noqa: ANN401 - a filter
    edge = np.zeros((1, 1, 8, 8), np.float32)
    edge[..., 4:] = 1
    fitted = fit_to(edge, PixelSpec(size=32, filter=name))
    assert (fitted.min(), fitted.max()) == (0, 1)


THREE = [[0, 1], [0, 1], [0, 1]]


@pytest.mark.parametrize(
    "wrong",
    [
        {"intensity": "window"},
        {"window": (0, 1)},
        {"intensity": "window", "window": (1, 1)},
        {"intensity": "window", "window": (0, float("inf"))},
        {"fits": "pad"},
        {"filter": "nearest"},
        {"windows": THREE, "channels": "rgb"},
        {"windows": THREE, "intensity": "windows"},
        {"windows": THREE[:2], "intensity": "windows", "channels": "rgb"},
        {"windows": [[1, 0], *THREE[1:]], "intensity": "windows", "channels": "rgb"},
        {"intensity": "windows", "channels": "rgb"},
        {"windows": THREE, "window": (0, 1), "intensity": "windows", "channels": "rgb"},
        {"voi": 1},
        {"voi": -1, "intensity": "voi"},
        {"hounsfield": True},
    ],
)
def test_a_specification_that_contradicts_itself_is_an_error(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        PixelSpec.model_validate({"size": 8, **wrong})


def test_hashes_tell_frames_apart_and_equal_images_alike(tmp_path: Path) -> None:
    values = np.array([[0, 255], [3, 4]], np.uint8)
    first = pixel_hash(pixels(write_dicom(tmp_path, values))[0])
    second = pixel_hash(pixels(save(tmp_path / "same.png", Image.fromarray(values)))[0])
    turned = pixel_hash(pixels(save(tmp_path / "turned.png", Image.fromarray(values.T.copy())))[0])
    assert first == second != turned
    assert pixel_hash(np.zeros((1, 2, 3), np.float32)) != pixel_hash(np.zeros((1, 3, 2), np.float32))
    assert len(first) == 64
