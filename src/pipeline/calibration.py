"""How far scores can be taken as probabilities: log loss, expected calibration error, reliability.

Scores of exclusive classes are log-probabilities up to a constant of the sample, others log-odds (`pipeline.heads`).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.labels import MISSING
from pipeline.tested import Cells

Floats = NDArray[np.float64]
Labels = NDArray[np.integer[Any]]
"""n class numbers, or n x K labels."""

BINS = 15
"""Of equal width over [0, 1], closed on the right, as in Guo et al. 2017 (arXiv 1706.04599)."""


def log_probabilities(scores: Floats) -> Floats:
    """Return n x K log-probabilities of exclusive classes, whatever constant each row of scores has added."""
    shifted = scores - scores.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))


def losses(scores: Floats, labels: Labels) -> Floats:
    """Return n code lengths in nats: what it costs to tell the labels of a sample to one who knows the scores.

    Of exclusive classes it is the cross entropy; of others the sum of binary cross entropies over the known labels.
    """
    if labels.ndim == 1:
        return np.asarray(-log_probabilities(scores)[np.arange(len(labels)), labels])
    wrong = np.where(labels == 1, -scores, scores)
    return np.asarray(np.where(labels == MISSING, 0.0, np.logaddexp(0.0, wrong)).sum(axis=1))


def log_loss(scores: Floats, labels: Labels, weights: Floats) -> Floats:
    """Return B mean code lengths in nats a unit, under B x n weights; lower is better."""
    return np.asarray(weights @ losses(scores, labels) / weights.sum(axis=1))


def judged(scores: Floats, labels: Labels) -> list[tuple[Floats, Floats]]:
    """Return pairs of confidences and outcomes, 1 or 0, to be compared with each other.

    Of exclusive classes it is one pair: how probable the likeliest class is, and whether it is the true one. Of others
    one pair a class: how probable the class is, and whether the sample has it, where that is known.
    """
    if labels.ndim == 1:
        logs = log_probabilities(scores)
        return [(np.exp(logs.max(axis=1)), (logs.argmax(axis=1) == labels).astype(np.float64))]
    # Not 1 / (1 + exp(-score)), which overflows.
    probable = np.exp(-np.logaddexp(0.0, -scores))
    known = labels != MISSING
    columns = range(scores.shape[1])
    return [(probable[known[:, k], k], (labels[known[:, k], k] == 1).astype(np.float64)) for k in columns]


def binned(confidence: Floats, outcome: Floats) -> pd.DataFrame:
    """Return a row for each bin that is not empty: `bin` from 1, mean `confidence`, `accuracy`, and `count`."""
    number = 1 + np.searchsorted(np.linspace(0, 1, BINS + 1)[1:-1], confidence, side="left")
    table = pd.DataFrame({"bin": number, "confidence": confidence, "accuracy": outcome})
    means = table.groupby("bin").mean()
    return means.assign(count=table.groupby("bin").size()).reset_index()


def calibration_error(scores: Floats, labels: Labels) -> float:
    """Return the expected calibration error: mean over samples of |confidence - accuracy| of their bin.

    Of exclusive classes it is that of the likeliest class (Guo et al. 2017, equation 3); of others the mean over the
    classes of which a label is known. NaN where none is.
    """
    errors = []
    for confidence, outcome in judged(scores, labels):
        if len(confidence):
            table = binned(confidence, outcome)
            apart = (table["confidence"] - table["accuracy"]).abs()
            errors.append(float((apart * table["count"]).sum() / len(confidence)))
    return float(np.mean(errors)) if errors else float("nan")


def scores(tested: Mapping[str, Cells]) -> pd.DataFrame:
    """Return `ece` and `log_loss` of every space, fold and seed: `metric`, `space`, `fold`, `seed`, `value`."""
    rows = []
    for space, of_space in tested.items():
        for (fold, seed), cell in of_space.items():
            where = {"space": space, "fold": fold, "seed": seed}
            error, loss = calibration_error(cell.scores, cell.labels), float(losses(cell.scores, cell.labels).mean())
            rows += [{"metric": "ece", **where, "value": error}, {"metric": "log_loss", **where, "value": loss}]
    return pd.DataFrame(rows)


def reliability(tested: Mapping[str, Cells]) -> pd.DataFrame:
    """Return the reliability diagram of each space, pooled over folds, seeds and classes that are not exclusive.

    One row for each space and bin that is not empty: `space`, `bin`, the bin's ends `above` and `upto`, `confidence`,
    `accuracy`, `count`.
    """
    tables = []
    for space, of_space in tested.items():
        pairs = [pair for cell in of_space.values() for pair in judged(cell.scores, cell.labels)]
        confidence, outcome = (np.concatenate(values) for values in zip(*pairs, strict=True))
        tables.append(binned(confidence, outcome).assign(space=space))
    table = pd.concat(tables, ignore_index=True)
    table = table.assign(above=(table["bin"] - 1) / BINS, upto=table["bin"] / BINS)
    return table[["space", "bin", "above", "upto", "confidence", "accuracy", "count"]]
