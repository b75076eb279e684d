"""How many samples a device takes at a time: measured beforehand, and halved where it was too many."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TypeVar

import torch

from pipeline.autoencoders import Shape
from pipeline.errors import StudyError

T = TypeVar("T")

SHARE = 0.5
"""Of a device's memory, for one batch: another one may be on its way in, and a third one out."""
MOST = 512
PIXELS = 2**24
"""Samples, and pixels of images, that are taken at a time at most: they lie in the processor's memory, too."""


def fitting(memory: int, one: int, two: int) -> int:
    """Return how many samples fit, a power of two.

    Args:
        memory: bytes for a batch.
        one: bytes that a batch of one takes at its peak.
        two: that one of two takes.
    """
    each = max(1, two - one)
    count = max(1, (memory - (one - each)) // each)
    return 1 << (min(count, MOST).bit_length() - 1)


def at_a_time(image: Shape, compute: Callable[[int], object], device: torch.device) -> int:
    """Return how many images of (C, H, W) an accelerator takes at a time.

    It depends on how much memory the device has, and not on what is free, so that all shards are computed alike.

    Args:
        image: their shape.
        compute: what takes a batch of so many.
        device: the accelerator.
    """
    compute(1)  # What is taken once and kept, such as the library's workspace, is no part of a batch.
    one, two = (_peak(compute, count, device) for count in (1, 2))
    memory = SHARE * torch.cuda.get_device_properties(device).total_memory
    return min(fitting(int(memory), one, two), max(1, PIXELS // (image[1] * image[2])))


def _peak(compute: Callable[[int], object], count: int, device: torch.device) -> int:
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    compute(count)
    torch.cuda.synchronize(device)
    return torch.cuda.max_memory_allocated(device) - before


class Halving:
    """Computes parts of a batch, halved when one did not fit; what did is remembered.

    Attributes:
        most: samples of a part.
    """

    def __init__(self) -> None:
        self.most = sys.maxsize

    def __call__(self, count: int, compute: Callable[[slice], T]) -> list[T]:
        """Return what `compute` makes of the parts of so many samples; raise StudyError where one is too many."""
        done: list[T] = []
        start = 0
        while start < count:
            part = slice(start, min(start + self.most, count))
            found, fits = _tried(lambda part=part: compute(part))  # type: ignore[misc]
            if not fits:
                self._halve(part.stop - part.start)
                continue
            done += found
            start = part.stop
        return done

    def _halve(self, count: int) -> None:
        # Out of the handler of the exception, whose traceback held what did not fit.
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if count == 1:
            raise StudyError("not even one image fits into the accelerator's memory; set 'tile' to a smaller side")
        self.most = count // 2
        sys.stderr.write(f"out of memory with {count} images at a time; {self.most} from here on\n")


def _tried(compute: Callable[[], T]) -> tuple[list[T], bool]:
    try:
        return [compute()], True
    except torch.OutOfMemoryError:
        return [], False
