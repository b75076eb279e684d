"""Classification metrics under many sample weightings at once.

Every function takes `weights`, B x n: one row for each bootstrap replicate, what each sample counts in it (see
`pipeline.bootstrap`). A row of ones gives the plain metric, equal to scikit-learn's. Higher is better in all of them.

Exclusive classes come as n class numbers. Others come as n x K labels, 1, 0 or -1 where one is missing; such an entry
counts for nothing, a positive score says that the sample has the class, and a metric is the mean over the classes of
which a replicate drew both sides.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Labels = NDArray[np.integer[Any]]
"""n class numbers, or n x K labels."""
Metric = Callable[[Floats, Labels, Floats], Floats]

UNCERTAIN = 1e-12
"""A share that is smaller is a rounding error."""
BLOCK = 1 << 18
"""Numbers in a block of weights that is worked on at once: 2 MiB."""


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
    return mean_of_drawn(recalls(scores, labels, weights))


def mcc(scores: Floats, labels: Labels, weights: Floats) -> Floats:
    """Return B multi-class Matthews correlation coefficients (Gorodkin 2004); 0 where it is undefined."""
    matrices = confusion(scores, labels, weights)
    total = matrices.sum(axis=(1, 2))
    true, predicted = matrices.sum(axis=2), matrices.sum(axis=1)
    covariance = np.trace(matrices, axis1=1, axis2=2) * total - (true * predicted).sum(axis=1)
    spreads = [1 - ((counts / total[:, None]) ** 2).sum(axis=1) for counts in (true, predicted)]
    # Weights are not always whole numbers: a single class leaves a rounding error and not exactly nothing.
    variances = np.prod([np.where(spread > UNCERTAIN, spread, 0) for spread in spreads], axis=0)
    return np.nan_to_num(_divide(covariance / total**2, np.sqrt(variances)))


def auroc(scores: Floats, labels: Labels, weights: Floats) -> Floats:
    """Return B macro-averaged one-versus-rest areas under the ROC curve, over classes that have both sides drawn."""
    areas = [binary_auroc(scores[:, k], labels == k, weights) for k in range(scores.shape[1])]
    return mean_of_drawn(np.stack(areas, axis=1))


def binary_auroc(scores: Floats, labels: NDArray[np.integer[Any] | np.bool_], weights: Floats) -> Floats:
    """Return B weighted Mann-Whitney statistics, ties counted half; NaN where one side was not drawn.

    The scores are sorted once and the ranks weighted, which is far faster than a loop over replicates.

    Args:
        scores: n.
        labels: n, 1 and 0 or true and false; a sample with any other label is passed over.
        weights: B x n.
    """
    positives, negatives = (_ascending(scores, labels == side) for side in (1, 0))
    places = [np.searchsorted(scores[negatives], scores[positives], side) for side in ("left", "right")]
    edges, (below, upto) = _edges(len(negatives), places)
    areas = [np.empty(0)]
    for block in _blocks(weights):
        drawn, passed = block.take(positives, axis=1), _passed(block, negatives, edges)
        wins = (drawn * (passed[:, below] + passed[:, upto])).sum(axis=1) / 2
        areas.append(_divide(wins, drawn.sum(axis=1) * passed[:, -1]))
    return np.concatenate(areas)


def binary_average_precision(scores: Floats, labels: NDArray[np.integer[Any] | np.bool_], weights: Floats) -> Floats:
    """Return B areas under the steps of the precision-recall curve, as scikit-learn's; NaN where no positive was drawn.

    The arguments are those of `binary_auroc`. Samples with the same score pass the threshold together.
    """
    positives, negatives = (_ascending(-scores, labels == side) for side in (1, 0))
    ends = [np.searchsorted(-scores[rows], -scores[positives], "right") for rows in (positives, negatives)]
    (hit, (last,)), (missed, (false,)) = (
        _edges(len(r), [e]) for r, e in zip((positives, negatives), ends, strict=True)
    )
    precisions = [np.empty(0)]
    for block in _blocks(weights):
        drawn = block.take(positives, axis=1)
        hits, misses = _passed(block, positives, hit)[:, last], _passed(block, negatives, missed)[:, false]
        precision = np.divide(hits, hits + misses, out=np.zeros_like(hits), where=hits > 0)
        precisions.append(_divide((drawn * precision).sum(axis=1), drawn.sum(axis=1)))
    return np.concatenate(precisions)


def _ascending(scores: Floats, chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
    rows = np.flatnonzero(chosen)
    return rows[np.argsort(scores[rows], kind="stable")]


def _edges(count: int, places: list[NDArray[np.intp]]) -> tuple[NDArray[np.intp], list[NDArray[np.intp]]]:
    """Return the places among `count` samples that are asked for, 0 and `count` too, rising; and where each is there.

    Sums between edges are what is needed. They are five times as fast as running sums, whose every step waits for the
    one before.
    """
    edges = np.unique(np.concatenate([np.array([0, count]), *places]))
    return edges, [np.searchsorted(edges, place) for place in places]


def _passed(weights: Floats, rows: NDArray[np.int64], edges: NDArray[np.intp]) -> Floats:
    """Return B x E: what the first `edges` of these samples weigh."""
    sums = np.zeros((len(weights), len(edges)))
    if len(rows):
        np.cumsum(np.add.reduceat(weights.take(rows, axis=1), edges[:-1], axis=1), axis=1, out=sums[:, 1:])
    return sums


def _blocks(weights: Floats) -> list[Floats]:
    """Cut replicates into blocks that stay in a processor's cache."""
    rows = max(1, BLOCK // max(1, weights.shape[1]))
    return [weights[first : first + rows] for first in range(0, len(weights), rows)]


class Sides(NamedTuple):
    """How every class was answered, each B x K: weights of samples that have the class or not, found or not."""

    true_positive: Floats
    false_negative: Floats
    true_negative: Floats
    false_positive: Floats

    def sensitivity(self) -> Floats:
        """Return B x K shares of the positives that were found; NaN where none was drawn."""
        return _divide(self.true_positive, self.true_positive + self.false_negative)

    def specificity(self) -> Floats:
        """Return B x K shares of the negatives that were not taken for positives; NaN where none was drawn."""
        return _divide(self.true_negative, self.true_negative + self.false_positive)

    def drawn(self) -> NDArray[np.bool_]:
        """Return B x K: whether both sides of a class were drawn."""
        positives, negatives = self.true_positive + self.false_negative, self.true_negative + self.false_positive
        return (positives > 0) & (negatives > 0)

    def macro(self, values: Floats) -> Floats:
        """Return B means of B x K values over the classes of which both sides were drawn."""
        return mean_of_drawn(np.where(self.drawn(), values, np.nan))


def sides(scores: Floats, labels: Labels, weights: Floats) -> Sides:
    """Return how n x K scores answer n x K labels."""
    found = scores > 0
    outcomes = [(labels == 1) & found, (labels == 1) & ~found, (labels == 0) & ~found, (labels == 0) & found]
    return Sides(*(np.asarray(weights @ outcome.astype(np.float64)) for outcome in outcomes))


def multilabel_balanced_accuracy(scores: Floats, labels: Labels, weights: Floats) -> Floats:
    """Return B macro averages of half the sum of sensitivity and specificity."""
    counted = sides(scores, labels, weights)
    return counted.macro((counted.sensitivity() + counted.specificity()) / 2)


def multilabel_mcc(scores: Floats, labels: Labels, weights: Floats) -> Floats:
    """Return B macro-averaged Matthews correlation coefficients; a class that is always answered alike has 0."""
    counted = sides(scores, labels, weights)
    tp, fn, tn, fp = counted
    norm = np.sqrt(tp + fp) * np.sqrt(tp + fn) * np.sqrt(tn + fp) * np.sqrt(tn + fn)
    return counted.macro(np.nan_to_num(_divide(tp * tn - fp * fn, norm)))


def multilabel_f1(scores: Floats, labels: Labels, weights: Floats) -> Floats:
    """Return B macro-averaged F1 scores, as CXR-LT reports them."""
    counted = sides(scores, labels, weights)
    tp, fn, _, fp = counted
    return counted.macro(_divide(2 * tp, 2 * tp + fp + fn))


def multilabel_auroc(scores: Floats, labels: Labels, weights: Floats) -> Floats:
    """Return B macro-averaged areas under the ROC curve."""
    return _macro_of(binary_auroc, scores, labels, weights)


def average_precision(scores: Floats, labels: Labels, weights: Floats) -> Floats:
    """Return B macro-averaged average precisions (mAP), as CXR-LT reports them."""
    return _macro_of(binary_average_precision, scores, labels, weights)


def _macro_of(metric: Metric, scores: Floats, labels: Labels, weights: Floats) -> Floats:
    values = [metric(scores[:, k], labels[:, k], weights) for k in range(scores.shape[1])]
    return sides(scores, labels, weights).macro(np.stack(values, axis=1))


def mean_of_drawn(values: Floats) -> Floats:
    """Return B means of B x K values over those that are not NaN; NaN where all are."""
    drawn = np.isfinite(values)
    counts = drawn.sum(axis=1)
    sums = np.where(drawn, values, 0.0).sum(axis=1)
    return _divide(sums, counts)


def _divide(numerators: Floats, denominators: Floats) -> Floats:
    quotients = np.full(numerators.shape, np.nan)
    np.divide(numerators, denominators, out=quotients, where=denominators > 0)
    return quotients


METRICS: dict[str, Metric] = {"balanced_accuracy": balanced_accuracy, "mcc": mcc, "auroc": auroc}
"""Of exclusive classes."""

MULTILABEL_METRICS: dict[str, Metric] = {
    "balanced_accuracy": multilabel_balanced_accuracy,
    "mcc": multilabel_mcc,
    "auroc": multilabel_auroc,
    "average_precision": average_precision,
    "f1": multilabel_f1,
}


def metrics(exclusive: bool) -> dict[str, Metric]:
    """Return the metrics of exclusive classes, or of others."""
    return METRICS if exclusive else MULTILABEL_METRICS
