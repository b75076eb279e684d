"""Losses against closed forms, and their slopes."""

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydantic import TypeAdapter
from torch import Tensor
from torch.nn import functional

from pipeline.heads import ABSENT
from pipeline.losses import Asymmetric, Loss, OfClasses, OfLabels
from pipeline.networks import losses

READ: TypeAdapter[OfClasses | OfLabels] = TypeAdapter(Loss)
CLASSES = [{"kind": "cross-entropy"}, {"kind": "focal"}, {"kind": "ldam"}, {"kind": "ldam", "normalised": False}]
LABELS = [{"kind": "bce"}, {"kind": "asymmetric"}]


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def name(entry: dict[str, Any]) -> str:
    return "-".join(str(value) for value in entry.values())


# What exclusive classes are trained by.


def test_focal_loss_is_that_of_the_closed_form() -> None:
    # Softmax of (0, ln 2, ln 5) is (1/8, 2/8, 5/8).
    logits = torch.log(torch.tensor([[1.0, 2.0, 5.0], [1.0, 2.0, 5.0]], dtype=torch.float64))
    weights = torch.tensor([3.0, 9.0, 1.0], dtype=torch.float64)
    loss = losses.focal_loss(logits, torch.tensor([0, 2]), weights, gamma=2.0)
    rare, frequent = (7 / 8) ** 2 * np.log(8), (3 / 8) ** 2 * np.log(8 / 5)
    assert float(loss) == pytest.approx((3 * rare + 1 * frequent) / (3 + 1), rel=1e-12)


def test_focal_loss_with_gamma_0_is_cross_entropy() -> None:
    logits, numbers, weights = torch.randn(20, 4), torch.arange(20) % 4, torch.rand(4)
    expected = functional.cross_entropy(logits, numbers, weight=weights)
    torch.testing.assert_close(losses.focal_loss(logits, numbers, weights, gamma=0.0), expected)


def test_margins_fall_with_the_fourth_root_of_the_classes_sizes() -> None:
    labels = torch.tensor([0] * 16 + [2] * 1 + [3] * 81)
    margins = losses.class_margins(labels, 4, 0.5).numpy()
    np.testing.assert_allclose(margins, [0.5 / 2, 0, 0.5, 0.5 / 3], rtol=1e-6)
    # The rarest class of none but larger ones has the largest margin all the same.
    margins = losses.class_margins(torch.tensor([0] * 16 + [1] * 256), 2, 0.3).numpy()
    np.testing.assert_allclose(margins, [0.3, 0.15], rtol=1e-6)


def test_the_margin_is_taken_off_the_logit_of_the_samples_own_class() -> None:
    seen, weights = torch.tensor([0] + [1] * 16), torch.tensor([2.0, 1.0])
    loss = losses.loss_function(READ.validate_python({"kind": "ldam", "scale": 4}), seen, 2)
    # Scaled logits (1, 0) and (0, 3): margins of 4 * 0.5 and 4 * 0.25.
    value = loss(torch.tensor([[1.0, 0.0], [0.0, 3.0]]), torch.tensor([0, 1]), weights)
    rare, frequent = np.log1p(np.exp(0 - (1 - 2))), np.log1p(np.exp(0 - (3 - 1)))
    assert float(value) == pytest.approx((2 * rare + frequent) / 3, rel=1e-6)


def test_without_margin_and_scale_it_is_the_cross_entropy_of_cosines() -> None:
    entry = READ.validate_python({"kind": "ldam", "max_margin": 0, "scale": 1})
    layer = losses.classifier(entry, torch.nn.Linear(5, 3))
    features, numbers, weights = torch.randn(12, 5), torch.arange(12) % 3, torch.rand(3)
    cosines = functional.cosine_similarity(features[:, None], layer.weight[None], dim=2)
    logits = layer(features)
    torch.testing.assert_close(logits, cosines)
    loss = losses.loss_function(entry, numbers, 3)(logits, numbers, weights)
    torch.testing.assert_close(loss, functional.cross_entropy(cosines, numbers, weight=weights))


