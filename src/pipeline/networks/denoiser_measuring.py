"""Measure a trained denoiser in the unit of its space."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from pipeline.fisher import Statistics
from pipeline.networks import edm
from pipeline.networks.denoiser_training import Scaling, built
from pipeline.networks.inference import device
from pipeline.networks.probes import Denoiser, drawn, statistics

if TYPE_CHECKING:
    from pipeline.denoisers import Space, Tensors
    from pipeline.diffusion import Diffusability
    from pipeline.trained_denoiser import TrainedDenoiser


def measure(
    spec: TrainedDenoiser, tensors: Tensors, space: Space, sigmas: Sequence[float], how: Diffusability
) -> Iterator[Statistics]:
    """Yield the statistics of the held-out rows at each sigma; how many at once changes rounding alone."""
    scaling = Scaling(np.asarray(tensors["mean"]), np.asarray(tensors["deviation"]))
    denoise = in_unit(built(spec, space.shape, tensors))
    batches = np.array_split(space.held_out, -(-len(space.held_out) // how.batch))
    for level, sigma in enumerate(sigmas):
        parts = []
        for rows in batches:
            clean = scaling.scaled(space.read(rows)).to(device()) / edm.DEVIATION
            noise, probes = (draws.to(clean) for draws in drawn(rows, space.shape, level, how.probes, spec.seed))
            with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
                parts.append(statistics(denoise, clean, sigma, (noise, probes)))
        yield Statistics.joined(parts)


def in_unit(network: Denoiser) -> Denoiser:
    """Return a denoiser of values of deviation 1 from one of values of EDM's deviation."""

    def denoise(values: Tensor, sigma: Tensor) -> Tensor:
        return network(values * edm.DEVIATION, sigma * edm.DEVIATION) / edm.DEVIATION

    return denoise
