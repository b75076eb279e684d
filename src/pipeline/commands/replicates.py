"""The replicates of two studies' cells, where both were drawn alike."""

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


class Replicates:
    """What lies beside one gap table: the replicates that it was made from, and the index.

    Args:
        table: the table's path. Scores are looked for in its own folder, or for the table of one data set above it.
        side: what the table is called in messages.
    """

    def __init__(self, table: Path, side: str) -> None:
        self.results = table.parent if (table.parent / "scores").is_dir() else table.parent.parent
        self.side = side
        self._cells: dict[Path, tuple[dict[tuple[str, str], Floats], list[int]]] = {}
        self._indices: dict[str, pd.DataFrame] = {}

    def values(self, row: "pd.Series[float]", quantity: str) -> tuple[Floats, list[int]]:
        """Return F x S x (1 + B) values of a quantity, the sample itself before its replicates, and the F folds.

        Args:
            row: what it is about, and the value in the table by the suffix of the side.
            quantity: one of `DIFFERENCES`.

        Raises:
            Unpaired: the replicates are missing, or are not those of the table.
        """
        path = self.results / "scores" / f"{row['dataset']}/{row['autoencoder']}/{row['head']}/resampled.parquet"
        if not path.is_file():
            raise Unpaired(f"there are no replicates beside {self.side} (scores/<data set>/<autoencoder>/<head>)")
        if path not in self._cells:
            self._cells[path] = _read(path)
        spaces, folds = self._cells[path]
        left, right = ((str(row["metric"]), space) for space in DIFFERENCES[quantity])
        if left not in spaces or right not in spaces:
            raise Unpaired(f"the replicates beside {self.side} lack a space")
        found = spaces[left] - spaces[right]
        if not abs(found[..., 0].mean() - row[f"{quantity}_{self.side.lower()}"]) <= ROUNDED:
            raise Unpaired(f"the scores beside {self.side} are not those that its table was made from")
        return found, folds

    def drawn_from(self, dataset: str) -> pd.DataFrame:
        """Return what draws depend on, without names; raise Unpaired where there is no index."""
        index = self.results / "index" / f"{dataset}.parquet"
        if not index.is_file():
            raise Unpaired(f"there is no index beside {self.side} (index/<data set>.parquet)")
        if dataset not in self._indices:
            self._indices[dataset] = _unnamed(pd.read_parquet(index))
        return self._indices[dataset]


def draws(row: "pd.Series[float]", a: Replicates, b: Replicates, quantity: str) -> tuple[Floats, Floats]:
    """Return F x S x (1 + B) values of a quantity in two studies, each with its own S: the sample, then replicates.

    What is drawn depends on the patients, their order, their labels and the folds, and on nothing else. So draws are
    the same where the indices of both studies agree in these; names, which are salted, may differ.

    Args:
        row: of both tables, merged: what it is about, and the values by the suffixes `_a` and `_b`.
        a: what lies beside the first study's table.
        b: the same of the second.
        quantity: one of `DIFFERENCES`.

    Raises:
        Unpaired: something is missing, or the draws are not the same.
    """
    (first, folds), (second, other_folds) = (side.values(row, quantity) for side in (a, b))
    if row["units_a"] != row["units_b"]:
        raise Unpaired("what is scored as one unit differs")
    dataset = str(row["dataset"])
    if folds != other_folds or not a.drawn_from(dataset).equals(b.drawn_from(dataset)):
        raise Unpaired("the samples, patients, labels or folds differ")
    # Replicates are drawn one after the other, so the first ones are the same however many follow.
    count = min(first.shape[-1], second.shape[-1])
    return first[..., :count], second[..., :count]


def seed_variance(values: Floats) -> float:
    """Return the variance of the mean over seeds, from F x S x (1 + B) values; NaN with a single seed."""
    by_seed = values[..., 0].mean(axis=0)
    return float(by_seed.var(ddof=1) / len(by_seed)) if len(by_seed) > 1 else float("nan")


def _read(path: Path) -> tuple[dict[tuple[str, str], Floats], list[int]]:
    try:
        table = pd.read_parquet(path)
        return grids(table), sorted(table["fold"].unique().tolist())
    except (OSError, ValueError, KeyError):
        raise StudyError(f"{path} cannot be read; delete it, and the next call makes it again") from None


def _unnamed(index: pd.DataFrame) -> pd.DataFrame:
    used = (index["usable"] & (index["fold"] != UNUSED)).to_numpy(bool)
    # Numbers count patients in the order of the whole index, and are drawn in that order.
    numbers = {name: np.unique(pd.factorize(index[name])[0][used], return_inverse=True)[1] for name in NUMBERED}
    labels = [column for column in index.columns if column.startswith(PREFIX)]
    return index.loc[used, ["fold", *labels]].reset_index(drop=True).assign(**numbers)
