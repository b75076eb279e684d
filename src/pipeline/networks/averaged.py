"""Pixels averaged over areas, as they are read."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from pipeline.values import Floats, Values, fingerprint

TOGETHER = 64
"""Images that are averaged at once."""


class Averaged:
    """Other values, n x c x H x W, as n x c x side x side, each of which is the mean of an area."""

    def __init__(self, values: Values, side: int) -> None:
        self.values, self.side = values, side
        self.shape: tuple[int, ...] = (*values.shape[:2], side, side)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: NDArray[np.int64] | slice, /) -> Floats:
        """Return rows, averaged."""
        wanted = np.arange(len(self))[rows]
        found = np.empty((len(wanted), *self.shape[1:]), np.float32)
        for at in range(0, len(wanted), TOGETHER):
            part = torch.from_numpy(self.values[wanted[at : at + TOGETHER]])
            averaged = functional.interpolate(part, (self.side, self.side), mode="area")
            found[at : at + TOGETHER] = averaged.numpy()
        return found

    def fingerprint(self) -> str:
        """Return what tells these values from others."""
        return f"{fingerprint(self.values)} {self.side}"
