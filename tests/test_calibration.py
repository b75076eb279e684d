"""Scores as probabilities: against scikit-learn, against SciPy, and where the answer is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, log_softmax
from sklearn.calibration import calibration_curve
from sklearn.metrics import log_loss as sklearn_log_loss

from pipeline import calibration
from pipeline.calibration import BINS, binned, calibration_error, judged, log_loss, losses, reliability
from pipeline.tested import Cell, Cells


def drawn(seed: int, samples: int = 400) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores of three classes, class numbers, and labels of which some are missing."""
    random = np.random.default_rng(seed)
    scores = random.normal(0, 2, (samples, 3))
    return scores, random.integers(0, 3, samples), random.integers(-1, 2, (samples, 3))


def cells(scores: np.ndarray, labels: np.ndarray) -> Cells:
    """Two folds, the second of half the samples."""
    whole = np.zeros(len(scores), np.int64)
    return {
        (fold, 0): Cell(labels[:rows], whole[:rows], whole[:rows], scores[:rows])
        for fold, rows in enumerate((len(scores), len(scores) // 2))
    }


def test_the_log_loss_of_exclusive_classes_is_scikit_learns() -> None:
    scores, numbers, _ = drawn(0)
    weights = np.random.default_rng(1).integers(0, 4, (5, 400)).astype(np.float64)
    probabilities = np.exp(log_softmax(scores, axis=1))
    found = log_loss(scores, numbers, weights)
    for row, value in zip(weights, found, strict=True):
        assert value == pytest.approx(sklearn_log_loss(numbers, probabilities, sample_weight=row), abs=1e-12)


def test_the_log_loss_of_other_classes_is_the_sum_over_the_known_ones_of_scikit_learns() -> None:
    scores, _, labels = drawn(2)
    expected = np.zeros(400)
    for k in range(3):
        for row in np.flatnonzero(labels[:, k] >= 0):
            expected[row] += sklearn_log_loss([labels[row, k]], [expit(scores[row, k])], labels=[0, 1])
    np.testing.assert_allclose(losses(scores, labels), expected, atol=1e-12)


@given(st.floats(-1e4, 1e4), st.integers(0, 5))
@settings(deadline=None)
def test_a_constant_added_to_all_classes_of_a_sample_changes_nothing(constant: float, seed: int) -> None:
    scores, numbers, _ = drawn(seed, 50)
    np.testing.assert_allclose(losses(scores + constant, numbers), losses(scores, numbers), atol=1e-8)


def test_scores_without_bounds_cost_without_bounds_and_never_overflow() -> None:
    sure = np.array([[1e4, 0.0], [0.0, 1e4]])
    np.testing.assert_allclose(losses(sure, np.array([0, 0])), [0, 1e4])
    np.testing.assert_allclose(losses(sure, np.array([[1, -1], [-1, 0]])), [0, 1e4])
    assert np.isfinite(calibration_error(-sure, np.array([[1, 0], [0, 1]])))


@pytest.mark.parametrize("seed", range(3))
def test_reliability_is_the_calibration_curve_of_scikit_learn(seed: int) -> None:
    scores, _, labels = drawn(seed)
    confidence, outcome = judged(scores, labels)[1]
    accuracy, mean = calibration_curve(outcome, confidence, n_bins=BINS, strategy="uniform")
    table = binned(confidence, outcome)
    np.testing.assert_allclose(table["accuracy"], accuracy)
    np.testing.assert_allclose(table["confidence"], mean)
    assert table["count"].sum() == (labels[:, 1] >= 0).sum()


def test_bins_are_closed_on_the_right_and_hold_both_ends() -> None:
    edges = np.array([0.0, 1 / 15, 1 / 15 + 1e-9, 14 / 15, 1.0])
    assert list(binned(edges, np.ones(5))["bin"]) == [1, 2, 14, 15]
    assert list(binned(edges, np.ones(5))["count"]) == [2, 1, 1, 1]


def test_the_error_of_a_head_that_is_always_equally_sure_is_how_far_it_is_off() -> None:
    # Sure by 0.8 of the first class, which is right in 6 of 10 samples.
    scores = np.log(np.tile([0.8, 0.1, 0.1], (10, 1)))
    numbers = np.array([0] * 6 + [1] * 4)
    assert calibration_error(scores, numbers) == pytest.approx(0.2)
    # Of other classes: 0.8 and 0.3, had by 6 and by 3 of 10.
    odds = np.tile([np.log(4), np.log(3 / 7)], (10, 1))
    labels = np.stack([np.arange(10) < 6, np.arange(10) < 3], axis=1).astype(np.int64)
    assert calibration_error(odds, labels) == pytest.approx((0.2 + 0) / 2)
    assert np.isnan(calibration_error(odds, np.full((10, 2), -1)))
    labels[:, 0] = -1
    assert calibration_error(odds, labels) == pytest.approx(0)


def test_probabilities_that_are_true_have_an_error_near_nothing_and_sharpened_ones_do_not() -> None:
    random = np.random.default_rng(3)
    scores = random.normal(0, 1, (60_000, 3))
    chances = np.exp(log_softmax(scores, axis=1))
    numbers = (random.random((60_000, 1)) > chances.cumsum(axis=1)).sum(axis=1)
    assert calibration_error(scores, numbers) < 0.01
    assert calibration_error(3 * scores, numbers) > 0.1


def test_the_reliability_table_pools_folds_and_its_gaps_add_up_to_the_error() -> None:
    scores, numbers, _ = drawn(4)
    table = reliability({"image": cells(scores, numbers), "latent": cells(2 * scores, numbers)})
    assert list(table.columns) == ["space", "bin", "above", "upto", "confidence", "accuracy", "count"]
    assert table.groupby("space")["count"].sum().to_dict() == {"image": 600, "latent": 600}
    assert ((table["above"] < table["confidence"]) & (table["confidence"] <= table["upto"])).all()
    one = table[table["space"] == "latent"]
    apart = ((one["confidence"] - one["accuracy"]).abs() * one["count"]).sum() / 600
    both = np.concatenate([scores, scores[:200]]), np.concatenate([numbers, numbers[:200]])
    assert apart == pytest.approx(calibration_error(2 * both[0], both[1]))


def test_each_fold_and_seed_has_its_error_and_its_loss() -> None:
    scores, numbers, _ = drawn(5)
    table = calibration.scores({"image": cells(scores, numbers)}).set_index(["metric", "fold"])["value"]
    assert len(table) == 4
    assert table["ece", 1] == calibration_error(scores[:200], numbers[:200])
    assert table["log_loss", 0] == pytest.approx(sklearn_log_loss(numbers, np.exp(log_softmax(scores, axis=1))))
