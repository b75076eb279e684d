"""Stage evaluate: three predictions to the information loss and the learnability gap, with intervals."""

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline import bootstrap, labels
from pipeline.errors import StudyError
from pipeline.files import write_atomically
from pipeline.folds import NOT_TESTED, splits
from pipeline.labels import Labels
from pipeline.metrics import binary_auroc, metrics, recalls, sides
from pipeline.program import run

SPACES = ("image", "reconstruction", "latent")
DIFFERENCES = {
    "information_loss": ("image", "reconstruction"),
    "learnability_gap": ("reconstruction", "latent"),
    "total": ("image", "latent"),
}
FEW = 10
"""Classes with fewer positives are flagged: their scores rest on hardly anything."""
Floats = NDArray[np.float64]
Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Truth:
    """What is known of a data set's samples, in the order of its index.

    Attributes:
        labels: N x K.
        patients: N numbers.
        units: N numbers of what is scored together: every sample by itself, or the samples of a series.
        tested: for each tested fold its test rows: usable, labelled ones.
        classes: K names.
        exclusive: whether every tested sample has exactly one class.
    """

    labels: Labels
    patients: Numbers
    units: Numbers
    tested: dict[int, Numbers]
    classes: list[str]
    exclusive: bool


@dataclass(frozen=True)
class Cell:
    """The n tested units of one fold and seed.

    Attributes:
        labels: n class numbers where classes are exclusive, else n x K labels.
        patients: n numbers.
        scores: n x K.
    """

    labels: NDArray[np.integer[Any]]
    patients: Numbers
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
    tested = {split.fold: split.test for split in splits(index)}
    patients = pd.factorize(index["patient"])[0].astype(np.int64)
    units = pd.factorize(index["unit"])[0].astype(np.int64) if unit == "series" else np.arange(len(index))
    result = Truth(labels.of(index, classes), patients, units, tested, classes, task != "multi-label")
    rows = np.concatenate(list(tested.values()))
    fold = np.repeat(list(tested), [len(part) for part in tested.values()])
    _, first, of_unit = np.unique(units[rows], return_index=True, return_inverse=True)
    for what, values in [("labels", result.labels[rows]), ("patients", patients[rows]), ("folds", fold)]:
        if (values[first][of_unit] != values).any():
            raise StudyError(f"the samples of a series have different {what}; set 'unit' to image")
    return result


def check(known: Truth, predictions: pd.DataFrame) -> None:
    """Raise StudyError unless each seed tests every usable, labelled sample of the tested folds once, in its fold."""
    if len(score_columns(predictions)) != len(known.classes):
        raise StudyError("the predictions and the declared classes do not have the same classes")
    rows = np.concatenate(list(known.tested.values()))
    fold = pd.Series(np.repeat(list(known.tested), [len(part) for part in known.tested.values()]), index=rows)
    for seed, part in predictions[predictions["part"] == "test"].groupby("seed"):
        if not np.array_equal(np.sort(part["row"]), np.sort(rows)):
            raise StudyError(f"the predictions of seed {seed} do not test every sample of the index once{NOT_TESTED}")
        if (fold.loc[part["row"]].to_numpy() != part["fold"]).any():
            raise StudyError(f"the predictions of seed {seed} test a sample outside its fold")


def read(paths: Sequence[Path]) -> pd.DataFrame:
    """Read predictions: one table, or one for each fold."""
    return pd.concat([pd.read_parquet(path) for path in paths], ignore_index=True)


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
        cell = Cell(truths, known.patients[rows], sums / np.bincount(of_unit)[:, None])
        result[int(part["fold"].iloc[0]), int(part["seed"].iloc[0])] = cell
    return result


def replicate(known: Truth, tested: dict[str, Cells], replicates: int) -> pd.DataFrame:
    """Return `metric`, `space`, `fold`, `seed` and `values`: the sample itself, then replicates 1 to B.

    Raises:
        StudyError: the spaces were not tested in the same folds with the same seeds, so that nothing can be paired.
    """
    if len({tuple(sorted(of_space)) for of_space in tested.values()} | {()}) != 2:
        raise StudyError("the predictions of the spaces are not of the same folds and seeds")
    rows = []
    for fold, seed in tested[SPACES[0]]:
        weights = bootstrap.weights(tested[SPACES[0]][fold, seed].patients, replicates, fold)
        for space, of_space in tested.items():
            cell = of_space[fold, seed]
            for name, metric in metrics(known.exclusive).items():
                values = metric(cell.scores, cell.labels, weights)
                rows.append({"metric": name, "space": space, "fold": fold, "seed": seed, "values": values})
    return pd.DataFrame(rows)


def gaps(replicated: pd.DataFrame) -> pd.DataFrame:
    """Return one row a metric: the three scores and the three differences, each with its 95 % interval.

    A metric is averaged over folds and seeds; a difference is taken replicate by replicate, so it is paired. What needs
    the reconstructions of an autoencoder without a decoder is empty.
    """
    means = {
        key: np.mean(np.stack(part["values"].tolist()), axis=0)
        for key, part in replicated.groupby(["metric", "space"], sort=False)
    }
    return pd.DataFrame(
        [_row(name, {space: means.get((name, space)) for space in SPACES}) for name in replicated["metric"].unique()]
    )


