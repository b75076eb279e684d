"""Are these Hounsfield units? A rescaling that was applied twice, or never, leaves no voxel where air or water lie."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.pixels.contract import require

AIR, WATER = (-1100.0, -750.0), (-200.0, 200.0)
SHARE = 0.01
SAMPLES = 8


def spaced(count: int) -> list[int]:
    """Return at most eight of `count` frames, from the middles of equal parts: what stands for a whole volume."""
    parts = min(count, SAMPLES)
    return [(2 * part + 1) * count // (2 * parts) for part in range(parts)]


class Hounsfield:
    """Counts voxels that are like air, and like water and soft tissue."""

    def __init__(self) -> None:
        self.air = self.water = self.all = 0

    def add(self, units: NDArray[Any]) -> None:
        """Count the voxels of a frame, in modality units."""
        self.air += _within(units, AIR)
        self.water += _within(units, WATER)
        self.all += units.size

    def require(self) -> None:
        """Refuse what was counted unless there is enough of both."""
        plausible = min(self.air, self.water) >= SHARE * self.all
        require(plausible, "the values are not plausible as Hounsfield units: too few are like air, or like water")


def _within(units: NDArray[Any], ends: tuple[float, float]) -> int:
    return int(np.count_nonzero((units >= ends[0]) & (units <= ends[1])))
