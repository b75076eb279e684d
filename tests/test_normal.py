"""The closed-form denoiser of a normal distribution: against scikit-learn, dense matrices, simulation and rotations."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import multivariate_normal
from sklearn.covariance import ShrunkCovariance
from sklearn.model_selection import GridSearchCV, PredefinedSplit

from pipeline import fisher
from pipeline.covariates import gram
from pipeline.errors import StudyError
from pipeline.normal import SHARES, Normal

Floats = NDArray[np.float64]


def samples(count: int, dimension: int, seed: int = 0) -> Floats:
    random = np.random.default_rng([seed, count, dimension])
    return np.asarray(random.normal(size=(count, dimension)) @ random.normal(size=(dimension, dimension)) + 3.0)


def fit(train: Floats, dimension: int) -> Normal:
    return Normal.fitted(gram(train), dimension, np.arange(len(train)))


def dense(train: Floats, share: float) -> Floats:
    """The shrunk covariance as a matrix, in units of its own deviation."""
    covariance = ShrunkCovariance(shrinkage=share).fit(train).covariance_
    return np.asarray(covariance / (np.trace(covariance) / train.shape[1]))


@pytest.mark.parametrize(("count", "dimension"), [(12, 40), (40, 12)])
def test_shrinking_is_that_of_scikit_learn(count: int, dimension: int) -> None:
    train, others = samples(count, dimension), samples(7, dimension, seed=1)
    normal = Normal.sampled(gram(train), dimension).shrunk(0.1)
    estimated = ShrunkCovariance(shrinkage=0.1).fit(train)
    whole = np.sort(np.concatenate([normal.variances, np.full(dimension - len(normal.variances), normal.rest)]))
    np.testing.assert_allclose(whole * normal.deviation**2, np.linalg.eigvalsh(estimated.covariance_), rtol=1e-7)
    found = normal.log_density(normal.squares(gram(np.concatenate([train, others]))))
    expected = multivariate_normal(train.mean(axis=0), estimated.covariance_).logpdf(others)
    np.testing.assert_allclose(found - found[0], expected - expected[0], rtol=1e-6, atol=1e-9 * abs(found[0]))


def test_the_share_is_the_one_that_scikit_learn_finds_by_other_patients_likelihood() -> None:
    groups = np.arange(60) // 3
    random = np.random.default_rng(5)
    train = samples(20, 15)[groups] + 0.1 * random.normal(size=(60, 15))
    fold = np.random.default_rng([0, 20]).permutation(20)[groups] % 4
    search = GridSearchCV(ShrunkCovariance(), {"shrinkage": SHARES}, cv=PredefinedSplit(fold)).fit(train)
    found = Normal.fitted(gram(train), 15, groups)
    assert found.rest == pytest.approx(search.best_params_["shrinkage"], rel=1e-9)
    # Samples that stand there three times for three patients would say that there is little to shrink.
    assert Normal.fitted(gram(train), 15, np.arange(60)).rest < found.rest / 2


@pytest.mark.parametrize(("count", "dimension"), [(8, 20), (30, 6)])
@pytest.mark.parametrize("t", [0.01, 1.0])
def test_statistics_are_those_of_the_matrix_averaged_over_the_noise(count: int, dimension: int, t: float) -> None:
    train, held_out = samples(count, dimension), samples(5, dimension, seed=1)
    normal = fit(train, dimension)
    found = normal.statistics(normal.squares(gram(np.concatenate([train, held_out]))), t)
    covariance = dense(train, normal.rest)
    kept = np.linalg.solve(covariance + t * np.eye(dimension), covariance)
    lost = np.eye(dimension) - kept
    x = (held_out - train.mean(axis=0)) / normal.deviation
    np.testing.assert_allclose(found.error, ((x @ lost) ** 2).sum(axis=1) + t * (kept**2).sum(), rtol=1e-7)
    score = ((x @ lost) ** 2).sum(axis=1) / t**2 + (lost**2).sum() / t
    np.testing.assert_allclose(found.score, score, rtol=1e-7)
    np.testing.assert_allclose(found.trace, np.trace(lost) / t, rtol=1e-7)
    np.testing.assert_allclose(found.hessian, (lost**2).sum() / t**2, rtol=1e-7)
    np.testing.assert_allclose(found.jacobian, (kept**2).sum(), rtol=1e-7)
    assert np.array_equal(found.square, found.jacobian)


def test_of_many_samples_every_estimate_is_that_of_the_true_spectrum() -> None:
    spectrum = np.array([4.0, 1.0, 0.25])
    x = np.random.default_rng(2).normal(size=(1600, 3)) * np.sqrt(spectrum)
    normal = fit(x[:800], 3)
    found = normal.statistics(normal.squares(gram(x)), 0.5)
    expected = fisher.gaussian(spectrum / spectrum.mean(), 0.5)
    for name, (value, _) in fisher.quantities(found, 0.5, np.arange(800)).items():
        if name in expected:
            assert value == pytest.approx(expected[name], rel=0.1)
        else:
            assert value < 0.1


@given(st.integers(3, 20), st.integers(2, 30), st.floats(0.01, 100), st.integers(0, 2**32))
@settings(max_examples=30, deadline=None)
def test_a_space_that_is_turned_moved_and_scaled_has_the_same_statistics(
    count: int, dimension: int, scale: float, seed: int
) -> None:
    random = np.random.default_rng(seed)
    x = random.normal(size=(count + 4, dimension))
    turn = np.linalg.qr(random.normal(size=(dimension, dimension)))[0]
    moved = scale * (x @ turn + random.normal(size=dimension))
    before, after = (fit(values[:count], dimension) for values in (x, moved))
    for t in (0.01, 1.0):
        first = before.statistics(before.squares(gram(x)), t)
        second = after.statistics(after.squares(gram(moved)), t)
        for name in ("error", "score", "trace", "hessian", "jacobian"):
            np.testing.assert_allclose(getattr(second, name), getattr(first, name), rtol=1e-6)
    assert after.deviation == pytest.approx(scale * before.deviation, rel=1e-9)


def test_what_is_stored_is_the_same_distribution() -> None:
    x = samples(10, 20)
    normal = fit(x[:7], 20)
    again = Normal.of(normal.tensors())
    assert (again.rest, again.deviation, again.dimension) == (normal.rest, normal.deviation, 20)
    assert np.array_equal(again.squares(gram(x))[0], normal.squares(gram(x))[0])


def test_samples_that_are_all_the_same_are_refused() -> None:
    with pytest.raises(StudyError, match="all training samples of the space are the same"):
        fit(np.full((5, 3), 0.7), 3)
    with pytest.raises(StudyError, match="are of one patient"):
        Normal.fitted(gram(samples(5, 3)), 3, np.zeros(5, np.int64))
