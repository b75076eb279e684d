"""What heads read the rows of a space from, whether it lies in memory or in a store."""

import hashlib
from collections.abc import Iterator
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from pipeline.ahead import ahead

Floats = NDArray[np.float32]
Rows = NDArray[np.int64]

BLOCK = 256
"""Rows that are read at once where all are read: bounds memory, and no result depends on it."""


class Values(Protocol):
    """N x c x h x w values, float32, of which any rows can be read: a NumPy array, or a store (`pipeline.stored`).

    Rows come as n x c x h x w in the order that is asked for, the same bits wherever they are read from.
    """

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, c, h, w)."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Rows | slice, /) -> Floats: ...


@runtime_checkable
class Unchanging(Protocol):
    """Values that say what they are without being read: nobody writes into them."""

    def fingerprint(self) -> str:
        """Return what no other values return."""
        ...


def blocks(values: Values, rows: Rows | None = None) -> Iterator[Floats]:
    """Yield all rows, or these, in order and a block at a time, each read while the one before it is in use."""
    count = len(values) if rows is None else len(rows)
    parts = [slice(at, min(at + BLOCK, count)) for at in range(0, count, BLOCK)]
    return ahead(values[part if rows is None else rows[part]] for part in parts)


def whole(values: Values) -> Floats:
    """Return all rows as one array, with no more memory than that and two blocks."""
    if isinstance(values, np.ndarray):
        return values
    held, at = np.empty(values.shape, np.float32), 0
    for block in blocks(values):
        held[at : at + len(block)] = block
        at += len(block)
    return held


def bytes_of(values: Values) -> int:
    """Return how many bytes all rows take in memory."""
    return 4 * int(np.prod(values.shape, dtype=np.int64))


def digest(values: Values) -> str:
    """Return the SHA-256 of all values as they lie in memory, in hexadecimal."""
    found = hashlib.sha256()
    for block in blocks(values):
        found.update(np.ascontiguousarray(block).reshape(-1).data)
    return found.hexdigest()


def fingerprint(values: Values) -> str:
    """Return what tells values from others: of an array its content, because it may have been written into since."""
    return values.fingerprint() if isinstance(values, Unchanging) else digest(values)
