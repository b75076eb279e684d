"""Train a denoiser on a space, and go on where a training was told to end.

On the processor a training that was ended and gone on with gives the same bits as an undisturbed one: everything that
a step draws depends on the seed and the step alone. On an accelerator rounding may differ.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline.denoisers import LOSS_LEVELS, Fitted, Space, Support
from pipeline.errors import StudyError
from pipeline.heads import channel_statistics
from pipeline.networks import edm
from pipeline.networks.checkpoint import Checkpoint, moments, part, prefixed, restore_moments
from pipeline.networks.inference import device
from pipeline.networks.schedule import Schedule
from pipeline.networks.training_state import reproducible
from pipeline.progress import progress

if TYPE_CHECKING:
    from pipeline.trained_denoiser import TrainedDenoiser

LARGEST_GRADIENT_NORM = 1.0
PERIOD = 100
"""Steps over which the curve's losses are averaged."""
CHECKPOINT_PERIOD = 180.0
"""Seconds between two states that are kept in case the process is killed."""
EVALUATED = 64
"""Held-out samples that are denoised at once."""
STEP, HELD_OUT = 0, 1
"""What a drawing is for."""
WEIGHTS = "network."


@dataclass
class Progress:
    """How far a training is.

    Attributes:
        step: steps that are done.
        total: sum of the losses since the curve's last line.
        curve: one entry for every `PERIOD` steps.
    """

    step: int = 0
    total: float = 0.0
    curve: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Scaling:
    """What brings a space to mean 0 and the deviation 0.5, channel by channel: 1 x c x 1 x 1 arrays."""

    mean: NDArray[np.float32]
    deviation: NDArray[np.float32]

    @classmethod
    def of(cls, values: NDArray[np.float32], kind: str) -> Scaling:
        """Return that of training rows n x c x h x w; of the kind `space` all channels share one deviation."""
        mean, deviation = channel_statistics(values)
        if kind == "space":
            variance = values.var(axis=(0, 2, 3), dtype=np.float64).mean()
            if not variance:
                raise StudyError("all training values are the same, so there is nothing to denoise")
            deviation = np.full_like(deviation, math.sqrt(variance))
        return cls(*(array.reshape(1, -1, 1, 1) for array in (mean, deviation / np.float32(edm.DEVIATION))))

    def scaled(self, values: NDArray[np.float32]) -> Tensor:
        """Return values as the network takes them."""
        return torch.from_numpy((values - self.mean) / self.deviation)


def fit(spec: TrainedDenoiser, space: Space, support: Support) -> Fitted:
    """Train, and measure the error of held-out rows.

    Raises:
        StudyError: the network does not fit the space, the loss is not finite, or the process was told to end; then
            what has been done is kept.
    """
    where = device()
    with reproducible(spec.seed, where):
        training = _Training(spec, space, support, where)
        training.run()
        errors = np.stack([training.errors(level, sigma) for level, sigma in enumerate(LOSS_LEVELS)])
    if training.checkpoint:
        training.checkpoint.remove()
    return Fitted(training.tensors(), errors, pd.DataFrame(training.progress.curve, columns=["step", "loss"]))


def built(spec: TrainedDenoiser, shape: tuple[int, int, int], tensors: Mapping[str, NDArray[Any]]) -> nn.Module:
    """Return a trained denoiser, ready to measure."""
    network = edm.Preconditioned(spec.network(shape))
    state = {name.removeprefix(WEIGHTS): value for name, value in tensors.items() if name.startswith(WEIGHTS)}
    network.load_state_dict({name: torch.from_numpy(np.asarray(value)) for name, value in state.items()})
    return network.requires_grad_(False).eval().to(device())


