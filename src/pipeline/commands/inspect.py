"""What a store holds: shape, rows, statistics, what made it, and a sheet of some of its samples."""

import argparse
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from pipeline.commands.sheet import draw
from pipeline.errors import StudyError
from pipeline.files import sha256
from pipeline.progress import progress
from pipeline.store import Manifest, Rows, shard_path

Floats = NDArray[np.float64]
BATCH = 64
CHANNELS = 16
"""Channels whose statistics are listed; a mean over many more says enough."""


def options(parser: argparse.ArgumentParser) -> None:
    """Add the helper's options."""
    parser.add_argument("store", type=Path, help="such as results/latents/<data set>/<autoencoder>.zarr")
    parser.add_argument("--sheet", type=Path, help="draw some samples into this PNG file")
    parser.add_argument("--samples", type=int, default=16, help="how many, spread evenly (16)")
    parser.add_argument("--rows", type=int, nargs="+", help="in their place the samples of these rows")


def perform(asked: argparse.Namespace) -> None:
    """Print what the store holds, and draw the sheet."""
    store = Store.open(asked.store)
    print("\n".join(store.lines()))
    if asked.sheet:
        rows = asked.rows or spread(store.present, asked.samples)
        values = np.concatenate([store.sample(row) for row in rows])
        draw(values, rows, asked.sheet, pixels=store.pixels)
        print(f"{asked.sheet} shows {len(rows)} samples, all on one scale; it may show patients")


@dataclass(frozen=True)
class Store:
    """A store that is open, with the shards that are there.

    Attributes:
        path: of the store.
        rows: its samples.
        array: its metadata.
        manifests: of the shards that are there, by number.
    """

    path: Path
    rows: Rows
    array: "zarr.Array[Any]"
    manifests: dict[int, Manifest]

    @classmethod
    def open(cls, path: Path) -> "Store":
        """Open a store and compare every shard with its manifest.

        Raises:
            StudyError: there is no store, or a shard is not what its manifest describes.
        """
        path = Path(str(path).rstrip("/"))
        if not (path / "zarr.json").is_file():
            raise StudyError(f"{path} is no store: it has no zarr.json; stores are results/.../<name>.zarr")
        try:
            array = zarr.open_array(path, mode="r")
            rows = Rows(path)
        except Exception as error:  # zarr raises what json, its codecs or its own checks raise
            raise StudyError(
                f"the metadata of {path} is damaged ({type(error).__name__}); delete {path}/zarr.json, and the next "
                "call makes it again"
            ) from None
        if len(array.shape) != 4 or not array.shards:
            raise StudyError(f"{path} is not a store of this workflow: samples x channels x height x width, in shards")
        return cls(path, rows, array, _manifests(path, math.ceil(array.shape[0] / array.shards[0])))

    @property
    def pixels(self) -> bool:
        """Whether the values are pixels in [0, 1]."""
        return self.rows.attributes.get("kind") == "pixels"

    @property
    def shards(self) -> int:
        """How many shards there are when all are made."""
        return math.ceil(len(self.rows) / self.array.shards[0])  # type: ignore[index]

    @property
    def present(self) -> list[int]:
        """The rows of the shards that are there."""
        return [row for each in self.manifests.values() for row in range(each.start, each.stop)]

    def sample(self, row: int) -> NDArray[np.float32]:
        """Return one sample, 1 x C x H x W; raise StudyError where there is none."""
        if row not in range(len(self.rows)):
            raise StudyError(f"{self.path} has the rows 0 to {len(self.rows) - 1}, and no row {row}")
        return self.rows.read(row, row + 1)

    def batches(self) -> Iterator[NDArray[np.float32]]:
        """Yield all samples that are there."""
        for each in self.manifests.values():
            yield from self.rows.batches(each.start, each.stop, BATCH)

    def lines(self) -> list[str]:
        """Return what there is to say."""
        shape, stored = " x ".join(map(str, self.rows.shape)), sum(each.bytes for each in self.manifests.values())
        lines = [
            f"{self.path}: {kind(self)}",
            f"  samples: {len(self.rows)} of {shape} (channels x height x width), stored as {self.rows.dtype}",
            f"  shards: {len(self.manifests)} of {self.shards} are there and as their manifests say, "
            f"{self.array.shards[0]} samples each, read {self.array.chunks[0]} at a time, {stored:,} bytes",  # type: ignore[index]
        ]
        return lines + (statistics(self) if self.manifests else []) + provenance(self.manifests)


