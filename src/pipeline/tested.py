"""What was tested: the truth of a data set's samples, and the scores of each fold and seed beside it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline import bootstrap, labels
from pipeline.errors import StudyError
from pipeline.folds import NOT_TESTED, Split, fraction_of, splits
from pipeline.labels import Labels

Floats = NDArray[np.float64]
Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Truth:
    """What is known of a data set's samples, in the order of its index.

    Attributes:
        labels: N x K.
        patients: N numbers.
        units: N numbers of what is scored together: every sample by itself, or the samples of a series.
        parts: the rows of each tested fold: usable, labelled ones.
        classes: K names.
        exclusive: whether every tested sample has exactly one class.
    """

    labels: Labels
    patients: Numbers
    units: Numbers
    parts: tuple[Split, ...]
    classes: list[str]
    exclusive: bool

    @cached_property
    def tested(self) -> dict[int, Numbers]:
        """Return the test rows of each tested fold."""
        return {split.fold: split.test for split in self.parts}

    @property
    def rows(self) -> Numbers:
        """Return the rows that are tested in any fold."""
        return np.concatenate(list(self.tested.values()))

    @property
    def fold(self) -> Numbers:
        """Return the fold of each of `rows`."""
        return np.repeat(list(self.tested), [len(part) for part in self.tested.values()])

    def shares(self) -> Floats:
        """Return K shares: training samples that have the class, of those whose label of it is known, over all folds.

        A class of which no training label is known has a share of 0.
        """
        given = self.labels[np.concatenate([split.train for split in self.parts])]
        known = (given != labels.MISSING).sum(axis=0)
        return np.asarray((given == 1).sum(axis=0) / np.maximum(known, 1), dtype=np.float64)

    def trained_on(self, fraction: float, seed: int) -> float:
        """Return how many samples a head is trained on that may see this share of the labels, mean over folds."""
        if fraction == 1:
            return float(np.mean([len(split.train) for split in self.parts]))
        given, patients = self.labels, self.patients
        return float(np.mean([len(fraction_of(part, given, patients, fraction, seed).train) for part in self.parts]))


@dataclass(frozen=True)
class Cell:
    """The n tested units of one fold and seed.

    Attributes:
        labels: n class numbers where classes are exclusive, else n x K labels.
        patients: n numbers.
        strata: n numbers of what patients are drawn within.
        scores: n x K.
    """

    labels: NDArray[np.integer[Any]]
    patients: Numbers
    strata: Numbers
    scores: Floats


Cells = dict[tuple[int, int], Cell]
"""By fold and seed."""


def truth(index: pd.DataFrame, classes: list[str], task: str, unit: str) -> Truth:
    """Return what is known of the samples of an index.

    Raises:
        StudyError: the index is of other classes, or the samples of a series do not belong together.
    """
    if unit == "series" and index["unit"].isna().any():
        raise StudyError("the index has samples of no series; set 'unit' to image")
    patients = pd.factorize(index["patient"])[0].astype(np.int64)
    units = pd.factorize(index["unit"])[0].astype(np.int64) if unit == "series" else np.arange(len(index))
    given = labels.of(index, classes)
    result = Truth(given, patients, units, tuple(splits(index)), classes, task != "multi-label")
    rows = result.rows
    _, first, of_unit = np.unique(units[rows], return_index=True, return_inverse=True)
    compared: list[tuple[str, NDArray[np.integer[Any]]]] = [("labels", given[rows]), ("patients", patients[rows])]
    for what, values in [*compared, ("folds", result.fold)]:
        if (values[first][of_unit] != values).any():
            raise StudyError(f"the samples of a series have different {what}; set 'unit' to image")
    return result


def check(known: Truth, predictions: pd.DataFrame) -> None:
    """Raise StudyError unless each seed tests every usable, labelled sample of the tested folds once, in its fold."""
    if len(score_columns(predictions)) != len(known.classes):
        raise StudyError("the predictions and the declared classes do not have the same classes")
    rows = known.rows
    fold = pd.Series(known.fold, index=rows)
    for seed, part in predictions[predictions["part"] == "test"].groupby("seed"):
        if not np.array_equal(np.sort(part["row"].to_numpy()), np.sort(rows)):
            raise StudyError(f"the predictions of seed {seed} do not test every sample of the index once{NOT_TESTED}")
        if (fold.loc[part["row"]].to_numpy() != part["fold"]).any():
            raise StudyError(f"the predictions of seed {seed} test a sample outside its fold")


def read(paths: Sequence[Path]) -> pd.DataFrame:
    """Read predictions: one table, or one for each fold; tables without rows add none."""
    tables = [pd.read_parquet(path) for path in paths]
    return pd.concat([table for table in tables if len(table)] or tables[:1], ignore_index=True)


def score_columns(predictions: pd.DataFrame) -> list[str]:
    """Return the columns that hold one score a class, in the classes' order."""
    return [column for column in predictions.columns if column.startswith("score_")]


def cells(known: Truth, predictions: pd.DataFrame) -> Cells:
    """Return the tested units of every fold and seed; the scores of a unit are the mean of its samples'."""
    check(known, predictions)
    columns = score_columns(predictions)
    test = predictions[predictions["part"] == "test"].sort_values("row")
    result = {}
    for _, part in test.groupby(["fold", "seed"]):
        rows, given = part["row"].to_numpy(), part[columns].to_numpy(np.float64)
        _, first, of_unit = np.unique(known.units[rows], return_index=True, return_inverse=True)
        sums = np.zeros((len(first), len(columns)))
        np.add.at(sums, of_unit, given)
        rows = rows[first]
        truths = labels.numbers(known.labels[rows]) if known.exclusive else known.labels[rows]
        strata = bootstrap.strata(known.labels[rows], known.patients[rows])
        cell = Cell(truths, known.patients[rows], strata, sums / np.bincount(of_unit)[:, None])
        result[int(part["fold"].iloc[0]), int(part["seed"].iloc[0])] = cell
    return result
