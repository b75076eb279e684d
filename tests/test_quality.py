"""Fidelity against scikit-image and closed forms."""

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from pipeline.errors import StudyError
from pipeline.quality import SMALLEST_ERROR, measure, psnr


def pair(channels: int = 1) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    images = random.random((3, channels, 24, 24), dtype=np.float32)
    return images, np.clip(images + random.normal(0, 0.1, images.shape), 0, 1).astype(np.float32)


@pytest.mark.parametrize("channels", [1, 3])
def test_error_and_similarity_are_scikit_images(channels: int) -> None:
    images, others = pair(channels)
    table = measure(images, others)
    for k in range(3):
        similarities = [
            structural_similarity(
                images[k, c],
                others[k, c],
                data_range=1.0,
                gaussian_weights=True,
                sigma=1.5,
                use_sample_covariance=False,
            )
            for c in range(channels)
        ]
        assert table["ssim"][k] == pytest.approx(np.mean(similarities), abs=1e-6)
        noise = peak_signal_noise_ratio(images[k].astype(np.float64), others[k].astype(np.float64), data_range=1)
        assert psnr(table["mse"].to_numpy()[[k]]) == pytest.approx(noise, abs=1e-6)


def test_an_exact_image_has_no_error_and_full_similarity() -> None:
    images, _ = pair()
    table = measure(images, images.copy())
    assert (table["mse"] == 0).all()
    np.testing.assert_allclose(table["ssim"], 1)


def test_a_constant_difference_has_a_closed_form() -> None:
    black = np.zeros((1, 1, 16, 16), np.float32)
    assert psnr(measure(black, black + np.float32(0.1))["mse"].to_numpy()) == pytest.approx(20, abs=1e-5)


def test_the_ratio_is_infinite_only_when_every_image_is_exact() -> None:
    assert psnr(np.zeros(3)) == np.inf
    cap = -10 * np.log10(SMALLEST_ERROR)
    assert cap == pytest.approx(107.1, abs=0.05)
    assert psnr(np.array([0.0, 0.01])) == pytest.approx((cap + 20) / 2)
    assert psnr(np.array([1e-30, 1e-30])) == pytest.approx(cap)


def test_images_smaller_than_the_window_are_refused() -> None:
    small = np.zeros((1, 1, 10, 16), np.float32)
    with pytest.raises(StudyError, match="at least 11 x 11 pixels"):
        measure(small, small)
