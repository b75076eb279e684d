"""Classification metrics under many sample weightings at once.

Every function takes `weights`, B x n: one row for each bootstrap replicate, the number of times that each sample was
drawn. A row of ones gives the plain metric, equal to scikit-learn's. Higher is better in all of them.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]
Metric = Callable[[Floats, Labels, Floats], Floats]


def confusion(scores: Floats, labels: Labels, weights: Floats) -> Floats:
    """Return B x K x K weighted confusion matrices, true class first."""
    classes = scores.shape[1]
    cell = labels * classes + scores.argmax(axis=1)
    one_hot = np.zeros((len(labels), classes * classes))
    one_hot[np.arange(len(labels)), cell] = 1.0
    return np.asarray(weights @ one_hot).reshape(len(weights), classes, classes)


def recalls(scores: Floats, labels: Labels, weights: Floats) -> Floats:
    """Return B x K recalls; NaN for a class that a replicate did not draw."""
    matrices = confusion(scores, labels, weights)
    drawn = matrices.sum(axis=2)
    hits = np.diagonal(matrices, axis1=1, axis2=2)
    return _divide(hits, drawn)


def balanced_accuracy(scores: Floats, labels: Labels, weights: Floats) -> Floats:
    """Return B means of the recalls of the classes that were drawn."""
    return _mean_of_drawn(recalls(scores, labels, weights))


def mcc(scores: Floats, labels: Labels, weights: Floats) -> Floats:
    """Return B multi-class Matthews correlation coefficients (Gorodkin 2004); 0 where it is undefined."""
    matrices = confusion(scores, labels, weights)
    total = matrices.sum(axis=(1, 2))
    true, predicted = matrices.sum(axis=2), matrices.sum(axis=1)
    covariance = np.trace(matrices, axis1=1, axis2=2) * total - (true * predicted).sum(axis=1)
    variances = (total**2 - (true**2).sum(axis=1)) * (total**2 - (predicted**2).sum(axis=1))
    return np.nan_to_num(_divide(covariance, np.sqrt(np.maximum(variances, 0))))


def auroc(scores: Floats, labels: Labels, weights: Floats) -> Floats:
    """Return B macro-averaged one-versus-rest areas under the ROC curve, over classes that have both sides drawn."""
    areas = [binary_auroc(scores[:, k], labels == k, weights) for k in range(scores.shape[1])]
    return _mean_of_drawn(np.stack(areas, axis=1))


def binary_auroc(scores: Floats, positive: NDArray[np.bool_], weights: Floats) -> Floats:
    """Return B weighted Mann-Whitney statistics, ties counted half; NaN where one side was not drawn.

    The scores are sorted once and the ranks weighted, which is some twenty times faster than a loop over replicates.
    """
    order = np.argsort(scores, kind="stable")
    ranked = scores[order]
    weights, positive = weights[:, order], positive[order]
    below = np.concatenate([np.zeros((len(weights), 1)), np.cumsum(weights * ~positive, axis=1)], axis=1)
    first, last = np.searchsorted(ranked, ranked, "left"), np.searchsorted(ranked, ranked, "right")
    wins = (weights * positive * (below[:, first] + below[:, last]) / 2).sum(axis=1)
    pairs = (weights * positive).sum(axis=1) * below[:, -1]
    return _divide(wins, pairs)


def _mean_of_drawn(values: Floats) -> Floats:
    drawn = np.isfinite(values)
    counts = drawn.sum(axis=1)
    sums = np.where(drawn, values, 0.0).sum(axis=1)
    return _divide(sums, counts)


def _divide(numerators: Floats, denominators: Floats) -> Floats:
    quotients = np.full(numerators.shape, np.nan)
    np.divide(numerators, denominators, out=quotients, where=denominators > 0)
    return quotients


METRICS: dict[str, Metric] = {"balanced_accuracy": balanced_accuracy, "mcc": mcc, "auroc": auroc}
