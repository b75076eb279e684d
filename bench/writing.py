"""What checksums cost where latents are written, and how many files they are."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from numpy.typing import NDArray

from bench.measure import Row, at_most, in_turn
from pipeline import shard_file
from pipeline.autoencoders import Latents
from pipeline.encode import Beside
from pipeline.store import Layout, ShardWriter, lay_out, shard_rows

SHAPE = (4, 64, 64)
ROWS = 2048
BATCH = 32
CHECKSUMS, FILES = at_most(0.25), at_most(20)


class Unhashed:
    """A hash of nothing."""

    def update(self, data: bytes) -> None:
        """Look at nothing."""

    def hexdigest(self) -> str:
        """Return the same for all."""
        return ""


def measured(folder: Path) -> Iterator[Row]:
    """All of it."""
    yield checksums(folder)
    yield files(folder)


def checksums(folder: Path) -> Row:
    """The share of the time of writing a shard, made durable, that goes to its checksums.

    They are the CRC32C of every chunk and of the index, and the SHA-256 of the file, which its manifest states.
    """
    store = folder / "checked.zarr"
    lay_out(store, Layout(ROWS, SHAPE, 1, "float16", {}))
    values = np.random.default_rng(0).standard_normal((ROWS, *SHAPE), np.float32)

    def unchecked() -> None:
        with (
            mock.patch.object(shard_file, "checked", lambda data: data + bytes(shard_file.CHECKSUM)),
            mock.patch("hashlib.sha256", Unhashed),
            mock.patch("hashlib.file_digest", lambda file, kind: Unhashed()),
        ):
            write(store, values)

    ratio, times = in_turn(partial(write, store, values), unchecked, 9)
    note = f"{ROWS} latents of 4x64x64 in float16: {times} without"
    return Row("checksums: share of the time of writing", 1 - ratio, *CHECKSUMS, note, "writing a shard, made durable")


def write(store: Path, values: NDArray[Any]) -> None:
    """Write a shard a batch at a time."""
    with ShardWriter(store, 0) as writer:
        for start in range(0, len(values), BATCH):
            writer.append(values[start : start + BATCH])
        writer.finish({})


def files(folder: Path) -> Row:
    """How many files 8,192 latents are, with their manifests and statistics, in shards of 2,048."""
    place, shards = folder / "counted", 4
    store = place / "latents.zarr"
    lay_out(store, Layout(shards * ROWS, (1, 2, 2), shards, "float16", {}))
    for shard in range(shards):
        start, stop = shard_rows(store, shard)
        latents = np.zeros((stop - start, 1, 2, 2), np.float32)
        with ShardWriter(store, shard) as writer:
            writer.append(latents)
            writer.finish({}).write(place / f"latents/{shard}.json")
        beside = Beside(place / f"latents/{shard}.safetensors", len(latents))
        beside.append(Latents(latents), None)
        beside.close()
    count = sum(path.is_file() for path in place.rglob("*"))
    return Row("files of 8,192 latents in four shards", count, *FILES, "one for each image: 8,192", "files")
