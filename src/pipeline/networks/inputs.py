"""What a network is trained on and scored on: batches of a space, normalised, changed, hidden and noised.

Everything that is drawn comes from a generator of its own, which its seed, epoch and step alone determine.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from pipeline.heads import Space, channel_statistics
from pipeline.networks.averaged import Averaged
from pipeline.networks.feeding import feeding
from pipeline.spaces import held

if TYPE_CHECKING:
    from pipeline.folds import Rows
    from pipeline.trained import Augmentation, Noise, TrainedSpec

CLEAN = 1e-5
"""The standard deviation of noise that a network is told of where there is none (paper 1)."""
EPOCH, STEP, LAYERS, LEVEL = range(1, 5)
"""What a stream of random numbers is for: the first number of its seed, so that no two streams are the same."""


def numbers(*seed: int) -> np.random.Generator:
    """Return NumPy's generator of a seed of several numbers."""
    return np.random.default_rng(seed)


def torch_seed(*seed: int) -> int:
    """Return a seed for torch, of 63 bits, from several numbers."""
    return int(np.random.SeedSequence(seed).generate_state(1, np.uint64)[0] >> np.uint64(1))


def resized(space: Space, side: int | None) -> Space:
    """Return a space of pixels with `side` x `side` of them, each the mean of an area; any other space as it is.

    The stride stays 1: a network sees the pixels that it is given.
    """
    if not space.pixels or side is None or space.values.shape[2:] == (side, side):
        return space
    values, *views = (Averaged(values, side) for values in (space.values, *space.views))
    return held(replace(space, values=values, views=tuple(views)))


@dataclass(frozen=True)
class Batch:
    """What a network is given.

    Attributes:
        values: n x c x h x w.
        sigma: n standard deviations of the noise in them; `CLEAN` where there is none.
    """

    values: Tensor
    sigma: Tensor


class Inputs:
    """A space and its views, as a network takes them.

    Attributes:
        feeding: where raw values come from.
        mean: of each channel over the training rows.
        deviation: what each channel is divided by, so that it has the deviation that the network expects.
        views: how many there are, beside the samples as they are.
    """

    def __init__(self, spec: TrainedSpec, space: Space, train: Rows, device: torch.device) -> None:
        self.spec, self.device, self.pixels = spec, device, space.pixels
        self.mean, deviation = channel_statistics(space.values, train)
        self.deviation = deviation / np.float32(spec.input_deviation)
        self.views = len(space.views)
        self.feeding = feeding(space, device)
        self._mean, self._deviation = (
            torch.from_numpy(array)[:, None, None].to(device) for array in (self.mean, self.deviation)
        )

    def training(self, rows: Tensor, views: Tensor, *seed: int) -> Batch:
        """Return rows, each in one of its views (0: as it is), augmented, masked and noised as the settings say."""
        generator = torch.Generator(self.device).manual_seed(torch_seed(STEP, *seed))
        values = self.feeding.raw(rows, views)
        if self.pixels and self.spec.augment:
            values = augmented(values, self.spec.augment, generator)
        values = self._normalised(values)
        if self.spec.mask_ratio:
            n, _, h, w = values.shape
            values = values * (self._uniform(generator, n, 1, h, w) >= self.spec.mask_ratio)
        if self.spec.noise is None:
            return self._batch(values)
        sigma = drawn(self.spec.noise, len(values), generator)
        noise = torch.randn(values.shape, generator=generator, device=self.device)
        return self._batch(values + sigma[:, None, None, None] * noise, sigma)

    def clean(self, rows: Tensor, view: int = 0) -> Batch:
        """Return rows in one view."""
        return self._batch(self._normalised(self.feeding.raw(rows, torch.full_like(rows, view))))

    def noisy(self, rows: Tensor, sigma: float, level: int, seed: int) -> Batch:
        """Return rows with noise of a level, which the seed, the row and the level determine."""
        values = self._normalised(self.feeding.raw(rows, torch.zeros_like(rows)))
        shape = tuple(values.shape[1:])
        drawn = [numbers(LEVEL, seed, row, level).standard_normal(shape, np.float32) for row in rows.tolist()]
        noise = torch.from_numpy(np.stack(drawn)).to(self.device)
        return self._batch(values + sigma * noise, torch.full((len(rows),), sigma, device=self.device))

    def _batch(self, values: Tensor, sigma: Tensor | None = None) -> Batch:
        if sigma is None:
            sigma = torch.full((len(values),), CLEAN, device=self.device)
        return Batch(values.contiguous(memory_format=torch.channels_last), sigma)

    def _normalised(self, values: Tensor) -> Tensor:
        return (values - self._mean) / self._deviation

    def _uniform(self, generator: torch.Generator, *shape: int) -> Tensor:
        return torch.rand(shape, generator=generator, device=self.device)


def drawn(noise: Noise, count: int, generator: torch.Generator) -> Tensor:
    """Return standard deviations of noise for the samples of a batch, from the distribution of the settings."""
    device = generator.device
    if noise.distribution == "log-normal":
        return torch.exp(noise.mean + noise.std * torch.randn(count, generator=generator, device=device))
    grid = torch.tensor(noise.grid(), device=device)
    return grid[torch.randint(len(grid), (count,), generator=generator, device=device)]


def augmented(pixels: Tensor, settings: Augmentation, generator: torch.Generator) -> Tensor:
    """Return n x c x h x w pixels, each sample turned by an angle of its own and perhaps mirrored.

    Rotation is about the centre, bilinear, and black outside: what a film scanner adds.
    """
    n, _, h, w = pixels.shape
    flips, turns = torch.rand((2, n), generator=generator, device=generator.device)
    if settings.rotation:
        angles = (2 * turns - 1) * math.radians(settings.rotation)
        cosine, sine, zero = angles.cos(), angles.sin(), torch.zeros_like(angles)
        # Coordinates run from -1 to 1 along both sides, however long these are.
        first = torch.stack([cosine, -sine * h / w, zero], dim=1)
        second = torch.stack([sine * w / h, cosine, zero], dim=1)
        grid = functional.affine_grid(torch.stack([first, second], dim=1), list(pixels.shape), align_corners=False)
        pixels = functional.grid_sample(pixels, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    if settings.flip:
        pixels = torch.where((flips < 0.5)[:, None, None, None], pixels.flip(3), pixels)
    return pixels
