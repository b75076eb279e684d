"""Losses of networks, and what their probabilities are: class balance, margins, and labels that are missing.

Every loss takes logits n x K, labels and weights, and returns a scalar: of exclusive classes n class numbers and K
weights, otherwise n x K labels (1, 0, or -1 where one is missing) and K x 2 weights, of negatives and positives.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.heads import ABSENT
from pipeline.labels import MISSING, Labels
from pipeline.losses import Asymmetric, Focal, Ldam, OfClasses, OfLabels

LossFunction = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Of logits, labels and weights."""


def loss_function(loss: OfClasses | OfLabels, seen: Tensor, classes: int) -> LossFunction:
    """Return a loss; that with margins takes them from the classes' sizes among the labels seen in training."""
    if isinstance(loss, Focal):
        return partial(focal_loss, gamma=loss.gamma)
    if isinstance(loss, Ldam):
        return partial(margin_loss, margins=loss.scale * class_margins(seen, classes, loss.max_margin))
    if isinstance(loss, Asymmetric):
        return partial(asymmetric_loss, gamma_neg=loss.gamma_neg, gamma_pos=loss.gamma_pos, clip=loss.clip)
    return cross_entropy if isinstance(loss, OfClasses) else masked_loss


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


def class_margins(labels: Tensor, classes: int, largest: float) -> Tensor:
    """Return K margins, proportional to n^(-1/4) and the largest as given; 0 for a class that does not occur.

    Args:
        labels: class numbers.
        classes: K.
        largest: margin of the rarest class (max_m of the publication's code).
    """
    counts = torch.bincount(labels, minlength=classes).double()
    roots = torch.where(counts > 0, counts.clamp(min=1) ** -0.25, 0.0)
    return (largest * roots / roots.max()).float()


def cross_entropy(logits: Tensor, numbers: Tensor, weights: Tensor) -> Tensor:
    """Return the weighted mean of -log p, where p is the softmax probability of the sample's class."""
    return functional.cross_entropy(logits, numbers, weight=weights)


def focal_loss(logits: Tensor, numbers: Tensor, weights: Tensor, gamma: float) -> Tensor:
    """Return the weighted mean of -(1 - p)^gamma log p, where p is the softmax probability of the sample's class."""
    chances = logits.log_softmax(1).gather(1, numbers[:, None])[:, 0]
    given = weights[numbers]
    return -(given * _power(-torch.expm1(chances), gamma) * chances).sum() / given.sum()


def margin_loss(logits: Tensor, numbers: Tensor, weights: Tensor, margins: Tensor) -> Tensor:
    """Return the weighted cross-entropy of logits of which the sample's own class has its margin taken off.

    Args:
        logits: n x K, scaled.
        numbers: n class numbers.
        weights: K.
        margins: K, scaled as the logits are.
    """
    own = functional.one_hot(numbers, logits.shape[1])
    return cross_entropy(logits - own * margins.to(logits), numbers, weights)


def masked_loss(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """Return the mean over known entries of the weighted binary cross-entropy.

    Args:
        logits: n x K.
        labels: n x K: 1, 0, or -1 where it is missing; such an entry has no part in the loss or its gradient.
        weights: K x 2, of negatives and positives.
    """
    losses = functional.binary_cross_entropy_with_logits(logits, (labels == 1).to(logits.dtype), reduction="none")
    return _mean_of_known(losses, labels, weights)


def asymmetric_loss(
    logits: Tensor, labels: Tensor, weights: Tensor, gamma_neg: float, gamma_pos: float, clip: float
) -> Tensor:
    """Return the weighted mean over known entries of the asymmetric loss.

    Of a positive -(1 - p)^gamma_pos log p, of a negative -q^gamma_neg log(1 - q) with q = max(p - clip, 0), where p is
    the sigmoid of the logit. The focal factors take part in the gradient. The publication sums over a batch.

    Args:
        logits: n x K.
        labels: n x K: 1, 0, or -1 where it is missing; such an entry has no part in the loss or its gradient.
        weights: K x 2, of negatives and positives.
        gamma_neg: focal power of negatives.
        gamma_pos: focal power of positives.
        clip: what is taken off the probability of a negative.
    """
    positives = -_power(torch.sigmoid(-logits), gamma_pos) * functional.logsigmoid(logits)
    log_clip = logits.new_tensor(math.log(clip) if clip else -math.inf)
    # log(1 - q), which is exact for every logit: 1 - p + clip is a sum in the logarithmic domain, and is at most 1.
    kept = torch.logaddexp(functional.logsigmoid(-logits), log_clip).clamp(max=0)
    negatives = -_power(-torch.expm1(kept), gamma_neg) * kept
    return _mean_of_known(torch.where(labels == 1, positives, negatives), labels, weights)


def _power(base: Tensor, exponent: float) -> Tensor:
    # Of zero, a power below 1 has an infinite slope.
    return base.clamp(min=torch.finfo(base.dtype).tiny) ** exponent


def _mean_of_known(losses: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    known = labels != MISSING
    weighted = losses * torch.where(labels == 1, weights[:, 1], weights[:, 0])
    return torch.where(known, weighted, 0.0).sum() / known.sum().clamp(min=1)


class ScaledLinear(nn.Linear):
    """A linear layer whose n x K outputs are multiplied by a constant, which is stored with its weights."""

    scale: Tensor

    def __init__(self, features: int, classes: int, scale: float, bias: bool = True) -> None:
        super().__init__(features, classes, bias)
        self.register_buffer("scale", torch.tensor(scale))

    def forward(self, features: Tensor) -> Tensor:
        """Return n x K logits of n x F features."""
        return self.scale * super().forward(features)


class CosineLinear(ScaledLinear):
    """A normalised classifier: n x K cosines between features and one vector a class, times a constant."""

    def __init__(self, features: int, classes: int, scale: float) -> None:
        super().__init__(features, classes, scale, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """Return n x K logits of n x F features."""
        return self.scale * functional.linear(functional.normalize(features), functional.normalize(self.weight))


def classifier(loss: OfClasses | OfLabels, linear: nn.Linear) -> nn.Linear:
    """Return the last layer of a network that a loss asks for, in the place of its linear one."""
    if not isinstance(loss, Ldam):
        return linear
    layer = CosineLinear if loss.normalised else ScaledLinear
    return layer(linear.in_features, linear.out_features, loss.scale)


def scores(logits: Tensor, scored_by: Mapping[str, Tensor]) -> Tensor:
    """Return n x K scores, as heads do: log-probabilities of exclusive classes, otherwise log-odds.

    Args:
        logits: n x K.
        scored_by: either `trained`, K, whether an exclusive class has training rows, without which its score is
            `ABSENT`; or `threshold`, the logit that stands for even odds.
    """
    if "threshold" in scored_by:
        return logits - scored_by["threshold"]
    untrained = ~scored_by["trained"]
    return logits.masked_fill(untrained, -math.inf).log_softmax(1).masked_fill(untrained, ABSENT)


def scored_by(loss: OfClasses | OfLabels, labels: Labels) -> dict[str, Tensor]:
    """Return what `scores` needs beside a network that was trained by a loss on N x K labels."""
    if isinstance(loss, OfClasses):
        return {"trained": torch.from_numpy((labels == 1).any(axis=0))}
    return {"threshold": torch.tensor(loss.threshold() if isinstance(loss, Asymmetric) else 0.0)}
