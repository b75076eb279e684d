"""The Frechet distance between two sets of features, each taken for a Gaussian (Heusel et al. 2017)."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Gaussian:
    """What is known of n features of d dimensions, in a form that shards can be added to.

    Attributes:
        samples: n.
        mean: d.
        root: r x d, with root' root the sum over samples of the centred features' outer products; r is at most d, and
            at most n.
    """

    samples: int
    mean: Floats
    root: Floats

    @classmethod
    def of(cls, features: NDArray[np.floating]) -> Self:
        """Describe n x d features, n at least 1."""
        values = features.astype(np.float64)
        mean = values.mean(axis=0)
        return cls(len(values), mean, _triangle(values - mean))

    def __add__(self, other: Self) -> Self:
        """Describe both sets together (Chan, Golub and LeVeque 1979), up to rounding as if they had come at once."""
        samples = self.samples + other.samples
        apart = np.sqrt(self.samples * other.samples / samples) * (other.mean - self.mean)
        mean = self.mean + (other.mean - self.mean) * (other.samples / samples)
        return type(self)(samples, mean, _triangle(np.concatenate([self.root, other.root, apart[None]])))


def _triangle(values: Floats) -> Floats:
    """Return the triangle R of values = Q R."""
    return np.asarray(np.linalg.qr(values, mode="r"))


def distance(first: Gaussian, second: Gaussian) -> float:
    """Return |m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)), with the unbiased covariances S; NaN below two samples.

    With S = R'R / (n - 1), the trace of the root is the sum of the singular values of R1 R2'. Nothing is inverted, and
    no root of an indefinite matrix is taken: fewer samples than dimensions are no numerical difficulty. They are a
    statistical one: the distance of few samples is too large, so compare only numbers that rest on as many.
    """
    if min(first.samples, second.samples) < 2:
        return float("nan")
    one, two = (part.root / np.sqrt(part.samples - 1) for part in (first, second))
    overlap = np.linalg.svd(one @ two.T, compute_uv=False).sum()
    apart = ((first.mean - second.mean) ** 2).sum()
    # Equal sets leave a rounding error of either sign.
    return max(0.0, float(apart + (one**2).sum() + (two**2).sum() - 2 * overlap))
