"""Learning rate and momentum as functions of the step alone, so that a training can be gone on with anywhere."""

import math
from dataclasses import dataclass
from typing import Literal

from torch import optim

WARM_UP = 0.3
"""Share of the steps in which the rate rises."""
FIRST_RATE, LAST_RATE = 1 / 25, 1 / 25 / 1e4
"""Of the peak, where the cycle begins and ends."""
HIGH_MOMENTUM, LOW_MOMENTUM = 0.95, 0.85
MOMENTUM = 0.9
DEFERRED_RATE = 0.1
"""What the learning rate is multiplied by when deferred re-weighting sets in (Cao et al. 2019, and paper 1)."""


@dataclass(frozen=True)
class Schedule:
    """One cycle over all steps, as torch's OneCycleLR has it (Smith and Topin 2017), or a constant rate.

    Attributes:
        kind: which of the two.
        peak: the largest learning rate.
        steps: of the whole training.
        deferred: the step from which the rate is a tenth; None: none is.
    """

    kind: Literal["one-cycle", "constant"]
    peak: float
    steps: int
    deferred: int | None = None

    def at(self, step: int) -> tuple[float, float]:
        """Return learning rate and momentum (Adam's beta 1) of a step, counted from 0."""
        lowered = DEFERRED_RATE if self.deferred is not None and step >= self.deferred else 1.0
        if self.kind == "constant":
            return lowered * self.peak, MOMENTUM
        top, end = WARM_UP * self.steps - 1, self.steps - 1
        if step <= top:
            share, rates, momenta = step / top, (FIRST_RATE, 1.0), (HIGH_MOMENTUM, LOW_MOMENTUM)
        else:
            share, rates, momenta = (step - top) / (end - top), (1.0, LAST_RATE), (LOW_MOMENTUM, HIGH_MOMENTUM)
        return lowered * self.peak * _cosine(*rates, share), _cosine(*momenta, share)

    def apply(self, optimiser: optim.Optimizer, step: int) -> None:
        """Set what holds for a step of Adam."""
        rate, momentum = self.at(step)
        for group in optimiser.param_groups:
            group["lr"], group["betas"] = rate, (momentum, group["betas"][1])


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) / 2 * (1 + math.cos(math.pi * share))
