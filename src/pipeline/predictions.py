"""The tables of what trained heads say: of scored samples, along an axis, and of what a student learns from."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from pipeline.errors import StudyError
from pipeline.folds import Rows, Split
from pipeline.heads import Fitted, Floats


def predictions(split: Split, seed: int, fitted: Fitted) -> pd.DataFrame:
    """Return one row a scored sample: `fold`, `seed`, `part`, `row`, and one score a class."""
    return _named(_scored(split, seed, fitted.validation, fitted.test), fold=split.fold, seed=seed)


def profile(split: Split, seed: int, fitted: Fitted) -> pd.DataFrame:
    """Return one row a scored sample and place of an axis: `axis` and `at`, then the columns of `predictions`."""
    tables = [
        _named(
            _scored(split, seed, point.validation, point.test),
            axis=point.axis,
            at=float(point.at),
            fold=split.fold,
            seed=seed,
        )
        for point in fitted.profile
    ]
    return _below(tables, _named(predictions(split, seed, fitted).head(0), axis="", at=0.0))


def training(split: Split, seed: int, fitted: Fitted) -> pd.DataFrame:
    """Return one row a training sample and view (0: the sample itself): `fold`, `seed`, `view`, `row`, and logits.

    Raises:
        StudyError: a logit is not finite.
    """
    given = np.empty((0, 0, fitted.test.shape[1]), np.float32) if fitted.training is None else fitted.training
    tables = [
        _named(_table(split.train, logits, "logit", _which(split, seed)), fold=split.fold, seed=seed, view=view)
        for view, logits in enumerate(given)
    ]
    nothing = _table(split.train[:0], np.empty((0, fitted.test.shape[1]), np.float32), "logit", "")
    return _below(tables, _named(nothing, fold=0, seed=0, view=0))


def taught(table: pd.DataFrame, split: Split, seed: int, views: int) -> Floats:
    """Return the (1 + V) x n x K logits that a teacher of the same fold and seed gives the n training rows.

    Raises:
        StudyError: the teacher was trained on other samples, or has nothing to teach.
    """
    own = table[(table["fold"] == split.fold) & (table["seed"] == seed)]
    columns = [column for column in table.columns if column.startswith("logit_")]
    found = []
    for view in range(1 + views):
        part = own[own["view"] == view]
        if not np.array_equal(part["row"], split.train):
            raise StudyError(
                f"the teacher of fold {split.fold}, seed {seed} was not trained on the training samples of that fold; "
                "a teacher is a network, with the same labels and views as its student"
            )
        found.append(part[columns].to_numpy(np.float32))
    return np.stack(found)


def _scored(split: Split, seed: int, validation: Floats, test: Floats) -> pd.DataFrame:
    parts = [("validation", split.validation, validation), ("test", split.test, test)]
    tables = [_named(_table(rows, scores, "score", _which(split, seed)), part=part) for part, rows, scores in parts]
    return pd.concat(tables, ignore_index=True)


def _which(split: Split, seed: int) -> str:
    return f"of fold {split.fold}, seed {seed}"


def _table(rows: Rows, values: Floats, name: str, which: str) -> pd.DataFrame:
    if len(values) != len(rows):
        raise StudyError(f"the head's {name}s {which} are of {len(values)} samples, and there are {len(rows)}")
    if not np.isfinite(values).all():
        raise StudyError(f"the head's {name}s {which} are not finite")
    table = pd.DataFrame(values, columns=[f"{name}_{k}" for k in range(values.shape[1])])
    table.insert(0, "row", rows)
    return table


def _named(table: pd.DataFrame, **columns: str | float) -> pd.DataFrame:
    for place, (name, value) in enumerate(columns.items()):
        table.insert(place, name, value)
    return table


def _below(tables: Iterable[pd.DataFrame], otherwise: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([*tables] or [otherwise], ignore_index=True)
