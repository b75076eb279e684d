"""The probe at every depth of a decoder: it sees where a class becomes explicit, and the same features everywhere."""

import json
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline import families
from pipeline.autoencoders import Staged, batch_size
from pipeline.errors import StudyError
from pipeline.folds import Split
from pipeline.heads import ALONE, Fitted, HeadSpec, Space, Stages, Support, balanced_accuracy
from pipeline.natural_images import natural_images
from pipeline.pooling import averages
from pipeline.stage_features import StageFeatures, cells, components
from tests.autoencoder_entries import read

Floats = NDArray[np.float32]
PARTS = Split(0, np.arange(120), np.arange(120, 180), np.arange(180, 300))


def head(**options: object) -> HeadSpec:
    spec = families.spec("heads", {"family": "decoder-features", "components": 8, "grid": 2, **options})
    assert isinstance(spec, HeadSpec)
    return spec


def scrambled(samples: int = 300, seed: int = 0) -> Space:
    """Two channels, s u and s: the class is the sign of u's mean, and s is a random sign, so no line tells it."""
    random = np.random.default_rng(seed)
    numbers = random.permutation(np.arange(samples) % 2)
    u = random.normal(size=(samples, 8, 8)) + 1.5 * (2 * numbers - 1)[:, None, None]
    s = np.broadcast_to(random.choice([-1.0, 1.0], samples)[:, None, None], u.shape)
    values = np.stack([s * u, s], axis=1).astype(np.float32)
    return Space(values, np.eye(2, dtype=np.int8)[numbers], True, 2)


MIX = np.array([[2.0, -1.0], [0.5, 3.0], [1.0, 1.0]], dtype=np.float32)


class Decoder:
    """Stage 1 mixes the channels linearly, stage 2 multiplies s u by s, stage 3 enlarges what stage 2 gives."""

    def __init__(self) -> None:
        self.batches: list[Floats] = []

    def __call__(self, latents: Floats) -> Mapping[str, Floats]:
        self.batches.append(latents)
        mixed = np.einsum("oc,nchw->nohw", MIX, latents)
        undone = np.stack([latents[:, 0] * latents[:, 1], latents[:, 1]], axis=1)
        return {"mix": mixed, "undo": undone, "enlarge": undone.repeat(2, axis=2).repeat(2, axis=3)}


def accuracies(fitted: Fitted, space: Space) -> list[float]:
    return [balanced_accuracy(point.test, space.numbers[PARTS.test]) for point in fitted.profile]


def test_learnability_returns_at_the_stage_that_undoes_a_scramble_and_not_before() -> None:
    space = scrambled()
    fitted = head().fit(space, PARTS, 0, Support(stages=Decoder()))
    assert [(point.axis, point.at) for point in fitted.profile] == [("depth", at) for at in range(4)]
    found = accuracies(fitted, space)
    # 120 test samples leave a standard error of 0.046.
    assert max(found[:2]) < 0.64
    assert min(found[2:]) > 0.97
    np.testing.assert_array_equal(fitted.test, fitted.profile[0].test)
    np.testing.assert_array_equal(fitted.validation, fitted.profile[0].validation)


def test_a_class_of_several_returns_for_itself() -> None:
    space = scrambled()
    second = (space.values[:, 1, 0, 0] > 0).astype(np.int8)
    labels = np.stack([space.numbers, second], axis=1).astype(np.int8)
    labels[::7, 0] = -1
    fitted = head().fit(replace(space, labels=labels, exclusive=False), PARTS, 0, Support(stages=Decoder()))
    truth = [space.numbers[PARTS.test], second[PARTS.test]]
    found = [[np.mean((point.test[:, k] > 0) == truth[k]) for point in fitted.profile] for k in (0, 1)]
    assert max(found[0][:2]) < 0.64 and min(found[0][2:]) > 0.97
    assert min(found[1]) > 0.97


def test_every_depth_has_the_same_number_of_features_and_says_how_many() -> None:
    fitted = head(components=64).fit(scrambled(), PARTS, 0, Support(stages=Decoder()))
    by_depth = fitted.curve.groupby("depth").first()
    assert list(by_depth.stage) == ["space", "mix", "undo", "enlarge"]
    # Two channels on at most 8 x 8 cells, 64 features at least: 6 x 6 cells; three channels: 5 x 5.
    assert list(by_depth.features) == [72, 75, 72, 72]
    assert set(fitted.curve.components) == {64}
    assert [int(fitted.tensors[f"depth{depth}.components"][0]) for depth in range(4)] == [64] * 4
    few = Split(0, np.arange(20), PARTS.validation, PARTS.test)
    assert set(head(components=64).fit(scrambled(), few, 0, Support(stages=Decoder())).curve.components) == {19}


