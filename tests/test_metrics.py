"""Weighted metrics against scikit-learn's."""

import time
import warnings
from collections.abc import Callable
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from sklearn.metrics import (
    average_precision_score,
    balanced_accuracy_score,
    f1_score,
    matthews_corrcoef,
    recall_score,
    roc_auc_score,
)

from pipeline import bootstrap
from pipeline.metrics import (
    METRICS,
    MULTILABEL_METRICS,
    auroc,
    balanced_accuracy,
    binary_auroc,
    binary_average_precision,
    confusion,
    mcc,
    metrics,
    recalls,
    sides,
)

Case = tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Scores (with many ties), labels and one row of whole weights, some of them zero."""
    classes, n = draw(st.integers(2, 4)), draw(st.integers(2, 25))
    scores = draw(arrays(np.int64, (n, classes), elements=st.integers(-3, 3))).astype(np.float64)
    labels = draw(arrays(np.int64, n, elements=st.integers(0, classes - 1)))
    weights = draw(arrays(np.int64, (1, n), elements=st.integers(0, 3))).astype(np.float64)
    weights[0, draw(st.integers(0, n - 1))] = 1
    return scores, labels, weights


def drawn(case: Case) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]:
    """The samples that were drawn at all, since scikit-learn counts the classes of the others."""
    scores, labels, weights = case
    kept = weights[0] > 0
    return scores[kept], labels[kept], weights[0, kept]


@given(cases())
@settings(deadline=None)
def test_balanced_accuracy_is_scikit_learns(case: Case) -> None:
    scores, labels, weights = drawn(case)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = balanced_accuracy_score(labels, scores.argmax(axis=1), sample_weight=weights)
    assert balanced_accuracy(*case)[0] == pytest.approx(expected, abs=1e-12)


@given(cases())
@settings(deadline=None)
def test_the_matthews_correlation_is_scikit_learns(case: Case) -> None:
    scores, labels, weights = drawn(case)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = matthews_corrcoef(labels, scores.argmax(axis=1), sample_weight=weights)
    assert mcc(*case)[0] == pytest.approx(expected, abs=1e-12)


@given(cases())
@settings(deadline=None)
def test_the_area_under_the_curve_is_scikit_learns_averaged_over_classes_with_both_sides(case: Case) -> None:
    scores, labels, weights = drawn(case)
    areas = [
        roc_auc_score(labels == k, scores[:, k], sample_weight=weights)
        for k in range(scores.shape[1])
        if 0 < (labels == k).sum() < len(labels)
    ]
    if areas:
        assert auroc(*case)[0] == pytest.approx(np.mean(areas), abs=1e-12)
    else:
        assert np.isnan(auroc(*case)[0])


@given(cases())
@settings(deadline=None)
def test_recalls_are_scikit_learns_and_undefined_for_a_class_that_was_not_drawn(case: Case) -> None:
    scores, labels, weights = drawn(case)
    classes = np.arange(scores.shape[1])
    expected = recall_score(
        labels, scores.argmax(axis=1), labels=classes, average=None, sample_weight=weights, zero_division=np.nan
    )
    np.testing.assert_allclose(recalls(*case)[0], expected, atol=1e-12)


@pytest.mark.parametrize("name", METRICS)
@given(cases())
@settings(deadline=None)
def test_a_weight_counts_a_sample_as_often(name: str, case: Case) -> None:
    scores, labels, weights = case
    times = weights[0].astype(int)
    repeated, again = scores.repeat(times, axis=0), labels.repeat(times)
    expected = METRICS[name](repeated, again, np.ones((1, len(again))))
    np.testing.assert_allclose(METRICS[name](scores, labels, weights), expected, atol=1e-12)


@pytest.mark.parametrize("name", METRICS)
@given(cases(), st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=30)
def test_rows_of_weights_do_not_see_one_another_and_order_does_not_matter(
    name: str, case: Case, random: Random
) -> None:
    scores, labels, weights = case
    many = np.concatenate([weights, np.ones_like(weights), 2 * weights])
    values = METRICS[name](scores, labels, many)
    np.testing.assert_allclose(values[[0, 2]], METRICS[name](scores, labels, weights)[0], atol=1e-12)
    order = list(range(len(labels)))
    random.shuffle(order)
    np.testing.assert_allclose(METRICS[name](scores[order], labels[order], many[:, order]), values, atol=1e-12)


def test_a_hand_computed_confusion_matrix() -> None:
    scores = np.array([[2.0, 1.0], [0.0, 1.0], [0.0, 1.0], [3.0, 0.0]])
    matrix = confusion(scores, np.array([0, 0, 1, 1]), np.array([[1.0, 2.0, 3.0, 4.0]]))
    np.testing.assert_array_equal(matrix, [[[1.0, 2.0], [4.0, 3.0]]])


def test_scores_that_are_all_alike_are_chance() -> None:
    labels = np.array([0, 1, 2, 0, 1, 2])
    scores, weights = np.zeros((6, 3)), np.ones((1, 6))
    assert auroc(scores, labels, weights)[0] == 0.5
    assert balanced_accuracy(scores, labels, weights)[0] == pytest.approx(1 / 3)
    assert mcc(scores, labels, weights)[0] == 0


def test_scores_that_differ_in_their_last_bit_are_no_tie() -> None:
    low = 0.1
    scores = np.array([low, np.nextafter(low, 1)])
    assert binary_auroc(scores, np.array([False, True]), np.ones((1, 2)))[0] == 1
    assert binary_auroc(scores, np.array([True, False]), np.ones((1, 2)))[0] == 0


@st.composite
def multilabel_cases(draw: st.DrawFn) -> Case:
    """Scores (with many ties, some 0), labels of which some are missing, and one row of whole weights."""
    classes, n = draw(st.integers(1, 3)), draw(st.integers(2, 25))
    scores = draw(arrays(np.int64, (n, classes), elements=st.integers(-3, 3))).astype(np.float64)
    labels = draw(arrays(np.int64, (n, classes), elements=st.integers(-1, 1)))
    weights = draw(arrays(np.int64, (1, n), elements=st.integers(0, 3))).astype(np.float64)
    return scores, labels, weights


Binary = Callable[[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]], float]
SCIKIT_LEARNS: dict[str, Binary] = {
    "balanced_accuracy": lambda y, s, w: balanced_accuracy_score(y, s > 0, sample_weight=w),
    "mcc": lambda y, s, w: matthews_corrcoef(y, s > 0, sample_weight=w),
    "auroc": lambda y, s, w: roc_auc_score(y, s, sample_weight=w),
    "average_precision": lambda y, s, w: average_precision_score(y, s, sample_weight=w),
    "f1": lambda y, s, w: f1_score(y, s > 0, sample_weight=w),
}


def averaged(metric: Binary, case: Case) -> float:
    """The mean over the classes with both sides, of the samples that know the class and were drawn."""
    scores, labels, weights = case
    values = []
    for score, column in zip(scores.T, labels.T, strict=True):
        kept = (column >= 0) & (weights[0] > 0)
        if len(set(column[kept])) == 2:
            values.append(metric(column[kept], score[kept], weights[0, kept]))
    return float(np.mean(values)) if values else float("nan")


@pytest.mark.parametrize("name", MULTILABEL_METRICS)
@given(multilabel_cases())
@settings(deadline=None)
def test_a_metric_of_several_labels_is_scikit_learns_averaged_over_classes(name: str, case: Case) -> None:
    expected = averaged(SCIKIT_LEARNS[name], case)
    np.testing.assert_allclose(MULTILABEL_METRICS[name](*case)[0], expected, atol=1e-12)


@pytest.mark.parametrize("name", MULTILABEL_METRICS)
def test_many_replicates_of_many_scores_are_scikit_learns(name: str) -> None:
    random = np.random.default_rng(0)
    scores, labels = random.normal(size=(700, 3)).round(1), random.integers(-1, 2, (700, 3))
    weights = random.multinomial(700, np.full(700, 1 / 700), size=900).astype(np.float64)
    values = MULTILABEL_METRICS[name](scores, labels, weights)
    # The last rows are in another block of work than the first.
    for row in (0, 450, 899):
        expected = averaged(SCIKIT_LEARNS[name], (scores, labels, weights[[row]]))
        assert values[row] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("name", MULTILABEL_METRICS)
@given(multilabel_cases(), st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=30)
def test_what_is_predicted_of_missing_labels_and_the_order_change_nothing(
    name: str, case: Case, random: Random
) -> None:
    scores, labels, weights = case
    values = MULTILABEL_METRICS[name](scores, labels, weights)
    other = np.where(labels == -1, random.randint(-9, 9), scores)
    np.testing.assert_array_equal(MULTILABEL_METRICS[name](other, labels, weights), values)
    order = list(range(len(labels)))
    random.shuffle(order)
    np.testing.assert_allclose(MULTILABEL_METRICS[name](scores[order], labels[order], weights[:, order]), values)


def test_two_labels_whose_answer_is_known() -> None:
    scores = np.array([[1.0, 1.0], [-1.0, 0.0], [2.0, -2.0], [-2.0, 3.0], [5.0, -5.0]])
    labels = np.array([[1, 1], [1, 1], [0, 0], [0, -1], [-1, 1]])
    ones = np.ones((1, 5))
    counted = sides(scores, labels, ones)
    # A score of zero does not say that a sample has the class.
    np.testing.assert_array_equal(counted.sensitivity(), [[1 / 2, 1 / 3]])
    np.testing.assert_array_equal(counted.specificity(), [[1 / 2, 1]])
    expected = {
        "balanced_accuracy": (1 / 2 + 2 / 3) / 2,
        "mcc": (0 + (1 * 1 - 0 * 2) / np.sqrt(1 * 3 * 1 * 3)) / 2,
        "auroc": (1 / 4 * 2 + 2 / 3) / 2,
        "average_precision": ((1 / 2 + 2 / 3) / 2 + (1 / 3 + 1 / 3 + 1 / 3 * 3 / 4)) / 2,
        "f1": (1 / 2 + 1 / 2) / 2,
    }
    for name, metric in MULTILABEL_METRICS.items():
        assert metric(scores, labels, ones)[0] == pytest.approx(expected[name]), name


def test_a_class_with_one_side_is_left_out_and_nothing_is_made_of_none() -> None:
    random = np.random.default_rng(0)
    scores, labels = random.normal(size=(30, 2)), random.integers(0, 2, (30, 2))
    for metric in MULTILABEL_METRICS.values():
        alone = metric(scores[:, :1], labels[:, :1], np.ones((1, 30)))
        for side in (-1, 0, 1):
            labels[:, 1] = side
            np.testing.assert_array_equal(metric(scores, labels, np.ones((1, 30))), alone)
        assert np.isnan(metric(scores[:, 1:], labels[:, 1:], np.ones((1, 30)))).all()


def test_the_same_samples_are_scored_alike_as_two_exclusive_classes_and_as_one_label() -> None:
    random = np.random.default_rng(0)
    odds, numbers = random.normal(size=200), random.integers(0, 2, 200)
    weights = random.multinomial(200, np.full(200, 1 / 200), size=50).astype(np.float64)
    for name, metric in METRICS.items():
        exclusive = metric(np.stack([-odds, odds], axis=1), numbers, weights)
        single = metrics(exclusive=False)[name](odds[:, None], numbers[:, None], weights)
        np.testing.assert_allclose(single, exclusive, atol=1e-12)


def test_average_precision_of_scores_that_are_all_alike_is_the_share_of_positives() -> None:
    labels = np.array([1, 0, 0, 0, -1])
    assert binary_average_precision(np.zeros(5), labels, np.ones((1, 5)))[0] == 0.25
    assert binary_average_precision(np.zeros(5), labels, np.array([[3.0, 1, 1, 1, 9]]))[0] == 0.5


def test_a_thousand_replicates_of_twenty_thousand_samples_take_seconds() -> None:
    random = np.random.default_rng(0)
    scores, labels = random.normal(size=20_000), random.integers(0, 2, 20_000)
    weights = random.integers(0, 4, (1000, 20_000)).astype(np.float64)
    for metric in (binary_auroc, binary_average_precision):
        start = time.process_time()
        metric(scores, labels, weights)
        # About 0.2 s; a loop over scikit-learn's takes longer than that for fifty replicates.
        assert time.process_time() - start < 5


@pytest.mark.parametrize("name", METRICS)
def test_weights_that_are_no_whole_numbers_are_scikit_learns_as_well(name: str) -> None:
    random = np.random.default_rng(6)
    scores, labels = random.normal(size=(90, 3)), random.choice(3, 90, p=[0.5, 0.3, 0.2])
    patients = np.arange(90) // 2
    weights = bootstrap.weights(patients, 40, 0, bootstrap.strata(np.eye(3, dtype=np.int8)[labels], patients))
    assert (weights % 1 != 0).any()
    found = METRICS[name](scores, labels, weights)
    for row, value in zip(weights, found, strict=True):
        if name == "auroc":
            areas = [roc_auc_score(labels == k, scores[:, k], sample_weight=row) for k in range(3)]
            assert value == pytest.approx(np.mean(areas), abs=1e-12)
        else:
            metric = {"balanced_accuracy": balanced_accuracy_score, "mcc": matthews_corrcoef}[name]
            assert value == pytest.approx(metric(labels, scores.argmax(axis=1), sample_weight=row), abs=1e-12)


def test_one_class_alone_has_no_correlation_whatever_it_weighs() -> None:
    # In floating point the sums of such weights differ in their last bit.
    weights = np.random.default_rng(7).random((200, 30))
    scores, labels = np.tile([1.0, 0.0], (30, 1)), np.arange(30) % 2
    np.testing.assert_array_equal(mcc(scores, labels, weights), 0)
    np.testing.assert_array_equal(mcc(scores, np.zeros(30, np.int64), weights), 0)
