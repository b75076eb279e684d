"""Latents on their way to a training: from memory, from a store in both orders, and one by one by zarr-python."""

import statistics
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
import zarr
from numpy.typing import NDArray

from bench.measure import FREE, Row, at_least, at_most, in_turn, seconds
from pipeline.networks.feeding import Feeding, Held, Streamed
from pipeline.shuffle import Shuffle
from pipeline.store import Layout, lay_out, shard_rows, write_shard
from pipeline.stored import Stored
from pipeline.values import whole

COUNT, SHAPE, SHARDS = 8192, (4, 64, 64), 4
BATCH = 32
SINGLES = 64
RANDOM = at_most(5)
HELD, SHUFFLED = at_least(0.9), at_least(5)
CPU = torch.device("cpu")


def measured(folder: Path) -> Iterator[Row]:
    """All of it, from page cache."""
    store = latents(folder / "latents.zarr")
    values = Stored(store)
    whole(values)
    yield random_batch(values)
    yield from in_memory(values)
    yield from streamed(store, values)


def latents(store: Path) -> Path:
    """Write 8,192 latents of 4 x 64 x 64 in float16: 256 MiB."""
    lay_out(store, Layout(COUNT, SHAPE, SHARDS, "float16", {}))
    for shard in range(SHARDS):
        start, stop = shard_rows(store, shard)
        drawn = np.random.default_rng(shard).standard_normal((stop - start, *SHAPE), np.float32)
        write_shard(store, shard, drawn.astype(np.float16), {})
    return store


def random_batch(values: Stored) -> Row:
    """How long 256 rows take that are drawn from all over the store; what is checked once is checked already."""
    random = np.random.default_rng(0)
    values[np.arange(COUNT)[::16]]
    spent, passed = [], []
    for _ in range(60):
        rows = random.choice(COUNT, 256, replace=False)
        start = time.thread_time()
        passed.append(seconds(partial(values.__getitem__, rows)))
        spent.append(time.thread_time() - start)
    # Of a processor: nothing here waits for a disk, and what else the machine does is not counted.
    note = f"median of {len(spent)}; the fastest took {1000 * min(passed):.2f} ms by the clock; float16 to float32"
    value = 1000 * statistics.median(spent)
    return Row("random batch of 256 latents of 4x64x64", value, *RANDOM, note, "milliseconds of one core")


def epoch(feeding: Feeding, order: NDArray[np.int64], buffer: int) -> None:
    """Read rows in batches, as a training does."""
    rows = torch.from_numpy(order)
    views = torch.zeros_like(rows)
    feeding.expect(rows, views, BATCH, buffer)
    for part in rows.split(BATCH):
        feeding.raw(part, views[: len(part)])


def in_memory(values: Stored) -> Iterator[Row]:
    """What a training reads where the space fits into memory, against indexing a tensor."""
    tensor = torch.from_numpy(whole(values))
    order = np.random.default_rng(1).permutation(COUNT)

    def plain() -> None:
        for part in torch.from_numpy(order).split(BATCH):
            tensor[part]

    ratio, times = in_turn(partial(epoch, Held([tensor], CPU), order, COUNT), plain, 9)
    than = "indexing a tensor in memory"
    yield Row("latents that fit into memory: speed of reading an epoch", ratio, *HELD, times, than)
    shuffle = Shuffle(1024, False)
    order = shuffle.places(np.arange(COUNT), np.random.default_rng(2))
    ratio, times = in_turn(partial(epoch, Streamed([values], CPU), order, shuffle.buffer), plain, 5)
    yield Row("latents read from the store in chunk-shuffled order: speed", ratio, note=times, than=than)


def streamed(store: Path, values: Stored) -> Iterator[Row]:
    """The two orders in which a store is read, against random reads of single samples."""
    array, random = zarr.open_array(store, mode="r"), np.random.default_rng(3)

    def singles() -> None:
        for row in random.choice(COUNT, SINGLES, replace=False):
            array[int(row)]

    than = "single random reads by zarr-python"
    for name, shuffle, bound in (
        ("chunk-shuffled", Shuffle(1024, False), SHUFFLED),
        ("fully shuffled", Shuffle(1024, True), FREE),
    ):
        order = shuffle.places(np.arange(COUNT), np.random.default_rng(4))
        ratio, times = in_turn(partial(epoch, Streamed([values], CPU), order, shuffle.buffer), singles, 5)
        note = f"{COUNT} rows against {SINGLES}: {times}"
        yield Row(f"latents read from the store, {name}: speed", ratio * COUNT / SINGLES, *bound, note, than)
