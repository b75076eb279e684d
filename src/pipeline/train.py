"""Stage train: one head in one space, over every fold and seed."""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from safetensors.numpy import save_file

from pipeline import families, labels, reuse, sources
from pipeline.errors import StudyError
from pipeline.files import write_atomically
from pipeline.folds import NOT_TESTED, Split, fraction_of, splits
from pipeline.heads import Fitted, HeadSpec, Space
from pipeline.program import run
from pipeline.store import Rows, check


def space(store: Path, index: pd.DataFrame, classes: list[str], exclusive: bool, image_size: int) -> Space:
    """Read a space whole, with the labels of its samples.

    Raises:
        StudyError: the store and the index are not of the same samples, or the index is of other classes.
    """
    rows = Rows(store)
    if len(rows) != len(index):
        raise StudyError(f"{store} holds {len(rows)} samples and the index {len(index)}")
    return Space(rows.read(0, len(rows)), labels.of(index, classes), exclusive, image_size // rows.shape[1])


def check_used(space: Space, parts: list[Split]) -> None:
    """Refuse values and labels that no head can be trained on, among the rows that are used; others are never read.

    Raises:
        StudyError: a value is not finite, a label is none, or a sample has not one class where classes are exclusive.
    """
    used = np.unique(np.concatenate([rows for split in parts for rows in (split.train, split.validation, split.test)]))
    if not all(np.isfinite(space.values[rows]).all() for rows in np.array_split(used, len(used) // 256 + 1)):
        raise StudyError("the store holds values that are not finite")
    given = space.labels[used]
    if not np.isin(given, [0, 1, labels.MISSING]).all():
        raise StudyError("the index holds labels other than 1, 0 and missing")
    if space.exclusive and not (((given == 1).sum(axis=1) == 1) & (given != labels.MISSING).all(axis=1)).all():
        raise StudyError("a sample of the index has not exactly one class; set 'task' to multi-label")


def train(
    spec: HeadSpec,
    space: Space,
    parts: list[Split],
    patients: NDArray[np.generic],
    seeds: list[int],
    folds: Sequence[int] = (),
) -> Iterator[tuple[Split, int, Fitted]]:
    """Train the head for every fold, or for these, and every seed, on the share of labels that it may see.

    Raises:
        StudyError: one of the folds is not tested.
    """
    if unknown := set(folds) - {split.fold for split in parts}:
        raise StudyError(f"fold {min(unknown)} is not one that is tested{NOT_TESTED}")
    for whole in parts:
        if folds and whole.fold not in folds:
            continue
        split = share(spec, space, whole, patients)
        for seed in seeds:
            # The published scheme seeds by fold; a second seed must differ in every fold.
            yield split, seed, spec.fit(space, split, seed * len(parts) + split.fold)


def share(spec: HeadSpec, space: Space, split: Split, patients: NDArray[np.generic]) -> Split:
    """Return the split with the training rows whose labels the head may see.

    Raises:
        StudyError: what is left has nothing to tell apart.
    """
    if spec.label_fraction == 1:
        return split
    part = fraction_of(split, space.labels, patients, spec.label_fraction, spec.label_seed)
    given = space.labels[part.train]
    if not ((given == 1).any(axis=0) & (given == 0).any(axis=0)).any():
        raise StudyError(
            f"with the label_fraction {spec.label_fraction} fold {split.fold} trains on {len(part.train)} samples, "
            "which leaves nothing to tell apart"
        )
    return part


def predictions(split: Split, seed: int, fitted: Fitted) -> pd.DataFrame:
    """Return one row a scored sample: `fold`, `seed`, `part`, `row`, and one score a class."""
    tables = []
    for part, rows, scores in [
        ("validation", split.validation, fitted.validation),
        ("test", split.test, fitted.test),
    ]:
        if not np.isfinite(scores).all():
            raise StudyError(f"the head's scores of fold {split.fold}, seed {seed} are not finite")
        table = pd.DataFrame(scores, columns=[f"score_{k}" for k in range(scores.shape[1])])
        table.insert(0, "row", rows)
        table.insert(0, "part", part)
        tables.append(table)
    result = pd.concat(tables, ignore_index=True)
    result.insert(0, "seed", seed)
    result.insert(0, "fold", split.fold)
    return result


def fit(spec: HeadSpec, data: Space, index: pd.DataFrame, asked: argparse.Namespace) -> None:
    """Train for every fold and seed and write predictions, weights and curves."""
    parts, patients = splits(index), index["patient"].to_numpy()
    check_used(data, parts)
    tables, curves = [], []
    tensors: dict[str, np.ndarray] = {}
    for split, seed, fitted in train(spec, data, parts, patients, asked.seeds, asked.folds):
        tables.append(predictions(split, seed, fitted))
        curves.append(fitted.curve.assign(fold=split.fold, seed=seed))
        named = {f"fold{split.fold}.seed{seed}.{name}": value for name, value in fitted.tensors.items()}
        tensors |= {name: np.asarray(value, order="C") for name, value in named.items()}
    write_atomically(asked.weights, lambda path: save_file(tensors, path))
    write_atomically(asked.curves, lambda path: pd.concat(curves).to_csv(path, index=False))
    write_atomically(asked.predictions, lambda path: pd.concat(tables).to_parquet(path, index=False))


def main() -> None:
    """Train one head in one space and write its predictions, weights and curves."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spec", required=True, help="the head's entry of the configuration as JSON")
    parser.add_argument("--index", type=Path, required=True)
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--manifests", type=Path, nargs="+", required=True)
    parser.add_argument("--classes", required=True, help="the class names as JSON, in order")
    parser.add_argument("--task", choices=get_args(labels.Task), required=True)
    parser.add_argument("--image-size", type=int, required=True, help="side of the images in pixels")
    parser.add_argument("--seeds", type=int, nargs="+", required=True)
    parser.add_argument("--folds", type=int, nargs="*", default=[], help="train for these folds only; none: for all")
    parser.add_argument("--predictions", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--curves", type=Path, required=True)
    parser.add_argument("--heads", type=Path, required=True, help="the data set's heads, one of which may be the same")
    parser.add_argument("--made-from", type=Path, required=True)
    asked = parser.parse_args()
    spec = families.spec("heads", json.loads(asked.spec))
    if not isinstance(spec, HeadSpec):
        raise StudyError(f"{type(spec).__module__}.Spec is not a HeadSpec")
    check(asked.store, asked.manifests)
    index = pd.read_parquet(asked.index)
    data = space(asked.store, index, json.loads(asked.classes), asked.task != "multi-label", asked.image_size)
    settings = {name: getattr(asked, name) for name in ("spec", "classes", "task", "image_size", "seeds", "folds")}
    code = sources.files("pipeline.train", families.module_name("heads", spec.family))
    made_from = reuse.identity(data.values, asked.index, settings, code)
    files = [asked.predictions, asked.weights, asked.curves]
    if same := reuse.take_over(asked.heads, made_from, files):
        sys.stderr.write(f"trained on the same values before: copied from {same}\n")
    else:
        fit(spec, data, index, asked)
    reuse.record(asked.made_from, made_from, files)


if __name__ == "__main__":
    run(main)
