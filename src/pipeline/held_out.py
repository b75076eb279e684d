"""Which samples of a space a denoiser is fitted to and measured on."""

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.denoisers import Rows, Space
from pipeline.errors import StudyError
from pipeline.folds import splits
from pipeline.scattered import Scattered
from pipeline.store import Rows as Store

MOST_BYTES = 2**31
"""Half of it is for training samples, half for held-out ones, as float32: of larger images, fewer are held."""
SHARE = 5
"""Without labels there are no folds, and the patients of one part in so many are held out."""
SEED = 0


def parts(index: pd.DataFrame, fold: int) -> tuple[Rows, Rows]:
    """Return training and held-out rows of a fold, each in a drawn order, so that any first part is a sample.

    Raises:
        StudyError: there is no such fold, or a part is empty.
    """
    if "fold" in index:
        found = next((split for split in splits(index) if split.fold == fold), None)
        if found is None:
            raise StudyError(f"fold {fold} is not one that is tested")
        train, held_out = found.train, found.test
    else:
        usable = np.flatnonzero(index["usable"].to_numpy(bool))
        groups = pd.factorize(index["patient"])[0]
        place = np.random.default_rng([SEED, 0]).permutation(int(groups.max(initial=0)) + 1)[groups[usable]]
        train, held_out = usable[place % SHARE != 0], usable[place % SHARE == 0]
    if min(len(train), len(held_out)) < 2:
        raise StudyError(
            f"fold {fold} has fewer than two samples to fit a denoiser to, or to measure it on; list the other data "
            "sets under 'datasets' of the denoiser"
        )
    random = np.random.default_rng([SEED, 1, fold])
    return random.permutation(train), random.permutation(held_out)


def space(store: Path, index: pd.DataFrame, fold: int, samples: int) -> Space:
    """Return a space with the rows of a fold.

    How many are held out depends on the images alone, and so is the same in every space of a data set.

    Args:
        store: of its values.
        index: of the data set's samples.
        fold: which patients are held out.
        samples: held-out ones at most.

    Raises:
        StudyError: the store and the index are not of the same samples, or a part is empty.
    """
    rows = Store(store)
    if len(rows) != len(index):
        raise StudyError(f"{store} holds {len(rows)} samples and the index {len(index)}")
    train, held_out = parts(index, fold)
    most = max(4, MOST_BYTES // (8 * int(np.prod(rows.attributes.get("image_shape", rows.shape)))))
    held_out = held_out[: min(most, samples)]
    reader = Scattered(rows, np.concatenate([train, held_out]), held_bytes=0)

    def read(wanted: Rows) -> NDArray[np.float32]:
        values = reader.read(wanted)
        if not np.isfinite(values).all():
            raise StudyError(f"{store} holds values that are not finite")
        return values

    patients = np.asarray(pd.factorize(index["patient"])[0], dtype=np.int64)
    return Space(read, rows.shape, train, held_out, patients, most)
