"""Fidelity against scikit-image, an independent implementation, and closed forms."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch.nn.functional import avg_pool2d, conv2d

from pipeline.errors import StudyError
from pipeline.quality import SCALES, SMALLEST_ERROR, measure, psnr, scales

Images = NDArray[np.float32]
WANG = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


def pair(channels: int = 1, size: int = 24, noise: float = 0.1) -> tuple[Images, Images]:
    random = np.random.default_rng(0)
    images = random.random((3, channels, size, size), dtype=np.float32)
    return images, np.clip(images + random.normal(0, noise, images.shape), 0, 1).astype(np.float32)


def smooth(size: int) -> Images:
    """Images with structure at every scale, unlike noise."""
    random = np.random.default_rng(1)
    grids = [random.random((2, 3, side, side)) for side in (4, 8, 16, 32)]
    enlarged = [
        np.kron(grid, np.ones((-(-size // side),) * 2))[..., :size, :size]
        for grid, side in zip(grids, (4, 8, 16, 32), strict=True)
    ]
    return (sum(enlarged) / 4).astype(np.float32)  # type: ignore[union-attr,return-value]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [11, 24, 65])
def test_error_and_similarity_are_scikit_images(channels: int, size: int) -> None:
    images, others = pair(channels, size)
    table = measure(images, others)
    for k in range(3):
        similarities = [
            structural_similarity(
                images[k, c].astype(np.float64),
                others[k, c].astype(np.float64),
                data_range=1.0,
                gaussian_weights=True,
                sigma=1.5,
                use_sample_covariance=False,
            )
            for c in range(channels)
        ]
        assert table["ssim"][k] == pytest.approx(np.mean(similarities), abs=1e-12)
        noise = peak_signal_noise_ratio(images[k].astype(np.float64), others[k].astype(np.float64), data_range=1)
        assert psnr(table["mse"].to_numpy()[[k]]) == pytest.approx(noise, abs=1e-6)


def ms_ssim(images: Images, others: Images, count: int) -> list[float]:
    """MS-SSIM by torch's convolutions and pooling, image by image and channel by channel."""
    offsets = torch.arange(11, dtype=torch.float64) - 5
    line = torch.exp(-(offsets**2) / (2 * 1.5**2))
    window = (torch.outer(line, line) / line.sum() ** 2)[None, None]
    weights = torch.tensor(WANG[:count], dtype=torch.float64)
    weights = weights / weights.sum()
    found = []
    for image, other in zip(images, others, strict=True):
        values = []
        for channel in range(len(image)):
            x, y = (torch.from_numpy(a[channel].astype(np.float64))[None, None] for a in (image, other))
            product = 1.0
            for scale in range(count):
                mx, my = conv2d(x, window), conv2d(y, window)
                vx, vy = conv2d((x) ** 2, window) - mx**2, conv2d(y**2, window) - my**2
                cs = (2 * (conv2d(x * y, window) - mx * my) + 0.03**2) / (vx + vy + 0.03**2)
                luminance = (2 * mx * my + 0.01**2) / (mx**2 + my**2 + 0.01**2)
                term = (cs * luminance).mean() if scale == count - 1 else cs.mean()
                product *= float(term.clamp(min=0)) ** float(weights[scale])
                x, y = avg_pool2d(x, 2), avg_pool2d(y, 2)
            values.append(product)
        found.append(float(np.mean(values)))
    return found


@pytest.mark.parametrize(("size", "count"), [(16, 1), (22, 2), (43, 2), (44, 3), (80, 3), (91, 4), (177, 5)])
def test_multi_scale_similarity_is_that_of_an_independent_implementation(size: int, count: int) -> None:
    images = smooth(size)
    others = np.clip(images + np.random.default_rng(2).normal(0, 0.05, images.shape), 0, 1).astype(np.float32)
    table = measure(images, others)
    assert (table["ms_ssim_scales"] == count).all()
    np.testing.assert_allclose(table["ms_ssim"], ms_ssim(images, others, count), atol=1e-12)


