"""Frames at native size to the study's size."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.pixels.contract import Frames, PixelSpec

FILTERS = {
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


def fit_to(frames: Frames, spec: PixelSpec) -> Frames:
    """Resize frames x C x H x W to frames x C x size x size, clipped to [0, 1].

    Antialiased: where it shrinks, Pillow widens the filter's support, and computes in float. Pixels that have the
    wanted size already are returned unchanged. `pad` rounds the shorter side to whole pixels, at least one.
    """
    count, channels, _, _ = frames.shape
    out = np.zeros((count, channels, spec.size, spec.size), dtype=np.float32)
    for target, plane in zip(out.reshape(-1, spec.size, spec.size), frames.reshape(-1, *frames.shape[2:]), strict=True):
        _fit_plane(plane, target, spec)
    return out.clip(0, 1, out=out)


def _fit_plane(plane: NDArray[np.float32], target: NDArray[np.float32], spec: PixelSpec) -> None:
    """Write an H x W plane into a target that starts black."""
    height, width = plane.shape
    rows = columns = spec.size
    if spec.fit == "crop":
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        plane = plane[top : top + side, left : left + side]
    elif spec.fit == "pad":
        rows, columns = (max(1, round(spec.size * length / max(height, width))) for length in (height, width))
    image = Image.fromarray(np.ascontiguousarray(plane, dtype=np.float32), mode="F")
    top, left = (spec.size - rows) // 2, (spec.size - columns) // 2
    resized = np.asarray(image.resize((columns, rows), FILTERS[spec.filter]))
    target[top : top + rows, left : left + columns] = resized
