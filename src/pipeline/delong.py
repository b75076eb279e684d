"""Variance and covariance of areas under the ROC curve without resampling (DeLong, DeLong and Clarke-Pearson 1988).

A cross-check of the bootstrap: it takes samples for independent, so the two agree with one sample a patient, and where
patients have several it is too small. Placements come from ranks, as in Sun and Xu 2014 (IEEE Signal Processing Letters
21, 1389), in n log n steps and not in one for each pair of samples.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Labels = NDArray[np.integer[Any] | np.bool_]


def placements(scores: Floats, labels: Labels) -> tuple[Floats, Floats]:
    """Return the share of negatives below each positive, and of positives above each negative; ties count half.

    Args:
        scores: n.
        labels: n, 1 and 0 or true and false.

    Raises:
        ValueError: there are fewer than two positives or negatives, so nothing is known of their spread.
    """
    positives, negatives = (np.sort(scores[labels == side]) for side in (1, 0))
    if min(len(positives), len(negatives)) < 2:
        raise ValueError("the spread of an area needs two positives and two negatives")
    below = _midranks(negatives, scores[labels == 1]) / len(negatives)
    above = 1 - _midranks(positives, scores[labels == 0]) / len(positives)
    return below, above


def _midranks(ascending: Floats, scores: Floats) -> Floats:
    return (np.searchsorted(ascending, scores, "left") + np.searchsorted(ascending, scores, "right")) / 2


def areas(scores: Floats, labels: Labels) -> tuple[Floats, Floats]:
    """Return R areas and their R x R covariance matrix, for R classifiers of the same samples.

    Args:
        scores: R x n.
        labels: n, 1 and 0 or true and false.
    """
    of_positives, of_negatives = (
        np.stack(parts) for parts in zip(*(placements(s, labels) for s in scores), strict=True)
    )
    spreads = [np.atleast_2d(np.cov(values)) / values.shape[1] for values in (of_positives, of_negatives)]
    return of_positives.mean(axis=1), spreads[0] + spreads[1]


def variance(scores: Floats, labels: Labels) -> float:
    """Return the variance of one area."""
    return float(areas(scores[None], labels)[1][0, 0])


def covariance(first: Floats, second: Floats, labels: Labels) -> float:
    """Return the covariance of the areas of two classifiers of the same samples."""
    return float(areas(np.stack([first, second]), labels)[1][0, 1])


def difference(first: Floats, second: Floats, labels: Labels) -> tuple[float, float]:
    """Return the difference of two areas, first - second, and its standard error."""
    values, spread = areas(np.stack([first, second]), labels)
    return float(values[0] - values[1]), float(np.sqrt(max(0.0, spread[0, 0] + spread[1, 1] - 2 * spread[0, 1])))
