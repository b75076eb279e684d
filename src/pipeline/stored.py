"""The values of a store, read on demand and never whole."""

import threading
from collections import OrderedDict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.shard_file import ShardReader, stretches
from pipeline.store import Rows, as_float32
from pipeline.values import Floats

OPEN_FILES = 64
"""Shards that are open at once; a process may open some thousand files, and has several spaces and views."""


class Stored:
    """The rows of a store as float32, in any order, from any number of threads, in turn.

    A chunk is compared with its checksum when it is first read from. Latents lie uncompressed, and later only the rows
    that are asked for are read: what happens to the file in between is not noticed.

    Attributes:
        shape: (N, c, h, w).
    """

    def __init__(self, folder: Path) -> None:
        self._open: OrderedDict[int, ShardReader] = OrderedDict()
        self._intact: dict[int, NDArray[np.bool_]] = {}
        self._one_at_a_time = threading.Lock()
        self._folder, self._rows = folder, Rows(folder)
        self.shape: tuple[int, ...] = (len(self._rows), *self._rows.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: NDArray[np.int64] | slice, /) -> Floats:
        """Return rows as n x c x h x w; raise StudyError for a shard that is missing or damaged."""
        if isinstance(rows, slice):
            start, stop, step = rows.indices(len(self))
            if step == 1:
                return self._rows.read(start, max(start, stop))
            rows = np.arange(start, stop, step)
        if rows.dtype.kind != "i" or (rows.size and not 0 <= rows.min() <= rows.max() < len(self)):
            raise IndexError(f"{self._folder} holds the rows 0 to {len(self) - 1}, and others were asked for")
        stored = np.empty((len(rows), *self.shape[1:]), self._rows.dtype)
        places = np.argsort(rows, kind="stable")
        shards = rows[places] // self._rows.per_shard
        with self._one_at_a_time:
            for start, stop in stretches(shards):
                shard, part = int(shards[start]), places[start:stop]
                reader = self._reader(shard)
                reader.take(rows[part] - shard * self._rows.per_shard, stored, part, self._intact[shard])
        return as_float32(stored)

    def fingerprint(self) -> str:
        """Return where the store is: this process has compared it with its manifests, and nobody writes into it."""
        return str(self._folder.resolve())

    def close(self) -> None:
        """Close the files; the next reading opens them again."""
        with self._one_at_a_time:
            while self._open:
                self._open.popitem()[1].close()

    def __del__(self) -> None:
        """Close the files."""
        self.close()

    def _reader(self, shard: int) -> ShardReader:
        if shard not in self._open:
            if len(self._open) >= OPEN_FILES:
                self._open.popitem(last=False)[1].close()
            self._open[shard] = self._rows.reader(shard)
            self._intact.setdefault(shard, np.zeros(self._open[shard].chunks, bool))
        self._open.move_to_end(shard)
        return self._open[shard]
