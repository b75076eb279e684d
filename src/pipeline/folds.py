"""Which samples train, validate and test: patient-grouped, stratified folds."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold

from pipeline.errors import StudyError

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Split:
    """Row numbers of one fold's three parts."""

    fold: int
    train: Rows
    validation: Rows
    test: Rows


def assign(labels: pd.Series, patients: pd.Series, folds: int, seed: int) -> NDArray[np.int64]:
    """Return each sample's fold: no patient is in two, and classes are spread as evenly as that allows.

    The result depends on the order of the samples and not on how patients are named, so that salting the names
    changes no result.

    Raises:
        StudyError: a class is empty, or has too few patients to be in every fold.
    """
    groups = pd.factorize(patients)[0]
    spread = pd.Series(groups).groupby(labels.to_numpy()).nunique()
    for name, count in spread.items():
        if count < folds:
            raise StudyError(f"class {name!r} has {count} patients, which is too few for {folds} folds")
    splitter = StratifiedGroupKFold(n_splits=folds, shuffle=True, random_state=seed)
    assigned = np.full(len(labels), -1, np.int64)
    for fold, (_, test) in enumerate(splitter.split(np.zeros(len(labels)), labels, groups)):
        assigned[test] = fold
    return assigned


def check(index: pd.DataFrame, classes: list[str], folds: int) -> None:
    """Raise StudyError for a patient in two folds, a class without samples, or a fold that cannot be trained on."""
    for name in classes:
        if not (index["label"] == name).any():
            raise StudyError(f"class {name!r} is declared and has no sample")
    shared = index.groupby("patient")["fold"].nunique()
    if (shared > 1).any():
        raise StudyError(f"patient {shared.index[shared > 1][0]} (hashed) is in more than one fold")
    for split in splits(index, folds):
        if not len(split.test):
            raise StudyError(f"fold {split.fold} of {folds} has no sample; set 'folds' to how many there are")
        missing = set(classes) - set(index["label"].iloc[split.train])
        if missing:
            raise StudyError(f"fold {split.fold} would train without class {sorted(missing)[0]!r}; use fewer folds")


def splits(index: pd.DataFrame, folds: int) -> list[Split]:
    """Return the published scheme: fold k tests, fold k + 1 validates, the others train."""
    fold = index["fold"].to_numpy()
    result = []
    for k in range(folds):
        test, validation = fold == k, fold == (k + 1) % folds
        rows = [np.flatnonzero(part).astype(np.int64) for part in (~test & ~validation, validation, test)]
        result.append(Split(k, *rows))
    return result