@pytest.mark.parametrize(("channels", "grid", "enough", "side"), [(1, 8, 256, 16), (3, 8, 256, 10), (4, 8, 256, 8)])
def test_few_channels_take_more_cells(channels: int, grid: int, enough: int, side: int) -> None:
    assert cells(channels, grid, enough) == side
    assert channels * side**2 >= enough > channels * (side - 1) ** 2 or side == grid


@pytest.mark.parametrize("exclusive", [True, False])
def test_the_stored_tensors_give_the_scores_again(exclusive: bool) -> None:
    space, decoder = replace(scrambled(), exclusive=exclusive), Decoder()
    fitted = head(components=5).fit(space, PARTS, 0, Support(stages=decoder))
    maps = [space.values, *decoder(space.values).values()]
    for depth, (values, point) in enumerate(zip(maps, fitted.profile, strict=True)):
        names = (f"depth{depth}.coefficients", f"depth{depth}.intercepts")
        coefficients, intercepts = (fitted.tensors[name].astype(np.float64) for name in names)
        pooled = averages(values, 2)[PARTS.test].reshape(len(PARTS.test), -1)
        decisions = pooled @ coefficients.T + intercepts
        score = point.test[:, 1] - point.test[:, 0] if exclusive else point.test
        np.testing.assert_allclose(score, decisions[:, 0] if exclusive else decisions, atol=1e-4)


def test_with_all_components_it_is_the_linear_probe() -> None:
    """A rotation changes no distance, and so no penalised regression."""
    space = scrambled()
    linear = families.spec("heads", {"family": "linear", "grid": 2, "strengths": [0.1]})
    assert isinstance(linear, HeadSpec)
    expected = linear.fit(space, PARTS, 0)
    found = head(components=8, strengths=[0.1]).fit(space, PARTS, 0)
    np.testing.assert_allclose(found.test, expected.test, atol=2e-3)
    assert found.profile == ()


def test_components_are_those_of_the_covariance_of_the_training_rows() -> None:
    random = np.random.default_rng(1)
    vectors = (random.normal(size=(90, 12)) @ random.normal(size=(12, 12)) + 3).astype(np.float32)
    train = np.arange(90) < 60
    reduced = components(vectors, train, 4)
    values, axes = np.linalg.eigh(np.corrcoef(vectors[train].T))
    shares = np.square(reduced.values[train]).mean(axis=0)
    np.testing.assert_allclose(shares / shares.sum(), values[:-5:-1] / values[:-5:-1].sum(), rtol=1e-4)
    assert shares.mean() == pytest.approx(1, rel=1e-6)
    assert reduced.variance == pytest.approx(values[:-5:-1].sum() / 12, rel=1e-5)
    assert components(vectors, train, 12).variance == pytest.approx(1, rel=1e-6)
    standard = (vectors[train] - vectors[train].mean(axis=0)) / vectors[train].std(axis=0)
    correlations = np.corrcoef(np.hstack([reduced.values[train], standard @ axes[:, :-5:-1]]).T)[:4, 4:]
    np.testing.assert_allclose(np.abs(np.diag(correlations)), 1, atol=1e-4)
    np.testing.assert_allclose(vectors @ reduced.projection.T + reduced.offset, reduced.values, atol=1e-4)


def test_a_depth_that_says_nothing_has_scores_of_chance() -> None:
    space = scrambled()
    fitted = head().fit(space, PARTS, 0, Support(stages=lambda latents: {"blank": np.full_like(latents, 0.3)}))
    assert accuracies(fitted, space)[1] == 0.5
    assert np.isfinite(fitted.profile[1].test).all()


def test_pixels_are_probed_as_they_are() -> None:
    space = scrambled()
    decoder = Decoder()
    fitted = head().fit(replace(space, pixels=True), PARTS, 0, Support(stages=decoder))
    assert fitted.profile == () and decoder.batches == []
    np.testing.assert_array_equal(fitted.test, head().fit(space, PARTS, 0, ALONE).test)


