"""Train timm's residual networks on any space."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.errors import StudyError
from pipeline.heads import Fitted, Floats, Space, channel_statistics, selection_score
from pipeline.labels import MISSING
from pipeline.networks.backbones import create_model

if TYPE_CHECKING:
    from pipeline.folds import Rows, Split
    from pipeline.heads.timm_resnet import Spec


def fit(spec: Spec, space: Space, split: Split, seed: int) -> Fitted:
    """Train one network; see `pipeline.heads.timm_resnet`."""
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(True, warn_only=torch.cuda.is_available())
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    mean, deviation = channel_statistics(space.values[split.train])
    values = torch.from_numpy((space.values - mean[:, None, None]) / deviation[:, None, None])
    model = build(spec, space).to(device)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    training = _Training(spec, model, values, space, split)
    state, curve = training.run(seed)
    model.load_state_dict(state)
    tensors = {f"network.{name}": value.numpy() for name, value in state.items()}
    tensors |= {"mean": mean, "deviation": deviation}
    return Fitted(training.score(split.validation), training.score(split.test), tensors, curve)


def build(spec: Spec, space: Space) -> nn.Module:
    """Return the network for a space, its stem's stride fitted to how coarse the space is already."""
    model = create_model(spec.model, in_chans=space.values.shape[1], num_classes=space.classes, **spec.arguments)
    stem = getattr(model, "conv1", None)
    if not isinstance(stem, nn.Module) or not isinstance(getattr(model, "maxpool", None), nn.Module):
        raise StudyError(
            f"timm's {spec.model} is not a residual network with a stem that can be fitted to a latent grid"
        )
    if space.stride > 1:
        model.maxpool = nn.Identity()
    if space.stride > 2:
        first = next(layer for layer in stem.modules() if isinstance(layer, nn.Conv2d))
        first.stride = (1, 1)
    return model


def class_weights(labels: Tensor, classes: int, beta: float) -> Tensor:
    """Return K class-balanced weights, 0 or mean 1 over the classes that occur (Cui et al. 2019, equation 2)."""
    counts = torch.bincount(labels, minlength=classes).double()
    weights = torch.where(counts > 0, (1 - beta) / (1 - beta**counts), 0.0)
    total = weights.sum().clamp(min=torch.finfo(torch.float64).tiny)
    return (weights * (counts > 0).sum() / total).float()


def side_weights(labels: Tensor, beta: float) -> Tensor:
    """Return K x 2 weights of each class's known negatives and positives, as `class_weights` of two classes.

    They lie between 0 and 2, so that a class with hardly a positive cannot rule the gradient of a batch.
    """
    return torch.stack([class_weights(column[column != MISSING].long(), 2, beta) for column in labels.T])


def masked_loss(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """Return the mean over known entries of the weighted binary cross-entropy.

    Args:
        logits: n x K.
        labels: n x K: 1, 0, or -1 where it is missing; such an entry has no part in the loss or its gradient.
        weights: K x 2, of negatives and positives.
    """
    known = labels != MISSING
    losses = functional.binary_cross_entropy_with_logits(logits, (labels == 1).to(logits.dtype), reduction="none")
    weighted = losses * torch.where(labels == 1, weights[:, 1], weights[:, 0])
    return torch.where(known, weighted, 0.0).sum() / known.sum().clamp(min=1)


class _Training:
    def __init__(self, spec: Spec, model: nn.Module, values: Tensor, space: Space, split: Split) -> None:
        self.spec, self.model, self.values, self.space, self.split = spec, model, values, space, split
        self.device = next(model.parameters()).device
        self.labels = torch.from_numpy(space.numbers if space.exclusive else space.labels)
        seen, beta = self.labels[split.train], spec.effective_number
        if space.exclusive:
            weights = class_weights(seen, space.classes, beta).to(self.device)
            self.loss = partial(functional.cross_entropy, weight=weights)
        else:
            self.loss = partial(masked_loss, weights=side_weights(seen, beta).to(self.device))

    def run(self, seed: int) -> tuple[dict[str, Tensor], pd.DataFrame]:
        generator = torch.Generator().manual_seed(seed)
        optimiser = torch.optim.AdamW(
            self.model.parameters(), lr=self.spec.learning_rate, weight_decay=self.spec.weight_decay
        )
        steps = self.spec.epochs * self._steps()
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, self.spec.learning_rate, total_steps=steps)
        best, best_state, curve = -1.0, self._state(), []
        for epoch in range(self.spec.epochs):
            loss = self._epoch(optimiser, schedule, generator)
            accuracy = selection_score(self.space, self.split.validation, self.score(self.split.validation))
            curve.append({"epoch": epoch, "loss": loss, "validation": accuracy})
            # Of equal epochs the later one, because its learning rate is lower.
            if accuracy >= best:
                best, best_state = accuracy, self._state()
        return best_state, pd.DataFrame(curve)

    def _steps(self) -> int:
        # A last batch of one sample would break batch normalisation, so it is left out.
        return max(1, (len(self.split.train) + self.spec.batch - 2) // self.spec.batch)

    def _epoch(
        self,
        optimiser: torch.optim.Optimizer,
        schedule: torch.optim.lr_scheduler.OneCycleLR,
        generator: torch.Generator,
    ) -> float:
        self.model.train()
        order = torch.from_numpy(self.split.train)[torch.randperm(len(self.split.train), generator=generator)]
        total = 0.0
        for step in range(self._steps()):
            rows = order[step * self.spec.batch : (step + 1) * self.spec.batch]
            inputs = self._masked(self.values[rows], generator)
            logits = self.model(inputs.to(self.device, memory_format=torch.channels_last))
            loss = self.loss(logits, self.labels[rows].to(self.device))
            if not torch.isfinite(loss):
                raise StudyError("the training loss is not finite; lower the learning rate")
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            total += loss.item()
        return total / self._steps()

    def _masked(self, inputs: Tensor, generator: torch.Generator) -> Tensor:
        if not self.spec.mask_ratio:
            return inputs
        n, _, h, w = inputs.shape
        return inputs * (torch.rand(n, 1, h, w, generator=generator) >= self.spec.mask_ratio)

    @torch.no_grad()
    def score(self, rows: Rows) -> Floats:
        """Return n x K log-probabilities, or log-odds where classes are not exclusive."""
        self.model.eval()
        parts = torch.from_numpy(rows).split(256)
        logits = [self.model(self.values[part].to(self.device, memory_format=torch.channels_last)) for part in parts]
        scores = torch.cat(logits).log_softmax(1) if self.space.exclusive else torch.cat(logits)
        return np.asarray(scores.cpu().numpy(), dtype=np.float32)

    def _state(self) -> dict[str, Tensor]:
        return {name: value.detach().cpu().clone() for name, value in self.model.state_dict().items()}
