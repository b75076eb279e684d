"""Stage encode: pixels to raw, deterministic latents."""

import argparse
import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from pipeline import families
from pipeline.autoencoders import Autoencoder, AutoencoderSpec, Latents
from pipeline.errors import StudyError
from pipeline.files import sha256, write_atomically
from pipeline.program import run
from pipeline.store import Layout, Rows, check, lay_out, shard_path, shard_rows, write_shard


def read_spec(text: str) -> AutoencoderSpec:
    """Read one autoencoder's entry of the configuration."""
    spec = families.spec("autoencoders", json.loads(text))
    if not isinstance(spec, AutoencoderSpec):
        raise StudyError(f"{type(spec).__module__}.Spec is not an AutoencoderSpec")
    return spec


def lay_out_latents(images: Path, spec: AutoencoderSpec, shards: int, folder: Path) -> None:
    """Lay out the latents of an image store, cut into as many shards."""
    rows = Rows(images)
    attributes = {"kind": "latents", "family": spec.family, "space": spec.space, "image_shape": list(rows.shape)}
    layout = Layout(len(rows), spec.latent_shape(rows.shape), shards, spec.latent_dtype, attributes)
    lay_out(folder, layout)


def encode(rows: Rows, start: int, stop: int, autoencoder: Autoencoder, batch: int) -> Latents:
    """Encode rows `start` to `stop`; the result does not depend on the size of the batch."""
    parts = [autoencoder.encode(rows.read(at, min(at + batch, stop))) for at in range(start, stop, batch)]
    means = np.concatenate([part.mean for part in parts])
    variances = [part.log_variance for part in parts if part.log_variance is not None]
    return Latents(means, np.concatenate(variances) if variances else None)


def statistics(latents: Latents) -> dict[str, np.ndarray]:
    """Return what lies beside the latents of a shard.

    `mean` and `square` are each sample's channel means of the latent and of its square, n x c: averaged over the
    training rows of a fold they give that fold's channel statistics without reading latents of any other fold.
    `log_variance`, n x c x h x w, is there for a variational encoder.
    """
    values = latents.mean.astype(np.float64)
    beside = {"mean": values.mean(axis=(2, 3)), "square": (values**2).mean(axis=(2, 3))}
    if latents.log_variance is not None:
        if not np.isfinite(latents.log_variance).all():
            raise StudyError("the encoder's log-variance is not finite")
        beside["log_variance"] = latents.log_variance.astype(np.float32)
    return beside


def main() -> None:
    """Lay out the store, or fill one shard of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spec", required=True, help="the autoencoder's entry of the configuration as JSON")
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--shards", type=int, help="lay out the store for so many shards")
    parser.add_argument("--shard", type=int, help="fill this shard")
    parser.add_argument("--image-manifest", type=Path)
    parser.add_argument("--manifest", type=Path)
    parser.add_argument("--statistics", type=Path)
    parser.add_argument("--batch", type=int, default=32)
    arguments = parser.parse_args()
    spec = read_spec(arguments.spec)
    if arguments.shards is not None:
        lay_out_latents(arguments.images, spec, arguments.shards, arguments.store)
        return
    check(arguments.images, [arguments.image_manifest])
    rows = Rows(arguments.images)
    start, stop = shard_rows(arguments.store, arguments.shard)
    latents = encode(rows, start, stop, spec.load(rows.shape[0]), arguments.batch)
    made_by = {
        "spec": spec.model_dump(mode="json"),
        # In the order of the specification: two files may have one name.
        "files": [sha256(Path(file)) for file in spec.files()],
        "images": sha256(shard_path(arguments.images, arguments.shard)),
    }
    beside = statistics(latents)
    write_atomically(arguments.statistics, lambda path: save_file(beside, path))
    write_shard(arguments.store, arguments.shard, latents.mean, made_by).write(arguments.manifest)


if __name__ == "__main__":
    run(main)
