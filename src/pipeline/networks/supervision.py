"""What a network is trained towards: the labels of the training rows, and perhaps a teacher's logits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from pipeline.errors import StudyError
from pipeline.heads import Floats, Space, Support
from pipeline.losses import suited
from pipeline.networks.losses import class_weights, loss_function, scored_by, scores, side_weights

if TYPE_CHECKING:
    from pipeline.folds import Split
    from pipeline.trained import TrainedSpec


class Supervision:
    """The loss of the training rows, by their places in the split, and the scores that its logits stand for.

    With a teacher it is (1 - imitation) times the loss of the labels, plus imitation times the mean squared difference
    of the logits (paper 1 has 0.5, and no temperature).
    """

    def __init__(
        self, spec: TrainedSpec, space: Space, split: Split, support: Support, imitation: float, device: torch.device
    ) -> None:
        self.imitation, self.reweight_from, self.device = imitation, spec.reweight_from, device
        labels = torch.from_numpy(space.numbers if space.exclusive else space.labels)
        seen, beta = labels[torch.from_numpy(split.train)], spec.effective_number
        balanced = class_weights(seen, space.classes, beta) if space.exclusive else side_weights(seen, beta)
        self.labels, self.balanced = seen.to(device), balanced.to(device)
        kind = suited(spec.loss, space.exclusive)
        self._loss = loss_function(kind, seen, space.classes)
        known = scored_by(kind, space.labels[split.train])
        self._scored_by = {name: value.to(device) for name, value in known.items()}
        self.teacher = _teacher(support, space, split, device) if imitation else None

    def loss(self, logits: Tensor, places: Tensor, views: Tensor, epoch: int) -> Tensor:
        """Return the loss of n x K logits of training rows, each in one of its views, in an epoch.

        Args:
            logits: n x K.
            places: n places in the split's training rows.
            views: n numbers of views; 0: as it is.
            epoch: counted from 0.
        """
        places, views = places.to(self.device), views.to(self.device)
        weights = self.balanced if epoch >= self.reweight_from else torch.ones_like(self.balanced)
        loss = self._loss(logits, self.labels[places], weights)
        if self.teacher is None:
            return loss
        difference = functional.mse_loss(logits, self.teacher[views, places])
        return (1 - self.imitation) * loss + self.imitation * difference

    def scores(self, logits: Tensor) -> Floats:
        """Return n x K log-probabilities, or log-odds where classes are not exclusive."""
        return np.asarray(scores(logits, self._scored_by).cpu().numpy(), dtype=np.float32)

    def tensors(self) -> dict[str, Floats]:
        """Return what `pipeline.networks.losses.scores` needs."""
        return {name: value.cpu().numpy() for name, value in self._scored_by.items()}


def _teacher(support: Support, space: Space, split: Split, device: torch.device) -> Tensor:
    if support.teacher is None:
        raise StudyError("there are no logits of a teacher to learn from; name a head that is a network as the teacher")
    expected = (1 + len(space.views), len(split.train), space.classes)
    if support.teacher.shape != expected:
        raise StudyError(
            f"the teacher's logits have the shape {support.teacher.shape} and not {expected}; train the teacher on the "
            "same rows and views"
        )
    if not np.isfinite(support.teacher).all():
        raise StudyError("the teacher's logits are not finite; train it again with a lower learning rate")
    return torch.from_numpy(np.array(support.teacher, dtype=np.float32)).to(device)
