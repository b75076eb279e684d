"""Stage normalize: raw files to pixels in [0, 1] at one size, each decoded once, in a process that may die."""

import argparse
import functools
import itertools
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.errors import StudyError
from pipeline.files import write_atomically
from pipeline.pixels import READERS, PixelSpec, fit_to, pixel_hash, read
from pipeline.program import run
from pipeline.progress import progress
from pipeline.quarantine import survive
from pipeline.store import Layout, lay_out, shard_rows, to_grid, write_shard

Item = tuple[str, tuple[int, ...]]
"""A file, relative to its data set's folder, and the frames of it that are wanted."""
Sample = tuple[NDArray[np.uint16], str]
"""C x size x size on the storage grid, and the hash of the pixels at native size."""


def lay_out_images(rows: int, spec: PixelSpec, shards: int, folder: Path) -> None:
    """Lay out the store for so many samples."""
    shape = (1 if spec.channels == "grey" else 3, spec.size, spec.size)
    lay_out(folder, Layout(rows, shape, shards, "uint16", {"kind": "pixels", "range": [0, 1]}))


def normalize(
    mapping: pd.DataFrame, root: Path, spec: PixelSpec, workers: int
) -> tuple[NDArray[np.uint16], pd.DataFrame]:
    """Read the samples of a mapping, n rows.

    A file that cannot be decoded costs its own samples: they become zeros, with the reason beside them.

    Returns:
        n x C x size x size on the storage grid; and one row a sample: `id`, `pixels` (the hash of its pixels, empty
        where there are none) and `reason` (empty where there are pixels).

    Raises:
        StudyError: a file that was there at the start cannot be opened any more.
    """
    items = list(_items(mapping))
    blank = np.zeros((1 if spec.channels == "grey" else 3, spec.size, spec.size), np.uint16)
    rows: list[NDArray[np.uint16]] = []
    known: list[tuple[str, str]] = []
    outcomes = survive(functools.partial(_read, root, spec), items, workers, preload=READERS)
    for outcome in progress(outcomes, len(items), "normalising", " files"):
        if outcome.value is None:
            count = len(outcome.item[1])
            rows += [blank] * count
            known += [("", outcome.reason or "unknown")] * count
            continue
        for sample, digest in outcome.value:
            rows.append(sample)
            known.append((digest, ""))
    table = pd.DataFrame(known, columns=["pixels", "reason"], dtype=str)
    table.insert(0, "id", mapping["id"].to_numpy())
    return np.stack(rows), table


def _items(mapping: pd.DataFrame) -> Iterator[Item]:
    pairs = zip(mapping["path"], mapping["frame"], strict=True)
    for path, group in itertools.groupby(pairs, key=lambda pair: pair[0]):
        yield path, tuple(frame for _, frame in group)


def _read(root: Path, spec: PixelSpec, item: Item) -> list[Sample]:
    """Decode the frames that are wanted of one file. Runs in a worker."""
    path, frames = item
    try:
        decoded = read(root / path, spec, frames).frames
    except OSError as error:
        # A disk that went away is no property of its files: refusing them all would be wrong in silence.
        raise StudyError(
            f"a listed file cannot be opened any more ({type(error).__name__})", str(root / path)
        ) from None
    return [(to_grid(fit_to(frame[None], spec)[0]), pixel_hash(frame)) for frame in decoded]


def main() -> None:
    """Lay out the store, or fill one shard of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spec", required=True, help="the pixel specification as JSON")
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--rows", type=Path, help="lay out the store for the number of samples in this file")
    parser.add_argument("--shards", type=int, help="lay out the store for so many shards")
    parser.add_argument("--mapping", type=Path, help="which file and frame each sample is")
    parser.add_argument("--root", type=Path, help="the data set's folder")
    parser.add_argument("--shard", type=int, help="fill this shard")
    parser.add_argument("--manifest", type=Path)
    parser.add_argument("--samples", type=Path, help="pixel hash of each sample, or why it has none")
    parser.add_argument("--workers", type=int, default=1)
    arguments = parser.parse_args()
    spec = PixelSpec.read(arguments.spec)
    if arguments.rows is not None:
        lay_out_images(int(arguments.rows.read_text()), spec, arguments.shards, arguments.store)
        return
    # A file may be called NA.
    mapping = pd.read_csv(arguments.mapping, dtype={"path": str, "frame": int}, keep_default_na=False)
    start, stop = shard_rows(arguments.store, arguments.shard)
    pixels, samples = normalize(mapping.iloc[start:stop], arguments.root, spec, arguments.workers)
    made_by = {"pixels": spec.model_dump(mode="json")}
    write_atomically(arguments.samples, lambda path: samples.to_parquet(path, index=False))
    write_shard(arguments.store, arguments.shard, pixels, made_by).write(arguments.manifest)
    sys.stderr.write(f"{len(samples)} samples, {(samples['reason'] != '').sum()} without pixels\n")


if __name__ == "__main__":
    run(main)
