"""Stage encode: pixels to raw, deterministic latents."""

import argparse
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline import families, pool, weights
from pipeline.ahead import ahead
from pipeline.autoencoders import Autoencoder, AutoencoderSpec, Coded, Latents, at_a_time, encoded
from pipeline.errors import StudyError
from pipeline.files import sha256, write_atomically
from pipeline.program import run
from pipeline.progress import progress
from pipeline.store import Layout, Manifest, Rows, ShardWriter, check, lay_out, shard_path
from pipeline.tensor_file import TensorFile


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


class Beside:
    """The file with what lies beside the latents of a shard, filled batch by batch.

    `mean` and `square` are each sample's channel means of the latent and of its square, n x c: averaged over the
    training rows of a fold they give that fold's channel statistics without reading latents of any other fold.
    `log_variance`, n x c x h x w, is there for a variational encoder, and `file_bytes`, n, for a codec whose latents
    have an agreed form on disk.
    """

    def __init__(self, path: Path, rows: int) -> None:
        self.path, self.rows, self.row = path, rows, 0
        self.file: TensorFile | None = None

    def append(self, latents: Latents, file_bytes: NDArray[np.int64] | None) -> None:
        """Write what belongs to the next rows; raise StudyError for a log-variance that is not finite."""
        values = latents.mean.astype(np.float64)
        parts = {"mean": values.mean(axis=(2, 3)), "square": (values**2).mean(axis=(2, 3))}
        if latents.log_variance is not None:
            if not np.isfinite(latents.log_variance).all():
                raise StudyError("the encoder's log-variance is not finite")
            parts["log_variance"] = latents.log_variance.astype(np.float32)
        if file_bytes is not None:
            parts["file_bytes"] = file_bytes
        if self.file is None:
            shapes = {name: (str(part.dtype), (self.rows, *part.shape[1:])) for name, part in parts.items()}
            self.file = TensorFile(self.path, shapes)
        for name, part in parts.items():
            self.file.write(name, self.row, part)
        self.row += len(values)

    def close(self) -> None:
        """Hand everything to the operating system."""
        if self.file is not None:
            self.file.close()


@dataclass(frozen=True)
class Target:
    """Where the latents of one shard go.

    Attributes:
        store: the latent store.
        shard: its number.
        statistics: the file beside it.
    """

    store: Path
    shard: int
    statistics: Path


def encode(rows: Rows, target: Target, autoencoder: Autoencoder, batch: int, made_by: dict[str, Any]) -> Manifest:
    """Fill one shard; what it holds does not depend on how many samples are encoded at a time."""
    with ShardWriter(target.store, target.shard) as writer:
        count = writer.stop - writer.start
        batches = rows.batches(writer.start, writer.stop, batch)
        # Encoded in a thread: what is encoded already is checked and written meanwhile.
        results = progress(ahead(encoded(autoencoder, batches)), math.ceil(count / batch), "encoding", " batches")

        def fill(path: Path) -> None:
            beside = Beside(path, count)
            for images, latents in results:
                writer.append(latents.mean)
                beside.append(latents, autoencoder.file_bytes(images) if isinstance(autoencoder, Coded) else None)
            beside.close()

        write_atomically(target.statistics, fill)
        return writer.finish(made_by | {"float32_retries": int(getattr(autoencoder, "retries", 0))})


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
    arguments = parser.parse_args()
    spec = read_spec(arguments.spec)
    if arguments.shards is not None:
        lay_out_latents(arguments.images, spec, arguments.shards, arguments.store)
        return
    check(arguments.images, [arguments.image_manifest])
    rows = Rows(arguments.images)
    made_by = {
        "spec": spec.model_dump(mode="json"),
        # In the order of the specification: two files may have one name.
        "files": weights.verify(spec.files()),
        "images": sha256(shard_path(arguments.images, arguments.shard)),
    }
    outputs = [shard_path(arguments.store, arguments.shard), arguments.statistics, arguments.manifest]
    depends = made_by | {"shard": arguments.shard, "layout": sha256(arguments.store / "zarr.json")}
    if pool.taken("encode", depends, ["pipeline.encode", families.module_name("autoencoders", spec.family)], outputs):
        return
    spec.place(arguments.shard)
    autoencoder = spec.load_for(rows.shape)
    target = Target(arguments.store, arguments.shard, arguments.statistics)
    encode(rows, target, autoencoder, at_a_time(autoencoder, rows.shape), made_by).write(arguments.manifest)


if __name__ == "__main__":
    run(main)
