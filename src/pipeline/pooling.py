"""Spaces of any shape as feature vectors of a bounded length, for heads that take vectors."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.folds import Rows
from pipeline.heads import Space
from pipeline.values import BLOCK


@dataclass(frozen=True)
class Features:
    """Standardised features, and what standardised them.

    Attributes:
        values: N x (c * g * g).
        mean: of the training rows, for each feature; subtracted.
        deviation: of the training rows, for each feature; divided by.
    """

    values: NDArray[np.float64]
    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]

    def tensors(self) -> dict[str, NDArray[np.float64]]:
        """Return what is needed to make the same features of other samples."""
        return {"mean": self.mean, "deviation": self.deviation}


def features(space: Space, grid: int, train: Rows) -> Features:
    """Return averages over a grid of g x g cells, standardised by the training rows.

    The same number of cells is taken in every space, so that heads compare spaces at the same spatial resolution.
    Rows are pooled in blocks, because the full space can be far larger than its features.
    """
    # It takes half a second, and specifications are read by every call and every batch job.
    import dask.array as da

    n, c, h, w = space.values.shape
    g = min(grid, h, w)
    rows = da.arange(n, chunks=BLOCK, dtype=np.int64)
    pooled = rows.map_blocks(
        lambda part: averages(space.values[part], g),
        new_axis=(1, 2, 3),
        chunks=(rows.chunks[0], (c,), (g,), (g,)),
        meta=np.empty((0, 0, 0, 0)),
    )
    vectors = np.asarray(pooled.compute(scheduler="synchronous")).reshape(n, c * g * g)
    mean, deviation = vectors[train].mean(axis=0), vectors[train].std(axis=0)
    deviation[deviation < 1e-12] = 1.0
    return Features((vectors - mean) / deviation, mean, deviation)


def averages(values: NDArray[np.float32], grid: int) -> NDArray[np.float64]:
    """Return n x c x g x g averages of n x c x h x w over equal cells; g is at most h and w."""
    h, w = values.shape[2:]
    return np.asarray(_averaging(h, min(grid, h, w)) @ values @ _averaging(w, min(grid, h, w)).T)


def _averaging(length: int, cells: int) -> NDArray[np.float64]:
    """Return cells x length weights that average over equal parts of a line; a value on a border counts in both."""
    edges = np.arange(cells + 1)[:, None] * length / cells
    at = np.arange(length)
    shares = np.minimum(edges[1:], at + 1) - np.maximum(edges[:-1], at)
    return np.asarray(np.maximum(shares, 0) * cells / length)
