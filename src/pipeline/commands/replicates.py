"""The replicates of two studies' cells, where both were drawn alike."""

from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.errors import StudyError
from pipeline.folds import UNUSED
from pipeline.labels import PREFIX
from pipeline.quantities import DIFFERENCES, grids

Floats = NDArray[np.float64]
ROUNDED = 1e-6
"""Tables have six decimals."""
NUMBERED = ("patient", "unit")


class Unpaired(Exception):
    """The two cells cannot be compared draw by draw; the message is the half of a sentence after `because`."""


def draws(row: "pd.Series[float]", a: Path, b: Path, quantity: str) -> tuple[Floats, Floats]:
    """Return F x S x (1 + B) values of a quantity in two studies, each with its own S: the sample, then replicates.

    What is drawn depends on the patients, their order, their labels and the folds, and on nothing else. So draws are
    the same where the indices of both studies agree in these; names, which are salted, may differ.

    Args:
        row: of both tables, merged: what it is about, and the values by the suffixes `_a` and `_b`.
        a: the first study's table.
        b: the second's.
        quantity: one of `DIFFERENCES`.

    Raises:
        Unpaired: a study's replicates or index are missing or not those of its table, or the draws are not the same.
    """
    cell = (str(row["dataset"]), str(row["autoencoder"]), str(row["head"]))
    found = [_cell(_results(path), *cell, str(row["metric"]), quantity, side) for path, side in ((a, "A"), (b, "B"))]
    for (values, _), side in zip(found, "ab", strict=True):
        if not abs(values[..., 0].mean() - row[f"{quantity}_{side}"]) <= ROUNDED:
            raise Unpaired(f"the scores beside {side.upper()} are not those that its table was made from")
    (first, folds), (second, other_folds) = found
    if row["units_a"] != row["units_b"]:
        raise Unpaired("what is scored as one unit differs")
    if folds != other_folds or not _same_samples(_results(a), _results(b), cell[0]):
        raise Unpaired("the samples, patients, labels or folds differ")
    # Replicates are drawn one after the other, so the first ones are the same however many follow.
    count = min(first.shape[-1], second.shape[-1])
    return first[..., :count], second[..., :count]


def seed_variance(values: Floats) -> float:
    """Return the variance of the mean over seeds, from F x S x (1 + B) values; NaN with a single seed."""
    by_seed = values[..., 0].mean(axis=0)
    return float(by_seed.var(ddof=1) / len(by_seed)) if len(by_seed) > 1 else float("nan")


def _results(table: Path) -> Path:
    """Return the folder with a table's scores: its own, or for the table of one data set the one above."""
    return table.parent if (table.parent / "scores").is_dir() else table.parent.parent


def _cell(
    results: Path, dataset: str, autoencoder: str, head: str, metric: str, quantity: str, side: str
) -> tuple[Floats, list[int]]:
    path = results / "scores" / dataset / autoencoder / head / "resampled.parquet"
    if not path.is_file():
        raise Unpaired(f"there are no replicates beside {side} (scores/<data set>/<autoencoder>/<head>)")
    values, folds = _resampled(path)
    left, right = DIFFERENCES[quantity]
    if (metric, left) not in values or (metric, right) not in values:
        raise Unpaired(f"the replicates beside {side} lack a space")
    return values[metric, left] - values[metric, right], folds


@cache
def _resampled(path: Path) -> tuple[dict[tuple[str, str], Floats], list[int]]:
    try:
        table = pd.read_parquet(path)
        return grids(table), sorted(table["fold"].unique().tolist())
    except (OSError, ValueError, KeyError):
        raise StudyError(f"{path} cannot be read; delete it, and the next call makes it again") from None


@cache
def _same_samples(a: Path, b: Path, dataset: str) -> bool:
    first, second = (_drawn_from(results / "index" / f"{dataset}.parquet") for results in (a, b))
    return first is not None and second is not None and first.equals(second)


def _drawn_from(index: Path) -> pd.DataFrame | None:
    """Return what draws depend on, without names: patients, units, labels, folds; None without an index."""
    if not index.is_file():
        return None
    table = pd.read_parquet(index)
    if "fold" not in table:
        return None
    used = (table["usable"] & (table["fold"] != UNUSED)).to_numpy(bool)
    # Numbers count patients in the order of the whole index, and are drawn in that order.
    numbers = {name: np.unique(pd.factorize(table[name])[0][used], return_inverse=True)[1] for name in NUMBERED}
    labels = [column for column in table.columns if column.startswith(PREFIX)]
    return table.loc[used, ["fold", *labels]].reset_index(drop=True).assign(**numbers)
