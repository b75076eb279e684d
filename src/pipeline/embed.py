"""Part of stage measure: features of the reconstructions of one shard, for the Frechet distance."""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from pipeline import weights
from pipeline.fidelity import Features
from pipeline.files import write_atomically
from pipeline.program import run
from pipeline.progress import progress
from pipeline.store import Rows, check, shard_rows


def main() -> None:
    """Embed one shard: `row`, n, and `features`, n x d."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spec", required=True, help="the feature network's entry of the configuration as JSON")
    parser.add_argument("--reconstructions", type=Path, required=True)
    parser.add_argument("--manifest", type=Path, required=True)
    parser.add_argument("--shard", type=int, required=True)
    parser.add_argument("--features", type=Path, required=True, help="the file to write")
    parser.add_argument("--batch", type=int, default=32)
    arguments = parser.parse_args()
    check(arguments.reconstructions, [arguments.manifest])
    start, stop = shard_rows(arguments.reconstructions, arguments.shard)
    spec = Features.read(arguments.spec)
    features = embedded(Rows(arguments.reconstructions), start, stop, arguments.batch, spec)
    table: dict[str, NDArray[Any]] = {"row": np.arange(start, stop), "features": features}
    write_atomically(arguments.features, lambda path: save_file(table, path))


def embedded(rows: Rows, start: int, stop: int, batch: int, spec: Features) -> NDArray[np.float32]:
    """Return the n x d features of rows `start` to `stop`; images are in memory a batch at a time."""
    from pipeline.networks import embedding

    weights.verify([spec.weights])
    embed = embedding.read(spec.model, Path(spec.weights))
    starts = range(start, stop, batch)
    read = progress(starts, len(starts), "embedding", " batches")
    return np.concatenate([embed(rows.read(at, min(at + batch, stop))) for at in read])


if __name__ == "__main__":
    run(main)
