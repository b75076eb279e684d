"""Measures of a space that need no training: dimension, rank, separability, similarity, spectrum.

Vectors are rows, in double precision. Nothing here is random.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.labels import MISSING, Labels, numbers

Floats = NDArray[np.float64]

DISCARDED = 0.1
"""Share of the largest ratios that the fit of TwoNN leaves out, as published."""
NEIGHBOURS = (10, 20)
"""Of how many neighbours the maximum-likelihood dimension is taken, both ends included, as published."""
ROUNDING = 1e-11
"""Of a difference, as a share of what it is the difference of."""
VOTERS = 5
"""Neighbours that vote for a class."""


def gram(vectors: NDArray[np.floating[Any]]) -> Floats:
    """Return the inner products of n vectors, in double precision, some of their d elements at a time."""
    products = np.zeros((len(vectors), len(vectors)))
    for part in np.array_split(vectors, vectors.shape[1] // 4096 + 1, axis=1):
        part = part.astype(np.float64)
        products += part @ part.T
    return products


def squared_distances(gram: Floats) -> Floats:
    """Return n x n squared Euclidean distances from inner products; what is no more than rounding is 0."""
    sums = np.diag(gram)[:, None] + np.diag(gram)
    distances = sums - 2 * gram
    return np.asarray(np.where(distances > ROUNDING * sums, distances, 0.0))


def two_nearest(distances: Floats) -> float:
    """Return the TwoNN intrinsic dimension (Facco et al. 2017, Sci. Rep. 7:12140): the slope of -log(1 - F) in log mu.

    mu is the ratio of the distances to the second and to the nearest neighbour, F its empirical distribution. Samples
    with a copy among the others say nothing and are left out.

    Args:
        distances: n x n squared distances of samples that were drawn independently.

    Returns:
        The dimension, NaN of fewer than three samples.
    """
    nearest = _nearest(distances, 2)
    if nearest.shape[1] < 2:
        return math.nan
    nearest = nearest[nearest[:, 0] > 0]
    ratios = np.sort(np.log(nearest[:, 1] / nearest[:, 0]) / 2)
    count = len(ratios)
    kept = math.floor(count * (1 - DISCARDED))
    x, y = ratios[:kept], -np.log1p(-np.arange(1, kept + 1) / count)
    return float(x @ y / (x @ x)) if kept and x.any() else math.nan


def likeliest_dimension(distances: Floats) -> float:
    """Return the maximum-likelihood intrinsic dimension of Levina and Bickel (2004), eq. 8 and 10.

    The inverse estimates of the samples are averaged, and not the estimates (MacKay and Ghahramani 2005). Samples with
    a copy among the others are left out.

    Args:
        distances: n x n squared distances of samples that were drawn independently.

    Returns:
        The dimension, NaN of fewer than 40 samples: 20 neighbours would not be near.
    """
    first, last = NEIGHBOURS
    if len(distances) < 2 * last:
        return math.nan
    nearest = _nearest(distances, last)
    nearest = nearest[nearest[:, 0] > 0]
    if not len(nearest):
        return math.nan
    logs = np.log(nearest) / 2
    inverse = [(logs[:, [k - 1]] - logs[:, : k - 1]).mean() for k in range(first, last + 1)]
    return float(np.mean(1 / np.array(inverse))) if min(inverse) > 0 else math.nan


def _nearest(distances: Floats, count: int) -> Floats:
    """Return each sample's squared distances to its nearest others, at most so many, nearest first."""
    others = distances + np.diag(np.full(len(distances), np.inf))
    return np.sort(others, axis=1)[:, : min(count, len(distances) - 1)]


def effective_rank(gram: Floats) -> float:
    """Return exp of the entropy of the variances along principal axes, as shares of their sum.

    That is Roy and Vetterli's effective rank (2007) with variances in place of singular values. Of n samples it is
    at most n - 1, so compare it between spaces of the same samples only.

    Args:
        gram: n x n inner products, of vectors that need not be centred.
    """
    variances = np.linalg.eigvalsh(centred(gram))
    variances = variances[variances > ROUNDING * np.trace(gram)]
    shares = variances / variances.sum()
    return float(np.exp(-(shares * np.log(shares)).sum())) if len(shares) else math.nan


def centred(gram: Floats) -> Floats:
    """Return the inner products of the same vectors less their mean."""
    means = gram.mean(axis=0)
    return np.asarray(gram - means - means[:, None] + means.mean())


def linear_cka(a: Floats, b: Floats) -> float:
    """Return the linear centred kernel alignment of two spaces (Kornblith et al. 2019, eq. 4): 1 up to a rotation.

    With fewer samples than features it is far above 0 of spaces that have nothing to do with one another.

    Args:
        a: n x n inner products in the one space.
        b: those of the same samples in the other.
    """
    a, b = centred(a), centred(b)
    return _alignment(float((a * b).sum()), float((a * a).sum()), float((b * b).sum()))


