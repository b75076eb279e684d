"""Patients are drawn whole, the same in every space."""

import numpy as np
import pytest
from bench.statistics import area_is_covered
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from pipeline.bootstrap import interval, weights
from pipeline.metrics import METRICS, MULTILABEL_METRICS


@given(st.lists(st.integers(0, 9), min_size=1, max_size=40), st.integers(0, 5))
@settings(deadline=None)
def test_patients_are_drawn_whole_and_as_many_as_there_are(patients: list[int], fold: int) -> None:
    number = np.array(patients)
    drawn = weights(number, 50, fold)
    assert drawn.shape == (51, len(patients))
    np.testing.assert_array_equal(drawn[0], 1)
    firsts = np.unique(number, return_index=True)[1]
    for patient, first in zip(np.unique(number), firsts, strict=True):
        of_patient = drawn[:, number == patient]
        np.testing.assert_array_equal(of_patient, np.broadcast_to(drawn[:, [first]], of_patient.shape))
    np.testing.assert_array_equal(drawn[:, firsts].sum(axis=1), len(firsts))


def test_draws_are_the_same_every_time_and_others_in_every_fold() -> None:
    patients = np.arange(20)
    np.testing.assert_array_equal(weights(patients, 100, 1), weights(patients, 100, 1))
    assert not np.array_equal(weights(patients, 100, 0), weights(patients, 100, 1))
    assert not np.array_equal(weights(patients, 100, 1), weights(patients, 100, 2))


def test_a_patient_is_drawn_as_often_as_the_binomial_distribution_says() -> None:
    count = weights(np.arange(10), 20_000, 0)[1:, 3]
    for times in range(4):
        assert np.mean(count == times) == pytest.approx(binom.pmf(times, 10, 0.1), abs=0.01)


def test_an_interval_holds_the_middle_of_the_replicates() -> None:
    assert interval(np.arange(1001.0)) == pytest.approx((25.0, 975.0))
    assert interval(np.arange(1001.0), 0.8) == pytest.approx((100.0, 900.0))


def test_undefined_replicates_are_left_out_and_nothing_is_made_of_none() -> None:
    assert interval(np.array([np.nan, 1.0, 1.0])) == (1.0, 1.0)
    assert np.isnan(interval(np.array([np.nan, np.nan]))).all()
    assert np.isnan(interval(np.array([]))).all()


@pytest.mark.parametrize("name", METRICS)
def test_identical_predictions_differ_by_exactly_nothing(name: str) -> None:
    random = np.random.default_rng(0)
    scores, labels = random.normal(size=(60, 3)), random.integers(0, 3, 60)
    drawn = weights(np.arange(60) // 3, 200, 0)
    difference = METRICS[name](scores, labels, drawn) - METRICS[name](scores.copy(), labels, drawn)
    assert difference[0] == 0
    assert interval(difference[1:]) == (0, 0)


@pytest.mark.parametrize("name", MULTILABEL_METRICS)
def test_identical_predictions_of_several_labels_differ_by_exactly_nothing(name: str) -> None:
    random = np.random.default_rng(0)
    scores, labels = random.normal(size=(60, 3)), random.integers(-1, 2, (60, 3))
    drawn = weights(np.arange(60) // 3, 200, 0)
    metric = MULTILABEL_METRICS[name]
    difference = metric(scores, labels, drawn) - metric(scores.copy(), labels, drawn)
    assert difference[0] == 0
    assert interval(difference[1:]) == (0, 0)


def accuracies(random: np.random.Generator, patients: int) -> np.ndarray:
    """Whether two classifiers are right, n x 2, on five samples a patient; a patient is hard for both."""
    ease = random.beta(2, 2, size=(patients, 1))
    share = np.stack([0.5 + 0.4 * ease, 0.4 + 0.4 * ease], axis=2)
    return (random.random((patients, 5, 2)) < share).reshape(-1, 2)


def covers(random: np.random.Generator, patients: int) -> bool:
    """Whether the interval of the difference of balanced accuracies holds its true value, 0.1."""
    right = accuracies(random, patients)
    labels = np.tile([0, 1, 0, 1, 0], patients)
    drawn = weights(np.repeat(np.arange(patients), 5), 200, int(random.integers(1_000_000)))
    scores = [np.where((labels == 1) == right[:, [k]].T, 1.0, -1.0).T for k in range(2)]
    values = [METRICS["balanced_accuracy"](np.hstack([-score, score]), labels, drawn) for score in scores]
    low, high = interval((values[0] - values[1])[1:])
    return low <= 0.1 <= high


def test_the_interval_of_a_difference_covers_the_truth_in_about_95_of_100_studies() -> None:
    random = np.random.default_rng(7)
    share = np.mean([covers(random, 60) for _ in range(300)])
    # 300 studies leave a standard error of 0.013.
    assert 0.91 <= share <= 0.985


def test_the_interval_of_a_difference_of_areas_covers_the_truth_where_patients_are_clusters() -> None:
    random = np.random.default_rng(8)
    share = np.mean([area_is_covered(random, 60, replicates=200) for _ in range(300)])
    # `make bench` asks 2000 studies for 0.93 to 0.97; 300 leave a standard error of 0.013.
    assert 0.91 <= share <= 0.985


def test_draws_do_not_depend_on_the_blocks_in_which_they_are_made() -> None:
    patients = np.arange(40) // 2
    drawn = np.random.default_rng([20260517, 3]).multinomial(20, np.full(20, 1 / 20), size=300)
    np.testing.assert_array_equal(weights(patients, 300, 3)[1:], drawn[:, patients])
