"""Spaces of any shape as feature vectors of a bounded length, for heads that take vectors."""

import dask.array as da
import numpy as np
from numpy.typing import NDArray

from pipeline.folds import Rows
from pipeline.heads import Space


def features(space: Space, grid: int, train: Rows) -> NDArray[np.float64]:
    """Return N x (c * g * g) features: averages over a grid of g x g cells, standardised by the training rows.

    The same number of cells is taken in every space, so that heads compare spaces at the same spatial resolution.
    Rows are pooled in blocks, because the full space can be far larger than its features.
    """
    n, c, h, w = space.values.shape
    g = min(grid, h, w)
    blocks = da.from_array(space.values[:, :, : h - h % g, : w - w % g], chunks=(256, c, -1, -1))
    pooled = blocks.reshape(n, c, g, h // g, g, w // g).mean(axis=(3, 5), dtype=np.float64)
    vectors = np.asarray(pooled.reshape(n, c * g * g).compute(scheduler="synchronous"))
    mean, deviation = vectors[train].mean(axis=0), vectors[train].std(axis=0)
    deviation[deviation < 1e-12] = 1.0
    return np.asarray((vectors - mean) / deviation)
