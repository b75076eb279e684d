"""Fisher information and its rate from a denoiser: which averages they are, and how sure these are.

Y_t = X + sqrt(t) Z in R^d with Z standard normal and t = sigma^2, p_t its density, s = grad log p_t, H its Hessian. The
best denoiser D(y) = E[X | Y_t = y] says everything of these: s = (D - y) / t (Tweedie; Robbins 1956) and
grad D = I + t H = Cov(X | y) / t. So

    mmse(t) = E ||D - X||^2,
    J(t)    = E ||s||^2 = -E tr H = (t d - mmse) / t^2         the Fisher information,
    FIR(t)  = E ||H||_F^2 = -dJ/dt                             its rate (Bakry and Emery 1985; Costa 1985),
    dmmse/dt = E ||grad D||_F^2 = d - 2 t J + t^2 FIR          the MMSE rate (Guo, Wu, Shamai and Verdu 2011).

Implemented is version 2 of "Understanding Latent Diffusability via Fisher Geometry" (arXiv 2604.02751). Its own formula
of the rate could not be obtained; that, and its sign, are the identities above. Three expressions of J agree only for
the best denoiser: how far they are apart is the quality control.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Value = tuple[float, float]
"""A quantity and its standard error."""

EXTENSIVE = ("mmse", "fisher_score", "fisher_trace", "fisher_mmse", "fisher_rate", "mmse_rate")
"""Sums over the dimensions of a space."""
ROUNDING = 1e-12
"""A standard error below this share of its mean is that of a constant."""
QUALITY = ("disagreement", "asymmetry")
"""How far a denoiser is from the best one: 0 of the best, whatever the dimension."""


@dataclass(frozen=True)
class Statistics:
    """What one noise level says of each of n samples; means over samples are the quantities.

    Attributes:
        error: ||D(y) - x||^2.
        noise: ||y - x||^2, which is t d on average: of the same draws, so that little noise does not hide J.
        score: ||s(y)||^2.
        trace: -tr H(y), or an unbiased estimate of it.
        hessian: ||H(y)||_F^2, likewise.
        jacobian: ||grad D(y)||_F^2, likewise.
        square: tr (grad D(y))^2, likewise: that of a gradient field is the one before.
    """

    error: Floats
    noise: Floats
    score: Floats
    trace: Floats
    hessian: Floats
    jacobian: Floats
    square: Floats

    @classmethod
    def joined(cls, parts: "Sequence[Statistics]") -> "Statistics":
        """Return the statistics of all samples of some parts."""
        return cls(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)))


def quantities(
    found: Statistics, t: float, groups: NDArray[np.int64], weights: Floats | None = None
) -> dict[str, Value]:
    """Return every quantity of a noise level with its standard error.

    `disagreement` is the largest difference between two of the three estimates of J, as a share of the largest of them
    in magnitude; `asymmetry` is 1 - E tr (grad D)^2 / E ||grad D||_F^2, the share of the denoiser's gradient that no
    density can have.

    Args:
        found: of n samples.
        t: the noise's variance.
        groups: n; samples of one group (a patient) are not independent of one another.
        weights: n, for samples that are the nodes of a quadrature; equal ones by default.
    """
    shares = np.full(len(found.error), 1 / len(found.error)) if weights is None else weights / weights.sum()
    fisher = {"score": found.score, "trace": found.trace, "mmse": (found.noise - found.error) / t**2}
    values = {"mmse": found.error} | {f"fisher_{name}": value for name, value in fisher.items()}
    values |= {"fisher_rate": found.hessian, "mmse_rate": found.jacobian}
    made = {name: mean(value, groups, shares) for name, value in values.items()}
    made["disagreement"] = _disagreement(list(fisher.values()), groups, shares)
    apart, size = mean(found.jacobian - found.square, groups, shares), abs(made["mmse_rate"][0])
    made["asymmetry"] = (apart[0] / size, apart[1] / size) if size else (0.0, 0.0)
    return made


def _disagreement(estimates: list[Floats], groups: NDArray[np.int64], shares: Floats) -> Value:
    size = max(abs(mean(estimate, groups, shares)[0]) for estimate in estimates)
    pairs = [(first, second) for number, first in enumerate(estimates) for second in estimates[:number]]
    apart = [mean(first - second, groups, shares) for first, second in pairs]
    value, error = max(apart, key=lambda found: abs(found[0]))
    return (abs(value) / size, error / size) if size else (0.0, 0.0)


def mean(values: Floats, groups: NDArray[np.int64], shares: Floats) -> Value:
    """Return the weighted mean and its standard error, of samples that are independent between groups alone.

    The error is the linearised one of a ratio of totals over groups (Cochran 1977, section 11.3), with G / (G - 1); of
    a single group it is not known.
    """
    middle = float(shares @ values)
    totals = np.bincount(np.unique(groups, return_inverse=True)[1], shares * (values - middle))
    count = len(totals)
    error = float(np.sqrt((totals @ totals) * count / (count - 1))) if count > 1 else np.nan
    return middle, 0.0 if error < ROUNDING * abs(middle) else error


def gaussian(eigenvalues: Floats, t: float) -> dict[str, float]:
    """Return the quantities of a normal distribution with these variances along its axes, in closed form."""
    noisy = eigenvalues + t
    fisher = float((1 / noisy).sum())
    return {
        "mmse": float((eigenvalues * t / noisy).sum()),
        "fisher_score": fisher,
        "fisher_trace": fisher,
        "fisher_mmse": fisher,
        "fisher_rate": float((1 / noisy**2).sum()),
        "mmse_rate": float((eigenvalues**2 / noisy**2).sum()),
    }
