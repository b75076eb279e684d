"""Preconditioning, loss and sampler of diffusion models as EDM has them (Karras et al. 2022, arXiv 2206.00364)."""

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn

from pipeline.trained import Noise

DEVIATION = 0.5
"""sigma_data: what values are brought to before noise is added."""
LOG_MEAN, LOG_DEVIATION = -1.2, 1.2
"""ln sigma in training is normal with these (table 1)."""


def _wide(sigma: Tensor, values: Tensor) -> Tensor:
    return sigma.to(values.dtype).reshape(-1, *(1 for _ in values.shape[1:]))


class Preconditioned(nn.Module):
    """A denoiser around a network: n x ... values with noise of n sigmas to clean values (equation 7, table 1).

    The network takes inputs of variance 1 and ln(sigma) / 4, and what is asked of it has variance 1, too.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, y: Tensor, sigma: Tensor) -> Tensor:
        """Return the denoised values."""
        wide = _wide(sigma, y)
        total = wide.square() + DEVIATION**2
        answer: Tensor = self.network(y / total.sqrt(), sigma.log() / 4)
        return y * DEVIATION**2 / total + answer * wide * DEVIATION / total.sqrt()


def weight(sigma: Tensor) -> Tensor:
    """Return what the squared error of a denoiser is multiplied by, so that it is 1 at first for any sigma."""
    return (sigma.square() + DEVIATION**2) / (sigma * DEVIATION).square()


def training_sigma(normal: Tensor) -> Tensor:
    """Return standard deviations of noise of standard normal numbers."""
    return (LOG_MEAN + LOG_DEVIATION * normal).exp()


def squared_error(denoised: Tensor, clean: Tensor) -> Tensor:
    """Return n mean squared errors over the values of a sample."""
    return (denoised - clean).square().flatten(1).mean(dim=1)


def levels(steps: int) -> list[float]:
    """Return the sampler's noise levels from the largest down to 0 (equation 5)."""
    return [*Noise(steps=steps).grid(), 0.0]


@torch.no_grad()
def sample(denoise: Callable[[Tensor, Tensor], Tensor], noise: Tensor, sigmas: list[float]) -> Tensor:
    """Return samples, by Heun's method along the probability flow (algorithm 1).

    Args:
        denoise: n x ... values and n sigmas to clean values.
        noise: n x ..., standard normal.
        sigmas: from the largest to 0.
    """
    x = noise * sigmas[0]
    for now, after in pairwise(sigmas):
        slope = _slope(denoise, x, now)
        following = x + (after - now) * slope
        if after > 0:
            following = x + (after - now) * (slope + _slope(denoise, following, after)) / 2
        x = following
    return x


def _slope(denoise: Callable[[Tensor, Tensor], Tensor], x: Tensor, sigma: float) -> Tensor:
    return (x - denoise(x, x.new_full((len(x),), sigma))) / sigma
