"""Paired, patient-clustered, stratified bootstrap: patients are drawn with all their samples, alike in every space."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Numbers = NDArray[np.int64]

SEED = 20260517
BLOCK = 128
"""Replicates that are drawn at once."""
LEAST = 10
"""Patients of a stratum. Classes with fewer are drawn together: within a stratum of one patient nothing varies, and the
intervals would be far too narrow (docs/method.md has what simulations say)."""


def strata(labels: NDArray[np.integer[Any]], patients: Numbers) -> Numbers:
    """Return n numbers: for each sample the stratum of its patient, which is the rarest class that the patient has.

    A class is the rarer the fewer of these samples have it. Patients with none of the classes are stratum K.

    Args:
        labels: n x K labels, 1, 0 or missing.
        patients: n patient numbers.
    """
    has = labels == 1
    order = np.argsort(has.sum(axis=0), kind="stable")
    place = np.where(has.any(axis=1), has[:, order].argmax(axis=1), labels.shape[1])
    _, number = np.unique(patients, return_inverse=True)
    rarest = np.full(int(number.max()) + 1, labels.shape[1], np.int64)
    np.minimum.at(rarest, number, place)
    return np.append(order, labels.shape[1])[rarest[number]]


def weights(patients: Numbers, replicates: int, fold: int, strata: Numbers | None = None) -> Floats:
    """Return (1 + B) x n sample weights for one fold's test samples; row 0 is all ones, the sample as it is.

    Of a stratum's m patients m - 1 are drawn with replacement, and each counts m / (m - 1) times: the spread of a mean
    is then that of its estimate, and not smaller by (m - 1) / m (Rao and Wu 1988, Journal of the American Statistical
    Association 83, 231). A stratum weighs the same in every replicate. Draws depend on the fold, the stratum's rank and
    its size alone. A fold with a single patient cannot vary.

    Args:
        patients: n patient numbers.
        replicates: B.
        fold: folds are drawn independently of one another, since no patient is in two.
        strata: n numbers, the same for all samples of a patient; None: all patients are one stratum.
    """
    _, first, number = np.unique(patients, return_index=True, return_inverse=True)
    pooled = _pooled(np.zeros(len(first), np.int64) if strata is None else strata[first])
    drawn = np.ones((1 + replicates, len(patients)))
    counts = np.ones((BLOCK, len(first)))
    members = [np.flatnonzero(pooled == stratum) for stratum in range(int(pooled.max()) + 1)]
    generators = [np.random.default_rng([SEED, fold, stratum]) for stratum in range(len(members))]
    # In blocks, which are the same draws: all at once would hold the result three times.
    for start in range(1, len(drawn), BLOCK):
        part = drawn[start : start + BLOCK]
        for generator, of_stratum in zip(generators, members, strict=True):
            counts[: len(part), of_stratum] = _draws(generator, len(of_stratum), len(part))
        np.take(counts[: len(part)], number, axis=1, out=part)
    return drawn


def _draws(generator: np.random.Generator, patients: int, replicates: int) -> Floats:
    if patients == 1:
        return np.ones((replicates, 1))
    drawn = generator.multinomial(patients - 1, np.full(patients, 1 / patients), size=replicates)
    return np.asarray(drawn * (patients / (patients - 1)))


def _pooled(strata: Numbers) -> Numbers:
    """Return P strata from 0, rarest first, of at least LEAST patients each: small ones join the next larger."""
    names, number, sizes = np.unique(strata, return_inverse=True, return_counts=True)
    order = np.argsort(sizes, kind="stable")
    joined = np.empty(len(names), np.int64)
    stratum, inside = 0, 0
    for place, which in enumerate(order):
        joined[which], inside = stratum, inside + int(sizes[which])
        rest = int(sizes[order[place + 1 :]].sum())
        if inside >= LEAST and rest >= LEAST:
            stratum, inside = stratum + 1, 0
    return joined[number]


def interval(replicates: Floats, level: float = 0.95) -> tuple[float, float]:
    """Return the percentile interval of B replicates; those that are NaN are left out."""
    finite = replicates[np.isfinite(replicates)]
    if not len(finite):
        return float("nan"), float("nan")
    low, high = np.quantile(finite, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
