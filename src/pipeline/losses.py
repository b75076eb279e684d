"""What the configuration says of a network's loss: which losses there are, and which labels each is for."""

import math
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pipeline.errors import StudyError
from pipeline.spec import Spec

LARGEST_LOGIT = 30.0
"""Beyond it, a probability differs from 0 or 1 by less than 1e-13."""

Power = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class CrossEntropy(Spec):
    """Cross-entropy of exclusive classes."""

    kind: Literal["cross-entropy"] = "cross-entropy"


class Focal(Spec):
    """The focal loss of exclusive classes: Lin et al. 2017, equation 4, of softmax probabilities."""

    kind: Literal["focal"]
    gamma: Power = 2.0
    """The larger, the less a sample counts that is classified well already; 0: cross-entropy. [1]"""


class Ldam(Spec):
    """The label-distribution-aware margin loss of exclusive classes (Cao et al. 2019).

    Logits are `scale` times what the classifier gives, in training and in scoring. The code of paper 1 scores without
    that factor. The order of a sample's classes, and so the balanced accuracy, is the same; the order of samples within
    one of more than two classes, and so the AUROC, need not be.
    """

    kind: Literal["ldam"]
    max_margin: Power = 0.5
    """The margin of the rarest class, before scaling; the others' fall with the fourth root of their sizes. [1]"""
    scale: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 30.0
    """What the classifier's values are multiplied by. [1]"""
    normalised: bool = True
    """Whether the classifier gives cosines, which the scale is meant for, or as in paper 1 is a plain linear layer."""


class BinaryCrossEntropy(Spec):
    """Binary cross-entropy of every label that is known."""

    kind: Literal["bce"] = "bce"


class Asymmetric(Spec):
    """The asymmetric loss of every label that is known (Ridnik et al. 2021).

    It favours positives, so a sample that is as likely to have a class as not gets a positive logit: the threshold.
    """

    kind: Literal["asymmetric"]
    gamma_neg: Power = 4.0
    """The focal power of negatives. [1]"""
    gamma_pos: Power = 1.0
    """The focal power of positives. [1]"""
    clip: Annotated[float, Field(ge=0, lt=1)] = 0.05
    """What is taken off the probability of a negative; below it, a negative counts for nothing. [1]"""

    @model_validator(mode="after")
    def _negatives_count(self) -> Self:
        if self._slope(LARGEST_LOGIT) <= 0:
            raise ValueError("negatives hardly count with this 'gamma_neg' and 'clip': everything would be positive")
        return self

    def threshold(self) -> float:
        """Return the logit that is best where both answers are equally likely and weigh the same.

        Scores are logits less this one, so that a positive score says that the sample has the class.
        """
        low, high = -LARGEST_LOGIT, LARGEST_LOGIT
        while low < (middle := (low + high) / 2) < high:
            low, high = (middle, high) if self._slope(middle) < 0 else (low, middle)
        return middle

    def _slope(self, logit: float) -> float:
        """Return the derivative with respect to the logit of the losses of a positive and a negative together."""
        p, not_p = 1 / (1 + math.exp(-logit)), 1 / (1 + math.exp(logit))
        positive = math.pow(not_p, self.gamma_pos) * (self.gamma_pos * p * math.log(p) - not_p)
        q = p - self.clip
        if q <= 0:
            return positive
        not_q = not_p + self.clip
        inner = math.pow(q, self.gamma_neg) / not_q - self.gamma_neg * math.pow(q, self.gamma_neg - 1) * math.log(not_q)
        return positive + p * not_p * inner


OfClasses = CrossEntropy | Focal | Ldam
OfLabels = BinaryCrossEntropy | Asymmetric
Loss = Annotated[OfClasses | OfLabels, Field(discriminator="kind")]


def suited(loss: OfClasses | OfLabels | None, exclusive: bool) -> OfClasses | OfLabels:
    """Return the loss to train with: the chosen one, or else the cross-entropy of the task.

    Raises:
        StudyError: the loss is not for such labels.
    """
    if loss is None:
        return CrossEntropy() if exclusive else BinaryCrossEntropy()
    if isinstance(loss, OfClasses) and not exclusive:
        raise StudyError(
            f"the loss '{loss.kind}' is for exclusive classes, and the task is multi-label: take bce or asymmetric"
        )
    if isinstance(loss, OfLabels) and exclusive:
        raise StudyError(
            f"the loss '{loss.kind}' is for labels that do not exclude each other, and the task is single-label: take "
            "cross-entropy, focal or ldam"
        )
    return loss
