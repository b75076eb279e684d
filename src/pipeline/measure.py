"""Stage measure: how faithful the reconstructions of one shard are, sample by sample."""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline import weights
from pipeline.autoencoders import batch_size
from pipeline.files import write_atomically
from pipeline.program import run
from pipeline.progress import progress
from pipeline.quality import measure
from pipeline.store import Rows, check, shard_rows

Distance = Callable[[NDArray[np.float32], NDArray[np.float32]], NDArray[np.float32]]
"""n x C x H x W images and as many others to n distances."""


def measured(
    images: Rows, reconstructions: Rows, start: int, stop: int, batch: int, distance: Distance | None = None
) -> pd.DataFrame:
    """Return one row for each of the rows `start` to `stop`: `row` and its measures; only a batch is in memory.

    Args:
        images: the originals.
        reconstructions: a store of the same rows and shape.
        start: the first row.
        stop: the row after the last.
        batch: so many rows are read at once; no number depends on it.
        distance: LPIPS, or none: then there is no such column.
    """
    tables = []
    pairs = zip(images.batches(start, stop, batch), reconstructions.batches(start, stop, batch), strict=True)
    starts = range(start, stop, batch)
    read = progress(zip(starts, pairs, strict=True), len(starts), "measuring", " batches")
    for at, (originals, others) in read:
        table = measure(originals, others)
        table.insert(0, "row", np.arange(at, at + len(originals)))
        if distance:
            table["lpips"] = distance(originals, others)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def read_distance(file: Path) -> Distance:
    """Return LPIPS with the weights of a file; raise StudyError for one that is not what it should be."""
    from pipeline.networks import lpips

    weights.verify([str(file)])
    return lpips.distance(file)


def main() -> None:
    """Measure one shard."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--image-manifest", type=Path, required=True)
    parser.add_argument("--reconstructions", type=Path, required=True)
    parser.add_argument("--reconstruction-manifest", type=Path, required=True)
    parser.add_argument("--shard", type=int, required=True)
    parser.add_argument("--lpips", type=Path, nargs="?", help="weights of LPIPS; nothing: it is not measured")
    parser.add_argument("--fidelity", type=Path, required=True, help="the table to write")
    arguments = parser.parse_args()
    check(arguments.images, [arguments.image_manifest])
    check(arguments.reconstructions, [arguments.reconstruction_manifest])
    start, stop = shard_rows(arguments.reconstructions, arguments.shard)
    distance = read_distance(arguments.lpips) if arguments.lpips else None
    images, reconstructions = Rows(arguments.images), Rows(arguments.reconstructions)
    table = measured(images, reconstructions, start, stop, batch_size(images.shape), distance)
    write_atomically(arguments.fidelity, lambda path: table.to_parquet(path, index=False))


if __name__ == "__main__":
    run(main)