def _row(metric: str, means: dict[str, Floats | None]) -> dict[str, object]:
    quantities = means | {name: _difference(means[a], means[b]) for name, (a, b) in DIFFERENCES.items()}
    row: dict[str, object] = {"metric": metric}
    for name, values in quantities.items():
        found = (np.nan,) * 3 if values is None else (values[0], *bootstrap.interval(values[1:]))
        row |= dict(zip((name, f"{name}_low", f"{name}_high"), found, strict=True))
    return row


def _difference(first: Floats | None, second: Floats | None) -> Floats | None:
    return None if first is None or second is None else first - second


def scores(known: Truth, tested: dict[str, Cells], replicated: pd.DataFrame) -> pd.DataFrame:
    """Return one row for each space, fold, seed and metric, and those of each class.

    A class's rows say on how many `positives` of that fold they rest, and whether it has `few_positives`: less than ten
    in all tested folds together.
    """
    plain = replicated.drop(columns="values").assign(value=[values[0] for values in replicated["values"]], label="")
    rows: list[dict[str, object]] = []
    for space, of_space in tested.items():
        for (fold, seed), cell in of_space.items():
            where = {"space": space, "fold": fold, "seed": seed}
            rows += [{**row, **where} for row in _of_classes(known, cell)]
    classes = pd.DataFrame(rows)
    counted = classes.drop_duplicates(["label", "fold"]).groupby("label")["positives"].sum()
    classes["few_positives"] = (classes["label"].map(counted) < FEW).astype("boolean")
    table = pd.concat([plain, classes], ignore_index=True)
    return table.astype({"positives": "Int64"})


def _of_classes(known: Truth, cell: Cell) -> list[dict[str, object]]:
    ones = np.ones((1, len(cell.scores)))
    if known.exclusive:
        has = cell.labels[:, None] == np.arange(len(known.classes))
        values = {"recall": recalls(cell.scores, cell.labels, ones)[0]}
    else:
        has = cell.labels == 1
        counted = sides(cell.scores, cell.labels, ones)
        values = {"recall": counted.sensitivity()[0], "specificity": counted.specificity()[0]}
        areas = [binary_auroc(score, given, ones)[0] for score, given in zip(cell.scores.T, cell.labels.T, strict=True)]
        values["auroc"] = np.array(areas)
    return [
        {"metric": metric, "label": name, "value": value, "positives": count}
        for metric, of_class in values.items()
        for name, value, count in zip(known.classes, of_class, has.sum(axis=0), strict=True)
    ]


def flatten(replicated: pd.DataFrame) -> pd.DataFrame:
    """Return the replicates as plain columns, one row for each metric, space, fold and seed."""
    values = np.stack(replicated["values"].tolist())
    columns = pd.DataFrame(values, columns=[f"r{number}" for number in range(values.shape[1])])
    return pd.concat([replicated.drop(columns="values").reset_index(drop=True), columns], axis=1)


def main() -> None:
    """Evaluate one head of one autoencoder on one data set."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--index", type=Path, required=True)
    parser.add_argument("--classes", required=True, help="the class names as JSON, in order")
    parser.add_argument("--task", choices=get_args(labels.Task), required=True)
    parser.add_argument("--unit", choices=("image", "series"), required=True, help="what is scored")
    for space, many in zip(SPACES, ("+", "*", "+"), strict=True):
        parser.add_argument(f"--{space}", type=Path, nargs=many, default=[], help=f"predictions in {space} space")
    parser.add_argument("--replicates", type=int, required=True)
    parser.add_argument("--gap", type=Path, required=True)
    parser.add_argument("--scores", type=Path, required=True)
    parser.add_argument("--resampled", type=Path, required=True)
    arguments = parser.parse_args()
    index = pd.read_parquet(arguments.index)
    known = truth(index, json.loads(arguments.classes), arguments.task, arguments.unit)
    tested = {space: cells(known, read(paths)) for space in SPACES if (paths := getattr(arguments, space))}
    replicated = replicate(known, tested, arguments.replicates)
    gap = gaps(replicated)
    for name in ("folds", "seeds"):
        gap[name] = replicated[name[:-1]].nunique()
    rows = np.concatenate(list(known.tested.values()))
    gap["patients"], gap["samples"] = len(np.unique(known.patients[rows])), len(rows)
    gap["units"] = len(np.unique(known.units[rows]))
    write_atomically(arguments.scores, lambda path: scores(known, tested, replicated).to_csv(path, index=False))
    write_atomically(arguments.resampled, lambda path: flatten(replicated).to_parquet(path, index=False))
    write_atomically(arguments.gap, lambda path: gap.to_csv(path, index=False))


if __name__ == "__main__":
    run(main)
