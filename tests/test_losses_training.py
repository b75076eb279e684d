"""Networks trained by each loss: what is refused, what they score, and when re-weighting and patience set in."""

from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from pipeline.errors import StudyError
from pipeline.heads import ABSENT, Space
from pipeline.heads.timm import Spec
from pipeline.losses import suited
from pipeline.networks import losses, supervision, trainer
from pipeline.study import Study
from tests.test_heads import PARTS, SMALL, TOYS, head, same, several, toy
from tests.test_losses import CLASSES, LABELS, READ, name
from tests.test_study import GOOD


@pytest.mark.parametrize("entry", [*CLASSES, *LABELS], ids=name)
def test_a_network_learns_by_every_loss_the_same_every_time(entry: dict[str, Any]) -> None:
    space = several(3.0) if entry in LABELS else toy(3.0)
    one, other = (head("timm", epochs=8, loss=entry).fit(space, PARTS, 0) for _ in range(2))
    assert same(one, other)
    truth = several(3.0, missing=0.0).labels[PARTS.test] if entry in LABELS else space.labels[PARTS.test]
    found = one.test > (0 if entry in LABELS else one.test.max(axis=1, keepdims=True) - 1e-6)
    assert (found == (truth == 1)).mean() > 0.9


@pytest.mark.parametrize("task", TOYS)
def test_naming_the_loss_of_the_task_changes_no_score(task: str) -> None:
    entry = {"kind": "cross-entropy"} if task == "single-label" else {"kind": "bce"}
    space = TOYS[task](0.5)
    assert same(head("timm").fit(space, PARTS, 0), head("timm", loss=entry).fit(space, PARTS, 0))


@pytest.mark.parametrize("entry", CLASSES, ids=name)
def test_a_network_never_predicts_a_class_without_training_rows(entry: dict[str, Any]) -> None:
    two = toy(0.5)
    gap = Space(two.values, np.insert(two.labels, 1, 0, axis=1), True, 1)
    fitted = head("timm", epochs=1, loss=entry).fit(gap, PARTS, 0)
    np.testing.assert_array_equal(fitted.test[:, 1], ABSENT)
    np.testing.assert_array_equal(fitted.tensors["trained"], [True, False, True])
    np.testing.assert_allclose(np.exp(fitted.test).sum(axis=1), 1, rtol=1e-4)


def recorded(monkeypatch: pytest.MonkeyPatch, space: Space, **options: int) -> tuple[list[Tensor], list[float]]:
    """Train and return the weights and the learning rate of every step."""
    weights, rates, original = [], [], supervision.loss_function

    def spying(*asked: object) -> losses.LossFunction:
        loss = original(*asked)  # type: ignore[arg-type]

        def spy(logits: Tensor, labels: Tensor, given: Tensor) -> Tensor:
            weights.append(given)
            return loss(logits, labels, given)

        return spy

    class Recording(torch.optim.AdamW):
        def step(self, closure: None = None) -> None:  # type: ignore[override]
            rates.append(self.param_groups[0]["lr"])
            super().step(closure)

    with monkeypatch.context() as patched:
        patched.setattr(supervision, "loss_function", spying)
        patched.setitem(trainer.OPTIMISERS, "adamw", Recording)
        head("timm", epochs=4, effective_number=0.9, **options).fit(space, PARTS, 0)
    return weights, rates


