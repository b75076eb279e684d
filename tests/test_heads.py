"""Every head in every space: exact repetition, learning, chance on noise, and no look at the test rows."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import log_softmax
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.neighbors import KNeighborsClassifier

from pipeline import families
from pipeline.errors import StudyError
from pipeline.folds import Split
from pipeline.heads import (
    ABSENT,
    ALONE,
    Fitted,
    HeadSpec,
    Space,
    Support,
    balanced_accuracy,
    channel_statistics,
    selection_score,
)
from pipeline.pooling import features

SMALL = {"model": "resnet10t", "arguments": {"stem_width": 8, "channels": [8, 8, 8, 8]}, "epochs": 2, "batch": 16}
FILM = {"arguments": {"depths": [1, 1, 1, 1], "dims": [8, 8, 8, 8]}, "epochs": 2, "batch": 16, "learning_rate": 0.01}
MLP = {"width": 16, "depth": 1, "epochs": 2, "batch": 16, "learning_rate": 0.01}
OPTIONS: dict[str, dict[str, Any]] = {
    "timm": {**SMALL, "learning_rate": 0.01},
    "film-convnext": {**FILM, "noise": {"distribution": "log-normal", "mean": -3.0, "evaluated": 2}},
    "mlp": MLP,
    "decoder-features": {},
    "transformer": {"tokens": 16, "width": 8, "heads": 2, "epochs": 2, "batch": 16, "learning_rate": 0.01},
    "distilled": {"teacher": "cnn", "student": {"family": "mlp", **MLP}},
    "by-space": {"pixels": {"family": "knn"}, "latents": {"family": "mlp", **MLP}},
    "knn": {},
    "linear": {},
}
LONGER: dict[str, dict[str, Any]] = {
    "timm": {"epochs": 8},
    "film-convnext": {"epochs": 40, "learning_rate": 0.02},
    "mlp": {"epochs": 20},
    "transformer": {"epochs": 20},
    "distilled": {"student": {"family": "mlp", **MLP, "epochs": 20}},
    "by-space": {"latents": {"family": "mlp", **MLP, "epochs": 20}},
}
PLAIN = ("knn", "linear")
HEADS = families.names("heads")
PARTS = Split(0, np.arange(60), np.arange(60, 90), np.arange(90, 150))


def head(family: str, **options: object) -> HeadSpec:
    spec = families.spec("heads", {"family": family, **OPTIONS.get(family, {}), **options})
    assert isinstance(spec, HeadSpec)
    return spec


def fit(family: str, space: Space, split: Split, seed: int, **options: object) -> Fitted:
    """Train; where there must be a teacher, it knows the labels of the training rows."""
    teacher = 3 * space.labels[split.train][None].astype(np.float32)
    return head(family, **options).fit(space, split, seed, Support(teacher) if family == "distilled" else ALONE)


def single(values: NDArray[np.float32], numbers: NDArray[np.integer], classes: int = 2, stride: int = 1) -> Space:
    """A space whose samples have one class each."""
    return Space(values, np.eye(classes, dtype=np.int8)[numbers], True, stride)


def toy(signal: float, seed: int = 0, classes: int = 2) -> Space:
    """150 samples of noise; a class is told by the level of one channel on one side."""
    random = np.random.default_rng(seed)
    labels = random.permutation(np.arange(150) % classes)
    values = random.normal(size=(150, 2, 16, 16)).astype(np.float32)
    values[:, 1, :, :8] += signal * labels[:, None, None]
    return single(values, labels, classes)


def several(signal: float, seed: int = 0, missing: float = 0.3) -> Space:
    """150 samples of noise; two labels are each told by the level of one channel, and some are missing."""
    random = np.random.default_rng(seed)
    truth = random.integers(0, 2, size=(150, 2))
    values = random.normal(size=(150, 2, 16, 16)).astype(np.float32)
    values[:, 0, :8] += signal * truth[:, 0, None, None]
    values[:, 1, :, :8] += signal * truth[:, 1, None, None]
    hidden = random.random((150, 2)) < missing
    hidden[np.arange(150), random.integers(0, 2, 150)] = False
    return Space(values, np.where(hidden, -1, truth).astype(np.int8), False, 1)


TOYS = {"single-label": toy, "multi-label": several}


def same(a: Fitted, b: Fitted) -> bool:
    tensors = all(np.array_equal(a.tensors[name], b.tensors[name]) for name in a.tensors)
    return bool(np.array_equal(a.validation, b.validation) and np.array_equal(a.test, b.test) and tensors)


def test_every_family_is_tested_here() -> None:
    assert set(HEADS) == set(OPTIONS)


@pytest.mark.parametrize("task", TOYS)
@pytest.mark.parametrize("family", HEADS)
def test_the_same_values_in_two_spaces_give_the_same_scores_bit_for_bit(family: str, task: str) -> None:
    one, other = TOYS[task](0.3), TOYS[task](0.3)
    assert one.values is not other.values
    assert same(fit(family, one, PARTS, 3), fit(family, other, PARTS, 3))


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("family", HEADS)
def test_scores_are_finite_log_probabilities_of_the_splits_rows(family: str, classes: int) -> None:
    fitted = fit(family, toy(1.0, classes=classes), PARTS, 0)
    for scores, rows in [(fitted.validation, PARTS.validation), (fitted.test, PARTS.test)]:
        assert scores.shape == (len(rows), classes)
        assert scores.dtype == np.float32
        np.testing.assert_allclose(np.exp(scores).sum(axis=1), 1, rtol=1e-4)
    assert not fitted.curve.empty


@pytest.mark.parametrize("family", HEADS)
def test_a_head_learns_what_can_be_told_apart(family: str) -> None:
    space = toy(3.0)
    fitted = fit(family, space, PARTS, 0, **LONGER.get(family, {}))
    assert balanced_accuracy(fitted.test, space.numbers[PARTS.test]) > 0.9


@pytest.mark.parametrize("family", HEADS)
def test_a_head_answers_each_of_several_labels_by_itself(family: str) -> None:
    space, truth = several(3.0), several(3.0, missing=0.0).labels[PARTS.test]
    fitted = fit(family, space, PARTS, 0, **LONGER.get(family, {}))
    assert fitted.test.dtype == np.float32
    assert not fitted.curve.empty
    for k in range(2):
        # What is missing can be predicted as well as what is known.
        assert balanced_accuracy_score(truth[:, k], fitted.test[:, k] > 0) > 0.9
        # And not by the other label.
        assert abs(balanced_accuracy_score(truth[:, k], fitted.test[:, 1 - k] > 0) - 0.5) < 0.25


@pytest.mark.parametrize("family", HEADS)
def test_a_head_is_at_chance_on_noise(family: str) -> None:
    spaces = [toy(0.0, seed) for seed in range(4)]
    values = [balanced_accuracy(fit(family, space, PARTS, 0).test, space.numbers[PARTS.test]) for space in spaces]
    # 240 test samples leave a standard error of 0.03.
    assert 0.38 < np.mean(values) < 0.62


@pytest.mark.parametrize("task", TOYS)
@pytest.mark.parametrize("family", HEADS)
def test_nothing_of_the_test_rows_reaches_validation_scores_or_weights(family: str, task: str) -> None:
    space, other = TOYS[task](0.5), TOYS[task](0.5)
    other.values[PARTS.test] = 1e3
    other.labels[PARTS.test] = [1, 0]
    one, two = fit(family, space, PARTS, 0), fit(family, other, PARTS, 0)
    np.testing.assert_array_equal(one.validation, two.validation)
    assert all(np.array_equal(one.tensors[name], two.tensors[name]) for name in one.tensors)
    assert not np.array_equal(one.test, two.test)


@pytest.mark.parametrize("task", TOYS)
@pytest.mark.parametrize("family", HEADS)
def test_a_row_of_no_part_is_never_read(family: str, task: str) -> None:
    space, other = TOYS[task](0.5), TOYS[task](0.5)
    split = Split(0, np.arange(10, 60), np.arange(60, 90), np.arange(100, 150))
    for rows in (slice(0, 10), slice(90, 100)):
        other.values[rows], other.labels[rows] = np.nan, -1
    assert same(fit(family, space, split, 0), fit(family, other, split, 0))


@pytest.mark.parametrize("family", HEADS)
def test_a_class_whose_training_rows_are_all_on_one_side_has_a_finite_score(family: str) -> None:
    space = several(3.0)
    space.labels[PARTS.train, 1] = 0
    fitted = fit(family, space, PARTS, 0)
    assert np.isfinite(fitted.test).all()
    if family in PLAIN:
        np.testing.assert_allclose(fitted.test[:, 1], np.log(1 / 61), rtol=1e-6)
        np.testing.assert_array_equal(fitted.tensors["trained"], [True, False])


@pytest.mark.parametrize("family", HEADS)
def test_a_class_that_no_training_row_knows_has_a_finite_score(family: str) -> None:
    space = several(3.0, missing=0.0)
    space.labels[PARTS.train, 1] = -1
    fitted = fit(family, space, PARTS, 0)
    assert np.isfinite(fitted.test).all()
    assert all(np.isfinite(value).all() for value in fitted.tensors.values())
    if family in PLAIN:
        np.testing.assert_array_equal(fitted.test[:, 1], 0)


@pytest.mark.parametrize("family", ["linear", "knn"])
def test_an_exclusive_class_without_training_rows_is_never_predicted_and_changes_no_other(family: str) -> None:
    two = toy(0.5)
    gap = Space(two.values, np.insert(two.labels, 1, 0, axis=1), True, 1)
    without, fitted = fit(family, two, PARTS, 0), fit(family, gap, PARTS, 0)
    np.testing.assert_array_equal(fitted.test[:, 1], ABSENT)
    np.testing.assert_allclose(fitted.test[:, [0, 2]], without.test, atol=1e-6)
    np.testing.assert_array_equal(fitted.tensors["trained"], [True, False, True])


def test_statistics_are_those_of_the_training_rows() -> None:
    space = toy(2.0)
    fitted = head("timm").fit(space, PARTS, 0)
    mean, deviation = channel_statistics(space.values[PARTS.train])
    np.testing.assert_array_equal(fitted.tensors["mean"], mean)
    np.testing.assert_array_equal(fitted.tensors["deviation"], deviation)
    train = space.values[PARTS.train].astype(np.float64)
    np.testing.assert_allclose(mean, train.mean(axis=(0, 2, 3)), rtol=1e-6)
    np.testing.assert_allclose(deviation, train.std(axis=(0, 2, 3)), rtol=1e-6)


def test_a_constant_channel_has_a_deviation_of_one() -> None:
    mean, deviation = channel_statistics(np.full((4, 1, 2, 2), 0.3, np.float32))
    assert (mean[0], deviation[0]) == (np.float32(0.3), 1)


def test_the_seed_of_a_network_matters() -> None:
    space = toy(0.5)
    assert not np.array_equal(head("timm").fit(space, PARTS, 0).test, head("timm").fit(space, PARTS, 1).test)


def test_class_weights_are_those_of_cui_et_al() -> None:
    import torch

    from pipeline.networks.losses import class_weights

    labels = torch.tensor([0] * 1 + [1] * 10 + [3] * 100)
    expected = [(1 - 0.99) / (1 - 0.99**count) for count in (1, 10, 100)]
    expected = [weight * 3 / sum(expected) for weight in expected]
    got = class_weights(labels, 4, 0.99).numpy()
    np.testing.assert_allclose(got, [expected[0], expected[1], 0, expected[2]], rtol=1e-6)
    np.testing.assert_allclose(class_weights(labels, 4, 0.0).numpy(), [1, 1, 0, 1])


def test_weights_of_a_classs_sides_are_those_of_cui_et_al_over_known_entries() -> None:
    import torch

    from pipeline.networks.losses import side_weights

    labels = torch.tensor([[1, 0, 1, -1]] * 3 + [[0, 0, 1, -1]] * 30 + [[-1, 1, 1, -1]] * 300, dtype=torch.int8)
    expected = []
    for negatives, positives in [(30, 3), (33, 300)]:
        pair = np.array([(1 - 0.99) / (1 - 0.99**count) for count in (negatives, positives)])
        expected.append(pair / pair.mean())
    got = side_weights(labels, 0.99).numpy()
    np.testing.assert_allclose(got, [*expected, [0, 1], [0, 0]], rtol=1e-5)


def test_the_loss_of_known_entries_is_that_of_the_closed_form() -> None:
    import torch

    from pipeline.networks.losses import masked_loss

    random = np.random.default_rng(0)
    logits, weights = random.normal(size=(20, 3)), random.random((3, 2))
    labels = random.integers(-1, 2, (20, 3)).astype(np.int8)
    terms = [
        weights[k, labels[i, k]] * np.log1p(np.exp(-logits[i, k] if labels[i, k] else logits[i, k]))
        for i, k in zip(*np.nonzero(labels >= 0), strict=True)
    ]
    loss = masked_loss(*(torch.from_numpy(array) for array in (logits, labels, weights)))
    assert float(loss) == pytest.approx(np.mean(terms), rel=1e-12)


def test_a_masked_entry_changes_neither_loss_nor_gradient() -> None:
    import torch

    from pipeline.networks.losses import masked_loss, side_weights

    labels = torch.tensor([[1, -1, -1], [0, 1, -1], [-1, 0, -1]], dtype=torch.int8)
    weights = side_weights(labels, 0.9)
    outcomes = []
    for level in (0.0, 7.0, -1e4):
        logits = torch.linspace(-1, 1, 9).reshape(3, 3)
        logits[labels == -1] = level
        logits.requires_grad_()
        loss = masked_loss(logits, labels, weights)
        loss.backward()
        assert logits.grad is not None
        outcomes.append((loss.item(), logits.grad.numpy().copy()))
    for loss_value, gradient in outcomes:
        assert loss_value == outcomes[0][0]
        np.testing.assert_array_equal(gradient, outcomes[0][1])
        assert (gradient[labels.numpy() == -1] == 0).all()
        assert (gradient[labels.numpy() != -1] != 0).all()


def test_a_batch_of_unlabelled_samples_has_no_loss_and_no_gradient() -> None:
    import torch

    from pipeline.networks.losses import masked_loss

    logits = torch.ones(4, 2, requires_grad=True)
    loss = masked_loss(logits, torch.full((4, 2), -1, dtype=torch.int8), torch.ones(2, 2))
    loss.backward()
    assert loss.item() == 0
    assert logits.grad is not None
    assert (logits.grad == 0).all()


def test_validation_scores_are_weighed_class_by_class_over_known_rows() -> None:
    random = np.random.default_rng(0)
    labels, scores = random.integers(-1, 2, (40, 3)).astype(np.int8), random.normal(size=(30, 3)).astype(np.float32)
    labels[:, 2] = np.minimum(labels[:, 2], 0)
    space, rows = Space(np.zeros((40, 1, 1, 1), np.float32), labels, False, 1), np.arange(5, 35)
    expected = []
    for given, score in zip(labels[rows, :2].T, scores.T, strict=False):
        expected.append(balanced_accuracy_score(given[given >= 0], score[given >= 0] > 0))
    assert selection_score(space, rows, scores) == pytest.approx(np.mean(expected))
    space.labels[:] = 0
    with pytest.raises(StudyError, match="nothing can be chosen"):
        selection_score(space, rows, scores)


def test_the_linear_probe_of_several_labels_is_scikit_learns_on_the_rows_that_know_each() -> None:
    space = several(0.3)
    fitted = head("linear", strengths=[0.1]).fit(space, PARTS, 0)
    x = features(space, 16, PARTS.train).values
    for k in range(2):
        rows = PARTS.train[space.labels[PARTS.train, k] >= 0]
        assert len(rows) < len(PARTS.train)
        model = LogisticRegression(C=0.1, class_weight="balanced", max_iter=2000).fit(x[rows], space.labels[rows, k])
        np.testing.assert_allclose(fitted.test[:, k], model.decision_function(x[PARTS.test]), atol=1e-5)


def test_neighbours_of_each_label_are_those_that_know_it() -> None:
    space = several(0.3)
    fitted = head("knn", neighbours=[7]).fit(space, PARTS, 0)
    x = features(space, 16, PARTS.train).values
    for k in range(2):
        rows = PARTS.train[space.labels[PARTS.train, k] >= 0]
        assert len(rows) < len(PARTS.train)
        votes = KNeighborsClassifier(7).fit(x[rows], space.labels[rows, k]).predict_proba(x[PARTS.test])
        weighted = votes / np.bincount(space.labels[rows, k])
        expected = weighted[:, 1] / weighted.sum(axis=1)
        np.testing.assert_allclose(1 / (1 + np.exp(-fitted.test[:, k])), expected, atol=1e-3)


def test_a_real_vote_of_a_frequent_class_outweighs_the_prior_of_a_rare_one() -> None:
    values = np.concatenate([np.linspace(0, 1, 5000), [90, 0.5, 0.5]]).astype(np.float32).reshape(-1, 1, 1, 1)
    split = Split(0, np.arange(5001), np.array([5001]), np.array([5002]))
    numbers = np.concatenate([np.zeros(5000, np.int64), [1, 0, 0]])
    assert head("knn", neighbours=[3]).fit(single(values, numbers), split, 0).test.argmax() == 0


def test_the_linear_probe_is_scikit_learns() -> None:
    space = toy(0.3, classes=3)
    fitted = head("linear", strengths=[0.1]).fit(space, PARTS, 0)
    x = features(space, 16, PARTS.train).values
    model = LogisticRegression(C=0.1, class_weight="balanced", max_iter=2000)
    model.fit(x[PARTS.train], space.numbers[PARTS.train])
    np.testing.assert_allclose(np.exp(fitted.test), model.predict_proba(x[PARTS.test]), atol=1e-6)


def test_the_linear_probe_of_two_classes_is_scikit_learns() -> None:
    space = toy(0.3)
    fitted = head("linear", strengths=[0.1]).fit(space, PARTS, 0)
    x = features(space, 16, PARTS.train).values
    model = LogisticRegression(C=0.1, class_weight="balanced", max_iter=2000)
    model.fit(x[PARTS.train], space.numbers[PARTS.train])
    np.testing.assert_allclose(np.exp(fitted.test), model.predict_proba(x[PARTS.test]), atol=1e-6)


def test_a_test_sample_far_outside_the_training_rows_still_has_finite_scores() -> None:
    space = toy(3.0)
    space.values[PARTS.test] *= 1e6
    for family in ("linear", "knn"):
        assert np.isfinite(fit(family, space, PARTS, 0).test).all()


def test_neighbours_of_balanced_classes_vote_as_scikit_learns() -> None:
    space = toy(0.3)
    train = np.concatenate([np.flatnonzero(space.numbers[:90] == label)[:30] for label in (0, 1)])
    split = Split(0, np.sort(train), PARTS.validation, PARTS.test)
    fitted = head("knn", neighbours=[7]).fit(space, split, 0)
    x = features(space, 16, split.train).values
    model = KNeighborsClassifier(7).fit(x[split.train], space.numbers[split.train])
    np.testing.assert_allclose(np.exp(fitted.test), model.predict_proba(x[split.test]), atol=1e-3)


def test_a_neighbour_of_a_rare_class_weighs_more() -> None:
    values = np.array([0, 0.1, 0.2, 1.0, 0.45, 0.45], np.float32).reshape(6, 1, 1, 1)
    split = Split(0, np.arange(4), np.array([4]), np.array([5]))
    fitted = head("knn", neighbours=[4]).fit(single(values, np.array([0, 0, 0, 1, 0, 0])), split, 0)
    # Three votes of a third each against one whole vote.
    np.testing.assert_allclose(fitted.test, log_softmax([[0, 0]], axis=1), atol=1e-3)


def test_more_neighbours_than_training_rows_are_all_of_them() -> None:
    values, labels = np.random.default_rng(0).normal(size=(8, 1, 2, 2)).astype(np.float32), np.arange(8) % 2
    fitted = head("knn", neighbours=[99]).fit(
        single(values, labels), Split(0, np.arange(4), *np.arange(4, 8).reshape(2, 2)), 0
    )
    np.testing.assert_allclose(fitted.test, np.log(0.5), atol=1e-6)


@pytest.mark.parametrize(("side", "grid", "cells"), [(16, 4, 4), (16, 16, 16), (8, 16, 8), (28, 16, 16), (7, 3, 3)])
def test_features_average_the_whole_image(side: int, grid: int, cells: int) -> None:
    values = np.random.default_rng(0).random((5, 2, side, side)).astype(np.float32)
    got = features(single(values, np.zeros(5, np.int64)), grid, np.arange(4)).values
    # Repeated as often as there are cells, an image can be cut into equal blocks whatever its side.
    fine = values.astype(np.float64).repeat(cells, axis=2).repeat(cells, axis=3)
    blocks = fine.reshape(5, 2, cells, side, cells, side).mean(axis=(3, 5)).reshape(5, -1)
    expected = (blocks - blocks[:4].mean(axis=0)) / blocks[:4].std(axis=0)
    np.testing.assert_allclose(got, expected, atol=1e-9)


def test_features_do_not_depend_on_how_many_samples_are_read_at_once() -> None:
    values = np.random.default_rng(0).random((300, 1, 4, 4)).astype(np.float32)
    whole = features(single(values, np.zeros(300, np.int64)), 2, np.arange(100)).values
    part = features(single(values[:100], np.zeros(100, np.int64)), 2, np.arange(100)).values
    np.testing.assert_array_equal(whole[:100], part)


@pytest.mark.parametrize("family", ["linear", "knn"])
def test_a_plain_head_needs_no_torch(family: str) -> None:
    program = f"""
import sys, numpy as np
from pipeline import families
from pipeline.folds import Split
from pipeline.heads import Space
values, labels = np.random.default_rng(0).random((12, 1, 4, 4), dtype=np.float32), np.eye(2, dtype=np.int8)
for exclusive in (True, False):
    space = Space(values, labels[np.arange(12) % 2], exclusive, 1)
    families.spec("heads", {{"family": "{family}"}}).fit(space, Split(0, *np.arange(12).reshape(3, 4)), 0)
print("torch" in sys.modules)
"""
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert printed == "False\n"