def _manifests(path: Path, shards: int) -> dict[int, Manifest]:
    """Return the manifests of the shards that are there; raise StudyError for a shard that is not what one says."""
    found = {}
    for number in range(shards):
        shard, manifest = shard_path(path, number), path.with_suffix("") / f"{number}.json"
        if not shard.is_file():
            continue
        if not manifest.is_file():
            raise StudyError(f"{shard} has no manifest {manifest}; delete it, and the next call makes it again")
        known = Manifest.read(manifest)
        if sha256(shard) != known.sha256:
            raise StudyError(f"{shard} is not what {manifest} describes; delete it, and the next call makes it again")
        found[number] = known
    return found


def kind(store: Store) -> str:
    """Return what kind of store this is, in words."""
    attributes = store.rows.attributes
    if not store.pixels:
        image = " x ".join(map(str, attributes.get("image_shape", [])))
        family, space = attributes.get("family", "?"), attributes.get("space", "?")
        return f"latents ({space}) of a {family} autoencoder, of {image} images"
    decoded = any("latents" in each.made_by for each in store.manifests.values())
    return "reconstructions, pixels in [0, 1]" if decoded else "images, pixels in [0, 1]"


def statistics(store: Store) -> list[str]:
    """Return mean, deviation and range of the values, of all and channel by channel."""
    total, count, blank = np.zeros((2, store.rows.shape[0])), 0, 0
    least, largest = math.inf, -math.inf
    number = math.ceil(len(store.present) / BATCH)
    for values in progress(store.batches(), number, "reading", " batches"):
        exact = values.astype(np.float64)
        total += exact.sum(axis=(0, 2, 3)), (exact**2).sum(axis=(0, 2, 3))
        count += exact[:, 0].size
        blank += int((values == 0).all(axis=(1, 2, 3)).sum())
        least, largest = min(least, float(values.min())), max(largest, float(values.max()))
    mean, square = total / count
    deviation = np.sqrt(np.maximum(square - mean**2, 0))
    whole = math.sqrt(max(float(square.mean() - mean.mean() ** 2), 0))
    lines = [f"  values: mean {mean.mean():.4g}, deviation {whole:.4g}, from {least:.4g} to {largest:.4g}"]
    if 1 < len(mean) <= CHANNELS:
        lines += [
            f"    channel {k}: mean {m:.4g}, deviation {d:.4g}"
            for k, (m, d) in enumerate(zip(mean, deviation, strict=True))
        ]
    elif len(mean) > CHANNELS:
        lines.append(f"    deviations of its {len(mean)} channels: {deviation.min():.4g} to {deviation.max():.4g}")
    if blank:
        lines.append(f"    {blank} samples are all zero: files without pixels are kept as such")
    return lines


def provenance(manifests: dict[int, Manifest]) -> list[str]:
    """Return what made the shards; several lines where not all were made alike."""
    alike: dict[tuple[str, ...], int] = {}
    for each in manifests.values():
        alike[tuple(_made_by(each.made_by))] = alike.get(tuple(_made_by(each.made_by)), 0) + 1
    lines = []
    for made, count in alike.items():
        lines.append(f"  made by ({count} of {len(manifests)} shards):")
        lines += [f"    {line}" for line in made]
    for source in ("images", "latents"):
        hashes = [f"{each.made_by[source][:12]}..." for each in manifests.values() if source in each.made_by]
        if hashes:
            rest = f" and {len(hashes) - 4} more" if len(hashes) > 4 else ""
            lines.append(f"  made from shards of {source}, SHA-256: {', '.join(hashes[:4])}{rest}")
    return lines


def _made_by(record: dict[str, Any]) -> list[str]:
    lines = []
    for key, value in sorted(record.items()):
        if key == "files":
            lines += [f"weights, SHA-256: {digest}" for digest in value] or ["no weights"]
        elif isinstance(value, dict):
            said = ", ".join(f"{name} {json.dumps(item)}" for name, item in value.items() if item is not None)
            lines.append(f"{key}: {said}")
        elif key not in ("images", "latents"):
            lines.append(f"{key}: {json.dumps(value)}")
    return lines


def spread(rows: list[int], count: int) -> list[int]:
    """Return so many of these rows, from the first to the last at even steps; raise StudyError where there are none."""
    if not rows:
        raise StudyError("no shard of the store is there yet, so there is nothing to draw")
    if count < 1:
        raise StudyError("--samples must be at least 1")
    places = np.linspace(0, len(rows) - 1, min(count, len(rows))).round().astype(int)
    return [rows[place] for place in places]
