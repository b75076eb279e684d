"""A recipe gives the same bytes every time, and appears complete or not at all."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from pipeline import families, pretrain
from pipeline.errors import StudyError
from pipeline.natural_images import coloured_noise, natural_images
from pipeline.networks.folder import CONFIGURATION, WEIGHTS, FolderSpec

SHIPPED = Path(__file__).parent.parent / "resources" / "weights"
MINUTE = {
    "diffusers-kl": {
        "block_out_channels": [4, 4],
        "down_block_types": ["DownEncoderBlock2D"] * 2,
        "up_block_types": ["UpDecoderBlock2D"] * 2,
        "latent_channels": 2,
        "norm_num_groups": 2,
        "mid_block_add_attention": False,
    },
    "diffusers-vq": {
        "block_out_channels": [4, 4],
        "down_block_types": ["DownEncoderBlock2D"] * 2,
        "up_block_types": ["UpDecoderBlock2D"] * 2,
        "latent_channels": 2,
        "num_vq_embeddings": 16,
        "norm_num_groups": 2,
        "mid_block_add_attention": False,
    },
    "diffusers-tiny": {
        "encoder_block_out_channels": [4, 4],
        "decoder_block_out_channels": [4, 4],
        "num_encoder_blocks": [0, 1],
        "num_decoder_blocks": [1, 0],
        "latent_channels": 2,
    },
    "diffusers-dc": {
        "encoder_block_out_channels": [4, 8],
        "decoder_block_out_channels": [4, 8],
        "encoder_layers_per_block": [0, 1],
        "decoder_layers_per_block": [0, 1],
        "encoder_qkv_multiscales": [[], []],
        "decoder_qkv_multiscales": [[], []],
        "latent_channels": 4,
    },
}


def recipe(family: str = "diffusers-tiny", **options: object) -> pretrain.Recipe:
    keys = {"images": 18, "size": 16, "steps": 20, "batch": 4, "learning_rate": 1e-2, "penalty_weight": 1e-3}
    return pretrain.Recipe.model_validate({"family": family, "architecture": MINUTE[family], **keys, **options})


@pytest.mark.parametrize("family", MINUTE)
def test_training_lowers_the_loss_and_repeats_byte_for_byte(tmp_path: Path, family: str) -> None:
    losses = pretrain.pretrain(recipe(family, edge_weight=0.1), tmp_path / "first")
    pretrain.pretrain(recipe(family, edge_weight=0.1), tmp_path / "second")
    assert len(losses) == 20
    assert np.mean(losses[-4:]) < 0.8 * np.mean(losses[:4])
    for name in (CONFIGURATION, WEIGHTS, pretrain.CURVE):
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first", "second"]
    spec = families.spec("autoencoders", {"family": family, "folder": str(tmp_path / "first")})
    assert isinstance(spec, FolderSpec)
    assert spec.load(3).encode(natural_images(1, 16, 0)).mean.shape[1:] == spec.latent_shape((3, 16, 16))


def test_another_seed_gives_another_autoencoder(tmp_path: Path) -> None:
    for seed in (0, 1):
        pretrain.pretrain(recipe(steps=1, seed=seed), tmp_path / str(seed))
    assert (tmp_path / "0" / WEIGHTS).read_bytes() != (tmp_path / "1" / WEIGHTS).read_bytes()


def test_an_interrupted_training_leaves_no_half_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "tiny"
    pretrain.pretrain(recipe(steps=1), folder)
    before = (folder / WEIGHTS).read_bytes()

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "rename", interrupt)
    with pytest.raises(KeyboardInterrupt):
        pretrain.pretrain(recipe(steps=1, seed=1), tmp_path / "other")
    assert [path.name for path in tmp_path.iterdir()] == ["tiny"]
    with pytest.raises(KeyboardInterrupt):
        pretrain.pretrain(recipe(steps=1, seed=1), folder)
    assert [path.name for path in tmp_path.iterdir()] in (["tiny"], [])
    assert not folder.exists() or (folder / WEIGHTS).read_bytes() == before


def test_a_training_replaces_an_older_one_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "tiny"
    folder.mkdir()
    pretrain.pretrain(recipe(steps=1), folder)
    before = (folder / WEIGHTS).read_bytes()
    pretrain.pretrain(recipe(steps=1, seed=1), folder)
    assert (folder / WEIGHTS).read_bytes() != before
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(StudyError, match=r"notes\.txt"):
        pretrain.pretrain(recipe(steps=1), folder)
    assert (folder / "notes.txt").read_text() == "mine"


def test_the_curve_has_the_mean_loss_of_every_50_steps(tmp_path: Path) -> None:
    losses = pretrain.pretrain(recipe(steps=70), tmp_path / "tiny")
    curve = pd.read_csv(tmp_path / "tiny" / "curve.csv")
    assert list(curve["step"]) == [50, 70]
    np.testing.assert_allclose(curve["loss"], [np.mean(losses[:50]), np.mean(losses[50:])], rtol=1e-5)


def test_misspelt_keys_are_refused() -> None:
    with pytest.raises(ValidationError, match="setps"):
        recipe(setps=3)


def test_misspelt_arguments_of_the_class_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="latent_chanels"):
        pretrain.pretrain(recipe(architecture={"latent_chanels": 4}), tmp_path / "tiny")
    with pytest.raises(ValidationError, match="folder"):
        pretrain.pretrain(recipe().model_copy(update={"family": "identity"}), tmp_path / "tiny")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", sorted(path.name for path in SHIPPED.iterdir() if path.is_dir()))
def test_shipped_weights_are_what_their_recipe_describes(name: str) -> None:
    shipped = pretrain.Recipe.read((SHIPPED / name / "recipe.json").read_text())
    configuration = json.loads((SHIPPED / name / CONFIGURATION).read_text())
    assert {key: configuration[key] for key in shipped.architecture} == shipped.architecture
    assert (SHIPPED / name / WEIGHTS).stat().st_size < 1.5e6


@pytest.mark.parametrize("name", sorted(path.parent.name for path in SHIPPED.glob("*/curve.csv")))
def test_a_shipped_curve_is_of_the_whole_training_and_falls(name: str) -> None:
    shipped = pretrain.Recipe.read((SHIPPED / name / "recipe.json").read_text())
    curve = pd.read_csv(SHIPPED / name / pretrain.CURVE)
    assert list(curve["step"]) == list(range(pretrain.CURVE_PERIOD, shipped.steps + 1, pretrain.CURVE_PERIOD))
    assert curve["loss"].iloc[-5:].max() < 0.2 * curve["loss"].iloc[0]


def test_procedural_images_are_pixels_and_repeat() -> None:
    images = natural_images(40, 32, seed=7)
    assert images.shape == (40, 3, 32, 32)
    assert images.dtype == np.float32
    assert images.min() >= 0
    assert images.max() <= 1
    np.testing.assert_array_equal(natural_images(10, 32, seed=7), images[:10])
    grey = (images == images[:, :1]).all(axis=(1, 2, 3))
    assert 0 < grey.sum() < 40
    assert len(np.unique(images.reshape(40, -1), axis=0)) > 35


@pytest.mark.parametrize("exponent", [0.0, 1.0, 2.0])
def test_coloured_noise_has_its_spectrum(exponent: float) -> None:
    rng = np.random.default_rng(0)
    power = np.mean([np.abs(np.fft.fft2(coloured_noise(rng, 64, exponent))) ** 2 for _ in range(50)], axis=0)
    frequency = np.hypot(np.fft.fftfreq(64)[:, None], np.fft.fftfreq(64)[None, :])
    inside = (frequency > 0.05) & (frequency < 0.45)
    slope = np.polyfit(np.log(frequency[inside]), np.log(power[inside]), 1)[0]
    assert slope == pytest.approx(-2 * exponent, abs=0.05)
