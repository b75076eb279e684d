"""The space that a head is trained in, read from its stores, and what may be wrong with it."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline import labels, memory
from pipeline.errors import StudyError
from pipeline.folds import Split
from pipeline.heads import Space
from pipeline.stored import Stored
from pipeline.values import blocks, bytes_of, whole

HELD_SHARE = 0.5
"""Of the memory that is free, for a space with its views; a larger one is read as it is used."""


def space(
    store: Path,
    index: pd.DataFrame,
    classes: list[str],
    exclusive: bool,
    image_size: int,
    *,
    pixels: bool = False,
) -> Space:
    """Open a space, with the labels of its samples; no value is read yet.

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
    values = Stored(store)
    if len(values) != len(index):
        raise StudyError(f"{store} holds {len(values)} samples and the index {len(index)}")
    given = labels.of(index, classes)
    return Space(values, given, exclusive, image_size // values.shape[2], pixels)


def held(space: Space, available: int | None = None) -> Space:
    """Return a space that is read into memory with its views, if it fits; what comes of it is the same either way.

    Args:
        space: as it was opened.
        available: bytes that are free; None: those that this process finds free.
    """
    wanted = sum(bytes_of(values) for values in (space.values, *space.views))
    free = memory.available() if available is None else available
    if wanted > HELD_SHARE * free:
        sizes = f"{wanted / 2**30:.1f} GiB of values and {free / 2**30:.1f} GiB of free memory"
        sys.stderr.write(f"{sizes}: values are read from the store as they are used\n")
        return space
    return replace(space, values=whole(space.values), views=tuple(whole(view) for view in space.views))


def check_used(space: Space, parts: list[Split]) -> None:
    """Refuse values and labels that no head can be trained on, among the rows that are used; others are never read.

    Raises:
        StudyError: a value is not finite, a label is none, or a sample has not one class where classes are exclusive.
    """
    used = np.unique(np.concatenate([rows for split in parts for rows in (split.train, split.validation, split.test)]))
    for values in (space.values, *space.views):
        if not all(np.isfinite(block).all() for block in blocks(values, used)):
            raise StudyError("the store holds values that are not finite")
    given = space.labels[used]
    if not np.isin(given, [0, 1, labels.MISSING]).all():
        raise StudyError("the index holds labels other than 1, 0 and missing")
    if space.exclusive and not (((given == 1).sum(axis=1) == 1) & (given != labels.MISSING).all(axis=1)).all():
        raise StudyError("a sample of the index has not exactly one class; set 'task' to multi-label")
