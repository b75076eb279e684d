"""Stage decode: latents back to pixels."""

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.autoencoders import Autoencoder
from pipeline.encode import read_spec
from pipeline.files import sha256
from pipeline.program import run
from pipeline.store import Rows, check, shard_path, shard_rows, to_grid, write_shard


def decode(rows: Rows, start: int, stop: int, autoencoder: Autoencoder, batch: int) -> NDArray[np.uint16]:
    """Decode latent rows `start` to `stop` to pixels on the storage grid."""
    latents = (rows.read(at, min(at + batch, stop)) for at in range(start, stop, batch))
    return np.concatenate([to_grid(autoencoder.decode(part)) for part in latents])


def main() -> None:
    """Fill one shard of the reconstructions."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spec", required=True, help="the autoencoder's entry of the configuration as JSON")
    parser.add_argument("--latents", type=Path, required=True)
    parser.add_argument("--latent-manifest", type=Path, required=True)
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--shard", type=int, required=True)
    parser.add_argument("--manifest", type=Path, required=True)
    parser.add_argument("--batch", type=int, default=32)
    arguments = parser.parse_args()
    check(arguments.latents, [arguments.latent_manifest])
    start, stop = shard_rows(arguments.store, arguments.shard)
    spec = read_spec(arguments.spec)
    autoencoder = spec.load(Rows(arguments.store).shape[0])
    pixels = decode(Rows(arguments.latents), start, stop, autoencoder, arguments.batch)
    made_by = {"spec": spec.model_dump(mode="json"), "latents": sha256(shard_path(arguments.latents, arguments.shard))}
    write_shard(arguments.store, arguments.shard, pixels, made_by).write(arguments.manifest)


if __name__ == "__main__":
    run(main)