def debiased_cka(a: Floats, b: Floats) -> float:
    """Return linear CKA from unbiased estimates of HSIC (Song et al. 2012, eq. 5): about 0 of unrelated spaces.

    Unbiased for independent samples; it can be slightly negative. NaN of fewer than four samples.
    """
    if len(a) < 4:
        return math.nan
    return _alignment(_unbiased(a, b), _unbiased(a, a), _unbiased(b, b))


def _unbiased(a: Floats, b: Floats) -> float:
    n = len(a)
    a, b = a - np.diag(np.diag(a)), b - np.diag(np.diag(b))
    crossed = a.sum() * b.sum() / ((n - 1) * (n - 2)) - 2 / (n - 2) * (a.sum(axis=0) @ b.sum(axis=0))
    return float(((a * b).sum() + crossed) / (n * (n - 3)))


def _alignment(between: float, first: float, second: float) -> float:
    return between / math.sqrt(first * second) if first > 0 and second > 0 else math.nan


def separability(distances: Floats, labels: Labels, patients: NDArray[np.generic], exclusive: bool) -> float:
    """Return the balanced accuracy of votes by the five nearest samples of other patients.

    A vote counts one over the number of samples that answer likewise, so chance is 1 / K, or 1 / 2 where classes are
    not exclusive: there each is asked for by itself, of the samples that know it, and the accuracies are averaged over
    the classes with both answers. Samples without any label are left out.

    Args:
        distances: n x n squared distances.
        labels: n x K: 1, 0 or -1 where it is missing.
        patients: n, who each sample is of.
        exclusive: whether each sample has exactly one class.

    Returns:
        The accuracy, NaN where there is nothing to tell apart.
    """
    if not labels.shape[1]:
        return math.nan
    answers = numbers(labels)[:, None] if exclusive else labels
    apart = np.where(patients[:, None] == patients, np.inf, distances)
    found = [_recall(apart, column) for column in answers.T]
    known = [value for value in found if not math.isnan(value)]
    return float(np.mean(known)) if known else math.nan


def _recall(apart: Floats, answers: NDArray[np.integer]) -> float:
    known = np.flatnonzero(answers != MISSING)
    given, inverse, counts = np.unique(answers[known], return_inverse=True, return_counts=True)
    if len(given) < 2:
        return math.nan
    between = apart[np.ix_(known, known)]
    nearest = np.argsort(between, axis=1, kind="stable")[:, :VOTERS]
    reached = np.isfinite(np.take_along_axis(between, nearest, axis=1))
    votes = np.zeros((len(known), len(given)))
    for voters, others in zip(nearest.T, reached.T, strict=True):
        votes[np.arange(len(known)), inverse[voters]] += others / counts[inverse[voters]]
    hits = votes.argmax(axis=1) == inverse
    return float(np.mean([hits[inverse == number].mean() for number in range(len(given))]))


def power(values: NDArray[np.float32]) -> Floats:
    """Return the sums over samples of the squared Fourier amplitudes of n x c x h x w, mean removed: c x h x w."""
    from scipy.fft import fft2

    without_mean = values - values.mean(axis=(2, 3), keepdims=True)
    return np.asarray((np.abs(fft2(without_mean)) ** 2).sum(axis=0), dtype=np.float64)


def spectral_exponent(power: Floats) -> float:
    """Return a of P ~ k ** -a, P the power averaged over directions and channels: 0 of white noise.

    k is the frequency in cycles per image, from 1 to half the shorter side; all directions of a distance that rounds
    to the same k are averaged. Every channel counts alike, whatever its variance. The fit is of least squares in logs.
    No window is laid over the image, so its borders count as edges, which have 2 by themselves.

    Args:
        power: c x h x w squared Fourier amplitudes, in the order of `scipy.fft.fft2`.

    Returns:
        The exponent, NaN of grids of fewer than 6 x 6 cells: they have fewer than three frequencies.
    """
    _, h, w = power.shape
    total = power.sum(axis=(1, 2))
    shares = (power[total > 0] / total[total > 0, None, None]).sum(axis=0)
    most = min(h, w) // 2
    if most < 3 or not (total > 0).any():
        return math.nan
    distance = np.hypot(np.fft.fftfreq(h, 1 / h)[:, None], np.fft.fftfreq(w, 1 / w))
    rings = np.rint(distance)
    used = (rings >= 1) & (rings <= most)
    ring, logs = rings[used].astype(np.int64), np.log(distance[used])
    size = np.bincount(ring)[1:]
    height = np.bincount(ring, shares[used])[1:] / size
    if not (height > 0).all():
        return math.nan
    return float(-np.polyfit(np.bincount(ring, logs)[1:] / size, np.log(height), 1)[0])
