"""Write one shard of a Zarr store a few rows at a time.

Zarr itself takes a shard whole, or reads and writes all of it again for every part, so that memory would grow with the
shard. A shard file is its encoded chunks, one after the other, and an index of where each begins and how long it is
(Zarr v3, sharding codec, index at the end). The bytes are those that Zarr writes.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
from numcodecs import Zstd
from numpy.typing import NDArray

MISSING = 2**64 - 1
"""Stands in the index for a chunk that lies behind the store's last row."""


@dataclass(frozen=True)
class Chunk:
    """How a chunk is encoded: its values in order, little-endian, compressed or not, and a checksum.

    Attributes:
        rows: samples in a whole chunk.
        level: of Zstandard; None: not compressed.
    """

    rows: int
    level: int | None

    def encode(self, values: NDArray[Any]) -> bytes:
        """Return the bytes of a chunk whose first rows these are; what is missing at its end is zero."""
        missing = np.zeros((self.rows - len(values), *values.shape[1:]), values.dtype)
        plain = np.concatenate([values, missing]) if len(missing) else np.ascontiguousarray(values)
        return checked(plain.tobytes() if self.level is None else bytes(Zstd(self.level).encode(plain)))


def checked(data: bytes) -> bytes:
    """Return data with its CRC32C behind it."""
    checksum: int = google_crc32c.value(data)
    return data + checksum.to_bytes(4, "little")


class ShardFile:
    """A shard that is being written to a file, chunk by chunk."""

    def __init__(self, path: Path, chunk: Chunk, chunks: int) -> None:
        self.chunk, self.chunks = chunk, chunks
        self.file = path.open("wb")
        self.index: list[tuple[int, int]] = []
        self.waiting: list[NDArray[Any]] = []

    def append(self, values: NDArray[Any]) -> None:
        """Write the chunks that these rows complete; the others wait."""
        self.waiting.append(values)
        rows = np.concatenate(self.waiting) if len(self.waiting) > 1 else values
        whole = len(rows) // self.chunk.rows * self.chunk.rows
        for start in range(0, whole, self.chunk.rows):
            self._write(rows[start : start + self.chunk.rows])
        self.waiting = [rows[whole:]] if whole < len(rows) else []

    def close(self) -> None:
        """Write what waits, and the index."""
        if self.waiting:
            self._write(np.concatenate(self.waiting))
        self.index += [(MISSING, MISSING)] * (self.chunks - len(self.index))
        self.file.write(checked(np.array(self.index, "<u8").tobytes()))
        self.file.close()

    def _write(self, rows: NDArray[Any]) -> None:
        encoded = self.chunk.encode(rows)
        self.index.append((self.file.tell(), len(encoded)))
        self.file.write(encoded)
