"""Which samples train, validate and test: an official split, or patient-grouped, stratified folds."""

import warnings
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline import labels
from pipeline.errors import StudyError
from pipeline.labels import Labels

Rows = NDArray[np.int64]

UNUSED = -1
PARTS = {"test": 0, "validation": 1, "train": 2}
"""The folds that an official split's parts are: of the three only fold 0 is tested."""
REMEDY = {"part": "; set 'leaks' to drop to leave the training samples out", "fold": ""}
"""What can be done about a patient on two sides of an official split."""
NOT_TESTED = "; a data set that is tested on its official parts says so with 'split: official'"
"""What can be done where a fold was expected that is not there."""


@dataclass(frozen=True)
class Split:
    """Row numbers of one fold's three parts."""

    fold: int
    train: Rows
    validation: Rows
    test: Rows


def assign(
    given: Labels, patients: NDArray[np.generic], classes: list[str], folds: int, seed: int
) -> NDArray[np.int64]:
    """Return each sample's fold: no patient is in two, and classes are spread as evenly as that allows.

    Samples are stratified by the rarest class that they have; unlabelled ones are a stratum of their own. The result
    depends on the order of the samples and not on how patients are named, so that salting the names changes no result.

    Raises:
        StudyError: a class is empty, or has too few patients to be in every fold.
    """
    groups = pd.factorize(patients)[0]
    for number, name in enumerate(classes):
        count = len(np.unique(groups[given[:, number] == 1]))
        if count < folds:
            raise StudyError(f"class {name!r} has {count} patients, which is too few for {folds} folds")
    assigned = np.full(len(given), UNUSED, np.int64)
    # By name, as the publication does: the splitter's ties are broken by the order of the classes' names.
    strata = np.array([*classes, "(none)", "(unlabelled)"])[labels.strata(given)]
    for fold, rows in enumerate(_parts(strata, groups, folds, seed)):
        assigned[rows] = fold
    return assigned


def _parts(strata: NDArray[np.generic], groups: NDArray[np.int64], folds: int, seed: int) -> list[Rows]:
    # Here, because every job imports this module, and only the one that assigns folds needs a second to load this.
    from sklearn.model_selection import StratifiedGroupKFold

    splitter = StratifiedGroupKFold(n_splits=folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        # Of few unlabelled samples, or of few that have no class: every class has been counted before.
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        return [test for _, test in splitter.split(np.zeros(len(strata)), strata, groups)]


def complete(parts: pd.Series, given: Labels, patients: NDArray[np.generic], folds: int, seed: int) -> pd.Series:
    """Return an official split with a validation part: where it has none, one fold's share of the training patients.

    Raises:
        StudyError: there is nothing to train on or nothing to test.
    """
    for part in ("train", "test"):
        if not (parts == part).any():
            raise StudyError(f"the official split has no {part} part; set 'split' to folds")
    if (parts == "validation").any():
        return parts
    train = np.flatnonzero(parts == "train")
    groups = pd.factorize(patients[train])[0]
    chosen = train[_parts(labels.strata(given[train]), groups, folds, seed)[0]]
    completed = parts.copy()
    completed.iloc[chosen] = "validation"
    return completed


def across(sides: pd.Series, groups: pd.Series) -> pd.Series:
    """Return for each sample whether its group is on more than one side."""
    return sides.groupby(groups.to_numpy()).transform("nunique") > 1


def splits(index: pd.DataFrame) -> list[Split]:
    """Return what is trained and tested on: usable, labelled rows.

    An official split is used once, as fold 0; otherwise by the published scheme: fold k tests, fold k + 1 validates,
    the others train.
    """
    fold = index["fold"].to_numpy()
    used = (fold != UNUSED) & index["usable"].to_numpy(bool) & _labelled(index)
    count = int(fold.max()) + 1
    tested = 1 if "part" in index else count
    result = []
    for k in range(tested):
        test, validation = fold == k, fold == (k + 1) % count
        rows = (np.flatnonzero(part & used) for part in (~test & ~validation, validation, test))
        result.append(Split(k, *rows))
    return result


def _labelled(index: pd.DataFrame) -> NDArray[np.bool_]:
    columns = [column for column in index.columns if column.startswith(labels.PREFIX)]
    return labels.known(index[columns].to_numpy(np.int8))


def check(index: pd.DataFrame, classes: list[str]) -> None:
    """Raise StudyError for a patient in two folds, a class without samples, or a fold that cannot be trained on."""
    given = labels.of(index, classes)
    usable = index["usable"].to_numpy(bool)
    for number, name in enumerate(classes):
        if not (given[usable, number] == 1).any():
            raise StudyError(f"class {name!r} is declared and has no sample")
    used = index[index["fold"] != UNUSED]
    shared = used.groupby("patient")["fold"].nunique()
    if (shared > 1).any():
        raise StudyError(f"patient {shared.index[shared > 1][0]} (hashed) is in more than one fold")
    for split in splits(index):
        _check_split(split, given, classes)


def _check_split(split: Split, given: Labels, classes: list[str]) -> None:
    for part in ("train", "validation", "test"):
        if not len(getattr(split, part)):
            raise StudyError(f"fold {split.fold} has no sample to {part.replace('validation', 'validate')} on")
    for value, kind in [(1, "a positive"), (0, "a negative")]:
        missing = ~(given[split.train] == value).any(axis=0)
        if missing.any():
            name = classes[int(missing.argmax())]
            raise StudyError(f"fold {split.fold} would train without {kind} sample of class {name!r}; use fewer folds")


def fraction_of(split: Split, given: Labels, patients: NDArray[np.generic], fraction: float, seed: int) -> Split:
    """Return the split with only a share of its training patients, for studies of label efficiency.

    Patients are drawn within the stratum of their rarest class, at least one of each, in an order that depends on the
    seed alone: the 5 % are a part of the 10 %. Validation and test rows stay as they are.

    Args:
        split: The whole split.
        given: N x K labels.
        patients: N patients.
        fraction: Share of the training patients of every stratum, rounded up.
        seed: Draws the order.
    """
    groups = pd.factorize(patients)[0]
    order = np.random.default_rng(seed).permutation(int(groups.max()) + 1)
    train = pd.DataFrame({"group": groups[split.train], "stratum": labels.strata(given)[split.train]})
    size = train.groupby("stratum")["stratum"].transform("size")
    members = train.assign(size=size, place=order[train["group"]]).sort_values(["size", "stratum"], kind="stable")
    members = members.drop_duplicates("group").sort_values("place")
    within = members.groupby("stratum").cumcount()
    wanted = np.ceil(fraction * members.groupby("stratum")["group"].transform("size"))
    chosen = members["group"][within < wanted]
    return replace(split, train=split.train[train["group"].isin(chosen).to_numpy()])
