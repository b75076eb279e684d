"""Patients are drawn whole, the same in every space."""

import numpy as np
import pytest
from bench.statistics import area_is_covered, recall_is_covered
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from pipeline.bootstrap import BLOCK, LEAST, interval, strata, weights
from pipeline.metrics import METRICS, MULTILABEL_METRICS


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 3)), min_size=1, max_size=80), st.integers(0, 5))
@settings(deadline=None)
def test_patients_are_drawn_whole_and_every_replicate_weighs_as_much_as_there_are(
    pairs: list[tuple[int, int]], fold: int
) -> None:
    number = np.array([patient for patient, _ in pairs])
    within = strata(np.eye(4, dtype=np.int8)[[label for _, label in pairs]], number)
    drawn = weights(number, 50, fold, within)
    assert drawn.shape == (51, len(pairs))
    np.testing.assert_array_equal(drawn[0], 1)
    firsts = np.unique(number, return_index=True)[1]
    for patient, first in zip(np.unique(number), firsts, strict=True):
        of_patient = drawn[:, number == patient]
        np.testing.assert_array_equal(of_patient, np.broadcast_to(drawn[:, [first]], of_patient.shape))
        assert len(np.unique(within[number == patient])) == 1
    np.testing.assert_allclose(drawn[:, firsts].sum(axis=1), len(firsts))
    assert (drawn >= 0).all()


@given(st.lists(st.integers(LEAST, 25), min_size=1, max_size=5), st.integers(0, 5))
@settings(deadline=None)
def test_a_stratum_weighs_the_same_in_every_replicate(sizes: list[int], fold: int) -> None:
    within = np.repeat(np.arange(len(sizes)), sizes)
    drawn = weights(np.arange(len(within)), 30, fold, within)
    for stratum, size in enumerate(sizes):
        np.testing.assert_allclose(drawn[:, within == stratum].sum(axis=1), size)


def test_strata_of_few_patients_are_drawn_together_so_that_they_vary() -> None:
    within = np.repeat(np.arange(4), (1, 4, 5, 40))
    drawn = weights(np.arange(50), 200, 0, within)
    np.testing.assert_allclose(drawn[:, within == 3].sum(axis=1), 40)
    assert (drawn[1:, 0] != 1).all()
    assert 0.2 < (drawn[1:, 0] == 0).mean() < 0.55
    # What is left after a stratum is closed would be too small for one of its own.
    np.testing.assert_allclose(weights(np.arange(15), 50, 0, np.repeat([0, 1], [3, 12])).sum(axis=1), 15)
    assert len({*weights(np.arange(15), 50, 0, np.repeat([0, 1], [3, 12]))[:, :3].sum(axis=1).round(6)}) > 1


def test_every_replicate_has_every_class_that_ten_patients_have() -> None:
    labels = np.eye(4, dtype=np.int8)[np.repeat([0, 1, 2, 3], [300, 60, 12, 10])]
    patients = np.arange(len(labels))
    within = strata(labels, patients)
    np.testing.assert_allclose(weights(patients, 500, 0, within) @ labels, np.tile([300, 60, 12, 10], (501, 1)))
    assert (weights(patients, 500, 0) @ labels)[:, 3].min() < 4


def test_a_patients_stratum_is_the_rarest_class_that_it_has() -> None:
    labels = np.array([[1, 0, 0], [1, 1, 0], [1, 0, 0], [0, 0, 0], [-1, -1, -1], [1, 0, 1], [0, 0, 1]])
    np.testing.assert_array_equal(strata(labels, np.array([0, 0, 1, 2, 3, 4, 5])), [1, 1, 0, 3, 3, 2, 2])


def test_the_spread_of_a_stratified_mean_is_that_of_sampling_theory() -> None:
    random = np.random.default_rng(2)
    sizes = (10, 25, 90)
    within, values = np.repeat(np.arange(3), sizes), random.normal(size=sum(sizes))
    means = (weights(np.arange(sum(sizes)), 40_000, 0, within) @ values)[1:] / sum(sizes)
    # Cochran 1977, 5.3: without replacement of nothing, sum of N_h^2 s_h^2 / n_h over N^2.
    expected = sum(size * values[within == k].var(ddof=1) for k, size in enumerate(sizes)) / sum(sizes) ** 2
    assert means.var() == pytest.approx(expected, rel=0.03)
    assert means.mean() == pytest.approx(values.mean(), abs=4 * np.sqrt(expected / 40_000))


def test_draws_are_the_same_every_time_and_others_in_every_fold() -> None:
    patients = np.arange(20)
    np.testing.assert_array_equal(weights(patients, 100, 1), weights(patients, 100, 1))
    assert not np.array_equal(weights(patients, 100, 0), weights(patients, 100, 1))
    assert not np.array_equal(weights(patients, 100, 1), weights(patients, 100, 2))


def test_a_patient_is_drawn_as_often_as_the_binomial_distribution_says() -> None:
    count = weights(np.arange(10), 20_000, 0)[1:, 3] * 9 / 10
    for times in range(4):
        assert np.mean(np.isclose(count, times)) == pytest.approx(binom.pmf(times, 9, 0.1), abs=0.01)


def test_a_single_patient_cannot_vary() -> None:
    np.testing.assert_array_equal(weights(np.array([7, 7, 7]), 20, 0), 1)


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


@pytest.mark.parametrize(("sizes", "folds", "least"), [((40, 12, 6), 4, 0.895), ((60, 20, 8, 1), 1, 0.85)])
def test_rare_classes_do_not_make_the_interval_of_a_difference_too_sure(
    sizes: tuple[int, ...], folds: int, least: float
) -> None:
    random = np.random.default_rng(9)
    share = np.mean([recall_is_covered(random, sizes, folds, replicates=200) for _ in range(150)])
    # 150 studies leave a standard error of 0.02. With a class of one patient, plain draws within classes cover 0.51.
    assert least <= share <= 0.995


def test_draws_do_not_depend_on_the_blocks_in_which_they_are_made() -> None:
    patients = np.arange(80) // 2
    within = np.repeat([0, 1], [24, 56])
    drawn = np.empty((300, 40))
    for stratum, (first, last) in enumerate(((0, 12), (12, 40))):
        generator, count = np.random.default_rng([20260517, 3, stratum]), last - first
        times = generator.multinomial(count - 1, np.full(count, 1 / count), size=300)
        drawn[:, first:last] = times * (count / (count - 1))
    np.testing.assert_array_equal(weights(patients, 300, 3, within)[1:], drawn[:, patients])
    assert 2 * BLOCK < 300
