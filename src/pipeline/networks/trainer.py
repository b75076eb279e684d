"""Train any network on any space, and go on where a training was told to end.

On the processor a training that was ended and gone on with gives the same bits as an undisturbed one: everything that
a step draws depends on the seed, the epoch and the step alone. On an accelerator rounding may differ.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from pipeline.errors import StudyError
from pipeline.heads import ALONE, Fitted, Floats, Point, Space, Support, selection_score
from pipeline.losses import suited
from pipeline.networks.checkpoint import Checkpoint, moments, part, prefixed, restore_moments
from pipeline.networks.classifiers import PREFIX, initialise, with_classifier
from pipeline.networks.inputs import EPOCH, LAYERS, Batch, Inputs, numbers, resized, torch_seed
from pipeline.networks.schedule import Schedule
from pipeline.networks.supervision import Supervision
from pipeline.networks.training_state import Progress, identity, reproducible
from pipeline.progress import progress
from pipeline.shuffle import Shuffle, shuffled

if TYPE_CHECKING:
    from pipeline.folds import Rows, Split
    from pipeline.trained import TrainedSpec

SCORED = 128
"""Samples that are scored at once."""
CHECKPOINT_PERIOD = 180.0
"""Seconds between two states that are kept in case the process is killed."""
OPTIMISERS: dict[str, type[torch.optim.Adam]] = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}


def fit(
    spec: TrainedSpec, space: Space, split: Split, seed: int, support: Support = ALONE, imitation: float = 0.0
) -> Fitted:
    """Train one network, keep its best epoch, and score.

    Args:
        spec: the settings, and what builds the network.
        space: all samples.
        split: the rows to train on, to choose by and to test on.
        seed: of initial weights and of everything that is drawn.
        support: see `pipeline.heads.Support`.
        imitation: share in the loss of the mean squared difference from the teacher's logits.

    Raises:
        StudyError: the loss or the noise does not suit the labels or the network, the head to start from or the teacher
            does not fit, the loss is not finite, or the process was told to end; then what has been done is kept.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with reproducible(seed, device):
        # By the space as it is stored: what a network sees of it must not decide on the order.
        shuffle = shuffled(space, spec.in_memory_bytes, spec.batch)
        space = resized(space, spec.side)
        network = build(spec, space)
        if support.initial is not None:
            initialise(network, support.initial)
        return _Training(spec, network.to(device), space, split, seed, support, imitation, shuffle).run()


def build(spec: TrainedSpec, space: Space) -> nn.Module:
    """Return an untrained network for a space whose pixels have the size that it takes; it ends as its loss asks for.

    It gives n x K logits, and `pipeline.networks.losses.scores` makes scores of them.

    Raises:
        StudyError: the loss is not for the labels of the space, or the network cannot be told of the noise.
    """
    network = with_classifier(spec.network(space), suited(spec.loss, space.exclusive))
    if spec.noise and not conditioned(network):
        raise StudyError(f"a head of the family {spec.family} takes no noise; take film-convnext, transformer or mlp")
    return network


def conditioned(network: nn.Module) -> bool:
    """Return whether a network is told of the noise in its inputs."""
    return bool(getattr(network, "conditioned", False))


