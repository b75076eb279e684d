"""Trainings that are ended go on to the same bits; schedules, views, noise and augmentation against other sources."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage, stats
from torch import nn

from pipeline.errors import StudyError
from pipeline.folds import Split
from pipeline.heads import Fitted, Space, Support, channel_statistics
from pipeline.networks import inputs, trainer
from pipeline.networks.inputs import Inputs, augmented, drawn, resized
from pipeline.networks.schedule import Schedule
from pipeline.shuffle import Shuffle
from pipeline.trained import Augmentation, Noise, TrainedSpec

SPLIT = Split(0, np.arange(0, 20), np.arange(20, 28), np.arange(28, 36))
CPU = torch.device("cpu")


class Small(nn.Module):
    """Convolution, batch normalisation, dropout and a linear layer, told of the noise by an input of its own."""

    conditioned = True

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(channels, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Dropout(0.3))
        self.last = nn.Linear(7, classes)

    def get_classifier(self) -> nn.Module:
        return self.last

    def forward(self, values: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        features = self.body(values).mean(dim=(2, 3))
        logits: torch.Tensor = self.last(torch.cat([features, sigma.log()[:, None] / 4], dim=1))
        return logits


class Spec(TrainedSpec):
    def network(self, space: Space) -> nn.Module:
        return Small(space.values.shape[1], space.classes)


def spec(**options: object) -> Spec:
    return Spec.model_validate({"family": "small", "epochs": 2, "batch": 8, "learning_rate": 0.01, **options})


def space(views: int = 0, exclusive: bool = True, pixels: bool = False, side: int = 6) -> Space:
    random = np.random.default_rng(5)
    numbers = np.arange(36) % 3
    values = random.random((1 + views, 36, 2, side, side), np.float32) + 0.2 * numbers[:, None, None, None]
    labels = np.eye(3, dtype=np.int8)[numbers]
    if not exclusive:
        labels[random.random((36, 3)) < 0.2] = -1
    arrays = values.astype(np.float32)
    return Space(arrays[0], labels, exclusive, 1, pixels, tuple(arrays[1:]))


def same(one: Fitted, other: Fitted) -> bool:
    assert one.training is not None
    assert other.training is not None
    pairs = [(one.validation, other.validation), (one.test, other.test), (one.training, other.training)]
    pairs += [(value, other.tensors[name]) for name, value in one.tensors.items()]
    for a, b in zip(one.profile, other.profile, strict=True):
        assert (a.axis, a.at) == (b.axis, b.at)
        pairs += [(a.validation, b.validation), (a.test, b.test)]
    return one.curve.equals(other.curve) and all(np.array_equal(a, b) for a, b in pairs)


class Endings:
    """Says that the process is to end at one call, or at every so many."""

    def __init__(self, at: Callable[[int], bool]) -> None:
        self.calls, self.at = 0, at

    def __call__(self) -> bool:
        self.calls += 1
        return self.at(self.calls)


TEACHER = np.random.default_rng(1).normal(size=(1, 20, 3)).astype(np.float32)
CASES: dict[str, tuple[dict[str, Any], dict[str, Any], float]] = {
    "cross-entropy": ({}, {}, 0.0),
    "focal": ({"loss": {"kind": "focal"}, "mask_ratio": 0.3}, {}, 0.0),
    "ldam": ({"loss": {"kind": "ldam"}, "epochs": 3, "reweight_from": 1, "patience": 0}, {}, 0.0),
    "ldam-adam": ({"loss": {"kind": "ldam", "normalised": False}, "optimiser": "adam", "schedule": "constant"}, {}, 0),
    "bce": ({}, {"exclusive": False}, 0.0),
    "asymmetric": ({"loss": {"kind": "asymmetric"}}, {"exclusive": False, "views": 1}, 0.0),
    "edm-grid": ({"noise": {"evaluated": 2}}, {}, 0.0),
    "log-normal": ({"noise": {"distribution": "log-normal", "evaluated": 0}}, {"views": 2}, 0.0),
    "pixels": ({"augment": {"flip": True, "rotation": 15}, "side": 8}, {"pixels": True, "side": 12}, 0.0),
    "distilled": ({"noise": {"evaluated": 0}}, {}, 0.5),
}


@pytest.mark.parametrize("case", CASES)
def test_a_training_that_is_ended_at_any_step_goes_on_to_the_same_bits(case: str, tmp_path: Path) -> None:
    options, shape, imitation = CASES[case]
    settings, data = spec(**options), space(**shape)
    teacher = TEACHER if imitation else None

    def train(ended: Callable[[], bool], folder: Path | None) -> Fitted:
        support = Support(teacher, checkpoint=folder, identity="x", ended=ended)
        return trainer.fit(settings, data, SPLIT, 3, support, imitation)

    never = Endings(lambda _: False)
    whole = train(never, None)
    assert never.calls > 2 * 3
    for at in range(1, never.calls + 1):
        folder = tmp_path / str(at)
        with pytest.raises(StudyError, match=r"^ended after epoch \d+ step \d+; the next call goes on from there$"):
            train(Endings(lambda call, at=at: call == at), folder)
        assert same(whole, train(Endings(lambda _: False), folder)), at
        assert not folder.exists()


def test_a_training_that_is_ended_again_and_again_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    settings, data = spec(noise={"evaluated": 2}, epochs=3), space(views=1)
    whole = trainer.fit(settings, data, SPLIT, 0)
    for most in (2, 3, 2, 5, 4):
        support = Support(checkpoint=tmp_path / "c", ended=Endings(lambda call, most=most: call == most))
        with pytest.raises(StudyError, match="ended after"):
            trainer.fit(settings, data, SPLIT, 0, support)
    assert same(whole, trainer.fit(settings, data, SPLIT, 0, Support(checkpoint=tmp_path / "c")))


@pytest.mark.parametrize("change", ["identity", "seed", "epochs", "rows", "imitation"])
def test_the_state_of_another_training_is_not_gone_on_from(
    change: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, ended = space(), Endings(lambda call: call == 4)
    with pytest.raises(StudyError, match="ended after"):
        trainer.fit(spec(), data, SPLIT, 0, Support(checkpoint=tmp_path / "c", identity="a", ended=ended))
    support = Support(TEACHER, checkpoint=tmp_path / "c", identity="b" if change == "identity" else "a")
    settings = spec(epochs=3) if change == "epochs" else spec()
    split = replace(SPLIT, train=SPLIT.train[::-1].copy()) if change == "rows" else SPLIT
    seed, imitation = int(change == "seed"), 0.5 if change == "imitation" else 0.0
    fitted = trainer.fit(settings, data, split, seed, support, imitation)
    assert "training starts over" in capsys.readouterr().err
    assert same(fitted, trainer.fit(settings, data, split, seed, Support(TEACHER), imitation))


def test_without_a_place_for_its_state_an_ended_training_says_that_it_starts_over() -> None:
    with pytest.raises(StudyError, match="the next call starts over"):
        trainer.fit(spec(), space(), SPLIT, 0, Support(ended=lambda: True))


def test_the_state_is_kept_now_and_then_in_case_the_process_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "CHECKPOINT_PERIOD", 0.0)
    whole = trainer.fit(spec(), space(), SPLIT, 0)

    def killed(call: int) -> bool:
        if call == 5:
            raise KeyboardInterrupt
        return False

    with pytest.raises(KeyboardInterrupt):
        trainer.fit(spec(), space(), SPLIT, 0, Support(checkpoint=tmp_path / "c", ended=Endings(killed)))
    again = Endings(lambda _: False)
    assert same(whole, trainer.fit(spec(), space(), SPLIT, 0, Support(checkpoint=tmp_path / "c", ended=again)))


def test_a_training_leaves_torch_as_it_was() -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    trainer.fit(spec(), space(), SPLIT, 0)
    assert torch.equal(torch.rand(3), expected)
    assert not torch.are_deterministic_algorithms_enabled()


def test_a_loss_that_is_not_finite_ends_the_training() -> None:
    data = space()
    data.values[3] = 1e30
    with pytest.raises(StudyError, match="training loss of epoch 0 is not finite; lower the learning rate"):
        trainer.fit(spec(learning_rate=1e30, schedule="constant"), data, SPLIT, 0)


def test_reduced_precision_changes_scores_by_little() -> None:
    whole, reduced = (trainer.fit(spec(precision=p, epochs=1), space(), SPLIT, 0) for p in ("float32", "bfloat16"))
    assert reduced.test.dtype == np.float32
    assert not same(whole, reduced)
    np.testing.assert_allclose(reduced.test, whole.test, atol=0.1)
    assert reduced.tensors["network.last.weight"].dtype == np.float32


# Logits of the training rows, and starting from another head.


def applied(fitted: Fitted, data: Space, values: np.ndarray) -> np.ndarray:
    network = trainer.build(spec(), data)
    tensors = {name: torch.from_numpy(np.array(value)) for name, value in fitted.tensors.items()}
    network.load_state_dict({n.removeprefix("network."): v for n, v in tensors.items() if n.startswith("network.")})
    x = (torch.from_numpy(values) - tensors["mean"][:, None, None]) / tensors["deviation"][:, None, None]
    with torch.no_grad():
        logits: np.ndarray = network.eval()(x, torch.full((len(x),), 1e-5)).numpy()
    return logits


def test_logits_of_training_rows_are_those_of_the_network_in_each_view() -> None:
    data = space(views=2)
    fitted = trainer.fit(spec(), data, SPLIT, 0)
    assert fitted.training is not None
    assert fitted.training.shape == (3, 20, 3)
    for given_values, logits in zip((data.values, *data.views), fitted.training, strict=True):
        np.testing.assert_allclose(logits, applied(fitted, data, given_values[SPLIT.train]), atol=1e-5)
    np.testing.assert_allclose(
        fitted.test, torch.from_numpy(applied(fitted, data, data.values[SPLIT.test])).log_softmax(1), atol=1e-5
    )


def test_a_head_starts_from_another_ones_weights_but_not_from_its_classifier() -> None:
    data = space()
    other = replace(data, labels=np.eye(2, dtype=np.int8)[np.arange(36) % 2])
    first = trainer.fit(spec(), other, SPLIT, 0)
    frozen = spec(learning_rate=1e-30, schedule="constant", optimiser="adam", epochs=1)
    second = trainer.fit(frozen, data, SPLIT, 1, Support(initial=first.tensors))
    np.testing.assert_allclose(second.tensors["network.body.0.weight"], first.tensors["network.body.0.weight"])
    assert second.tensors["network.last.weight"].shape == (3, 7)
    wider = {**first.tensors, "network.body.0.weight": np.zeros((6, 4, 3, 3), np.float32)}
    with pytest.raises(StudyError, match=r"body\.0\.weight of the head to start from has the shape \(6, 4, 3, 3\)"):
        trainer.fit(frozen, data, SPLIT, 1, Support(initial=wider))
    foreign = {**first.tensors, "network.more": np.zeros(1, np.float32)}
    with pytest.raises(StudyError, match="has, and this network has not, more"):
        trainer.fit(frozen, data, SPLIT, 1, Support(initial=foreign))


# The schedule.


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 7, 40])
def test_one_cycle_is_torchs(steps: int) -> None:
    optimiser = torch.optim.AdamW([nn.Parameter(torch.zeros(1))], lr=0.3)
    theirs = torch.optim.lr_scheduler.OneCycleLR(optimiser, 0.3, total_steps=steps)
    for step in range(steps):
        group = optimiser.param_groups[0]
        assert Schedule("one-cycle", 0.3, steps).at(step) == pytest.approx((group["lr"], group["betas"][0]), rel=1e-9)
        optimiser.step()
        if step + 1 < steps:
            theirs.step()


def test_a_constant_rate_is_lowered_once() -> None:
    schedule = Schedule("constant", 1e-4, 10, deferred=4)
    assert [schedule.at(step)[0] for step in (0, 3, 4, 9)] == pytest.approx([1e-4, 1e-4, 1e-5, 1e-5])


def test_adam_has_no_weight_decay_unless_it_is_asked_for() -> None:
    assert (spec(optimiser="adam").decay, spec().decay, spec(optimiser="adam", weight_decay=0.1).decay) == (
        0,
        0.05,
        0.1,
    )


# What a network is given.


def batches(settings: TrainedSpec, data: Space, epochs: int = 1) -> Iterator[tuple[torch.Tensor, inputs.Batch]]:
    given_inputs = Inputs(settings, data, SPLIT.train, CPU)
    for epoch in range(epochs):
        rows = torch.from_numpy(SPLIT.train)
        yield rows, given_inputs.training(rows, torch.zeros_like(rows), 0, epoch, 0)


@pytest.mark.parametrize("noisy", [False, True])
def test_inputs_have_the_deviation_that_is_expected_by_statistics_of_the_training_rows(noisy: bool) -> None:
    data = space()
    data.values[SPLIT.test] = 1e6
    settings = spec(noise={}) if noisy else spec()
    values = Inputs(settings, data, SPLIT.train, CPU).clean(torch.from_numpy(SPLIT.train)).values.double()
    np.testing.assert_allclose(values.mean(dim=(0, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(values.std(dim=(0, 2, 3), correction=0), 0.5 if noisy else 1.0, rtol=1e-5)


def test_every_view_is_drawn_as_often_as_the_sample_itself() -> None:
    training = trainer._Training(
        spec(), trainer.build(spec(), space(views=3)), space(views=3), SPLIT, 0, Support(), 0.0, Shuffle(32, True)
    )
    views = np.concatenate([training._drawn(epoch)[1].numpy() for epoch in range(200)])
    assert stats.chisquare(np.bincount(views, minlength=4)).pvalue > 1e-3
    orders = [training._drawn(epoch)[0].numpy() for epoch in range(2)]
    assert not np.array_equal(*orders)
    assert all(np.array_equal(np.sort(order), np.arange(20)) for order in orders)


def test_a_view_is_what_the_space_holds_for_the_sample() -> None:
    data = space(views=2)
    mean, deviation = channel_statistics(data.values[SPLIT.train])
    rows, views = torch.tensor([3, 9, 4, 0]), torch.tensor([2, 0, 1, 2])
    values = Inputs(spec(), data, SPLIT.train, CPU).training(rows, views, 0, 0, 0).values
    raw = np.stack([(data.values, *data.views)[view][row] for row, view in zip(rows, views, strict=True)])
    np.testing.assert_allclose(values, (raw - mean[:, None, None]) / deviation[:, None, None], atol=1e-6)


def test_masks_hide_whole_cells_at_the_stated_rate() -> None:
    shares = []
    for _, batch in batches(spec(mask_ratio=0.2), space(side=30), 5):
        hidden = (batch.values == 0).all(dim=1)
        assert torch.equal(hidden, (batch.values == 0).any(dim=1))
        shares.append(hidden.double().mean().item())
    assert np.mean(shares) == pytest.approx(0.2, abs=5 * np.sqrt(0.16 / (5 * 20 * 900)))
    assert len(set(shares)) == 5


@pytest.mark.parametrize("distribution", ["edm-grid", "log-normal"])
def test_noise_has_the_deviation_that_the_network_is_told(distribution: str) -> None:
    settings = spec(noise={"distribution": distribution})
    data = space(side=40)
    clean = Inputs(settings, data, SPLIT.train, CPU).clean(torch.from_numpy(SPLIT.train)).values
    for _, batch in batches(settings, data, 3):
        noise = (batch.values - clean) / batch.sigma[:, None, None, None]
        np.testing.assert_allclose(noise.std(dim=(1, 2, 3)), 1, atol=0.1)
        assert len(set(batch.sigma.tolist())) > 5


def test_the_grid_is_edms() -> None:
    grid = np.array(Noise().grid())
    assert (len(grid), grid[0], grid[-1]) == (32, pytest.approx(80), pytest.approx(0.002))
    # As counted for paper 1: 11 steps below 0.5, and 19 of at least 1.
    assert ((grid < 0.5).sum(), (grid >= 1).sum()) == (11, 19)
    steps = np.diff(grid ** (1 / 7))
    np.testing.assert_allclose(steps, steps[0], rtol=1e-9)
    levels = Noise().levels()
    assert len(levels) == 8
    assert (levels[0], levels[-1]) == (grid[-1], grid[0])
    assert set(levels) <= set(grid)
    assert np.all(np.diff(levels) > 0)


def test_sigma_is_drawn_from_the_stated_distributions() -> None:
    generator = torch.Generator().manual_seed(0)
    logs = drawn(Noise(distribution="log-normal"), 4000, generator).log().numpy()
    assert stats.kstest(logs, "norm", args=(-1.2, 1.2)).pvalue > 1e-3
    values, counts = np.unique(drawn(Noise(), 6400, generator).numpy(), return_counts=True)
    np.testing.assert_allclose(values, Noise().grid()[::-1], rtol=1e-5)
    assert stats.chisquare(counts).pvalue > 1e-3


@pytest.mark.parametrize("wrong", [{"sigma_min": 80}, {"evaluated": 1}, {"evaluated": 33}, {"steps": 1}, {"sigma": 1}])
def test_noise_that_is_none_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="noise"):
        spec(noise=wrong)


def test_evaluation_noise_depends_on_seed_row_and_level_alone() -> None:
    one, other = (Inputs(spec(noise={}), data, SPLIT.train, CPU) for data in (space(), space(views=1)))
    rows = torch.tensor([30, 31])
    noise = one.noisy(rows, 2.0, 1, 5).values - one.clean(rows).values
    np.testing.assert_allclose(noise, other.noisy(rows, 2.0, 1, 5).values - other.clean(rows).values, atol=1e-5)
    swapped = one.noisy(rows.flip(0), 2.0, 1, 5).values - one.clean(rows.flip(0)).values
    np.testing.assert_allclose(noise, swapped.flip(0), atol=1e-5)
    for level, seed in [(2, 5), (1, 6)]:
        assert not np.allclose(noise, one.noisy(rows, 2.0, level, seed).values - one.clean(rows).values, atol=0.1)


# Augmentation of pixels.


def smooth(side: int) -> np.ndarray:
    return ndimage.gaussian_filter(np.random.default_rng(0).random((side, side)), 3).astype(np.float32)


def test_rotation_is_scipys() -> None:
    image = smooth(41)
    turned = augmented(
        torch.from_numpy(image).expand(64, 1, -1, -1), Augmentation(rotation=15), torch.Generator().manual_seed(0)
    )
    angles = 15 * (2 * torch.rand((2, 64), generator=torch.Generator().manual_seed(0))[1].numpy() - 1)
    assert angles.min() < -10
    assert angles.max() > 10
    for angle, got in zip(angles[:8], turned[:8, 0].numpy(), strict=True):
        expected = ndimage.rotate(image, float(angle), reshape=False, order=1)
        np.testing.assert_allclose(got[8:-8, 8:-8], expected[8:-8, 8:-8], atol=2e-3)


def test_half_of_the_pixels_are_mirrored() -> None:
    image = torch.from_numpy(smooth(8)).expand(400, 1, -1, -1)
    made = augmented(image, Augmentation(flip=True), torch.Generator().manual_seed(0))
    mirrored = (made == image.flip(3)).flatten(1).all(dim=1)
    assert stats.binomtest(int(mirrored.sum()), 400).pvalue > 1e-3
    assert (mirrored | (made == image).flatten(1).all(dim=1)).all()


def test_latents_are_neither_augmented_nor_resized() -> None:
    settings = spec(augment={"flip": True, "rotation": 90}, side=8)
    latents, pixels = space(), space(pixels=True)
    assert resized(latents, 8) is latents
    plain = Inputs(spec(), latents, SPLIT.train, CPU).clean(torch.from_numpy(SPLIT.train)).values
    (_, batch), *_ = batches(settings, latents)
    assert torch.equal(batch.values, plain)
    (_, changed), *_ = batches(settings, pixels)
    assert not torch.equal(changed.values, plain)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 4), st.integers(1, 5), st.integers(0, 1))
def test_pixels_are_averaged_over_areas(factor: int, side: int, views: int) -> None:
    data = space(views=views, pixels=True, side=factor * side)
    small = resized(data, side)
    for before, after in zip((data.values, *data.views), (small.values, *small.views), strict=True):
        blocks = before.astype(np.float64).reshape(36, 2, side, factor, side, factor).mean(axis=(3, 5))
        np.testing.assert_allclose(after, blocks, atol=1e-6)
