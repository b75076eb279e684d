"""Stage decode: latents back to pixels."""

import argparse
import math
from pathlib import Path
from typing import Any

from pipeline import families, pool, weights
from pipeline.ahead import ahead
from pipeline.autoencoders import Autoencoder, at_a_time, decoded
from pipeline.encode import read_spec
from pipeline.errors import StudyError
from pipeline.files import sha256
from pipeline.program import run
from pipeline.progress import progress
from pipeline.store import Manifest, Rows, ShardWriter, check, shard_path, shard_rows, to_grid


def decode(
    latents: Rows, store: Path, shard: int, autoencoder: Autoencoder, batch: int, made_by: dict[str, Any]
) -> Manifest:
    """Fill one shard with pixels on the storage grid; what it holds does not depend on the size of the batch."""
    start, stop = shard_rows(store, shard)
    # Decoded in a thread: what is decoded already is rounded and written meanwhile.
    results = ahead(decoded(autoencoder, latents.batches(start, stop, batch)))
    with ShardWriter(store, shard) as writer:
        for pixels in progress(results, math.ceil((stop - start) / batch), "decoding", " batches"):
            writer.append(to_grid(pixels))
        return writer.finish(made_by | {"float32_retries": int(getattr(autoencoder, "retries", 0))})


def check_weights(files: list[str], encoded_with: list[str], manifest: Path) -> None:
    """Raise StudyError unless the autoencoder's files are those that the latents were encoded with."""
    for file, found, expected in zip(files, weights.verify(files), encoded_with, strict=True):
        if found != expected:
            raise StudyError(
                f"{file} has the SHA-256 {found}, and the latents of {manifest} were encoded with {expected}; put the "
                "file back, or delete that manifest to encode anew"
            )


def main() -> None:
    """Fill one shard of the reconstructions."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spec", required=True, help="the autoencoder's entry of the configuration as JSON")
    parser.add_argument("--latents", type=Path, required=True)
    parser.add_argument("--latent-manifest", type=Path, required=True)
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--shard", type=int, required=True)
    parser.add_argument("--manifest", type=Path, required=True)
    arguments = parser.parse_args()
    check(arguments.latents, [arguments.latent_manifest])
    spec = read_spec(arguments.spec)
    known = Manifest.read(arguments.latent_manifest).made_by
    check_weights(spec.files(), known["files"], arguments.latent_manifest)
    shape = Rows(arguments.store).shape
    made_by = {"spec": spec.model_dump(mode="json"), "latents": sha256(shard_path(arguments.latents, arguments.shard))}
    outputs = [shard_path(arguments.store, arguments.shard), arguments.manifest]
    depends = made_by | {"files": known["files"], "shard": arguments.shard}
    depends |= {"layout": sha256(arguments.store / "zarr.json")}
    if pool.taken("decode", depends, ["pipeline.decode", families.module_name("autoencoders", spec.family)], outputs):
        return
    spec.place(arguments.shard)
    latents, autoencoder = Rows(arguments.latents), spec.load_for(shape)
    batch = at_a_time(autoencoder, shape, decoding=True)
    decode(latents, arguments.store, arguments.shard, autoencoder, batch, made_by).write(arguments.manifest)


if __name__ == "__main__":
    run(main)