class _Training:
    def __init__(
        self,
        spec: TrainedSpec,
        network: nn.Module,
        space: Space,
        split: Split,
        seed: int,
        support: Support,
        imitation: float,
        shuffle: Shuffle,
    ) -> None:
        self.shuffle, self.order = shuffle, (-1, torch.empty(0), torch.empty(0))
        self.spec, self.space, self.split, self.seed, self.support = spec, space, split, seed, support
        self.device = next(network.parameters()).device
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.conditioned = conditioned(network)
        self.inputs = Inputs(spec, space, split.train, self.device)
        self.rows = torch.from_numpy(split.train)
        self.supervision = Supervision(spec, space, split, support, imitation, self.device)
        # A last batch of one sample would break batch normalisation, so it is left out.
        self.steps = max(1, (len(split.train) + spec.batch - 2) // spec.batch)
        deferred = self.steps * spec.reweight_from or None
        self.schedule = Schedule(spec.schedule, spec.learning_rate, self.steps * spec.epochs, deferred)
        kind = OPTIMISERS[spec.optimiser]
        self.optimiser = kind(network.parameters(), lr=spec.learning_rate, weight_decay=spec.decay)
        self.progress, self.best, self.saved_at = Progress(), self._weights(), time.monotonic()
        self.total = torch.zeros((), dtype=torch.float64, device=self.device)
        what = identity(spec, split, seed, support, imitation)
        self.checkpoint = None if support.checkpoint is None else Checkpoint(support.checkpoint, what)

    def run(self) -> Fitted:
        self._go_on()
        left = self.steps * (self.spec.epochs - self.progress.epoch) - self.progress.step
        for _ in progress(self._advance(), left, "training", "step"):
            pass
        self.network.load_state_dict(self.best)
        fitted = self._fitted()
        if self.checkpoint:
            self.checkpoint.remove()
        return fitted

    def _advance(self) -> Iterator[int]:
        now = self.progress
        while not now.done:
            if now.step < self.steps:
                self._step()
                yield now.step
            else:
                self._judge()
            self._keep()

    def _step(self) -> None:
        now, size = self.progress, self.spec.batch
        self.network.train()
        if self.order[0] != now.epoch:
            self.order = now.epoch, *self._drawn(now.epoch)
            self._expect(now.step * size, self.steps * size)
        _, order, views = self.order
        places = order[now.step * size : (now.step + 1) * size]
        batch = self.inputs.training(self.rows[places], views[places], self.seed, now.epoch, now.step)
        # Layers that draw, such as dropout, have torch's own generator.
        torch.manual_seed(torch_seed(LAYERS, self.seed, now.epoch, now.step))
        loss = self.supervision.loss(self._logits(batch), places, views[places], now.epoch)
        self.schedule.apply(self.optimiser, now.epoch * self.steps + now.step)
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        self.total += loss.detach()
        now.step += 1

    def _drawn(self, epoch: int) -> tuple[Tensor, Tensor]:
        """Return the order of the training rows in an epoch, and the view of each."""
        random = numbers(EPOCH, self.seed, epoch)
        order = torch.from_numpy(self.shuffle.places(self.split.train, random))
        return order, torch.from_numpy(random.integers(0, self.inputs.views + 1, len(self.rows)))

    def _expect(self, start: int, stop: int) -> None:
        """Let these places of an epoch be read ahead; a buffer of shuffled rows may have been begun."""
        _, order, views = self.order
        places = order[start:stop]
        self.inputs.feeding.expect(self.rows[places], views[places], self.spec.batch, self.shuffle.buffer)

    def _logits(self, batch: Batch) -> Tensor:
        with self._autocast():
            given = (batch.values, batch.sigma) if self.conditioned else (batch.values,)
            logits: Tensor = self.network(*given)
        return logits.float()

    def _autocast(self) -> AbstractContextManager[object]:
        dtype: torch.dtype = getattr(torch, self.spec.precision)
        return nullcontext() if dtype == torch.float32 else torch.autocast(self.device.type, dtype)

    def _judge(self) -> None:
        """Close an epoch: judge it on the validation rows, keep it if it is the best, and see whether to go on."""
        now, spec = self.progress, self.spec
        loss = self.total.item() / self.steps
        if not np.isfinite(loss):
            raise StudyError(f"the training loss of epoch {now.epoch} is not finite; lower the learning rate")
        score = selection_score(self.space, self.split.validation, self._scores(self.split.validation))
        now.curve.append({"epoch": now.epoch, "loss": loss, "validation": score})
        waited = 0 if now.epoch == spec.reweight_from > 0 else now.waited
        now.waited = 0 if score > now.best else waited + 1
        # Of equal epochs the later one, because its learning rate is lower.
        if score >= now.best:
            now.best, self.best = score, self._weights()
        impatient = spec.patience is not None and now.waited > spec.patience and now.epoch >= spec.reweight_from
        now.epoch, now.step = now.epoch + 1, 0
        now.done = impatient or now.epoch == spec.epochs
        self.total.zero_()

    def _scores(self, rows: Rows, batch: Callable[[Tensor], Batch] | None = None) -> Floats:
        return self.supervision.scores(self._evaluated(rows, batch or self.inputs.clean))

    @torch.no_grad()
    def _evaluated(self, rows: Rows, batch: Callable[[Tensor], Batch], view: int = 0) -> Tensor:
        self.network.eval()
        logits, everything = [], torch.from_numpy(rows)
        self.inputs.feeding.expect(everything, torch.full_like(everything, view), SCORED, self.shuffle.buffer)
        for part_of_rows in everything.split(SCORED):
            logits.append(self._logits(batch(part_of_rows)))
            self._keep()
        return torch.cat(logits)

    def _fitted(self) -> Fitted:
        inputs = self.inputs
        validation, test = self._scores(self.split.validation), self._scores(self.split.test)
        views = [self._evaluated(self.split.train, partial(inputs.clean, view=v), v) for v in range(inputs.views + 1)]
        tensors = {PREFIX + name: value.cpu().numpy() for name, value in self.best.items()}
        tensors |= {"mean": inputs.mean, "deviation": inputs.deviation, **self.supervision.tensors()}
        curve, training = pd.DataFrame(self.progress.curve), torch.stack(views).cpu().numpy()
        return Fitted(validation, test, tensors, curve, training, tuple(self._profile()))

    def _profile(self) -> Iterator[Point]:
        for level, sigma in enumerate(self.spec.noise.levels() if self.spec.noise else []):
            noisy = partial(self.inputs.noisy, sigma=sigma, level=level, seed=self.seed)
            validation, test = (self._scores(rows, noisy) for rows in (self.split.validation, self.split.test))
            yield Point("noise", sigma, validation, test)

    def _weights(self) -> dict[str, Tensor]:
        return {name: value.detach().clone() for name, value in self.network.state_dict().items()}

    def _keep(self) -> None:
        """Keep the state now and then; and stop where the process was told to end."""
        ended = self.support.ended()
        if self.checkpoint and (ended or time.monotonic() - self.saved_at >= CHECKPOINT_PERIOD):
            self._save(self.checkpoint)
        if ended:
            where = f"ended after epoch {self.progress.epoch} step {self.progress.step}"
            kept = "the next call goes on from there" if self.checkpoint else "the next call starts over"
            raise StudyError(f"{where}; {kept}")

    def _save(self, checkpoint: Checkpoint) -> None:
        tensors = prefixed("network", self.network.state_dict()) | prefixed("best", self.best)
        tensors |= prefixed("optimiser", moments(self.optimiser)) | {"total": self.total}
        checkpoint.write(tensors, asdict(self.progress))
        self.saved_at = time.monotonic()

    def _go_on(self) -> None:
        if self.checkpoint is None or (found := self.checkpoint.read()) is None:
            return
        tensors, state = found
        self.network.load_state_dict(part("network", tensors))
        self.best = {name: value.to(self.device) for name, value in part("best", tensors).items()}
        restore_moments(self.optimiser, part("optimiser", tensors))
        self.total = tensors["total"].to(self.device)
        self.progress = Progress(**state)
        sys.stderr.write(f"going on after epoch {self.progress.epoch} step {self.progress.step}\n")
