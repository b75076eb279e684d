"""p values: of a bootstrap, of the exact sign test, and adjusted for how many were asked for."""

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def two_sided(replicates: Floats) -> float:
    """Return twice the smaller share of replicates on one side of zero, zeros on both, at most 1; NaN without any.

    One is added to both counts (Davison and Hinkley 1997, 4.2.3), so that p is never 0: with B replicates it is at
    least 2 / (B + 1). Replicates that are NaN are left out, as they are from the interval.
    """
    finite = replicates[np.isfinite(replicates)]
    if not len(finite):
        return math.nan
    fewer = min(int((finite <= 0).sum()), int((finite >= 0).sum()))
    return min(1.0, 2 * (1 + fewer) / (1 + len(finite)))


def holm(p: Floats) -> Floats:
    """Return p values adjusted for the size of their family (Holm 1979); what is NaN is no member, and stays NaN."""
    adjusted = np.full(len(p), np.nan)
    order = np.argsort(p, kind="stable")[: int(np.isfinite(p).sum())]
    factors = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(p[order] * factors)) if len(order) else []
    return adjusted


def sign_test(positive: int, compared: int) -> float:
    """Return how likely at least so many positive signs are by chance: the upper tail of Binomial(compared, 1/2).

    It assumes that the signs are independent. With n of them no p below 2 ** -n can come out.

    Raises:
        ValueError: there are not so many signs.
    """
    if not 0 <= positive <= compared:
        raise ValueError(f"{positive} of {compared} signs cannot be positive")
    return sum(math.comb(compared, count) for count in range(positive, compared + 1)) / (1 << compared)
