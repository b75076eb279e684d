"""How faithful a reconstruction is, image by image: mean squared error, SSIM and MS-SSIM, for a peak of 1."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.errors import StudyError
from pipeline.store import GRID

Floats = NDArray[np.float64]

WINDOW = 11
"""Side of the window of SSIM in pixels."""
SIGMA = 1.5
"""Standard deviation of the window's Gaussian weights in pixels."""
C1, C2 = 0.01**2, 0.03**2
"""The constants of SSIM for a peak of 1 (Wang et al. 2004, equations 6 and 13)."""
SCALES = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Weights of the five scales of MS-SSIM, finest first (Wang, Simoncelli and Bovik 2003, section 3.2)."""
SMALLEST_ERROR = 1 / GRID**2 / 12
"""Mean squared error of rounding to the storage grid: below it nothing can be told apart."""
AT_ONCE = 2**16
"""So many values are measured together: what a processor's cache holds."""


def measure(images: NDArray[np.float32], reconstructions: NDArray[np.float32]) -> pd.DataFrame:
    """Return one row an image: `mse`, `ssim`, `ms_ssim` and `ms_ssim_scales`.

    `ssim` is that of Wang et al. 2004 (11 x 11 Gaussian window, sigma 1.5, population covariance), averaged over the
    places where the window lies inside the image, then over channels. `ms_ssim` is that of Wang, Simoncelli and Bovik
    2003: at each scale but the last the mean of contrast and structure, at the last that of SSIM, each to the power of
    its weight; between scales 2 x 2 pixels are averaged, and an odd last row or column is left out. A negative mean
    counts as 0, as in TensorFlow's and other common implementations.

    Five scales need sides of 176 pixels. Smaller images have as many scales as leave the window inside the image, with
    the weights scaled to a sum of 1: `ms_ssim_scales` says how many, and values of unlike numbers cannot be compared.

    Args:
        images: n x C x H x W in [0, 1].
        reconstructions: the same shape.

    Raises:
        StudyError: the images are smaller than the window.
    """
    if min(images.shape[2:]) < WINDOW:
        raise StudyError(f"SSIM needs images of at least {WINDOW} x {WINDOW} pixels; set a larger 'size'")
    together = max(1, AT_ONCE // images[:1].size)
    parts = [slice(at, at + together) for at in range(0, len(images), together)]
    columns = [_measured(images[part], reconstructions[part]) for part in parts]
    table = {name: np.concatenate([column[name] for column in columns]) for name in columns[0]}
    return pd.DataFrame(table).assign(ms_ssim_scales=scales(images.shape[2], images.shape[3]))


def scales(height: int, width: int) -> int:
    """Return at how many of the five scales the window lies inside an image."""
    return sum(min(height, width) >> scale >= WINDOW for scale in range(len(SCALES)))


def _measured(images: NDArray[np.float32], reconstructions: NDArray[np.float32]) -> dict[str, Floats]:
    x, y = images.astype(np.float64), reconstructions.astype(np.float64)
    weights = np.array(SCALES[: scales(x.shape[2], x.shape[3])])
    means = [(ssim.mean(axis=(2, 3)), contrast.mean(axis=(2, 3))) for ssim, contrast in _maps(x, y, len(weights))]
    terms = np.stack([*(contrast for _, contrast in means[:-1]), means[-1][0]])
    product = np.prod(np.maximum(terms, 0) ** (weights / weights.sum())[:, None, None], axis=0)
    errors = np.mean((x - y) ** 2, axis=(1, 2, 3))
    return {"mse": errors, "ssim": means[0][0].mean(axis=1), "ms_ssim": product.mean(axis=1)}


def _maps(x: Floats, y: Floats, count: int) -> Iterator[tuple[Floats, Floats]]:
    """Yield SSIM and its factor contrast-structure at every place, for each scale."""
    for scale in range(count):
        if scale:
            x, y = _halved(x), _halved(y)
        mean_x, mean_y = _blurred(x), _blurred(y)
        product, squares = mean_x * mean_y, mean_x**2 + mean_y**2
        contrast = (2 * (_blurred(x * y) - product) + C2) / (_blurred(x**2 + y**2) - squares + C2)
        yield contrast * (2 * product + C1) / (squares + C1), contrast


def _blurred(values: Floats) -> Floats:
    """Return the Gaussian average of every window inside the images: n x C x (H - 10) x (W - 10)."""
    weights = np.exp(-((np.arange(WINDOW) - WINDOW // 2) ** 2) / (2 * SIGMA**2))
    weights /= weights.sum()
    for _ in ("columns", "rows"):
        size = values.shape[3] - WINDOW + 1
        at = [values[..., start : start + size] for start in range(WINDOW)]
        blurred = weights[WINDOW // 2] * at[WINDOW // 2]
        for offset in range(WINDOW // 2):
            blurred += weights[offset] * (at[offset] + at[-1 - offset])
        values = np.swapaxes(blurred, 2, 3)
    return values


def _halved(values: Floats) -> Floats:
    """Return averages over 2 x 2 pixels."""
    height, width = (size // 2 * 2 for size in values.shape[2:])
    even = values[:, :, :height, :width]
    rows = even[:, :, ::2] + even[:, :, 1::2]
    halved: Floats = (rows[..., ::2] + rows[..., 1::2]) / 4
    return halved


def psnr(mse: Floats) -> float:
    """Return the mean over images of the peak signal-to-noise ratio in dB, for a peak of 1; NaN without images.

    Infinite when every image is exact. An exact image among others counts as one that the grid rounded, about 107 dB,
    so that it does not make the mean infinite.
    """
    if not len(mse):
        return float("nan")
    if not mse.any():
        return float("inf")
    return float(np.mean(-10 * np.log10(np.maximum(mse, SMALLEST_ERROR))))
