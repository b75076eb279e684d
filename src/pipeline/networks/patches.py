"""Square patches of images, in pure NumPy."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import StudyError

Batch = NDArray[np.floating[Any]]


def grid(image: tuple[int, int, int], stride: int) -> tuple[int, int]:
    """Return how many patches of stride x stride fit an image of (C, H, W), down and across.

    Raises:
        StudyError: a side is not a multiple of the stride.
    """
    _, height, width = image
    if height % stride or width % stride:
        raise StudyError(f"images of {height} x {width} pixels do not divide into patches of {stride} x {stride}")
    return height // stride, width // stride


def unshuffle(images: Batch, stride: int) -> Batch:
    """Rearrange n x C x H x W into n x (C stride stride) x H/stride x W/stride, in the order of PixelUnshuffle."""
    count, channels, *_ = images.shape
    rows, columns = grid((channels, images.shape[2], images.shape[3]), stride)
    split = images.reshape(count, channels, rows, stride, columns, stride)
    return split.transpose(0, 1, 3, 5, 2, 4).reshape(count, channels * stride**2, rows, columns)


def shuffle(patches: Batch, stride: int) -> Batch:
    """Undo `unshuffle`."""
    count, values, rows, columns = patches.shape
    split = patches.reshape(count, values // stride**2, stride, stride, rows, columns)
    return split.transpose(0, 1, 4, 2, 5, 3).reshape(count, values // stride**2, rows * stride, columns * stride)
