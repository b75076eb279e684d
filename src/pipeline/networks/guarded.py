"""Batches through a frozen network on a device: begun and waited for, in parts that fit, and with finite results."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.errors import StudyError
from pipeline.networks.batches import Halving
from pipeline.networks.inference import exact
from pipeline.networks.transfer import Transfer

Floats = NDArray[np.float32]
Values = tuple[Tensor, Tensor | None]
"""A posterior mean or images and, where there is one, the posterior log-variance."""
Compute = Callable[[Tensor], Values]


@dataclass(frozen=True)
class Results:
    """What came of a batch.

    Attributes:
        arrays: one, or two where there is a log-variance.
        wrong: how many of their values are not finite.
        largest: magnitude of the first array's values; not a number where one of them is none.
    """

    arrays: list[Floats]
    wrong: int
    largest: float


class Guarded:
    """Computes without gradients, in reduced precision where that holds.

    Attributes:
        retries: parts of batches that were not finite in reduced precision, or too large, and were computed again in
            float32.
        in_parts: how many samples fit.
    """

    def __init__(self, device: torch.device, precision: torch.dtype) -> None:
        self.device, self.precision, self.retries = device, precision, 0
        self.transfer, self.in_parts = Transfer(device), Halving()

    def begin(self, values: Floats, compute: Compute, largest: float = np.inf) -> Callable[[], Results]:
        """Begin a batch; what is returned waits for it.

        Args:
            values: n x c x h x w.
            compute: what is made of them.
            largest: magnitude up to which results of reduced precision hold.

        Returns:
            A function that raises StudyError where results are not finite in float32.
        """
        begun = self.in_parts(len(values), lambda part: (part, self._begin(values[part], compute, self.precision)))

        def results() -> Results:
            return _joined([self._held(values[part], compute, waited(), largest) for part, waited in begun])

        return results

    def _begin(self, values: Floats, compute: Compute, precision: torch.dtype) -> Callable[[], Results]:
        with exact(), self._autocast(precision):
            first, second = compute(self.transfer.there(values))
            tensors = [first.float()] if second is None else [first.float(), second.float()]
            wrong = torch.stack([(~tensor.isfinite()).sum() for tensor in tensors]).sum()
            # In one array, because each is waited for by itself.
            judged = torch.stack([wrong.float(), tensors[0].abs().max()])
            waited = [self.transfer.back(tensor) for tensor in (*tensors, judged)]

        def results() -> Results:
            *arrays, (count, largest) = (array() for array in waited)
            return Results(arrays, int(count), float(largest))

        return results

    def _held(self, values: Floats, compute: Compute, found: Results, largest: float) -> Results:
        """Return results that hold: these, or those of float32."""
        if self.precision != torch.float32 and (found.wrong or not found.largest <= largest):
            self.retries += 1
            again = self.in_parts(len(values), lambda part: self._begin(values[part], compute, torch.float32)())
            found = _joined(again)
        if found.wrong:
            raise StudyError(f"{found.wrong} of the autoencoder's values are not finite")
        return found

    def _autocast(self, precision: torch.dtype) -> AbstractContextManager[object]:
        return nullcontext() if precision == torch.float32 else torch.autocast(self.device.type, precision)


def _joined(parts: list[Results]) -> Results:
    if len(parts) == 1:
        return parts[0]
    arrays = [np.concatenate(together) for together in zip(*(part.arrays for part in parts), strict=True)]
    largest = np.max([part.largest for part in parts])
    return Results(arrays, sum(part.wrong for part in parts), float(largest))
