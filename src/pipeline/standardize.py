"""Stage standardize: channel statistics of an autoencoder's latents, over the training rows of each fold."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from safetensors import safe_open

from pipeline.errors import StudyError
from pipeline.files import write_atomically
from pipeline.folds import splits
from pipeline.program import run

ALL = -1
"""Stands for the fold of a data set without labels, whose statistics are those of all usable rows."""
Floats = NDArray[np.float64]


def moments(paths: Sequence[Path]) -> tuple[Floats, Floats]:
    """Return each sample's channel means of the latent and of its square, both N x c, from beside the shards."""
    parts: dict[str, list[Floats]] = {"mean": [], "square": []}
    for path in paths:
        with safe_open(path, framework="numpy") as file:
            for name, found in parts.items():
                found.append(file.get_tensor(name))
    return np.concatenate(parts["mean"]), np.concatenate(parts["square"])


def training_rows(index: pd.DataFrame, folds: Sequence[int]) -> dict[int, NDArray[np.int64]]:
    """Return the rows that each fold trains on: usable, labelled ones. No folds asked for: all."""
    if "fold" not in index:
        return {ALL: np.flatnonzero(index["usable"])}
    return {split.fold: split.train for split in splits(index) if not folds or split.fold in folds}


def standardize(mean: Floats, square: Floats, rows: dict[int, NDArray[np.int64]]) -> pd.DataFrame:
    """Return `fold`, `channel`, `mean` and `deviation`, over all places of the rows of each fold.

    Every sample has the same number of places, so the mean over places is the mean over samples of theirs.

    Args:
        mean: each sample's channel means, N x c.
        square: each sample's channel means of the squared latent, N x c.
        rows: the training rows of each fold.
    """
    tables = []
    for fold, chosen in rows.items():
        centre = mean[chosen].mean(axis=0)
        # Rounding may leave a constant channel slightly below zero.
        variance = np.maximum(square[chosen].mean(axis=0) - centre**2, 0.0)
        columns = {"fold": fold, "channel": np.arange(len(centre)), "mean": centre, "deviation": np.sqrt(variance)}
        tables.append(pd.DataFrame(columns))
    return pd.concat(tables, ignore_index=True)


def main() -> None:
    """Write the statistics of one autoencoder on one data set."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--index", type=Path, required=True)
    parser.add_argument("--moments", type=Path, nargs="+", required=True, help="what lies beside each shard, in order")
    parser.add_argument("--folds", type=int, nargs="*", default=[], help="these folds only; none: all")
    parser.add_argument("--statistics", type=Path, required=True)
    arguments = parser.parse_args()
    index = pd.read_parquet(arguments.index)
    mean, square = moments(arguments.moments)
    if len(mean) != len(index):
        raise StudyError(f"there are latents of {len(mean)} samples, and the index has {len(index)}")
    table = standardize(mean, square, training_rows(index, arguments.folds))
    write_atomically(arguments.statistics, lambda path: table.to_csv(path, index=False, float_format="%.9g"))


if __name__ == "__main__":
    run(main)
