"""The space that a head is trained in, read from its stores, and what may be wrong with it."""

from pathlib import Path

import numpy as np
import pandas as pd

from pipeline import labels
from pipeline.errors import StudyError
from pipeline.folds import Split
from pipeline.heads import Space
from pipeline.store import Rows


def space(
    store: Path,
    index: pd.DataFrame,
    classes: list[str],
    exclusive: bool,
    image_size: int,
    *,
    pixels: bool = False,
) -> Space:
    """Read a space whole, with the labels of its samples.

    Args:
        store: of its values.
        index: of the data set's samples.
        classes: in order.
        exclusive: whether each labelled sample has one of them.
        image_size: side of the images in pixels.
        pixels: whether the values are pixels.

    Raises:
        StudyError: the store and the index are not of the same samples, or the index is of other classes.
    """
    rows = Rows(store)
    if len(rows) != len(index):
        raise StudyError(f"{store} holds {len(rows)} samples and the index {len(index)}")
    given = labels.of(index, classes)
    return Space(rows.read(0, len(rows)), given, exclusive, image_size // rows.shape[1], pixels)


def check_used(space: Space, parts: list[Split]) -> None:
    """Refuse values and labels that no head can be trained on, among the rows that are used; others are never read.

    Raises:
        StudyError: a value is not finite, a label is none, or a sample has not one class where classes are exclusive.
    """
    used = np.unique(np.concatenate([rows for split in parts for rows in (split.train, split.validation, split.test)]))
    for values in (space.values, *space.views):
        if not all(np.isfinite(values[rows]).all() for rows in np.array_split(used, len(used) // 256 + 1)):
            raise StudyError("the store holds values that are not finite")
    given = space.labels[used]
    if not np.isin(given, [0, 1, labels.MISSING]).all():
        raise StudyError("the index holds labels other than 1, 0 and missing")
    if space.exclusive and not (((given == 1).sum(axis=1) == 1) & (given != labels.MISSING).all(axis=1)).all():
        raise StudyError("a sample of the index has not exactly one class; set 'task' to multi-label")
