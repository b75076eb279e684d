"""Heads made of heads: a student with its teacher, one head by space, and the published recipe from end to end."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from pipeline import families
from pipeline.errors import StudyError
from pipeline.heads import HeadSpec, Space, Support, balanced_accuracy, channel_statistics
from pipeline.networks import inputs, supervision, trainer
from tests.test_heads import MLP, PARTS, SMALL, TOYS, head, same, toy

LINEAR = {"family": "mlp", "grid": None, "depth": 0, "dropout": 0, "batch": 12, "weight_decay": 0.0}
PUBLISHED = {
    "optimiser": "adam",
    "schedule": "constant",
    "learning_rate": 1e-4,
    "loss": {"kind": "ldam", "normalised": False},
    "reweight_from": 2,
    "patience": 2,
}


def distilled(**options: object) -> HeadSpec:
    spec = families.spec("heads", {"family": "distilled", "teacher": "cnn", **options})
    assert isinstance(spec, HeadSpec)
    return spec


@pytest.mark.parametrize("views", [0, 2])
def test_a_linear_student_without_labels_becomes_its_linear_teacher(views: int) -> None:
    random = np.random.default_rng(0)
    values = random.normal(size=(1 + views, 150, 2, 2, 2)).astype(np.float32)
    weights, offset = random.normal(size=(8, 3)), random.normal(size=3)
    logits = (values.reshape(1 + views, 150, 8) @ weights + offset).astype(np.float32)
    # The epoch is chosen by labels, so these are what the teacher says.
    labels = np.eye(3, dtype=np.int8)[logits[0].argmax(axis=1)]
    space = Space(values[0], labels, True, 4, views=tuple(values[1:]))
    support = Support(logits[:, PARTS.train])
    student = {**LINEAR, "epochs": 60, "learning_rate": 0.1}
    fitted = distilled(student=student, weight=0).fit(space, PARTS, 0, support)
    assert fitted.training is not None
    # Its training ends at a rate of nearly 0, so only rounding is left.
    np.testing.assert_allclose(fitted.training, logits[:, PARTS.train], atol=0.02)
    test = torch.from_numpy(logits[0, PARTS.test]).log_softmax(1)
    np.testing.assert_allclose(fitted.test, test, atol=0.04)


def test_the_loss_is_the_stated_sum() -> None:
    space, teacher = toy(1.0), np.random.default_rng(0).normal(size=(1, 60, 2)).astype(np.float32)
    spec: Any = families.spec("heads", {"family": "mlp", **MLP, "effective_number": 0})
    given = supervision.Supervision(spec, space, PARTS, Support(teacher), 0.25, torch.device("cpu"))
    logits, places = torch.randn(5, 2), torch.tensor([3, 0, 7, 7, 59])
    plain = torch.nn.functional.cross_entropy(logits, torch.from_numpy(space.numbers[:60])[places])
    squares = (logits - torch.from_numpy(teacher[0])[places]).square().mean()
    made = given.loss(logits, places, torch.zeros(5, dtype=torch.int64), 0)
    assert made.item() == pytest.approx((0.75 * plain + 0.25 * squares).item(), rel=1e-6)


def test_a_student_whose_labels_count_alone_is_an_undistilled_one() -> None:
    space = toy(1.0)
    student = {"family": "mlp", **MLP}
    teacher = Support(np.ones((1, 60, 2), np.float32))
    alone, taught = head("mlp").fit(space, PARTS, 0), distilled(student=student, weight=1).fit(space, PARTS, 0, teacher)
    assert same(alone, taught)
    assert not same(alone, distilled(student=student).fit(space, PARTS, 0, teacher))


def test_a_teacher_that_is_missing_or_of_other_rows_is_refused() -> None:
    spec = distilled(student={"family": "mlp", **MLP})
    with pytest.raises(StudyError, match="the logits of the teacher 'cnn' are missing"):
        spec.fit(toy(1.0), PARTS, 0)
    with pytest.raises(StudyError, match=r"have the shape \(1, 59, 2\) and not \(1, 60, 2\)"):
        spec.fit(toy(1.0), PARTS, 0, Support(np.zeros((1, 59, 2), np.float32)))
    with pytest.raises(StudyError, match="not finite"):
        spec.fit(toy(1.0), PARTS, 0, Support(np.full((1, 60, 2), np.nan, np.float32)))


def test_a_student_may_be_told_of_noise_and_names_its_teacher() -> None:
    options = {"family": "film-convnext", "arguments": {"depths": [1] * 4, "dims": [8] * 4}, "epochs": 1}
    spec: Any = distilled(student={**options, "noise": {"evaluated": 2}})
    assert spec.teachers() == ["cnn"]
    fitted = spec.fit(toy(1.0), PARTS, 0, Support(np.zeros((1, 60, 2), np.float32)))
    assert len(fitted.profile) == 2


@pytest.mark.parametrize("wrong", [{"family": "knn"}, {"family": "mlp", "label_fraction": 0.5}, {"model": "resnet18"}])
def test_a_student_is_a_network_and_says_nothing_of_the_whole(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="student"):
        distilled(student=wrong)


def test_each_space_has_its_head() -> None:
    latents = toy(1.0)
    pixels = replace(latents, pixels=True)
    spec = head("by-space", pixels={"family": "mlp", **MLP}, latents={"family": "knn"})
    assert same(spec.fit(pixels, PARTS, 0), head("mlp").fit(pixels, PARTS, 0))
    assert same(spec.fit(latents, PARTS, 0), head("knn").fit(latents, PARTS, 0))
    assert spec.read(spec.written()) == spec
    for part in ("pixels", "latents"):
        with pytest.raises(ValidationError, match=f"'search' is said of the whole entry, and not of its '{part}'"):
            head("by-space", **{part: {"family": "linear", "search": {"grid": [1, 2]}}})


@pytest.mark.parametrize("part", ["pixels", "latents"])
def test_a_loss_for_other_labels_is_found_in_either_part(part: str) -> None:
    spec = head("by-space", **{part: {"family": "mlp", **MLP, "loss": {"kind": "asymmetric"}}})
    with pytest.raises(StudyError, match="the task is single-label"):
        spec.check_task(True)


def test_the_published_recipe_runs_from_end_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    network = {"family": "timm", **SMALL, "epochs": 8, **PUBLISHED}
    spec = head(
        "by-space",
        protocol="paper",
        pixels={**network, "side": 12, "augment": {"flip": True, "rotation": 15}},
        latents={**network, "mask_ratio": 0.2},
    )
    seen: list[inputs.Batch] = []
    original = inputs.Inputs.training

    def recording(given: inputs.Inputs, rows: torch.Tensor, views: torch.Tensor, *seed: int) -> inputs.Batch:
        seen.append(original(given, rows, views, *seed))
        return seen[-1]

    monkeypatch.setattr(inputs.Inputs, "training", recording)
    latents = toy(3.0)
    for space in (latents, replace(latents, pixels=True)):
        seen.clear()
        fitted = spec.fit(space, PARTS, 0)
        assert {tuple(batch.values.shape[1:]) for batch in seen} == {(2, 12, 12) if space.pixels else (2, 16, 16)}
        hidden = torch.cat([(batch.values == 0).all(dim=1).float().mean(dim=(1, 2)) for batch in seen])
        assert hidden.mean().item() == pytest.approx(0.0 if space.pixels else 0.2, abs=0.02)
        # Three epochs at least: patience starts with the weights.
        assert 3 <= len(fitted.curve) <= 8
        assert fitted.tensors["network.fc.scale"] == 30
        assert np.isfinite(fitted.test).all()
        np.testing.assert_allclose(np.exp(fitted.test).sum(axis=1), 1, rtol=1e-4)


def test_the_rate_is_constant_and_falls_to_a_tenth_with_the_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    rates = []

    class Recording(torch.optim.Adam):
        def step(self, closure: None = None) -> None:  # type: ignore[override]
            group = self.param_groups[0]
            rates.append((group["lr"], group["betas"], group["weight_decay"]))
            super().step(closure)

    monkeypatch.setitem(trainer.OPTIMISERS, "adam", Recording)
    head("timm", **{**PUBLISHED, "patience": None, "epochs": 3}).fit(toy(1.0), PARTS, 0)
    assert rates[:8] == [(1e-4, (0.9, 0.999), 0)] * 8
    assert [rate for rate, *_ in rates[8:]] == pytest.approx([1e-5] * 4)


def test_at_a_useful_rate_the_recipe_learns() -> None:
    space = toy(3.0)
    fitted = head("timm", **{**PUBLISHED, "learning_rate": 1e-2, "epochs": 10, "patience": 15}).fit(space, PARTS, 0)
    assert balanced_accuracy(fitted.test, space.numbers[PARTS.test]) > 0.9


@pytest.mark.parametrize("task", TOYS)
def test_a_perceptron_without_hidden_layers_is_linear(task: str) -> None:
    space = TOYS[task](1.0)
    fitted = head(**{**LINEAR, "epochs": 1}).fit(space, PARTS, 0)
    assert fitted.training is not None
    mean, deviation = channel_statistics(space.values[PARTS.train])
    x = ((space.values[PARTS.train] - mean[:, None, None]) / deviation[:, None, None]).reshape(60, -1)
    expected = x @ fitted.tensors["network.last.weight"].T + fitted.tensors["network.last.bias"]
    np.testing.assert_allclose(fitted.training[0], expected, atol=1e-4)
