"""Labels between the index and the heads: one column a class, 1, 0 or missing, whatever kind of labels there are.

A single-label sample has exactly one 1 and otherwise 0; an unlabelled one has nothing but missing values; a multi-label
one may mix all three.
"""

from collections.abc import Mapping
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.errors import StudyError

Task = Literal["single-label", "multi-label", "first-label"]
Labels = NDArray[np.int8]
"""N x K: 1, 0, or -1 where it is missing."""

PREFIX = "label:"
MISSING = -1
NO_CLASS = -1


def row(stated: Mapping[str, bool], classes: list[str], task: Task) -> list[int]:
    """Return one sample's labels, K numbers, from what the data set states.

    Args:
        stated: class to whether the sample has it, in the data set's order. What is not in it is missing.
        classes: the declared classes. Under `multi-label` other classes are no part of the study and are passed over.
        task: what the labels are taken for. `first-label` keeps only the first class that the sample has, as the
            publication's code does.

    Raises:
        StudyError: the labels do not fit the task: no class or several, or one that is not declared.
    """
    if task == "multi-label":
        return [int(stated[name]) if name in stated else MISSING for name in classes]
    if not stated:
        return [MISSING] * len(classes)
    positive = [name for name, has in stated.items() if has]
    if len(positive) > 1 and task == "single-label":
        raise StudyError(
            f"a sample has the labels {' and '.join(map(repr, positive[:2]))}; set 'task' to multi-label, or to "
            "first-label to keep only the first"
        )
    if not positive:
        raise StudyError("a sample is said to have none of the classes; set 'task' to multi-label")
    if positive[0] not in classes:
        raise StudyError(
            f"a sample has a label that is neither among the declared classes ({', '.join(classes)}) nor left out",
            # Labels from the wrong column may be patients' names.
            f"the label {positive[0]!r}",
        )
    return [int(name == positive[0]) for name in classes]


def columns(classes: list[str]) -> list[str]:
    """Return the columns of a table that hold these classes' labels."""
    return [PREFIX + name for name in classes]


def of(table: pd.DataFrame, classes: list[str]) -> Labels:
    """Return a table's labels, N x K.

    Raises:
        StudyError: the table is of other classes.
    """
    held = [column for column in table.columns if column.startswith(PREFIX)]
    if held != columns(classes):
        raise StudyError("the index and the declared classes do not have the same classes; call the workflow again")
    return table[held].to_numpy(np.int8)


def known(labels: Labels) -> NDArray[np.bool_]:
    """Return N: whether a sample is labelled in any class."""
    return np.asarray((labels != MISSING).any(axis=1))


def numbers(labels: Labels) -> NDArray[np.int64]:
    """Return N class numbers of single labels; NO_CLASS where a sample is unlabelled."""
    found = (labels == 1).any(axis=1)
    return np.asarray(np.where(found, labels.argmax(axis=1), NO_CLASS), dtype=np.int64)


def strata(labels: Labels) -> NDArray[np.int64]:
    """Return N numbers to stratify by: each sample's rarest class that it has; K for none, K + 1 for unlabelled."""
    classes = labels.shape[1]
    counts = (labels == 1).sum(axis=0)
    rarity = np.where(labels == 1, counts, np.iinfo(np.int64).max)
    rarest = np.where((labels == 1).any(axis=1), rarity.argmin(axis=1), classes)
    return np.asarray(np.where(known(labels), rarest, classes + 1), dtype=np.int64)