class _Training:
    def __init__(self, spec: TrainedDenoiser, space: Space, support: Support, where: torch.device) -> None:
        self.spec, self.space, self.support, self.device = spec, space, support, where
        values = space.read(space.train)
        self.scaling = Scaling.of(values, spec.normalisation)
        self.values = self.scaling.scaled(values)
        self.network = edm.Preconditioned(spec.network(space.shape)).to(where)
        self.optimiser = torch.optim.Adam(self.network.parameters(), lr=spec.learning_rate)
        self.schedule = Schedule(spec.schedule, spec.learning_rate, spec.steps)
        self.average = {name: value.detach().clone() for name, value in self.network.state_dict().items()}
        self.progress, self.saved_at = Progress(), time.monotonic()
        self.checkpoint = Checkpoint(support.checkpoint, support.identity) if support.checkpoint else None

    def run(self) -> None:
        self._go_on()
        for _ in progress(self._advance(), self.spec.steps - self.progress.step, "training", "step"):
            pass
        self.network.load_state_dict(self.average)
        self.network.eval()

    def _advance(self) -> Iterator[int]:
        while self.progress.step < self.spec.steps:
            self._step()
            yield self.progress.step
            self._keep()

    def _step(self) -> None:
        now, spec = self.progress, self.spec
        random = np.random.default_rng([spec.seed, STEP, now.step])
        rows = torch.from_numpy(random.integers(0, len(self.values), spec.batch))
        clean = self.values[rows].to(self.device)
        drawn = torch.from_numpy(random.standard_normal(spec.batch, np.float32)).to(self.device)
        noise = torch.from_numpy(random.standard_normal(tuple(clean.shape), np.float32)).to(self.device)
        sigma = edm.training_sigma(drawn)
        self.network.train()
        self.schedule.apply(self.optimiser, now.step)
        with self._autocast():
            denoised = self.network(clean + sigma[:, None, None, None] * noise, sigma)
        loss = (edm.weight(sigma) * edm.squared_error(denoised.float(), clean)).mean()
        self.optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), LARGEST_GRADIENT_NORM)
        self.optimiser.step()
        self._count(loss.item())

    def _autocast(self) -> AbstractContextManager[object]:
        dtype: torch.dtype = getattr(torch, self.spec.precision)
        return nullcontext() if dtype == torch.float32 else torch.autocast(self.device.type, dtype)

    def _count(self, loss: float) -> None:
        now = self.progress
        if not math.isfinite(loss):
            raise StudyError(f"the loss of step {now.step} is not finite; lower the learning rate")
        now.step, now.total = now.step + 1, now.total + loss
        kept = min(self.spec.average, (1 + now.step) / (10 + now.step))
        for name, value in self.network.state_dict().items():
            if value.is_floating_point():
                self.average[name].lerp_(value, 1 - kept)
            else:
                self.average[name].copy_(value)
        if now.step % PERIOD == 0 or now.step == self.spec.steps:
            steps = now.step - (now.curve[-1]["step"] if now.curve else 0)
            now.curve.append({"step": now.step, "loss": now.total / steps})
            now.total = 0.0

    @torch.no_grad()
    def errors(self, level: int, sigma: float) -> NDArray[np.float64]:
        """Return the held-out rows' mean squared errors, in units of the space's variance."""
        found = []
        for rows in np.array_split(self.space.held_out, -(-len(self.space.held_out) // EVALUATED)):
            clean = self.scaling.scaled(self.space.read(rows))
            draws = [np.random.default_rng([self.spec.seed, HELD_OUT, level, row]) for row in rows.tolist()]
            noise = np.stack([random.standard_normal(self.space.shape, np.float32) for random in draws])
            clean, wide = clean.to(self.device), edm.DEVIATION * sigma
            noisy = clean + wide * torch.from_numpy(noise).to(self.device)
            denoised = self.network(noisy, torch.full((len(rows),), wide, device=self.device))
            found.append(edm.squared_error(denoised.double(), clean.double()).cpu().numpy() / edm.DEVIATION**2)
        return np.concatenate(found)

    def tensors(self) -> dict[str, NDArray[Any]]:
        """Return the averaged weights, and what brings the space to what they take."""
        named = {WEIGHTS + name: value.cpu().numpy() for name, value in self.average.items()}
        return named | {"mean": self.scaling.mean, "deviation": self.scaling.deviation}

    def _keep(self) -> None:
        """Keep the state now and then; and stop where the process was told to end."""
        ended = self.support.ended()
        if self.checkpoint and (ended or time.monotonic() - self.saved_at >= CHECKPOINT_PERIOD):
            tensors = prefixed("network", self.network.state_dict()) | prefixed("average", self.average)
            self.checkpoint.write(tensors | prefixed("optimiser", moments(self.optimiser)), asdict(self.progress))
            self.saved_at = time.monotonic()
        if ended:
            kept = "the next call goes on from there" if self.checkpoint else "the next call starts over"
            raise StudyError(f"ended after step {self.progress.step}; {kept}")

    def _go_on(self) -> None:
        if self.checkpoint is None or (found := self.checkpoint.read()) is None:
            return
        tensors, state = found
        self.network.load_state_dict(part("network", tensors))
        self.average = {name: value.to(self.device) for name, value in part("average", tensors).items()}
        restore_moments(self.optimiser, part("optimiser", tensors))
        self.progress = Progress(**state)
        sys.stderr.write(f"going on after step {self.progress.step}\n")
