"""Features of a frozen encoder as latents. Whatever needs the package transformers is skipped where it is missing."""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipeline import families
from pipeline.autoencoders import AutoencoderSpec
from pipeline.errors import StudyError
from pipeline.natural_images import natural_images
from tests.untrained import CLASSES, entry, untrained

IMAGES = natural_images(2, 64, seed=44)
BASE = {"encoder_hidden_size": 768, "encoder_patch_size": 14, "patch_size": 16, "encoder_input_size": 224}


def read(**options: Any) -> AutoencoderSpec:  # noqa: ANN401
    spec = families.spec("autoencoders", {"family": "diffusers-rae", **options})
    assert isinstance(spec, AutoencoderSpec)
    return spec


@pytest.mark.parametrize(
    ("changes", "side", "shape"),
    [
        ({}, 256, (768, 16, 16)),
        ({"encoder_hidden_size": 1024}, 256, (1024, 16, 16)),
        ({"encoder_input_size": 448}, 512, (768, 32, 32)),
        ({"encoder_input_size": 256, "encoder_patch_size": 16}, 256, (768, 16, 16)),
    ],
)
def test_features_take_images_of_one_size(tmp_path: Path, changes: dict[str, int], side: int, shape: object) -> None:
    """Shapes: the table of released models in the documentation of diffusers' AutoencoderRAE."""
    configuration = {"_class_name": "AutoencoderRAE", **BASE, **changes}
    (tmp_path / "config.json").write_text(json.dumps(configuration))
    spec = read(folder=str(tmp_path))
    assert spec.latent_shape((3, side, side)) == shape
    with pytest.raises(StudyError, match=f"takes {side} x {side}"):
        spec.latent_shape((3, 2 * side, 2 * side))
    (tmp_path / "config.json").write_text(json.dumps({**configuration, "reshape_to_2d": False}))
    with pytest.raises(StudyError, match="without places"):
        spec.latent_shape((3, side, side))


def test_features_are_those_of_the_encoder_without_statistics(tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="the encoder of AutoencoderRAE is one of the package transformers")
    options = entry("diffusers-rae", tmp_path)
    network, architecture = CLASSES["diffusers-rae"]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = untrained(network, {**architecture, "scaling_factor": 2.0})
    model.save_pretrained(tmp_path)
    autoencoder = read(**options).load(3)
    latents = autoencoder.encode(IMAGES).mean
    with torch.no_grad():
        resized = model._resize_and_normalize(torch.from_numpy(IMAGES))
        tokens = model.encoder(resized).last_hidden_state[:, 5:]  # after one class token and four registers
        decoded = model.decode(model.encode(torch.from_numpy(IMAGES)).latent).sample.clip(0, 1)
    np.testing.assert_allclose(latents, tokens.transpose(1, 2).reshape(latents.shape).numpy(), atol=1e-5)
    np.testing.assert_allclose(autoencoder.decode(latents), decoded.numpy(), atol=1e-5)


@pytest.mark.skipif(find_spec("transformers") is not None, reason="the package transformers is installed")
def test_a_missing_package_is_named(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="package transformers"):
        read(**entry("diffusers-rae", tmp_path)).load(3)
