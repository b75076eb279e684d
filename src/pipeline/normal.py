"""The best denoiser of a normal distribution with the mean and the shrunk covariance of training samples.

Everything it does depends on inner products of samples alone. So spaces that hold the same distances have the same
values of everything that is measured here, whatever their coordinates, and no matrix is larger than samples x samples.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import StudyError
from pipeline.fisher import Statistics

Floats = NDArray[np.float64]
NEGLIGIBLE = 1e-9
"""Variances below this share of the largest one are taken for none, before shrinking."""
SHARES = np.logspace(-5, 0, 41)
"""Of the covariance, that may be taken from the samples' and given to all directions alike."""
FOLDS = 4
"""Of the training patients, to choose the share by."""
SEED = 0


@dataclass(frozen=True)
class Normal:
    """A normal distribution in a space of d dimensions, in units of its own deviation sqrt(trace / d).

    Attributes:
        variances: r, along those axes that the n training samples span.
        rest: the variance along each of the other d - r.
        vectors: n x r, which combination of centred training samples each axis is, as a unit vector.
        deviation: the unit, in units of the space.
        dimension: d.
    """

    variances: Floats
    rest: float
    vectors: Floats
    deviation: float
    dimension: int

    @classmethod
    def sampled(cls, gram: Floats, dimension: int) -> Self:
        """Return the distribution of samples with these inner products, n x n, not yet centred, without shrinking.

        Raises:
            StudyError: all samples are the same.
        """
        centred, n = _centred(gram), len(gram)
        total = float(np.trace(centred)) / n
        if total <= NEGLIGIBLE * float(np.trace(gram)) / n:
            raise StudyError("all training samples of the space are the same, so there is nothing to denoise")
        found, vectors = np.linalg.eigh(centred / n)
        kept, unit = found > NEGLIGIBLE * found[-1], total / dimension
        vectors = vectors[:, kept] / np.sqrt(n * found[kept])
        return cls(found[kept] / unit, 0.0, vectors, float(np.sqrt(unit)), dimension)

    def shrunk(self, share: float) -> Self:
        """Return the distribution with a share of its covariance, in place of its own, the same in all directions."""
        return replace(self, variances=(1 - share) * self.variances + share, rest=(1 - share) * self.rest + share)

    @classmethod
    def fitted(cls, gram: Floats, dimension: int, groups: NDArray[np.int64]) -> Self:
        """Return the distribution of training samples, shrunk as makes samples of other patients likeliest.

        A share that is best in squared error of the covariance (Ledoit and Wolf 2004) is far too small for denoising:
        it hardly counts the many directions of little variance. The likelihood is the integral of the denoiser's error
        over the noise (Guo, Shamai and Verdu 2005).

        Args:
            gram: n x n inner products.
            dimension: of the samples.
            groups: n, whose sample each is.

        Raises:
            StudyError: all samples are the same, or all are of one patient.
        """
        patients, own = np.unique(groups, return_inverse=True)
        if len(patients) < 2:
            raise StudyError("all training samples of the space are of one patient; more are needed to fit a denoiser")
        fold = np.random.default_rng([SEED, len(patients)]).permutation(len(patients))[own] % FOLDS
        likelihood = np.zeros(len(SHARES))
        for part in np.unique(fold):
            inside, outside = np.flatnonzero(fold != part), np.flatnonzero(fold == part)
            order = np.concatenate([inside, outside])
            plain = cls.sampled(gram[np.ix_(inside, inside)], dimension)
            squares = plain.squares(gram[np.ix_(order, order)])
            likelihood += [plain.shrunk(share).log_density(squares).sum() for share in SHARES]
        return cls.sampled(gram, dimension).shrunk(float(SHARES[likelihood.argmax()]))

    def tensors(self) -> dict[str, NDArray[Any]]:
        """Return the arrays from which `of` makes the same distribution."""
        numbers = np.array([self.rest, self.deviation, self.dimension])
        return {"variances": self.variances, "vectors": self.vectors, "numbers": numbers}

    @classmethod
    def of(cls, tensors: Mapping[str, NDArray[Any]]) -> Self:
        """Undo `tensors`."""
        rest, deviation, dimension = tensors["numbers"].tolist()
        return cls(tensors["variances"], rest, tensors["vectors"], deviation, int(dimension))

    def squares(self, gram: Floats) -> tuple[Floats, Floats]:
        """Return held-out samples' squared coordinates m x r, and their squared norms off all axes, m, in the unit.

        Args:
            gram: inner products of the n training samples and then the m held-out ones, (n + m) x (n + m).
        """
        n = len(self.vectors)
        inside, cross = gram[:n, :n], gram[n:, :n]
        own, mean = np.diag(gram)[n:], inside.mean()
        middle = cross.mean(axis=1)
        # Inner products of what is left of the samples without the training mean.
        along = (cross - middle[:, None] - inside.mean(axis=0) + mean) @ self.vectors
        norms = own - 2 * middle + mean
        squares = along**2 / self.deviation**2
        return squares, np.maximum(norms / self.deviation**2 - squares.sum(axis=1), 0.0)

    def log_density(self, squares: tuple[Floats, Floats]) -> Floats:
        """Return the log-density of samples, m, in coordinates of the unit, up to a constant."""
        along, off = squares
        volume = np.log(self.variances).sum() + (self.dimension - len(self.variances)) * np.log(self.rest)
        return np.asarray(-(along @ (1 / self.variances) + off / self.rest + volume) / 2)

    def statistics(self, squares: tuple[Floats, Floats], t: float) -> Statistics:
        """Return what noise of variance t, in the unit's square, says of samples: means over the noise, in closed form.

        Along an axis of variance l the denoiser multiplies by l / (l + t).
        """
        along, off = squares
        count = self.dimension - len(self.variances)
        variances, number = np.append(self.variances, self.rest), np.append(np.ones(len(self.variances)), count)
        powers = np.column_stack([along, off])
        kept = variances / (variances + t)
        lost = 1 - kept
        gained = float((number * kept**2).sum())

        def same(value: float) -> Floats:
            return np.full(len(along), value)

        return Statistics(
            error=powers @ lost**2 + t * gained,
            noise=same(t * self.dimension),
            score=(powers @ lost**2 + t * float((number * lost**2).sum())) / t**2,
            trace=same(float((number * lost).sum()) / t),
            hessian=same(float((number * lost**2).sum()) / t**2),
            jacobian=same(gained),
            square=same(gained),
        )


def _centred(gram: Floats) -> Floats:
    means = gram.mean(axis=0)
    return np.asarray(gram - means - means[:, None] + means.mean())
