"""Stage normalize: raw files to pixels in [0, 1] at one size."""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.errors import Refused, StudyError
from pipeline.pixels import PixelSpec, fit_to, read_frames
from pipeline.program import run
from pipeline.store import Layout, lay_out, shard_rows, to_grid, write_shard


def lay_out_images(mapping: pd.DataFrame, spec: PixelSpec, shards: int, folder: Path) -> None:
    """Lay out the store for every sample of the index."""
    shape = (1 if spec.channels == "grey" else 3, spec.size, spec.size)
    lay_out(folder, Layout(len(mapping), shape, shards, "uint16", {"kind": "pixels", "range": [0, 1]}))


def normalize(mapping: pd.DataFrame, root: Path, spec: PixelSpec) -> NDArray[np.uint16]:
    """Read the samples of a mapping, n rows, as n x C x size x size on the storage grid.

    Raises:
        StudyError: a file that the index accepted cannot be read any more.
    """
    rows: list[NDArray[np.uint16]] = []
    previous, frames = None, np.empty(0, np.float32)
    for path, frame in zip(mapping["path"], mapping["frame"], strict=True):
        if path != previous:
            previous, frames = path, _read(root / path, spec)
        if frame >= len(frames):
            raise StudyError(f"{root / path} has no frame {frame} any more; call the workflow again to index it anew")
        rows.append(to_grid(fit_to(frames[frame : frame + 1], spec)[0]))
    return np.stack(rows)


def _read(path: Path, spec: PixelSpec) -> NDArray[np.float32]:
    try:
        return read_frames(path, spec)
    except (Refused, OSError) as error:
        raise StudyError(f"{path} was accepted by the index and cannot be read now: {error}") from error


def main() -> None:
    """Lay out the store, or fill one shard of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mapping", type=Path, required=True, help="which file and frame each sample is")
    parser.add_argument("--spec", required=True, help="the pixel specification as JSON")
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--shards", type=int, help="lay out the store for so many shards")
    parser.add_argument("--root", type=Path, help="the data set's folder")
    parser.add_argument("--shard", type=int, help="fill this shard")
    parser.add_argument("--manifest", type=Path)
    arguments = parser.parse_args()
    spec = PixelSpec.read(arguments.spec)
    # A file may be called NA.
    mapping = pd.read_csv(arguments.mapping, dtype={"path": str, "frame": int}, keep_default_na=False)
    if arguments.shards is not None:
        lay_out_images(mapping, spec, arguments.shards, arguments.store)
        return
    start, stop = shard_rows(arguments.store, arguments.shard)
    pixels = normalize(mapping.iloc[start:stop], arguments.root, spec)
    made_by = {"pixels": spec.model_dump(mode="json")}
    write_shard(arguments.store, arguments.shard, pixels, made_by).write(arguments.manifest)


if __name__ == "__main__":
    run(main)
