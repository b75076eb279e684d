"""Every head in every space: exact repetition, learning, chance on noise, and no look at the test rows."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from scipy.special import log_softmax
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from pipeline import families
from pipeline.folds import Split
from pipeline.heads import Fitted, HeadSpec, Space, balanced_accuracy, channel_statistics
from pipeline.pooling import features

SMALL = {"model": "resnet10t", "arguments": {"stem_width": 8, "channels": [8, 8, 8, 8]}, "epochs": 2, "batch": 16}
OPTIONS: dict[str, dict[str, Any]] = {"timm-resnet": {**SMALL, "learning_rate": 0.01}, "knn": {}, "linear": {}}
HEADS = families.names("heads")
PARTS = Split(0, np.arange(60), np.arange(60, 90), np.arange(90, 150))


def head(family: str, **options: object) -> HeadSpec:
    spec = families.spec("heads", {"family": family, **OPTIONS.get(family, {}), **options})
    assert isinstance(spec, HeadSpec)
    return spec


def toy(signal: float, seed: int = 0, classes: int = 2) -> Space:
    """150 samples of noise; a class is told by the level of one channel on one side."""
    random = np.random.default_rng(seed)
    labels = random.permutation(np.arange(150) % classes)
    values = random.normal(size=(150, 2, 16, 16)).astype(np.float32)
    values[:, 1, :, :8] += signal * labels[:, None, None]
    return Space(values, labels, classes, 1)


def same(a: Fitted, b: Fitted) -> bool:
    tensors = all(np.array_equal(a.tensors[name], b.tensors[name]) for name in a.tensors)
    return bool(np.array_equal(a.validation, b.validation) and np.array_equal(a.test, b.test) and tensors)


def test_every_family_is_tested_here() -> None:
    assert set(HEADS) == set(OPTIONS)


@pytest.mark.parametrize("family", HEADS)
def test_the_same_values_in_two_spaces_give_the_same_scores_bit_for_bit(family: str) -> None:
    one, other = toy(0.3), toy(0.3)
    assert one.values is not other.values
    assert same(head(family).fit(one, PARTS, 3), head(family).fit(other, PARTS, 3))


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("family", HEADS)
def test_scores_are_finite_log_probabilities_of_the_splits_rows(family: str, classes: int) -> None:
    fitted = head(family).fit(toy(1.0, classes=classes), PARTS, 0)
    for scores, rows in [(fitted.validation, PARTS.validation), (fitted.test, PARTS.test)]:
        assert scores.shape == (len(rows), classes)
        assert scores.dtype == np.float32
        np.testing.assert_allclose(np.exp(scores).sum(axis=1), 1, rtol=1e-4)
    assert not fitted.curve.empty


@pytest.mark.parametrize("family", HEADS)
def test_a_head_learns_what_can_be_told_apart(family: str) -> None:
    space = toy(3.0)
    longer = {"epochs": 6} if family == "timm-resnet" else {}
    fitted = head(family, **longer).fit(space, PARTS, 0)
    assert balanced_accuracy(fitted.test, space.labels[PARTS.test]) > 0.9


@pytest.mark.parametrize("family", HEADS)
def test_a_head_is_at_chance_on_noise(family: str) -> None:
    spaces = [toy(0.0, seed) for seed in range(4)]
    values = [balanced_accuracy(head(family).fit(space, PARTS, 0).test, space.labels[PARTS.test]) for space in spaces]
    # 240 test samples leave a standard error of 0.03.
    assert 0.38 < np.mean(values) < 0.62


@pytest.mark.parametrize("family", HEADS)
def test_nothing_of_the_test_rows_reaches_validation_scores_or_weights(family: str) -> None:
    space, other = toy(0.5), toy(0.5)
    other.values[PARTS.test] = 1e3
    other.labels[PARTS.test] = 0
    one, two = head(family).fit(space, PARTS, 0), head(family).fit(other, PARTS, 0)
    np.testing.assert_array_equal(one.validation, two.validation)
    assert all(np.array_equal(one.tensors[name], two.tensors[name]) for name in one.tensors)
    assert not np.array_equal(one.test, two.test)


def test_statistics_are_those_of_the_training_rows() -> None:
    space = toy(2.0)
    fitted = head("timm-resnet").fit(space, PARTS, 0)
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
    assert not np.array_equal(
        head("timm-resnet").fit(space, PARTS, 0).test, head("timm-resnet").fit(space, PARTS, 1).test
    )


def test_class_weights_are_those_of_cui_et_al() -> None:
    import torch

    from pipeline.networks.residual import class_weights

    labels = torch.tensor([0] * 1 + [1] * 10 + [3] * 100)
    expected = [(1 - 0.99) / (1 - 0.99**count) for count in (1, 10, 100)]
    expected = [weight * 3 / sum(expected) for weight in expected]
    got = class_weights(labels, 4, 0.99).numpy()
    np.testing.assert_allclose(got, [expected[0], expected[1], 0, expected[2]], rtol=1e-6)
    np.testing.assert_allclose(class_weights(labels, 4, 0.0).numpy(), [1, 1, 0, 1])


def test_the_linear_probe_is_scikit_learns() -> None:
    space = toy(0.3, classes=3)
    fitted = head("linear", strengths=[0.1]).fit(space, PARTS, 0)
    x = features(space, 16, PARTS.train).values
    model = LogisticRegression(C=0.1, class_weight="balanced", max_iter=2000)
    model.fit(x[PARTS.train], space.labels[PARTS.train])
    np.testing.assert_allclose(np.exp(fitted.test), model.predict_proba(x[PARTS.test]), atol=1e-6)


def test_the_linear_probe_of_two_classes_is_scikit_learns() -> None:
    space = toy(0.3)
    fitted = head("linear", strengths=[0.1]).fit(space, PARTS, 0)
    x = features(space, 16, PARTS.train).values
    model = LogisticRegression(C=0.1, class_weight="balanced", max_iter=2000)
    model.fit(x[PARTS.train], space.labels[PARTS.train])
    np.testing.assert_allclose(np.exp(fitted.test), model.predict_proba(x[PARTS.test]), atol=1e-6)


def test_a_test_sample_far_outside_the_training_rows_still_has_finite_scores() -> None:
    space = toy(3.0)
    space.values[PARTS.test] *= 1e6
    for family in ("linear", "knn"):
        assert np.isfinite(head(family).fit(space, PARTS, 0).test).all()


def test_neighbours_of_balanced_classes_vote_as_scikit_learns() -> None:
    space = toy(0.3)
    train = np.concatenate([np.flatnonzero(space.labels[:90] == label)[:30] for label in (0, 1)])
    split = Split(0, np.sort(train), PARTS.validation, PARTS.test)
    fitted = head("knn", neighbours=[7]).fit(space, split, 0)
    x = features(space, 16, split.train).values
    model = KNeighborsClassifier(7).fit(x[split.train], space.labels[split.train])
    np.testing.assert_allclose(np.exp(fitted.test), model.predict_proba(x[split.test]), atol=1e-3)


def test_a_neighbour_of_a_rare_class_weighs_more() -> None:
    values = np.array([0, 0.1, 0.2, 1.0, 0.45, 0.45], np.float32).reshape(6, 1, 1, 1)
    split = Split(0, np.arange(4), np.array([4]), np.array([5]))
    fitted = head("knn", neighbours=[4]).fit(Space(values, np.array([0, 0, 0, 1, 0, 0]), 2, 1), split, 0)
    # Three votes of a third each against one whole vote.
    np.testing.assert_allclose(fitted.test, log_softmax([[0, 0]], axis=1), atol=1e-3)


def test_more_neighbours_than_training_rows_are_all_of_them() -> None:
    values, labels = np.random.default_rng(0).normal(size=(8, 1, 2, 2)).astype(np.float32), np.arange(8) % 2
    fitted = head("knn", neighbours=[99]).fit(
        Space(values, labels, 2, 1), Split(0, np.arange(4), *np.arange(4, 8).reshape(2, 2)), 0
    )
    np.testing.assert_allclose(fitted.test, np.log(0.5), atol=1e-6)


@pytest.mark.parametrize(("side", "grid", "cells"), [(16, 4, 4), (16, 16, 16), (8, 16, 8), (28, 16, 16), (7, 3, 3)])
def test_features_average_the_whole_image(side: int, grid: int, cells: int) -> None:
    values = np.random.default_rng(0).random((5, 2, side, side)).astype(np.float32)
    got = features(Space(values, np.zeros(5, np.int64), 2, 1), grid, np.arange(4)).values
    # Repeated as often as there are cells, an image can be cut into equal blocks whatever its side.
    fine = values.astype(np.float64).repeat(cells, axis=2).repeat(cells, axis=3)
    blocks = fine.reshape(5, 2, cells, side, cells, side).mean(axis=(3, 5)).reshape(5, -1)
    expected = (blocks - blocks[:4].mean(axis=0)) / blocks[:4].std(axis=0)
    np.testing.assert_allclose(got, expected, atol=1e-9)


def test_features_do_not_depend_on_how_many_samples_are_read_at_once() -> None:
    values = np.random.default_rng(0).random((300, 1, 4, 4)).astype(np.float32)
    whole = features(Space(values, np.zeros(300, np.int64), 2, 1), 2, np.arange(100)).values
    part = features(Space(values[:100], np.zeros(100, np.int64), 2, 1), 2, np.arange(100)).values
    np.testing.assert_array_equal(whole[:100], part)


@pytest.mark.parametrize("family", ["linear", "knn"])
def test_a_plain_head_needs_no_torch(family: str) -> None:
    program = f"""
import sys, numpy as np
from pipeline import families
from pipeline.folds import Split
from pipeline.heads import Space
space = Space(np.random.default_rng(0).random((12, 1, 4, 4), dtype=np.float32), np.arange(12) % 2, 2, 1)
families.spec("heads", {{"family": "{family}"}}).fit(space, Split(0, *np.arange(12).reshape(3, 4)), 0)
print("torch" in sys.modules)
"""
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert printed == "False\n"
