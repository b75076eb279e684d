"""Train timm's residual networks on any space."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from pipeline.errors import StudyError
from pipeline.heads import Fitted, Floats, Space, channel_statistics, selection_score
from pipeline.losses import suited
from pipeline.networks.backbones import create_model
from pipeline.networks.losses import class_weights, classifier, loss_function, scored_by, scores, side_weights

if TYPE_CHECKING:
    from pipeline.folds import Rows, Split
    from pipeline.heads.timm_resnet import Spec

DEFERRED_RATE = 0.1
"""What the learning rate is multiplied by when deferred re-weighting sets in (Cao et al. 2019, and paper 1)."""


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
    tensors |= {name: value.cpu().numpy() for name, value in training.scored_by.items()}
    return Fitted(training.score(split.validation), training.score(split.test), tensors, curve)


def build(spec: Spec, space: Space) -> nn.Module:
    """Return the network for a space: its stem's stride is fitted to how coarse the space is, its end to the loss.

    It gives n x K logits, and `pipeline.networks.losses.scores` makes scores of them.

    Raises:
        StudyError: timm's model is not such a network, or the loss is not for the labels of the space.
    """
    loss = suited(spec.loss, space.exclusive)
    model = create_model(spec.model, in_chans=space.values.shape[1], num_classes=space.classes, **spec.arguments)
    stem = getattr(model, "conv1", None)
    if not isinstance(stem, nn.Module) or not isinstance(getattr(model, "maxpool", None), nn.Module):
        raise StudyError(
            f"timm's {spec.model} is not a residual network with a stem that can be fitted to a latent grid"
        )
    last = getattr(model, "fc", None)
    if not isinstance(last, nn.Linear):
        raise StudyError(f"timm's {spec.model} does not end with a linear layer")
    model.fc = classifier(loss, last)
    if space.stride > 1:
        model.maxpool = nn.Identity()
    if space.stride > 2:
        first = next(layer for layer in stem.modules() if isinstance(layer, nn.Conv2d))
        first.stride = (1, 1)
    return model


class _Training:
    def __init__(self, spec: Spec, model: nn.Module, values: Tensor, space: Space, split: Split) -> None:
        self.spec, self.model, self.values, self.space, self.split = spec, model, values, space, split
        self.device = next(model.parameters()).device
        self.labels = torch.from_numpy(space.numbers if space.exclusive else space.labels)
        seen, beta = self.labels[split.train], spec.effective_number
        balanced = class_weights(seen, space.classes, beta) if space.exclusive else side_weights(seen, beta)
        self.balanced = balanced.to(self.device)
        loss = suited(spec.loss, space.exclusive)
        self.loss = loss_function(loss, seen, space.classes)
        known = scored_by(loss, space.labels[split.train])
        self.scored_by = {name: value.to(self.device) for name, value in known.items()}

    def run(self, seed: int) -> tuple[dict[str, Tensor], pd.DataFrame]:
        generator = torch.Generator().manual_seed(seed)
        optimiser = torch.optim.AdamW(
            self.model.parameters(), lr=self.spec.learning_rate, weight_decay=self.spec.weight_decay
        )
        steps = self.spec.epochs * self._steps()
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, self.spec.learning_rate, total_steps=steps)
        best, best_state, curve, waited = -1.0, self._state(), [], 0
        for epoch in range(self.spec.epochs):
            if epoch == self.spec.reweight_from > 0:
                _lower_rate(optimiser)
                waited = 0
            loss = self._epoch(optimiser, schedule, generator, self._weights(epoch))
            accuracy = selection_score(self.space, self.split.validation, self.score(self.split.validation))
            curve.append({"epoch": epoch, "loss": loss, "validation": accuracy})
            waited = 0 if accuracy > best else waited + 1
            # Of equal epochs the later one, because its learning rate is lower.
            if accuracy >= best:
                best, best_state = accuracy, self._state()
            if self._gives_up(epoch, waited):
                break
        return best_state, pd.DataFrame(curve)

    def _weights(self, epoch: int) -> Tensor:
        return self.balanced if epoch >= self.spec.reweight_from else torch.ones_like(self.balanced)

    def _gives_up(self, epoch: int, waited: int) -> bool:
        patience = self.spec.patience
        return patience is not None and waited > patience and epoch >= self.spec.reweight_from

    def _steps(self) -> int:
        # A last batch of one sample would break batch normalisation, so it is left out.
        return max(1, (len(self.split.train) + self.spec.batch - 2) // self.spec.batch)

    def _epoch(
        self,
        optimiser: torch.optim.Optimizer,
        schedule: torch.optim.lr_scheduler.OneCycleLR,
        generator: torch.Generator,
        weights: Tensor,
    ) -> float:
        self.model.train()
        order = torch.from_numpy(self.split.train)[torch.randperm(len(self.split.train), generator=generator)]
        total = 0.0
        for step in range(self._steps()):
            rows = order[step * self.spec.batch : (step + 1) * self.spec.batch]
            inputs = self._masked(self.values[rows], generator)
            logits = self.model(inputs.to(self.device, memory_format=torch.channels_last))
            loss = self.loss(logits, self.labels[rows].to(self.device), weights)
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
        return np.asarray(scores(torch.cat(logits), self.scored_by).cpu().numpy(), dtype=np.float32)

    def _state(self) -> dict[str, Tensor]:
        return {name: value.detach().cpu().clone() for name, value in self.model.state_dict().items()}


def _lower_rate(optimiser: torch.optim.Optimizer) -> None:
    """Lower the learning rate, and all that its schedule computes the next ones from."""
    for group in optimiser.param_groups:
        for name in ("lr", "initial_lr", "max_lr", "min_lr"):
            group[name] *= DEFERRED_RATE
