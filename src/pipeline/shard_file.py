"""Write one shard of a Zarr store a few rows at a time.

Zarr itself takes a shard whole, or reads and writes all of it again for every part, so that memory would grow with the
shard. A shard file is its encoded chunks, one after the other, and an index of where each begins and how long it is
(Zarr v3, sharding codec, index at the end). Chunks and index are encoded by Zarr here, in memory, one at a time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.abc.codec import BytesBytesCodec
from zarr.codecs import Crc32cCodec
from zarr.core.buffer import Buffer
from zarr.storage import MemoryStore

MISSING = 2**64 - 1
"""Stands in the index for a chunk that lies behind the store's last row."""


@dataclass
class Encoder:
    """Encodes arrays of one shape and type as Zarr encodes a chunk."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    compressors: Sequence[BytesBytesCodec]

    def __post_init__(self) -> None:
        """Make an array of one chunk in memory."""
        self.kept: dict[str, Buffer] = {}
        # An array keeps the setting under which it was opened; without it a chunk of zeros would not be written.
        with zarr.config.set({"array.write_empty_chunks": True}):
            self.array = zarr.create_array(
                store=MemoryStore(self.kept),
                shape=self.shape,
                chunks=self.shape,
                dtype=self.dtype,
                filters=None,
                compressors=list(self.compressors),
            )

    def __call__(self, values: NDArray[Any]) -> bytes:
        """Return the bytes of a chunk whose first rows these are; what is missing at its end is zero."""
        self.array[...] = 0
        self.array[: len(values)] = values
        key = "/".join(["c", *("0" for _ in self.shape)])
        return self.kept[key].to_bytes()


class ShardFile:
    """A shard that is being written to a file, chunk by chunk."""

    def __init__(self, path: Path, chunk: Encoder, chunks: int) -> None:
        self.chunk, self.chunks = chunk, chunks
        self.file = path.open("wb")
        self.index: list[tuple[int, int]] = []
        self.waiting: list[NDArray[Any]] = []

    def append(self, values: NDArray[Any]) -> None:
        """Write the chunks that these rows complete; the others wait."""
        self.waiting.append(values)
        rows, size = np.concatenate(self.waiting), self.chunk.shape[0]
        whole = len(rows) // size * size
        for start in range(0, whole, size):
            self._write(rows[start : start + size])
        self.waiting = [rows[whole:]]

    def close(self) -> None:
        """Write what waits, and the index."""
        rest = np.concatenate(self.waiting) if self.waiting else np.empty(0)
        if len(rest):
            self._write(rest)
        self.index += [(MISSING, MISSING)] * (self.chunks - len(self.index))
        encode = Encoder((self.chunks, 2), np.dtype("uint64"), [Crc32cCodec()])
        self.file.write(encode(np.array(self.index, np.uint64)))
        self.file.close()

    def _write(self, rows: NDArray[Any]) -> None:
        encoded = self.chunk(rows)
        self.index.append((self.file.tell(), len(encoded)))
        self.file.write(encoded)
