"""How faithful a reconstruction is, image by image."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from skimage.metrics import structural_similarity

from pipeline.errors import StudyError
from pipeline.store import GRID

WINDOW = 11
"""Side of the window of SSIM in pixels."""
SMALLEST_ERROR = 1 / GRID**2 / 12
"""Mean squared error of rounding to the storage grid: below it nothing can be told apart."""


def measure(images: NDArray[np.float32], reconstructions: NDArray[np.float32]) -> pd.DataFrame:
    """Return one row an image: `mse`, and `ssim` (11 x 11 Gaussian window, sigma 1.5; Wang et al. 2004).

    Args:
        images: n x C x H x W in [0, 1].
        reconstructions: the same shape.

    Raises:
        StudyError: the images are smaller than the window.
    """
    if min(images.shape[2:]) < WINDOW:
        raise StudyError(f"SSIM needs images of at least {WINDOW} x {WINDOW} pixels; set a larger 'size'")
    errors = np.mean((images.astype(np.float64) - reconstructions) ** 2, axis=(1, 2, 3))
    similarities = [_ssim(a, b) for a, b in zip(images, reconstructions, strict=True)]
    return pd.DataFrame({"mse": errors, "ssim": similarities})


def _ssim(image: NDArray[np.float32], reconstruction: NDArray[np.float32]) -> float:
    value = structural_similarity(
        image,
        reconstruction,
        data_range=1.0,
        channel_axis=0,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    return float(value)


def psnr(mse: NDArray[np.float64]) -> float:
    """Return the mean over images of the peak signal-to-noise ratio in dB, for a peak of 1.

    Infinite when every image is exact. An exact image among others counts as one that the grid rounded, about 107 dB,
    so that it does not make the mean infinite.
    """
    if not mse.any():
        return float("inf")
    return float(np.mean(-10 * np.log10(np.maximum(mse, SMALLEST_ERROR))))
