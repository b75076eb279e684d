"""Paired, patient-clustered bootstrap: patients are drawn, with all their samples, and the same in every space."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

BLOCK = 128
"""Replicates that are drawn at once."""


def weights(patients: NDArray[np.int64], replicates: int, fold: int) -> Floats:
    """Return (1 + B) x n sample weights for one fold's test samples; row 0 is all ones, the sample as it is.

    Args:
        patients: n patient numbers.
        replicates: B.
        fold: folds are drawn independently of one another, since no patient is in two.
    """
    _, number = np.unique(patients, return_inverse=True)
    count = int(number.max()) + 1
    generator = np.random.default_rng([20260517, fold])
    drawn = np.ones((1 + replicates, len(patients)))
    # In blocks, which are the same draws: all at once would hold the result three times.
    for first in range(1, len(drawn), BLOCK):
        part = drawn[first : first + BLOCK]
        part[:] = generator.multinomial(count, np.full(count, 1 / count), size=len(part))[:, number]
    return drawn


def interval(replicates: Floats, level: float = 0.95) -> tuple[float, float]:
    """Return the percentile interval of B replicates; those that are NaN are left out."""
    finite = replicates[np.isfinite(replicates)]
    if not len(finite):
        return float("nan"), float("nan")
    low, high = np.quantile(finite, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
