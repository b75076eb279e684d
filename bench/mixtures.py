"""Gaussian mixtures whose component is the class, and what can be known of it from noisy samples.

Y_t = X + sqrt(t) Z, with X of a mixture in R^d whose component is the class C, and Z standard normal. I(C; Y_t) is the
entropy of C less the mean of the posterior's entropy. A classifier's estimate of it, H(C) + E log q(C | Y_t), is lower
by its mean Kullback-Leibler divergence from the posterior (Barber and Agakov 2003).

A classifier of images sees samples as grids. Each of the N cells of channel j holds a (X_j - E X_j), and the noise
sigma n is drawn for every cell. The cells' mean is then sufficient for X: it is a (X - E X) + (sigma / sqrt N) Z, and
what cells deviate from it by is noise that knows nothing of X. Divided by a, that is Y_t for

    t = sigma^2 / (a^2 N).

A classifier that brings its inputs to the deviation s has a = s / deviation(X_j), so sigma = s sqrt(t N) / deviation.
For noise of one t in all directions the coordinates must deviate alike, which a rotation of X brings about and
I(C; Y_t) does not notice.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
LogPosterior = Callable[[Floats, float], Floats]
"""n x d x side x side noisy grids, and their sigma, to n x K log-probabilities of the classes."""


@dataclass(frozen=True)
class Mixture:
    """A mixture of K normal distributions in R^d: weights K, means K x d, covariances K x d x d."""

    weights: Floats
    means: Floats
    covariances: Floats

    @classmethod
    def line(cls, weights: list[float], means: list[float], variances: list[float]) -> "Mixture":
        """Return a mixture on the line."""
        return cls(np.array(weights), np.array(means)[:, None], np.array(variances)[:, None, None])

    def draw(self, count: int, rng: np.random.Generator) -> tuple[Floats, NDArray[np.int64]]:
        """Return samples n x d and their classes."""
        classes = rng.choice(len(self.weights), size=count, p=self.weights)
        roots = np.linalg.cholesky(self.covariances)
        normal = rng.standard_normal((count, self.means.shape[1]))
        return self.means[classes] + np.einsum("nij,nj->ni", roots[classes], normal), classes

    def entropy(self) -> float:
        """Return H(C) in nats."""
        return float(-(self.weights * np.log(self.weights)).sum())

    def mean(self) -> Floats:
        """Return E X."""
        return np.asarray(self.weights @ self.means)

    def covariance(self) -> Floats:
        """Return Cov X, d x d."""
        apart = self.means - self.mean()
        around = np.einsum("ki,kj->kij", apart, apart)
        return np.asarray(np.einsum("k,kij->ij", self.weights, self.covariances + around))

    def log_joint(self, y: Floats, t: float) -> Floats:
        """Return n x K log(weight_k p_t(y | k))."""
        d = self.means.shape[1]
        columns = []
        for weight, mean, covariance in zip(self.weights, self.means, self.covariances, strict=True):
            noisy = covariance + t * np.eye(d)
            distance = np.einsum("ni,ij,nj->n", y - mean, np.linalg.inv(noisy), y - mean)
            columns.append(np.log(weight) - (distance + np.linalg.slogdet(2 * np.pi * noisy)[1]) / 2)
        return np.stack(columns, axis=1)

    def log_posterior(self, y: Floats, t: float) -> Floats:
        """Return n x K log p(k | y)."""
        joint = self.log_joint(y, t)
        return np.asarray(joint - np.logaddexp.reduce(joint, axis=1, keepdims=True))

    def information(self, t: float, points: int = 20001) -> float:
        """Return I(C; Y_t) in nats of a mixture on the line, by the trapezoidal rule.

        The integrand falls like a normal density on both sides, so the rule's error falls faster than any power.
        """
        spread = 12 * np.sqrt(self.covariances.max() + t)
        y = np.linspace(self.means.min() - spread, self.means.max() + spread, points)
        joint = self.log_joint(y[:, None], t)
        total = np.logaddexp.reduce(joint, axis=1)
        unsure = -(np.exp(joint) * (joint - total[:, None])).sum(axis=1)
        return self.entropy() - float(np.trapezoid(unsure, y))

    def evened(self) -> "Mixture":
        """Return the mixture in rotated coordinates that all have the same variance (Schur and Horn)."""
        rotation = np.eye(self.means.shape[1])
        for _ in range(len(rotation) - 1):
            covariance = rotation @ self.covariance() @ rotation.T
            level = np.trace(covariance) / len(rotation)
            low, high = int(np.argmin(np.diag(covariance))), int(np.argmax(np.diag(covariance)))
            rotation = _level(covariance, low, high, level) @ rotation
        turned = np.einsum("ia,kab,jb->kij", rotation, self.covariances, rotation)
        return Mixture(self.weights, self.means @ rotation.T, turned)


def _level(covariance: Floats, low: int, high: int, level: float) -> Floats:
    """Return the rotation in the plane of two coordinates after which the first one has the variance `level`."""
    a, b, c = covariance[low, low], covariance[low, high], covariance[high, high]
    # The variance at an angle is a cos^2 + 2 b sin cos + c sin^2: a quadratic in the tangent.
    roots = np.roots([c - level, 2 * b, a - level])
    angle = float(np.arctan(np.real(roots[np.argmin(np.abs(roots))])))
    rotation = np.eye(len(covariance))
    rotation[[low, high], [low, high]] = np.cos(angle)
    rotation[low, high], rotation[high, low] = np.sin(angle), -np.sin(angle)
    return rotation


@dataclass(frozen=True)
class Grids:
    """A mixture as grids that a noise-conditioned classifier takes.

    Attributes:
        mixture: its coordinates have the same variance.
        side: N = side^2 cells.
        spread: the deviation s that the classifier brings its inputs to.
    """

    mixture: Mixture
    side: int
    spread: float = 0.5

    @property
    def factor(self) -> float:
        """a: what a coordinate is multiplied by."""
        return self.spread / float(np.sqrt(self.mixture.covariance()[0, 0]))

    def sigma(self, t: float) -> float:
        """Return the noise on each cell that leaves of X what Y_t does."""
        return self.factor * self.side * float(np.sqrt(t))

    def t(self, sigma: float) -> float:
        """Return the t that the noise on each cell stands for."""
        return (sigma / (self.factor * self.side)) ** 2

    def grids(self, x: Floats) -> Floats:
        """Return n x d x side x side clean grids of n x d samples."""
        scaled = self.factor * (x - self.mixture.mean())
        return np.asarray(np.broadcast_to(scaled[:, :, None, None], (*x.shape, self.side, self.side)))

    def log_posterior(self, noisy: Floats, sigma: float) -> Floats:
        """Return n x K, the exact answer: what a classifier should say of noisy grids."""
        y = noisy.mean(axis=(2, 3)) / self.factor + self.mixture.mean()
        return self.mixture.log_posterior(y, self.t(sigma))

    def measured(self, answer: LogPosterior, t: float, draws: int, seed: int) -> tuple[float, float, float]:
        """Return what a classifier gets of I(C; Y_t) on fresh draws, that value's standard error, and its shortfall.

        All are in nats. The shortfall is the mean divergence from the exact posterior on the same draws: how far the
        estimate lies below I(C; Y_t), without the error of the draws.
        """
        rng = np.random.default_rng([seed, draws])
        x, classes = self.mixture.draw(draws, rng)
        sigma = self.sigma(t)
        noisy = self.grids(x) + sigma * rng.standard_normal((*x.shape, self.side, self.side))
        exact, given = self.log_posterior(noisy, sigma), answer(noisy, sigma)
        logs = given[np.arange(draws), classes]
        divergence = (np.exp(exact) * (exact - given)).sum(axis=1).mean()
        error = logs.std() / np.sqrt(draws)
        return self.mixture.entropy() + float(logs.mean()), float(error), float(divergence)


TWO = Mixture.line([0.5, 0.5], [-1, 1], [0.04, 0.04])
THREE = Mixture.line([0.2, 0.5, 0.3], [-2, 0, 1.5], [0.1, 0.3, 0.05])
SPACE = Mixture(
    np.array([0.5, 0.3, 0.2]),
    np.array([[0.0, 0, 0], [3, 0, 0], [0, 3, 1]]),
    np.array([np.diag([1, 0.2, 0.05]), 0.3 * np.eye(3), [[0.5, 0.2, 0], [0.2, 0.4, 0.1], [0, 0.1, 0.2]]]),
)
GOLDEN = [
    ("two", TWO, 0.1, 0.68260407),
    ("two", TWO, 0.25, 0.61036216),
    ("two", TWO, 1.0, 0.32806631),
    ("two", TWO, 4.0, 0.11043536),
    ("three", THREE, 0.05, 0.88918028),
    ("three", THREE, 0.5, 0.55298368),
    ("three", THREE, 2.0, 0.25541207),
]
"""Name, mixture, t and I(C; Y_t) in nats, by quadrature to eight digits."""