@pytest.mark.parametrize("task", TOYS)
def test_deferred_weights_and_the_lower_learning_rate_set_in_at_their_epoch(
    task: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = TOYS[task](0.5)
    always, rates = recorded(monkeypatch, space)
    deferred, lowered = recorded(monkeypatch, space, reweight_from=2)
    assert len(always) == len(deferred) == 4 * 4
    balanced = always[0]
    assert not torch.equal(balanced, torch.ones_like(balanced))
    for step in range(16):
        assert torch.equal(always[step], balanced)
        assert torch.equal(deferred[step], balanced if step >= 2 * 4 else torch.ones_like(balanced))
    np.testing.assert_allclose(lowered[:8], rates[:8], rtol=1e-12)
    np.testing.assert_allclose(lowered[8:], 0.1 * np.array(rates[8:]), rtol=1e-9)


@pytest.mark.parametrize(
    ("scores", "options", "epochs"),
    [
        ([0.5, 0.6, 0.6, 0.5, 0.9], {}, 5),
        ([0.5, 0.6, 0.6, 0.5, 0.9], {"patience": 2}, 5),
        ([0.5, 0.6, 0.6, 0.5, 0.9], {"patience": 1}, 4),
        ([0.5, 0.4, 0.6, 0.6, 0.6], {"patience": 0}, 2),
        ([0.5, 0.4, 0.4, 0.4, 0.9], {"patience": 1, "reweight_from": 2}, 4),
        ([0.5, 0.4, 0.4, 0.4, 0.9], {"patience": 0, "reweight_from": 3}, 4),
        ([0.5, 0.4, 0.4, 0.9, 0.9], {"patience": 1, "reweight_from": 2}, 5),
    ],
)
def test_training_ends_when_patience_does(
    scores: list[float], options: dict[str, int], epochs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = iter(scores)
    monkeypatch.setattr(trainer, "selection_score", lambda *_: next(left))
    curve = head("timm", epochs=5, **options).fit(toy(0.5), PARTS, 0).curve
    assert list(curve["validation"]) == scores[:epochs]


def test_of_equal_epochs_the_later_one_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer, "selection_score", lambda *_: 0.5)
    space = toy(0.5)
    impatient, whole = (head("timm", epochs=3, **more).fit(space, PARTS, 0) for more in ({"patience": 0}, {}))
    assert (len(impatient.curve), len(whole.curve)) == (2, 3)
    assert not np.array_equal(impatient.test, whole.test)


# In the configuration.


@pytest.mark.parametrize("entry", CLASSES + LABELS, ids=name)
def test_a_loss_is_refused_where_its_labels_are_others(entry: dict[str, Any]) -> None:
    exclusive = entry in CLASSES
    loss = READ.validate_python(entry)
    assert suited(loss, exclusive) is loss
    task = "multi-label" if exclusive else "single-label"
    with pytest.raises(StudyError, match=rf"^the loss '{entry['kind']}' is for .*, and the task is {task}: take "):
        suited(loss, not exclusive)
    with pytest.raises(StudyError, match="the task is"):
        head("timm", loss=entry).fit(TOYS[task](0.5), PARTS, 0)


def test_a_study_with_a_loss_for_other_labels_is_refused_before_anything_runs() -> None:
    config = {**GOOD, "heads": {"cnn": {"family": "timm", "loss": {"kind": "asymmetric"}}}}
    with pytest.raises(StudyError, match=r"^heads: cnn: on the data set mine, the loss 'asymmetric' is for labels "):
        Study(config)
    datasets = {name: {**entry, "task": "multi-label"} for name, entry in GOOD["datasets"].items()}
    Study({**config, "datasets": datasets})


@pytest.mark.parametrize(
    "entry",
    [
        {"kind": "ldamm"},
        {"gamma": 2},
        {"kind": "focal", "gama": 1},
        {"kind": "focal", "gamma": -1},
        {"kind": "ldam", "scale": 0},
        {"kind": "ldam", "normalized": False},
        {"kind": "asymmetric", "clip": 1},
        {"kind": "asymmetric", "gamma_pos": 0, "clip": 0.9},
        {"kind": "cross-entropy", "gamma": 0},
        {"kind": "focal", "gamma": float("inf")},
    ],
    ids=name,
)
def test_a_misspelt_loss_is_refused(entry: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="loss"):
        Spec.model_validate({"family": "timm", "loss": entry})


def test_weights_that_would_never_hold_are_refused() -> None:
    with pytest.raises(ValidationError, match="'reweight_from' is 2, and there are only 2 epochs"):
        head("timm", reweight_from=2)


def test_only_what_is_written_of_a_loss_is_a_parameter_of_a_rule() -> None:
    entry = {"family": "timm", **SMALL, "loss": {"kind": "ldam", "normalised": False}, "patience": 15}
    spec = Spec.model_validate(entry)
    assert Spec.read(spec.written()) == spec
    assert '"loss": {"kind": "ldam", "normalised": false}' in spec.written()
    assert "loss" not in Spec.model_validate({"family": "timm"}).written()
