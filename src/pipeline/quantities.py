"""Scores in three spaces and their differences, from replicates that are paired."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline import bootstrap
from pipeline.errors import StudyError

SPACES = ("image", "reconstruction", "latent")
DIFFERENCES = {
    "information_loss": ("image", "reconstruction"),
    "learnability_gap": ("reconstruction", "latent"),
    "total": ("image", "latent"),
}
"""What is subtracted from what."""
Floats = NDArray[np.float64]
Values = dict[str, object]


def grids(resampled: pd.DataFrame) -> dict[tuple[str, str], Floats]:
    """Return F x S x (1 + B) values by metric and space.

    Args:
        resampled: `metric`, `space`, `fold`, `seed`, `r0` to `rB`, as stage `evaluate` writes it.

    Raises:
        StudyError: a fold lacks a seed, or has it twice.
    """
    return {(str(m), str(s)): _grid(part) for (m, s), part in resampled.groupby(["metric", "space"], sort=False)}


def _grid(part: pd.DataFrame) -> Floats:
    part = part.sort_values(["fold", "seed"])
    folds, seeds = part["fold"].nunique(), part["seed"].nunique()
    if len(part) != folds * seeds or part.duplicated(["fold", "seed"]).any():
        raise StudyError("the replicates do not have every seed in every fold once")
    columns = [f"r{number}" for number in range(sum(name[1:].isdigit() for name in part.columns))]
    return part[columns].to_numpy(np.float64).reshape(folds, seeds, -1)


def averages(replicated: pd.DataFrame) -> dict[str, dict[str, Floats]]:
    """Return by metric and space 1 + B means over folds and seeds: of the sample itself, then of its replicates.

    Args:
        replicated: `metric`, `space` and `values`, 1 + B numbers, one row for each fold and seed.
    """
    found: dict[str, dict[str, Floats]] = {str(name): {} for name in replicated["metric"].unique()}
    for (metric, space), part in replicated.groupby(["metric", "space"], sort=False):
        found[str(metric)][str(space)] = np.mean(np.stack(part["values"].tolist()), axis=0)
    return found


def differences(means: Mapping[str, Floats]) -> dict[str, Floats]:
    """Return the differences between spaces, replicate by replicate; none of what needs a space that does not exist."""
    return {name: means[a] - means[b] for name, (a, b) in DIFFERENCES.items() if a in means and b in means}


def stated(values: Floats | None, name: str = "") -> Values:
    """Return 1 + B values as a `value` (or one by this name) with the `low` and `high` end of its 95 % interval."""
    names = (name, f"{name}_low", f"{name}_high") if name else ("value", "low", "high")
    found = (np.nan,) * 3 if values is None else (float(values[0]), *bootstrap.interval(values[1:]))
    return dict(zip(names, found, strict=True))


def wide(replicated: pd.DataFrame) -> pd.DataFrame:
    """Return one row a metric: the three scores and the three differences, each with its 95 % interval.

    What needs the reconstructions of an autoencoder without a decoder is empty.
    """
    rows = []
    for metric, means in averages(replicated).items():
        held = means | differences(means)
        row: Values = {"metric": metric}
        for name in (*SPACES, *DIFFERENCES):
            row |= stated(held.get(name), name)
        rows.append(row)
    return pd.DataFrame(rows)
