"""DeLong's variance against its definition, and the bootstrap against DeLong's."""

from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline import bootstrap, delong
from pipeline.metrics import binary_auroc

Floats = NDArray[np.float64]


def simulated(random: np.random.Generator, samples: int) -> tuple[Floats, NDArray[np.int64]]:
    """Scores of two classifiers that are correlated, 2 x n, and labels."""
    labels = (random.random(samples) < 0.4).astype(np.int64)
    noise = random.multivariate_normal([0, 0], [[1, 0.6], [0.6, 1]], samples).T
    return noise + np.outer([1.4, 1.0], labels), labels


def from_pairs(scores: Floats, labels: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """The areas and their covariance as in the paper's equations 3 to 6: every positive with every negative."""
    wins = np.stack(
        [(s[labels == 1][:, None] > s[labels == 0]) + (s[labels == 1][:, None] == s[labels == 0]) / 2 for s in scores]
    )
    m, n = wins.shape[1:]
    area, v10, v01 = wins.mean(axis=(1, 2)), wins.mean(axis=2), wins.mean(axis=1)
    s10 = (v10 - area[:, None]) @ (v10 - area[:, None]).T / (m - 1)
    s01 = (v01 - area[:, None]) @ (v01 - area[:, None]).T / (n - 1)
    return area, s10 / m + s01 / n


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(-3, 3), st.integers(-3, 3)), min_size=1, max_size=30))
@settings(deadline=None)
def test_areas_and_covariances_are_those_of_all_pairs(samples: list[tuple[int, int, int]]) -> None:
    labels, *columns = np.array([*samples, (0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 2, 0)]).T
    scores = np.stack(columns).astype(np.float64)
    values, spread = delong.areas(scores, labels)
    expected, expected_spread = from_pairs(scores, labels)
    np.testing.assert_allclose(values, expected, atol=1e-12)
    np.testing.assert_allclose(spread, expected_spread, atol=1e-12)
    assert delong.variance(scores[0], labels) == pytest.approx(spread[0, 0], abs=1e-15)
    assert delong.covariance(scores[0], scores[1], labels) == pytest.approx(spread[0, 1], abs=1e-15)
    ones = np.ones((1, len(labels)))
    np.testing.assert_allclose(values, [binary_auroc(s, labels, ones)[0] for s in scores], atol=1e-12)


def test_the_spread_over_repeated_studies_is_what_delong_says() -> None:
    random = np.random.default_rng(3)
    found = [delong.difference(*scores, labels) for scores, labels in (simulated(random, 200) for _ in range(1000))]
    values, errors = np.array(found).T
    true = np.subtract(*(NormalDist().cdf(shift / np.sqrt(2)) for shift in (1.4, 1.0)))
    assert values.mean() == pytest.approx(true, abs=0.004)
    # A standard deviation from 1000 studies is known to 2.2 %.
    assert np.sqrt(np.mean(errors**2)) == pytest.approx(values.std(), rel=0.08)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_bootstraps_interval_of_a_difference_is_delongs_with_one_sample_a_patient(seed: int) -> None:
    scores, labels = simulated(np.random.default_rng(seed), 1000)
    weights = bootstrap.weights(np.arange(1000), 2000, seed)
    first, second = (binary_auroc(row, labels, weights) for row in scores)
    low, high = bootstrap.interval((first - second)[1:])
    value, error = delong.difference(*scores, labels)
    assert (first - second)[0] == pytest.approx(value, abs=1e-12)
    # 2000 replicates know an end to about 6 % of a standard error.
    assert (low - value, high - value) == pytest.approx((-1.96 * error, 1.96 * error), abs=0.2 * error)
    assert (first - second)[1:].std() == pytest.approx(error, rel=0.08)


def test_samples_of_one_patient_are_what_delong_does_not_know() -> None:
    scores, labels = simulated(np.random.default_rng(4), 200)
    many, labels_of_many = scores.repeat(5, axis=1), labels.repeat(5)
    weights = bootstrap.weights(np.arange(1000) // 5, 1000, 0)
    first, second = (binary_auroc(row, labels_of_many, weights) for row in many)
    error = (first - second)[1:].std()
    assert error == pytest.approx(delong.difference(*scores, labels)[1], rel=0.12)
    assert delong.difference(*many, labels_of_many)[1] < 0.5 * error


def test_one_positive_has_no_spread() -> None:
    with pytest.raises(ValueError, match="two positives"):
        delong.variance(np.arange(5.0), np.array([0, 0, 1, 0, 0]))