def test_a_decoder_sees_every_sample_once_and_a_bounded_batch() -> None:
    space, decoder = scrambled(), Decoder()
    spec, fresh = head(), head()
    first = spec.fit(space, Split(0, PARTS.test, PARTS.train, PARTS.validation), 0, Support(stages=decoder))
    again = spec.fit(space, PARTS, 1, Support(stages=decoder))
    assert {len(batch) for batch in decoder.batches} == {batch_size((2, 16, 16))}
    assert len(decoder.batches) == -(-300 // 32)
    # What was kept changes no bit, and neither does which samples were asked for before.
    other = fresh.fit(space, PARTS, 0, Support(stages=Decoder()))
    for one, two in zip(again.profile, other.profile, strict=True):
        np.testing.assert_array_equal(one.test, two.test)
    assert not np.array_equal(first.test, again.test)
    assert spec == fresh


def test_features_that_are_kept_are_not_those_of_other_values() -> None:
    space, spec = scrambled(), head()
    support = Support(stages=Decoder())
    spec.fit(space, PARTS, 0, support)
    space.values[:] = scrambled(seed=5).values
    np.testing.assert_array_equal(
        spec.fit(space, PARTS, 0, support).profile[2].test, head().fit(space, PARTS, 0, support).profile[2].test
    )
    wider = spec.model_copy(update={"grid": 4})
    assert set(wider.fit(space, PARTS, 0, support).curve.features) == {32, 48}


def test_a_row_of_no_part_is_never_looked_at() -> None:
    split = Split(0, np.arange(10, 120), PARTS.validation, np.arange(200, 300))
    one, other = scrambled(), scrambled()
    other.values[:10], other.values[180:200] = np.nan, np.nan
    results = [head().fit(space, split, 0, Support(stages=Decoder())) for space in (one, other)]
    for a, b in zip(results[0].profile, results[1].profile, strict=True):
        np.testing.assert_array_equal(a.test, b.test)


@pytest.mark.parametrize("family", ["diffusers-kl", "diffusers-tiny"])
def test_real_decoders_are_probed_at_all_their_stages(family: str) -> None:
    autoencoder = read(family).load(3)
    assert isinstance(autoencoder, Staged)
    images = natural_images(20, 64, seed=3)
    latents = autoencoder.encode(images).mean
    numbers = (images.mean(axis=(1, 2, 3)) > np.median(images.mean(axis=(1, 2, 3)))).astype(int)
    labels = np.eye(2, dtype=np.int8)[numbers]
    rows = np.random.default_rng(0).permutation(20)
    split = Split(0, *np.split(rows, [12, 16]))
    space = Space(latents, labels, True, 64 // latents.shape[2])
    staged, names = autoencoder, autoencoder.stages()
    support = Support(stages=lambda batch: staged.activations(batch, names))
    fitted = head(grid=4, components=16).fit(space, split, 0, support)
    assert [point.at for point in fitted.profile] == list(range(len(names) + 1))
    assert list(fitted.curve.stage.unique()) == ["space", *names]
    assert set(fitted.curve.components) == {11}
    assert all(point.test.shape == (4, 2) and np.isfinite(point.test).all() for point in fitted.profile)
    # In the values of the stage itself, not of another one.
    direct = averages(autoencoder.activations(latents, names)[names[-1]], 4).reshape(20, -1)
    kept = StageFeatures(space, support.stages, 4, 16).of(np.arange(20))[names[-1]]
    np.testing.assert_allclose(kept, direct, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        (lambda latents: {"flat": latents.reshape(len(latents), -1)}, "shape .* for 32 latents"),
        (lambda latents: {"half": latents[:5]}, "shape .* for 32 latents"),
        (lambda latents: {"broken": latents * np.nan}, "'broken' has values that are not finite"),
        (lambda latents: {str(latents.sum()): latents}, "other stages than before"),
    ],
)
def test_a_decoder_that_breaks_its_contract_is_refused(stages: Stages, message: str) -> None:
    with pytest.raises(StudyError, match=message):
        head().fit(scrambled(), PARTS, 0, Support(stages=stages))


def test_the_entry_of_a_configuration_is_read_again_as_it_was_written() -> None:
    spec = head(probe="linear")
    assert families.spec("heads", json.loads(spec.written())) == spec
