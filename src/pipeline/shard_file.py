"""Write and read one shard of a Zarr store a few rows at a time.

Zarr itself takes a shard whole, or reads and writes all of it again for every part, so that memory would grow with the
shard; and it keeps the interpreter busy while it reads, which a small model in another thread then waits for. A shard
file is its encoded chunks, one after the other, and an index of where each begins and how long it is (Zarr v3, sharding
codec, index at the end). The bytes are those that Zarr writes.
"""

import hashlib
import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import google_crc32c
import numpy as np
from numcodecs import Zstd
from numpy.typing import NDArray

from pipeline.errors import StudyError

MISSING = 2**64 - 1
"""Stands in the index for a chunk that lies behind the store's last row."""
CHECKSUM = 4
"""Bytes of a CRC32C."""
AHEAD = 4
"""Chunks that are written and may wait to be hashed."""


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

    def decode(self, data: bytes, out: NDArray[Any]) -> None:
        """Fill a whole chunk's array from the bytes that `encode` made of it; raise ValueError for other bytes."""
        plain = out.reshape(-1).view(np.uint8)
        if self.level is None:
            plain[:] = np.frombuffer(intact(data), np.uint8)
            return
        try:
            Zstd().decode(intact(data), plain)
        except RuntimeError as error:
            raise ValueError(str(error)) from None


def checked(data: bytes) -> bytes:
    """Return data with its CRC32C behind it."""
    checksum: int = google_crc32c.value(data)
    return data + checksum.to_bytes(CHECKSUM, "little")


def intact(data: bytes) -> memoryview:
    """Return data without the CRC32C behind it; raise ValueError where it is not that of the data."""
    content, checksum = memoryview(data)[:-CHECKSUM], data[-CHECKSUM:]
    if len(data) < CHECKSUM or google_crc32c.value(bytes(content)) != int.from_bytes(checksum, "little"):
        raise ValueError("the checksum is that of other bytes")
    return content


def stretches(numbers: NDArray[np.int64], step: int = 0) -> list[tuple[int, int]]:
    """Return where each stretch begins and ends in which every number is the one before it plus `step`."""
    breaks = np.flatnonzero(np.diff(numbers) != step) + 1
    return list(pairwise([0, *breaks.tolist(), len(numbers)])) if len(numbers) else []


class ShardReader:
    """A shard file that is open for reading, from any number of threads.

    Args:
        path: of the file.
        chunk: how its chunks are encoded.
        shape: (rows, ...) of the whole shard, whole chunks.
        dtype: of its values.

    Raises:
        StudyError: the file is missing, or is not such a shard.
    """

    def __init__(self, path: Path, chunk: Chunk, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self.path, self.chunk, self.shape, self.dtype = path, chunk, shape, dtype
        try:
            self.file = os.open(path, os.O_RDONLY)
        except OSError:
            raise StudyError(f"{path} is missing; the next call makes it again") from None
        length = 16 * (shape[0] // chunk.rows) + CHECKSUM
        try:
            found = intact(os.pread(self.file, length, max(0, os.fstat(self.file).st_size - length)))
            self.index = np.frombuffer(found, "<u8").reshape(shape[0] // chunk.rows, 2)
        except ValueError:
            os.close(self.file)
            raise self._damaged() from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        os.close(self.file)

    @property
    def chunks(self) -> int:
        """How many chunks a whole shard has."""
        return len(self.index)

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Return rows `start` to `stop` of the shard; raise StudyError where its bytes are not those written."""
        rows = self.chunk.rows
        first, last = start // rows, -(-stop // rows)
        values = np.empty(((last - first) * rows, *self.shape[1:]), self.dtype)
        for number in range(first, last):
            at = (number - first) * rows
            self._decode(number, values[at : at + rows])
        return values[start - first * rows : stop - first * rows]

    def take(
        self, rows: NDArray[np.int64], out: NDArray[Any], places: NDArray[np.int64], intact: NDArray[np.bool_]
    ) -> None:
        """Read single rows of the shard, each into its place of an array.

        Args:
            rows: n numbers, ascending.
            out: m x c x h x w, in order in memory.
            places: n numbers of rows of `out`.
            intact: which chunks have been compared with their checksum; those that are compared now are noted there.
                Compressed ones always are, since they are read whole.

        Raises:
            StudyError: the bytes of a chunk are not those written.
        """
        size = self.chunk.rows
        numbers = rows // size
        if self.chunk.level is None:
            self._compare(numbers[~intact[numbers]])
            intact[numbers] = True
            self._gather(self.index[numbers, 0].astype(np.int64) + rows % size * out[0].nbytes, out, places)
            return
        values = np.empty((size, *self.shape[1:]), self.dtype)
        for start, stop in stretches(numbers):
            self._decode(int(numbers[start]), values)
            out[places[start:stop]] = values[rows[start:stop] % size]

    def _compare(self, numbers: NDArray[np.int64]) -> None:
        values = np.empty((self.chunk.rows, *self.shape[1:]), self.dtype)
        for number in np.unique(numbers):
            self._decode(int(number), values)

    def _gather(self, offsets: NDArray[np.int64], out: NDArray[Any], places: NDArray[np.int64]) -> None:
        """Read rows that begin at these places of the file, those that follow one another by one call."""
        row = out[0].nbytes
        parts = out.reshape(len(out), -1).view(np.uint8)
        for start, stop in stretches(offsets, step=row):
            into = [parts[place] for place in places[start:stop].tolist()]
            if os.preadv(self.file, into, int(offsets[start])) != row * len(into):
                raise self._damaged()

    def _decode(self, number: int, out: NDArray[Any]) -> None:
        offset, length = (int(value) for value in self.index[number])
        if offset == MISSING:
            raise self._damaged()
        try:
            self.chunk.decode(os.pread(self.file, length, offset), out)
        except ValueError:
            raise self._damaged() from None

    def _damaged(self) -> StudyError:
        return StudyError(f"{self.path} is damaged; delete it, and the next call makes it again")


class ShardFile:
    """A shard that is being written to a file, chunk by chunk."""

    def __init__(self, path: Path, chunk: Chunk, chunks: int) -> None:
        self.chunk, self.chunks = chunk, chunks
        self.file = path.open("wb")
        self.hash = hashlib.sha256()
        # Beside the writing, which waits for the disk: the interpreter is free meanwhile.
        self.hashing = ThreadPoolExecutor(1)
        self.hashed: deque[Future[None]] = deque()
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
        self._put(checked(np.array(self.index, "<u8").tobytes()))
        self.file.close()

    def _write(self, rows: NDArray[Any]) -> None:
        encoded = self.chunk.encode(rows)
        self.index.append((self.file.tell(), len(encoded)))
        self._put(encoded)

    def _put(self, data: bytes) -> None:
        if len(self.hashed) == AHEAD:
            self.hashed.popleft().result()
        self.hashed.append(self.hashing.submit(self.hash.update, data))
        self.file.write(data)

    def abandon(self) -> None:
        """Let go of the file, finished or not."""
        self.hashing.shutdown()
        with suppress(OSError):
            # What a full disk could not take is not wanted any more.
            self.file.close()

    def digest(self) -> str:
        """Return the SHA-256 of the closed file."""
        self.hashing.shutdown()
        return self.hash.hexdigest()
