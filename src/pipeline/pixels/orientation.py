"""Images upright: the eight orientations that EXIF and TIFF (tag 274) share."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

UPRIGHT: dict[int, Callable[[NDArray[Any]], NDArray[Any]]] = {
    2: np.fliplr,
    3: lambda samples: samples[::-1, ::-1],
    4: np.flipud,
    5: lambda samples: samples.swapaxes(0, 1),
    6: lambda samples: np.rot90(samples, -1),
    7: lambda samples: samples[::-1, ::-1].swapaxes(0, 1),
    8: np.rot90,
}
"""What turns rows x columns x ... upright; 1 is upright already, and other numbers mean nothing."""


def upright(samples: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Return rows x columns x ... as they are to be seen."""
    return UPRIGHT[orientation](samples) if orientation in UPRIGHT else samples


def upright_size(height: int, width: int, orientation: int) -> tuple[int, int]:
    """Return rows and columns as they are to be seen."""
    return (width, height) if orientation in (5, 6, 7, 8) else (height, width)
