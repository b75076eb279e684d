"""Train an autoencoder of diffusers' classes on the processor, the same bytes every time."""

import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline.networks.diffusers_classes import Model

Images = NDArray[np.float32]
"""n x 3 x H x W in [0, 1]."""

WARM_UP_SHARE = 0.05
LARGEST_GRADIENT_NORM = 1.0
REPORT_PERIOD = 250
CONTINUOUS_SHARE = 0.3
REVIVAL_SHARE = 0.7
REVIVAL_PERIOD = 100
LATENT_DECAY = 1e-2

Objective = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Images to reconstruction and penalty."""


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to train, and what a reconstruction is judged by.

    Attributes:
        steps: optimiser steps.
        batch: images a step.
        learning_rate: its peak, reached after a short warm-up and left along half a cosine.
        edge_weight: weight of the squared error of finite differences beside the squared error of pixels.
        penalty_weight: weight of the divergence from a standard normal (AutoencoderKL) or of the commitment (VQModel).
        seed: of initial weights, batches and posterior samples.
    """

    steps: int
    batch: int
    learning_rate: float
    edge_weight: float
    penalty_weight: float
    seed: int


@contextmanager
def reproducible(seed: int) -> Iterator[None]:
    """One thread, deterministic kernels and one seed inside; what was set before holds again afterwards."""
    threads, strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    lenient = torch.is_deterministic_algorithms_warn_only_enabled()
    try:
        with torch.random.fork_rng(devices=[]):
            torch.set_num_threads(1)
            # Some layers have no deterministic kernel on an accelerator.
            torch.use_deterministic_algorithms(True, warn_only=torch.cuda.is_available())
            torch.manual_seed(seed)
            yield
    finally:
        torch.use_deterministic_algorithms(strict, warn_only=lenient)
        torch.set_num_threads(threads)


def train(model: Model, images: Images, schedule: Schedule) -> list[float]:
    """Train in place on images of shape n x 3 x H x W in [0, 1]; return the reconstruction loss of every step."""
    pool = torch.from_numpy(images) * 2 - 1
    optimizer = torch.optim.AdamW(model.parameters(), lr=schedule.learning_rate, betas=(0.9, 0.99), weight_decay=1e-4)
    rate = torch.optim.lr_scheduler.LambdaLR(optimizer, _warm_cosine(schedule.steps))
    objective, losses = _objective(model, schedule), []
    model.train()
    for batch in _batches(pool, schedule):
        reconstruction, penalty = objective(batch)
        error = _error(reconstruction, batch, schedule.edge_weight)
        optimizer.zero_grad(set_to_none=True)
        (error + schedule.penalty_weight * penalty).backward()
        nn.utils.clip_grad_norm_(model.parameters(), LARGEST_GRADIENT_NORM)
        optimizer.step()
        rate.step()
        losses.append(error.item())
        if len(losses) % REPORT_PERIOD == 0:
            print(f"step {len(losses)}: loss {np.mean(losses[-REPORT_PERIOD:]):.6f}", file=sys.stderr, flush=True)
    model.eval()
    return losses


def _warm_cosine(steps: int) -> Callable[[int], float]:
    warm = max(1, int(WARM_UP_SHARE * steps))
    return lambda step: min((step + 1) / warm, 0.5 * (1 + math.cos(math.pi * step / steps)))


def _batches(pool: Tensor, schedule: Schedule) -> Iterator[Tensor]:
    # Each batch is turned and mirrored as a whole: eight times the pool for the price of a view.
    for _ in range(schedule.steps):
        batch = pool[torch.randint(len(pool), (schedule.batch,))]
        turns, mirrored = int(torch.randint(4, ())), bool(torch.randint(2, ()))
        batch = torch.rot90(batch, turns, dims=(2, 3))
        yield (batch.flip(3) if mirrored else batch).contiguous()


def _error(reconstruction: Tensor, images: Tensor, edge_weight: float) -> Tensor:
    difference = reconstruction - images
    error = difference.square().mean()
    if edge_weight:
        edges = difference.diff(dim=2).square().mean() + difference.diff(dim=3).square().mean()
        error = error + edge_weight * edges
    return error


def _objective(model: Model, schedule: Schedule) -> Objective:
    """Return what gives a reconstruction and the penalty on its latents, for each kind of latent space."""
    if hasattr(model, "quantize"):
        return _QuantisedObjective(model, schedule.steps)
    return lambda images: _continuous(model, images)


def _continuous(model: Model, images: Tensor) -> tuple[Tensor, Tensor]:
    encoded = model.encode(images)
    if hasattr(encoded, "latent_dist"):
        posterior = encoded.latent_dist
        return model.decode(posterior.sample()).sample, posterior.kl().mean() / images[0].numel()
    latents = encoded.latent if hasattr(encoded, "latent") else encoded.latents
    return model.decode(latents).sample, torch.zeros(())


class _QuantisedObjective:
    """Train without a codebook first, then fill it with latents, then keep every code in use.

    A codebook that is trained from its initial values collapses to a few codes.
    """

    def __init__(self, model: Model, steps: int) -> None:
        self.model, self.steps, self.step = model, steps, 0
        self.unused = torch.ones(model.quantize.n_e, dtype=torch.bool)

    def __call__(self, images: Tensor) -> tuple[Tensor, Tensor]:
        latents = self.model.encode(images).latents
        self.step += 1
        if self.step <= CONTINUOUS_SHARE * self.steps:
            self._replace(latents)
            # Later the codes must cover the latents, which therefore must not wander off.
            return self.model.decode(latents, force_not_quantize=True).sample, LATENT_DECAY * latents.square().mean()
        quantised, commitment, (_, _, used) = self.model.quantize(latents)
        self.unused[used.flatten()] = False
        if self.step % REVIVAL_PERIOD == 0 and self.step <= REVIVAL_SHARE * self.steps:
            self._replace(latents)
            self.unused[:] = True
        return self.model.decode(quantised, force_not_quantize=True).sample, commitment

    @torch.no_grad()
    def _replace(self, latents: Tensor) -> None:
        vectors = latents.permute(0, 2, 3, 1).flatten(0, 2)
        chosen = torch.randint(len(vectors), (int(self.unused.sum()),))
        self.model.quantize.embedding.weight[self.unused] = vectors[chosen]