def test_the_published_variant_scales_what_a_plain_linear_layer_gives() -> None:
    layer = losses.classifier(READ.validate_python({"kind": "ldam", "normalised": False}), torch.nn.Linear(5, 3))
    features = torch.randn(12, 5)
    torch.testing.assert_close(layer(features), 30 * functional.linear(features, layer.weight, layer.bias))
    plain = torch.nn.Linear(5, 3)
    assert losses.classifier(READ.validate_python({"kind": "focal"}), plain) is plain


def test_features_of_zero_have_finite_logits_and_gradients() -> None:
    layer, features = losses.CosineLinear(4, 2, 30.0), torch.zeros(3, 4, requires_grad=True)
    layer(features).sum().backward()
    assert features.grad is not None
    assert features.grad.isfinite().all()
    assert layer.weight.grad is not None
    assert layer.weight.grad.isfinite().all()


def test_a_class_without_training_rows_is_never_the_likeliest() -> None:
    logits, trained = torch.tensor([[1.0, 90.0, 2.0], [-5e3, 5e3, 5e3]]), torch.tensor([True, False, True])
    scores = losses.scores(logits, {"trained": trained})
    assert scores.isfinite().all()
    np.testing.assert_array_equal(scores[:, 1], ABSENT)
    torch.testing.assert_close(scores[:, [0, 2]], logits[:, [0, 2]].log_softmax(1))
    assert scores.argmax(1).tolist() == [2, 2]
    everything = {"trained": torch.ones(3, dtype=torch.bool)}
    assert torch.equal(losses.scores(logits, everything), logits.log_softmax(1))


# What labels that do not exclude each other are trained by.


def asymmetric(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    return losses.asymmetric_loss(logits, labels, weights, gamma_neg=4, gamma_pos=1, clip=0.05)


def test_asymmetric_loss_is_that_of_the_closed_form() -> None:
    # Probabilities of 1/2, 3/4 and 1/50; the last is below the clip, the fourth is missing.
    logits = torch.log(torch.tensor([[1.0, 3.0, 1 / 49, 7.0]], dtype=torch.float64))
    labels = torch.tensor([[1, 0, 0, -1]], dtype=torch.int8)
    weights = torch.tensor([[1.0, 2.0], [3.0, 1.0], [1.0, 1.0], [1.0, 1.0]], dtype=torch.float64)
    positive, negative = (1 - 0.5) * -np.log(0.5), 0.7**4 * -np.log(1 - 0.7)
    expected = (2 * positive + 3 * negative + 0) / 3
    assert float(asymmetric(logits, labels, weights)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 4.0])
def test_a_negative_below_the_clip_has_neither_loss_nor_slope(gamma: float) -> None:
    logits = torch.tensor([[-9.0, -3.0]], requires_grad=True)
    labels, weights = torch.zeros(1, 2, dtype=torch.int8), torch.ones(2, 2)
    loss = losses.asymmetric_loss(logits, labels, weights, gamma_neg=gamma, gamma_pos=1, clip=0.05)
    loss.backward()
    assert loss.item() == 0
    assert logits.grad is not None
    assert (logits.grad == 0).all()


def test_asymmetric_loss_without_focus_and_clip_is_binary_cross_entropy() -> None:
    logits, weights = 30 * torch.randn(50, 3), torch.rand(3, 2)
    labels = torch.randint(-1, 2, (50, 3), dtype=torch.int8)
    plain = losses.asymmetric_loss(logits, labels, weights, gamma_neg=0, gamma_pos=0, clip=0)
    torch.testing.assert_close(plain, losses.masked_loss(logits, labels, weights))


def test_the_slope_of_asymmetric_loss_is_that_of_finite_differences() -> None:
    logits = torch.linspace(-4, 4, 9, dtype=torch.float64).reshape(3, 3).requires_grad_()
    labels = torch.tensor([[1, 0, 0], [0, 1, -1], [0, 1, 0]])
    weights = torch.rand(3, 2, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda given: asymmetric(given, labels, weights), (logits,))


