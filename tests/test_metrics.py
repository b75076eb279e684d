"""Weighted metrics against scikit-learn's."""

import warnings
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from sklearn.metrics import balanced_accuracy_score, matthews_corrcoef, recall_score, roc_auc_score

from pipeline.metrics import METRICS, auroc, balanced_accuracy, binary_auroc, confusion, mcc, recalls

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
