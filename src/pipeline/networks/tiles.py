"""Encode and decode large images in overlapping squares, so that memory does not grow with the image.

Where squares overlap, a place of the result is the mean of theirs, weighted by the distance to the border of each. A
codec that treats patches one by one gives the same result as without squares. A network whose layers look further than
a square, or normalise over a whole image, does not: the specification says `tile`, and so does the store.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.autoencoders import Autoencoder, Latents, Pixels
from pipeline.errors import StudyError

Floats = NDArray[np.float32]

OVERLAP = 4
"""Two neighbouring squares share at least one part in so many of their side."""


@dataclass(frozen=True)
class Tiled:
    """An autoencoder that is only ever given squares.

    Attributes:
        autoencoder: what encodes and decodes them.
        tile: side of a square in pixels, a multiple of the stride.
        stride: pixels to one place of the latent.
    """

    autoencoder: Autoencoder
    tile: int
    stride: int

    def __post_init__(self) -> None:
        """Refuse squares that do not divide into places."""
        if self.tile % self.stride or self.tile // self.stride < OVERLAP:
            raise StudyError(
                f"'tile' is {self.tile}, and must be a multiple of the stride, {self.stride}, and at least "
                f"{OVERLAP * self.stride}"
            )

    @property
    def retries(self) -> int:
        """How many batches the autoencoder had to repeat in float32."""
        return int(getattr(self.autoencoder, "retries", 0))

    def encode(self, images: Pixels) -> Latents:
        """Encode n x C x H x W pixels."""
        height, width = images.shape[2:]
        blended: list[_Blend] = []
        for top, left in _corners(height, width, self.tile, self.stride):
            part = self.autoencoder.encode(images[:, :, top : top + self.tile, left : left + self.tile])
            values = [part.mean] if part.log_variance is None else [part.mean, part.log_variance]
            blended = blended or [_Blend(value, height // self.stride, width // self.stride) for value in values]
            for blend, value in zip(blended, values, strict=True):
                blend.add(value, top // self.stride, left // self.stride)
        return Latents(*(blend.result() for blend in blended))

    def decode(self, latents: Floats) -> Pixels:
        """Decode n x c x h x w latents."""
        places = self.tile // self.stride
        height, width = (self.stride * size for size in latents.shape[2:])
        blend: _Blend | None = None
        for top, left in _corners(latents.shape[2], latents.shape[3], places, 1):
            part = self.autoencoder.decode(latents[:, :, top : top + places, left : left + places])
            blend = blend or _Blend(part, height, width)
            blend.add(part, top * self.stride, left * self.stride)
        if blend is None:
            raise StudyError("there is nothing to decode")
        return blend.result()


class _Blend:
    """A weighted mean of overlapping parts."""

    def __init__(self, part: Floats, height: int, width: int) -> None:
        self.sums = np.zeros((*part.shape[:2], height, width), np.float64)
        self.weights = np.zeros((height, width))

    def add(self, part: Floats, top: int, left: int) -> None:
        """Add a part whose corner is here."""
        height, width = part.shape[2:]
        weight = np.outer(_ramp(height), _ramp(width))
        place = slice(top, top + height), slice(left, left + width)
        self.sums[:, :, *place] += part * weight
        self.weights[place] += weight

    def result(self) -> Floats:
        """Return the mean."""
        return (self.sums / self.weights).astype(np.float32)


def _ramp(length: int) -> NDArray[np.float64]:
    """Return the distance of each place to the nearer end, from one half."""
    return np.minimum(np.arange(length), np.arange(length)[::-1]) + 0.5


def _corners(height: int, width: int, tile: int, stride: int) -> Iterator[tuple[int, int]]:
    """Yield the upper left corners of squares that cover everything, all of them inside."""
    for top in _starts(height, tile, stride):
        for left in _starts(width, tile, stride):
            yield top, left


def _starts(length: int, tile: int, stride: int) -> list[int]:
    """Return where squares start along one side: multiples of the stride, evenly spread."""
    if length <= tile:
        return [0]
    places, side = length // stride, tile // stride
    step = side - max(1, side // OVERLAP)
    count = -(-(places - side) // step) + 1
    return [stride * round(number * (places - side) / (count - 1)) for number in range(count)]
