"""Stage evaluate: three predictions to the information loss and the learnability gap, with intervals."""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline import bootstrap, calibration, complexity, groups, labels, profiles
from pipeline.errors import StudyError
from pipeline.files import write_atomically
from pipeline.groups import DEFAULT, Groups
from pipeline.metrics import Metric, binary_auroc, metrics, recalls, sides
from pipeline.program import run
from pipeline.progress import progress
from pipeline.quantities import SPACES, wide
from pipeline.tested import Cell, Cells, Truth, cells, read, truth

FEW = 10
"""Classes with fewer positives are flagged: their scores rest on hardly anything."""
OUTPUTS = ("gap", "scores", "groups", "reliability", "profile", "complexity")
Floats = NDArray[np.float64]
Keys = dict[str, object]


@dataclass(frozen=True)
class Asked:
    """What is to be computed of one space.

    Attributes:
        keys: what the rows are called.
        cells: what was tested.
        metrics: by name.
    """

    keys: Keys
    cells: Cells
    metrics: Mapping[str, Metric]


def resample(asked: Sequence[Asked], replicates: int) -> pd.DataFrame:
    """Return the keys, `metric`, `fold`, `seed` and `values`: the sample itself, then replicates 1 to B.

    The draws are the same for all that is asked, so everything is paired.

    Raises:
        StudyError: not all was tested in the same folds with the same seeds, so that nothing can be paired.
    """
    if len({tuple(sorted(each.cells)) for each in asked} | {()}) != 2:
        raise StudyError("the predictions of the spaces are not of the same folds and seeds")
    tested = sorted(asked[0].cells)
    rows = []
    folds = dict.fromkeys(fold for fold, _ in tested)
    for fold in progress(folds, len(folds), "resampling", " folds"):
        seeds = [seed for of, seed in tested if of == fold]
        first = asked[0].cells[fold, seeds[0]]
        weights = bootstrap.weights(first.patients, replicates, fold, first.strata)
        rows += [{**each.keys, **row} for each in asked for row in _of_fold(each, fold, seeds, weights)]
    return pd.DataFrame(rows)


def _of_fold(asked: Asked, fold: int, seeds: Sequence[int], weights: Floats) -> Iterator[Keys]:
    for seed in seeds:
        cell = asked.cells[fold, seed]
        for name, metric in asked.metrics.items():
            yield {"metric": name, "fold": fold, "seed": seed, "values": metric(cell.scores, cell.labels, weights)}


def replicate(known: Truth, tested: Mapping[str, Cells], replicates: int) -> pd.DataFrame:
    """Return the replicates of every metric of the main predictions: `space`, then the columns of `resample`."""
    return resample(
        [Asked({"space": space}, each, metrics(known.exclusive)) for space, each in tested.items()], replicates
    )


def gaps(replicated: pd.DataFrame) -> pd.DataFrame:
    """Return one row a metric: the three scores and the three differences, each with its 95 % interval.

    A metric is averaged over folds and seeds; a difference is taken replicate by replicate, so it is paired. What needs
    the reconstructions of an autoencoder without a decoder is empty.
    """
    return wide(replicated)


def scores(known: Truth, tested: Mapping[str, Cells], replicated: pd.DataFrame, of: Groups = DEFAULT) -> pd.DataFrame:
    """Return one row for each space, fold, seed and metric, calibration among them, and those of each class.

    A class's rows say on how many `positives` of that fold they rest, whether it has `few_positives`: less than ten in
    all tested folds together, which `share` of the training samples has it, and to which `group` that makes it belong.
    """
    scored = replicated.drop(columns="values").assign(value=[values[0] for values in replicated["values"]])
    plain: list[pd.DataFrame] = [scored.assign(label=""), calibration.scores(tested).assign(label="")]
    rows: list[Keys] = []
    for space, of_space in tested.items():
        for (fold, seed), cell in of_space.items():
            where = {"space": space, "fold": fold, "seed": seed}
            rows += [{**row, **where} for row in _of_classes(known, cell)]
    classes = pd.DataFrame(rows)
    counted = classes.drop_duplicates(["label", "fold"]).groupby("label")["positives"].sum()
    classes["few_positives"] = (classes["label"].map(counted) < FEW).astype("boolean")
    shares = known.shares()
    named = {known.classes[k]: name for name, members in of.of(shares).items() for k in members}
    classes["share"] = classes["label"].map(dict(zip(known.classes, shares, strict=True)))
    classes["group"] = classes["label"].map(named)
    return pd.concat([*plain, classes], ignore_index=True).astype({"positives": "Int64"})


def _of_classes(known: Truth, cell: Cell) -> list[Keys]:
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


@dataclass(frozen=True)
class Settings:
    """How a cell is evaluated.

    Attributes:
        replicates: B.
        groups: which classes are common and which are rare.
        fraction: the share of labels that the main predictions rest on.
        label_seed: what the patients of a smaller share were drawn by.
    """

    replicates: int
    groups: Groups = DEFAULT
    fraction: float = 1.0
    label_seed: int = 0


