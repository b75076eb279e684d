"""The raw values of a space and its views, as batches where the network is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline import memory
from pipeline.ahead import ahead
from pipeline.heads import Space
from pipeline.values import Floats, Values, bytes_of

LARGEST_SHARE = 0.25
"""Of an accelerator's free memory, for values that are kept there; what is larger is copied batch by batch."""
READ_SHARE = 0.125
"""Of the memory that is free, for rows that are read ahead; twice as much holds those in use, too."""


class Feeding(Protocol):
    """Gives rows, each in one of its views (0: as it is), on a device."""

    def expect(self, rows: Tensor, views: Tensor, size: int, buffer: int) -> None:
        """Be told what will be asked for next, in order: a hint, on which no result depends.

        Args:
            rows: n numbers.
            views: n numbers.
            size: rows of a batch.
            buffer: rows after which those that are read together are none of those before.
        """
        ...

    def raw(self, rows: Tensor, views: Tensor) -> Tensor:
        """Return n x c x h x w values."""
        ...


def feeding(space: Space, device: torch.device) -> Feeding:
    """Return what feeds a network on a device with a space: from memory, if the space is held there."""
    values = (space.values, *space.views)
    arrays = [array for array in values if isinstance(array, np.ndarray)]
    if len(arrays) == len(values):
        return Held([torch.from_numpy(np.ascontiguousarray(array)) for array in arrays], device)
    return Streamed(values, device)


class Held:
    """Values that lie in memory, or on the device where they fit."""

    def __init__(self, arrays: list[Tensor], device: torch.device) -> None:
        self.device = device
        self._arrays = [array.to(device) for array in arrays] if _fits(arrays, device) else arrays

    def expect(self, rows: Tensor, views: Tensor, size: int, buffer: int) -> None:
        """Everything is there already."""

    def raw(self, rows: Tensor, views: Tensor) -> Tensor:
        """Return n x c x h x w values."""
        first = self._arrays[0]
        if len(self._arrays) == 1:
            return moved(first[rows.to(first.device)], self.device)
        values = first.new_empty((len(rows), *first.shape[1:]))
        for number, array in enumerate(self._arrays):
            chosen = views == number
            values[chosen.to(array.device)] = array[rows[chosen].to(array.device)]
        return moved(values, self.device)


@dataclass(frozen=True)
class _Batch:
    rows: NDArray[np.int64]
    views: NDArray[np.int64]
    values: Floats


class Streamed:
    """Values that are read as they are used: those that are expected many batches at a time, in a thread.

    Many batches together are read in the order of the store, which is what makes it fast.
    """

    def __init__(self, values: Sequence[Values], device: torch.device) -> None:
        self.values, self.device = values, device
        self._coming: Iterator[_Batch] = iter(())

    def expect(self, rows: Tensor, views: Tensor, size: int, buffer: int) -> None:
        """Read these rows ahead, from when the first of them are asked for."""
        row = bytes_of(self.values[0]) // max(1, len(self.values[0]))
        fitting = int(READ_SHARE * memory.available()) // row
        count = size * max(1, min(buffer, fitting) // size)
        self._coming = self._batches(rows.numpy(), views.numpy(), size, count)

    def raw(self, rows: Tensor, views: Tensor) -> Tensor:
        """Return n x c x h x w values."""
        wanted, sides = rows.numpy(), views.numpy()
        batch = next(self._coming, None)
        if batch is None or not (np.array_equal(batch.rows, wanted) and np.array_equal(batch.views, sides)):
            self._coming = iter(())
            batch = _Batch(wanted, sides, self._read(wanted, sides))
        return moved(torch.from_numpy(batch.values), self.device)

    def _batches(self, rows: NDArray[np.int64], views: NDArray[np.int64], size: int, count: int) -> Iterator[_Batch]:
        parts = [slice(at, at + count) for at in range(0, len(rows), count)]
        read = ahead(_Batch(rows[part], views[part], self._read(rows[part], views[part])) for part in parts)
        for many in read:
            for at in range(0, len(many.rows), size):
                one = slice(at, at + size)
                yield _Batch(many.rows[one], many.views[one], many.values[one])

    def _read(self, rows: NDArray[np.int64], views: NDArray[np.int64]) -> Floats:
        if len(self.values) == 1:
            return self.values[0][rows]
        found = np.empty((len(rows), *self.values[0].shape[1:]), np.float32)
        for number in np.unique(views):
            found[views == number] = self.values[number][rows[views == number]]
        return found


def moved(values: Tensor, device: torch.device) -> Tensor:
    """Return values on a device."""
    if values.device == device:
        return values
    # From pinned memory a copy runs beside what the device computes.
    return values.pin_memory().to(device, non_blocking=True)


def _fits(arrays: list[Tensor], device: torch.device) -> bool:
    if device.type != "cuda":
        return True
    return sum(array.nbytes for array in arrays) <= LARGEST_SHARE * torch.cuda.mem_get_info(device)[0]
