"""Values in modality units, seen through declared windows."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.pixels.contract import Frames, PixelSpec, Window, require


def windowed(units: NDArray[Any], windows: Sequence[Window]) -> NDArray[Any]:
    """Return one channel for each window, in front of the dimensions of the values: low is 0, high is 1."""
    return np.stack([((units - low) / (high - low)).clip(0, 1) for low, high in windows])


def require_shown(kind: np.dtype[Any], spec: PixelSpec, format_name: str) -> None:
    """Refuse an intensity that plain numbers lack: they have no windows of their own, and floats have no range."""
    require(spec.intensity != "voi", f"a {format_name} file has no window of its own: declare one")
    ranged = kind.kind in "ui" and kind.itemsize <= 2
    require(ranged or spec.intensity != "stored", f"{kind.name} values have no stored range: declare a window")


def shown(values: NDArray[Any], units: NDArray[np.float64] | None, spec: PixelSpec) -> NDArray[Any]:
    """Return channels in front of the dimensions of the values.

    Args:
        values: As they are stored.
        units: What they stand for, if that is something else.
        spec: Through which windows they are seen, or over the whole range of their type.
    """
    if spec.intensity != "stored":
        found = values.astype(np.float64) if units is None else units
        require(bool(np.isfinite(found).all()), "some values are not finite numbers")
        return windowed(found, spec.shown())
    ends = np.iinfo(values.dtype)
    return ((values.astype(np.float64) - ends.min) / (ends.max - ends.min))[None]


def scaled(samples: NDArray[Any]) -> Frames:
    """Return C x H x W in [0, 1] of H x W x C unsigned samples that fill their type."""
    out = np.empty(samples.transpose(2, 0, 1).shape, np.float32)
    np.divide(samples.transpose(2, 0, 1), np.float32(np.iinfo(samples.dtype).max), out=out)
    return out