def evaluate(
    known: Truth, predictions: Mapping[str, pd.DataFrame], found: Mapping[str, pd.DataFrame], settings: Settings
) -> dict[str, pd.DataFrame]:
    """Return the tables of one cell by the names OUTPUTS, and its `resampled` replicates, all from the same draws.

    Args:
        known: the truth.
        predictions: by space.
        found: by space the profile, which may have no rows.
        settings: how.
    """
    tested = {space: cells(known, table) for space, table in predictions.items()}
    members, main = settings.groups.of(known.shares()), metrics(known.exclusive)
    grouped, along = groups.metrics(members, known.exclusive), {**main, complexity.LOG_LOSS: calibration.log_loss}
    asked = [Asked({"space": space}, each, main) for space, each in tested.items()]
    asked += [Asked({"space": space, "group": True}, each, grouped) for space, each in tested.items()]
    for place, spaces in profiles.points(known, found, tested, settings.fraction).items():
        wanted = along if place.axis == profiles.FRACTION else main
        asked += [Asked({"space": space, **place._asdict()}, each, wanted) for space, each in spaces.items()]
    rows = resample(asked, settings.replicates).reindex(columns=[*COLUMNS, "group", "axis", "at"])
    replicated = rows.loc[rows["group"].isna() & rows["axis"].isna(), COLUMNS].reset_index(drop=True)
    return {
        "gap": _counted(known, gaps(replicated), replicated),
        "scores": scores(known, tested, replicated, settings.groups),
        "groups": groups.table(rows.loc[rows["group"].notna(), COLUMNS], members, known.exclusive),
        "reliability": calibration.reliability(tested),
        "profile": profiles.table(rows[rows["axis"].notna()]),
        "complexity": _complexity(known, rows[rows["axis"].notna()], settings),
        "resampled": flatten(replicated),
    }


COLUMNS = ["metric", "space", "fold", "seed", "values"]


def _complexity(known: Truth, replicated: pd.DataFrame, settings: Settings) -> pd.DataFrame:
    fractions, curves = profiles.curves(replicated)
    sizes = np.array([known.trained_on(fraction, settings.label_seed) for fraction in fractions])
    # Of few patients a smaller share can be as many: at least one of each stratum. The larger of the two is told.
    rising = np.flatnonzero(np.append(np.diff(sizes) > 0, True))[: len(sizes)]
    kept = {name: {space: each[rising] for space, each in held.items()} for name, held in curves.items()}
    return complexity.table(sizes[rising], kept)


def _counted(known: Truth, gap: pd.DataFrame, replicated: pd.DataFrame) -> pd.DataFrame:
    rows = known.rows
    counts = {name: replicated[name[:-1]].nunique() for name in ("folds", "seeds")}
    counts |= {"patients": len(np.unique(known.patients[rows])), "samples": len(rows)}
    return gap.assign(**counts, units=len(np.unique(known.units[rows])))


def arguments() -> argparse.ArgumentParser:
    """Return the program's options."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--index", type=Path, required=True)
    parser.add_argument("--classes", required=True, help="the class names as JSON, in order")
    parser.add_argument("--task", choices=get_args(labels.Task), required=True)
    parser.add_argument("--unit", choices=("image", "series"), required=True, help="what is scored")
    for space, many in zip(SPACES, ("+", "*", "+"), strict=True):
        parser.add_argument(f"--{space}", type=Path, nargs=many, default=[], help=f"predictions in {space} space")
        parser.add_argument(f"--{space}-profile", type=Path, nargs="*", default=[], help="the same along axes")
    parser.add_argument("--cell", required=True, help="JSON: the names of `dataset`, `autoencoder` and `head`")
    parser.add_argument("--thresholds", required=True, help="the shares of common and rare classes, as JSON")
    parser.add_argument("--label-fraction", type=float, default=1.0, help="share of labels behind the predictions")
    parser.add_argument("--label-seed", type=int, default=0, help="what draws the patients of smaller shares")
    parser.add_argument("--replicates", type=int, required=True)
    for name in (*OUTPUTS, "resampled"):
        parser.add_argument(f"--{name}", type=Path, required=True, dest=f"to_{name}")
    return parser


def main() -> None:
    """Evaluate one head of one autoencoder on one data set."""
    asked = arguments().parse_args()
    known = truth(pd.read_parquet(asked.index), json.loads(asked.classes), asked.task, asked.unit)
    given = {space: getattr(asked, space) for space in SPACES}
    profile = {space: getattr(asked, f"{space}_profile") for space in SPACES}
    settings = Settings(asked.replicates, Groups.read(asked.thresholds), asked.label_fraction, asked.label_seed)
    tables = evaluate(
        known,
        {space: read(paths) for space, paths in given.items() if paths},
        {space: read(paths) for space, paths in profile.items() if paths},
        settings,
    )
    cell = json.loads(asked.cell)
    resampled = tables.pop("resampled")
    write_atomically(asked.to_resampled, lambda path: resampled.to_parquet(path, index=False))
    for name, table in tables.items():
        named = table if name in ("gap", "scores") else table.assign(**cell)[[*cell, *table.columns]]
        write_csv(getattr(asked, f"to_{name}"), named)


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Write a table as CSV, with all digits."""
    write_atomically(path, lambda temporary: table.to_csv(temporary, index=False))


if __name__ == "__main__":
    run(main)
