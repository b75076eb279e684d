"""What noise takes of the information about the class, from a classifier that is told of the noise.

Y_t = X + sqrt(t) Z, and C is the class. De Bruijn's identity for p_t and for p_t(. | c) gives

    dI(C; Y_t) / dt = -Phi(t) / 2,    Phi(t) = E ||grad_y log p(C | y)||^2,

so that the information left at t is I(t) = int_t^inf Phi / 2 dt = int sigma^2 Phi dln sigma, over larger noise alone.
It ties what a classifier can learn from a space to the Fisher information of that space. Of a classifier q that is not
the posterior this integral and its own estimate H(C) + E log q(C | y), which is too low by its mean divergence from the
posterior (Barber and Agakov 2003), differ: that is the quality control.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.fisher import mean

Floats = NDArray[np.float64]
COLUMNS = ["sigma", "quantity", "value", "standard_error", "samples"]


@dataclass(frozen=True)
class Answers:
    """What a classifier says at L noise levels of n samples, whose classes are exclusive.

    Attributes:
        sigmas: L, rising.
        logs: L x n x K, log q(k | y).
        squares: L x n x K, ||grad_y log q(k | y)||^2.
        classes: n, the true ones.
        weights: n, so that classes are as frequent as the classifier was taught that they are.
        groups: n; samples of one group are not independent.
    """

    sigmas: Floats
    logs: Floats
    squares: Floats
    classes: NDArray[np.int64]
    weights: Floats
    groups: NDArray[np.int64]

    @property
    def shares(self) -> Floats:
        """The weights, summing to 1."""
        return np.asarray(self.weights / self.weights.sum())

    def entropy(self) -> float:
        """Return H(C) in nats, of the weighted classes."""
        frequent = np.bincount(self.classes, self.shares)
        frequent = frequent[frequent > 0]
        return float(-(frequent * np.log(frequent)).sum())

    def expected(self) -> Floats:
        """Return L x n squared gradients in the mean over the classes, as likely as the classifier says."""
        return np.asarray((np.exp(self.logs) * self.squares).sum(axis=2))

    def own(self) -> Floats:
        """Return L x n squared gradients of the true class."""
        return np.asarray(self.squares[:, np.arange(len(self.classes)), self.classes])

    def right(self) -> Floats:
        """Return L x n log-probabilities of the true class."""
        return np.asarray(self.logs[:, np.arange(len(self.classes)), self.classes])


def integrated(sigmas: Floats, squares: Floats) -> Floats:
    """Return L x n, int sigma^2 Phi dln sigma from each level to the last, by the trapezoidal rule in ln sigma.

    What noise beyond the last level would take is not in it.

    Args:
        sigmas: L, rising.
        squares: L x n, Phi of each sample.
    """
    inner = sigmas[:, None] ** 2 * squares
    steps = np.diff(np.log(sigmas))[:, None] * (inner[1:] + inner[:-1]) / 2
    beyond = np.cumsum(steps[::-1], axis=0)[::-1]
    return np.concatenate([beyond, np.zeros((1, squares.shape[1]))])


def quantities(found: Answers) -> list[tuple[float, str, float, float, int]]:
    """Return lines of `COLUMNS`: Phi by both estimates, and the information in nats by both, at every level.

    `class_fisher` averages over classes as the classifier weighs them, `class_fisher_labels` takes the true ones: they
    agree if it is calibrated. `information` is the classifier's own estimate, `information_integrated` what
    `class_fisher` integrates to from the level to the last one, plus the own estimate there.
    """
    expected, last = found.expected(), found.entropy() + found.right()[-1]
    columns = {
        "class_fisher": expected,
        "class_fisher_labels": found.own(),
        "information": found.entropy() + found.right(),
        "information_integrated": integrated(found.sigmas, expected) + last,
    }
    return [
        (float(sigma), name, *mean(values[level], found.groups, found.shares), len(found.classes))
        for level, sigma in enumerate(found.sigmas)
        for name, values in columns.items()
    ]