def test_the_weights_are_the_published_ones_and_sides_of_176_have_all_scales() -> None:
    assert SCALES == WANG
    assert (scales(175, 300), scales(176, 300), scales(300, 11)) == (4, 5, 1)


def test_opposite_structure_counts_as_no_similarity() -> None:
    # Finer than the first scale's pooling: there the contrast is of opposite sign, and afterwards nothing is left.
    board = np.indices((64, 64)).sum(axis=0) % 2
    images = np.stack([board, 1 - board])[:, None].astype(np.float32)
    table = measure(images, images[::-1].copy())
    assert (table["ssim"] < -0.9).all()
    assert (table["ms_ssim"] == 0).all()


@pytest.mark.parametrize("size", [24, 180])
def test_an_exact_image_has_no_error_and_full_similarity(size: int) -> None:
    images, others = pair(size=size)
    table = measure(images, images.copy())
    assert (table["mse"] == 0).all()
    assert (table[["ssim", "ms_ssim"]] == 1).all(axis=None)
    assert measure(images, others)[["ssim", "ms_ssim"]].equals(measure(others, images)[["ssim", "ms_ssim"]])


def test_more_noise_is_less_similar() -> None:
    images = smooth(180)
    noise = np.random.default_rng(3).normal(0, 1, images.shape)
    found = [measure(images, (images + level * noise).astype(np.float32)) for level in (0.02, 0.05, 0.1, 0.2)]
    for column in ("ssim", "ms_ssim"):
        values = np.array([table[column] for table in found])
        assert (np.diff(values, axis=0) < 0).all()


def test_what_is_lost_at_fine_scales_weighs_less_than_with_one_scale() -> None:
    images = smooth(180)
    noisy = (images + np.random.default_rng(3).normal(0, 0.1, images.shape)).astype(np.float32)
    table = measure(images, noisy)
    assert (table["ms_ssim"] > table["ssim"]).all()


@given(st.integers(1, 5), st.integers(11, 50), st.integers(11, 50), st.integers(0, 2**32 - 1))
def test_the_result_does_not_depend_on_what_is_measured_together(n: int, height: int, width: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    images, others = random.random((2, n, 3, height, width), dtype=np.float32)
    together = measure(images, others)
    alone = [measure(images[k : k + 1], others[k : k + 1]) for k in range(n)]
    for column in together:
        assert together[column].tolist() == [float(table[column][0]) for table in alone]
    assert together["ms_ssim"].between(0, 1).all()


def test_a_constant_difference_has_a_closed_form() -> None:
    black = np.zeros((1, 1, 16, 16), np.float32)
    assert psnr(measure(black, black + np.float32(0.1))["mse"].to_numpy()) == pytest.approx(20, abs=1e-5)
    # Without structure only the luminance differs: C1 / (0.1^2 + C1).
    table = measure(black, black + np.float32(0.1))
    assert table["ssim"][0] == pytest.approx(1e-4 / (0.01 + 1e-4), rel=1e-6)


def test_the_ratio_is_infinite_only_when_every_image_is_exact() -> None:
    assert psnr(np.zeros(3)) == np.inf
    cap = -10 * np.log10(SMALLEST_ERROR)
    assert cap == pytest.approx(107.1, abs=0.05)
    assert psnr(np.array([0.0, 0.01])) == pytest.approx((cap + 20) / 2)
    assert psnr(np.array([1e-30, 1e-30])) == pytest.approx(cap)


def test_no_images_have_no_ratio() -> None:
    assert np.isnan(psnr(np.empty(0)))


def test_images_smaller_than_the_window_are_refused() -> None:
    small = np.zeros((1, 1, 10, 16), np.float32)
    with pytest.raises(StudyError, match="at least 11 x 11 pixels"):
        measure(small, small)
