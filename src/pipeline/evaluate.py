"""Stage evaluate: three predictions to the information loss and the learnability gap, with intervals."""

import argparse
import json
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline import bootstrap
from pipeline.errors import StudyError
from pipeline.files import write_atomically
from pipeline.metrics import METRICS, recalls
from pipeline.program import run

SPACES = ("image", "reconstruction", "latent")
DIFFERENCES = {
    "information_loss": ("image", "reconstruction"),
    "learnability_gap": ("reconstruction", "latent"),
    "total": ("image", "latent"),
}
Floats = NDArray[np.float64]
Cell = tuple[int, int]
"""Fold and seed."""


def labels_of(index: pd.DataFrame, predictions: pd.DataFrame) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return each sample's class number and patient number.

    Raises:
        StudyError: the predictions do not test every sample just once for each seed, each in its own fold, or are of
            other classes.
    """
    test = predictions[predictions["part"] == "test"]
    labels = index["label"].cat.codes.to_numpy().astype(np.int64)
    if (labels < 0).any() or len(score_columns(predictions)) != len(index["label"].cat.categories):
        raise StudyError("the index, the predictions and the declared classes do not have the same classes")
    for seed, part in test.groupby("seed"):
        if not np.array_equal(np.sort(part["row"]), np.arange(len(index))):
            raise StudyError(f"the predictions of seed {seed} do not test every sample of the index once")
        if (index["fold"].to_numpy()[part["row"]] != part["fold"]).any():
            raise StudyError(f"the predictions of seed {seed} test a sample outside its fold")
    return labels, pd.factorize(index["patient"])[0].astype(np.int64)


def score_columns(predictions: pd.DataFrame) -> list[str]:
    """Return the columns that hold one score a class, in the classes' order."""
    return [column for column in predictions.columns if column.startswith("score_")]


def cells(predictions: pd.DataFrame) -> dict[Cell, tuple[NDArray[np.int64], Floats]]:
    """Return the test rows and their scores (n x K) of every fold and seed."""
    columns = score_columns(predictions)
    test = predictions[predictions["part"] == "test"].sort_values("row")
    result = {}
    for _, part in test.groupby(["fold", "seed"]):
        cell = int(part["fold"].iloc[0]), int(part["seed"].iloc[0])
        result[cell] = part["row"].to_numpy(), part[columns].to_numpy(np.float64)
    return result


def replicate(index: pd.DataFrame, predictions: dict[str, pd.DataFrame], replicates: int) -> pd.DataFrame:
    """Return `metric`, `space`, `fold`, `seed` and `values`: the sample itself, then replicates 1 to B.

    Raises:
        StudyError: the spaces were not tested in the same folds with the same seeds, so that nothing can be paired.
    """
    if len({tuple(sorted(cells(table))) for table in predictions.values()} | {()}) != 2:
        raise StudyError("the predictions of the spaces are not of the same folds and seeds")
    rows = []
    for space, table in predictions.items():
        labels, patients = labels_of(index, table)
        for (fold, seed), (tested, scores) in cells(table).items():
            weights = bootstrap.weights(patients[tested], replicates, fold)
            for name, metric in METRICS.items():
                values = metric(scores, labels[tested], weights)
                rows.append({"metric": name, "space": space, "fold": fold, "seed": seed, "values": values})
    return pd.DataFrame(rows)


def gaps(replicated: pd.DataFrame) -> pd.DataFrame:
    """Return one row a metric: the three scores and the three differences, each with its 95 % interval.

    A metric is averaged over folds and seeds; a difference is taken replicate by replicate, so it is paired.
    """
    means = {
        key: np.mean(np.stack(part["values"].tolist()), axis=0)
        for key, part in replicated.groupby(["metric", "space"], sort=False)
    }
    return pd.DataFrame([_row(name, {space: means[name, space] for space in SPACES}) for name in METRICS])


def _row(metric: str, means: dict[str, Floats]) -> dict[str, object]:
    quantities = means | {name: means[a] - means[b] for name, (a, b) in DIFFERENCES.items()}
    row: dict[str, object] = {"metric": metric}
    for name, values in quantities.items():
        low, high = bootstrap.interval(values[1:])
        row |= {name: values[0], f"{name}_low": low, f"{name}_high": high}
    return row


def scores(index: pd.DataFrame, replicated: pd.DataFrame, predictions: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Return one row for each space, fold, seed and metric, and one for each class's recall."""
    plain = replicated.drop(columns="values").assign(value=[values[0] for values in replicated["values"]], label="")
    rows = []
    for space, table in predictions.items():
        labels, _ = labels_of(index, table)
        for (fold, seed), (tested, score) in cells(table).items():
            cell = {"metric": "recall", "space": space, "fold": fold, "seed": seed}
            values = recalls(score, labels[tested], np.ones((1, len(tested))))[0]
            names = index["label"].cat.categories
            rows += [{**cell, "value": value, "label": name} for name, value in zip(names, values, strict=True)]
    return pd.concat([plain, pd.DataFrame(rows)], ignore_index=True)


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
    for space in SPACES:
        parser.add_argument(f"--{space}", type=Path, required=True, help=f"predictions in {space} space")
    parser.add_argument("--replicates", type=int, required=True)
    parser.add_argument("--gap", type=Path, required=True)
    parser.add_argument("--scores", type=Path, required=True)
    parser.add_argument("--resampled", type=Path, required=True)
    arguments = parser.parse_args()
    index = pd.read_parquet(arguments.index)
    index["label"] = pd.Categorical(index["label"], categories=json.loads(arguments.classes))
    predictions = {space: pd.read_parquet(getattr(arguments, space)) for space in SPACES}
    replicated = replicate(index, predictions, arguments.replicates)
    gap = gaps(replicated)
    for name in ("folds", "seeds"):
        gap[name] = replicated[name[:-1]].nunique()
    gap["patients"], gap["samples"] = index["patient"].nunique(), len(index)
    write_atomically(arguments.scores, lambda path: scores(index, replicated, predictions).to_csv(path, index=False))
    write_atomically(arguments.resampled, lambda path: flatten(replicated).to_parquet(path, index=False))
    write_atomically(arguments.gap, lambda path: gap.to_csv(path, index=False))


if __name__ == "__main__":
    run(main)
