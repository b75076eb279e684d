"""Hierarchical bootstrap of a mean: data sets are drawn, in each its folds, in each its seeds and patients.

Levels are nested, and every draw is with replacement and of as many units as there are: a data set or a fold that is
drawn twice has its own draws within each time. Patients are not drawn here: stage `evaluate` has done that, the same in
every space and for every autoencoder, so a fold takes one of its replicates, the same for all of its seeds.

Drawing anew within a unit that was itself drawn counts the spread within units twice where there are few of them. The
intervals are then too wide rather than too narrow, except with few data sets, whose own spread is seen too small by
(D - 1) / D; see docs/architecture.md for what simulations say.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def replicates(units: Sequence[Floats], count: int) -> Floats:
    """Return `count` replicates of the mean over data sets of the mean over folds and seeds.

    The draws depend on the shapes alone, so calls for other quantities of the same folds and seeds are paired.

    Args:
        units: for each data set F x S x B values: folds, seeds, replicates of patients. With one data set only its
            folds, seeds and patients are drawn.
        count: how many.
    """
    generator = np.random.default_rng(20260517)
    number = generator.integers(len(units), size=(count, len(units)))
    drawn = np.empty(number.shape)
    for which, values in enumerate(units):
        chosen = number == which
        drawn[chosen] = _within(values, int(chosen.sum()), generator)
    return np.asarray(drawn.mean(axis=1))


def _within(values: Floats, count: int, generator: np.random.Generator) -> Floats:
    folds, seeds, patients = values.shape
    fold = generator.integers(folds, size=(count, folds, 1))
    seed = generator.integers(seeds, size=(count, folds, seeds))
    patient = generator.integers(patients, size=(count, folds, 1))
    return np.asarray(values[fold, seed, patient].mean(axis=(1, 2)))


def described(units: Sequence[Floats]) -> str:
    """Return what was drawn, and which levels have a single unit, whose spread the interval cannot know."""
    counts = {
        "data set": [len(units)],
        "fold": [values.shape[0] for values in units],
        "seed": [values.shape[1] for values in units],
    }
    drawn = [_counted(name, many) for name, many in counts.items() if max(many) > 1]
    single = [name for name, many in counts.items() if max(many) == 1]
    return f"drawn: {', '.join([*drawn, 'patients'])}" + (f"; a single {', a single '.join(single)}" if single else "")


def _counted(name: str, many: Sequence[int]) -> str:
    low, high = min(many), max(many)
    return f"{high} {name}s" if low == high else f"{low} to {high} {name}s"