@pytest.mark.parametrize(
    "entry",
    [{}, {"gamma_neg": 2, "gamma_pos": 0, "clip": 0.2}, {"gamma_neg": 0.5, "gamma_pos": 3}, {"gamma_neg": 50}],
    ids=str,
)
def test_the_threshold_is_the_logit_of_even_odds(entry: dict[str, float]) -> None:
    spec = READ.validate_python({"kind": "asymmetric", **entry})
    assert isinstance(spec, Asymmetric)
    # One sample that has the class and one that has not, which look the same: their loss is least at even odds.
    logits = torch.linspace(-10, 10, 20001, dtype=torch.float64)[:, None].expand(-1, 2)
    loss = losses.loss_function(spec, torch.tensor([[1, 0]]), 2)
    weights = torch.ones(2, 2, dtype=torch.float64)
    values = torch.stack([loss(row[None], torch.tensor([[1, 0]]), weights) for row in logits])
    assert spec.threshold() == pytest.approx(float(logits[values.argmin(), 0]), abs=2e-3)


def test_the_threshold_of_a_loss_that_treats_both_sides_alike_is_0() -> None:
    for gamma in (0, 1, 2.5):
        spec = Asymmetric(kind="asymmetric", gamma_neg=gamma, gamma_pos=gamma, clip=0)
        assert spec.threshold() == pytest.approx(0, abs=1e-9)


def test_scores_are_log_odds_from_the_threshold() -> None:
    by = losses.scored_by(READ.validate_python({"kind": "asymmetric"}), np.array([[1, 0]], np.int8))
    assert losses.scores(torch.tensor([[float(by["threshold"]), 0.0]]), by).tolist() == [[0, -float(by["threshold"])]]
    by = losses.scored_by(READ.validate_python({"kind": "bce"}), np.array([[1, 0]], np.int8))
    assert losses.scores(torch.tensor([[1.5, -2.0]]), by).tolist() == [[1.5, -2.0]]


@pytest.mark.parametrize("loss", [asymmetric, losses.masked_loss])
def test_missing_labels_have_no_slope_and_change_no_value(loss: losses.LossFunction) -> None:
    labels = torch.tensor([[1, -1, -1], [0, 1, -1]], dtype=torch.int8)
    values = []
    for level in (0.0, 50.0, -1e4):
        logits = torch.tensor([[1.0, level, level], [2.0, -1.0, level]], requires_grad=True)
        value = loss(logits, labels, torch.ones(3, 2))
        value.backward()
        assert logits.grad is not None
        assert (logits.grad[labels == -1] == 0).all()
        assert (logits.grad[labels != -1] != 0).all()
        values.append(value.item())
    assert len(set(values)) == 1


# All of them.

LOGITS = arrays(np.float32, (4, 3), elements=st.floats(-1e4, 1e4, width=32))
POWER = st.sampled_from([0.0, 0.1, 0.5, 1.0, 4.0, 50.0])


def check_finite(loss: losses.LossFunction, logits: np.ndarray, labels: Tensor, weights: Tensor) -> None:
    given_logits = torch.from_numpy(logits).requires_grad_()
    value = loss(given_logits, labels, weights)
    value.backward()
    assert given_logits.grad is not None
    assert given_logits.grad.isfinite().all()
    assert value.isfinite()
    assert value >= 0


@settings(deadline=None)
@given(LOGITS, st.lists(st.integers(0, 2), min_size=4, max_size=4), POWER)
def test_losses_of_classes_and_their_slopes_are_finite(logits: np.ndarray, numbers: list[int], gamma: float) -> None:
    labels = torch.tensor(numbers)
    weights = losses.class_weights(labels, 3, 0.9999)
    for entry in [*CLASSES, {"kind": "focal", "gamma": gamma}]:
        check_finite(losses.loss_function(READ.validate_python(entry), labels, 3), logits, labels, weights)


@settings(deadline=None)
@given(LOGITS, arrays(np.int8, (4, 3), elements=st.integers(-1, 1)), POWER, st.sampled_from([0, 1e-60, 0.05, 0.5]))
def test_losses_of_labels_and_their_slopes_are_finite(
    logits: np.ndarray, labels: np.ndarray, gamma: float, clip: float
) -> None:
    given_labels = torch.from_numpy(labels)
    weights = losses.side_weights(given_labels, 0.9999)
    steep = partial(losses.asymmetric_loss, gamma_neg=gamma, gamma_pos=gamma, clip=clip)
    for loss in (losses.masked_loss, asymmetric, steep):
        check_finite(loss, logits, given_labels, weights)
