"""Features of a frozen encoder as latents, and images decoded from them."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipeline import families
from pipeline.autoencoders import AutoencoderSpec
from pipeline.errors import StudyError
from pipeline.natural_images import natural_images
from tests.untrained import CLASSES, untrained

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


# What of an encoder's output has a place in the image: not a class token, nor DINOv2's four registers.
ENCODERS = {
    "dinov2": ({}, 5),
    "siglip2": ({"encoder_patch_size": 16, "encoder_input_size": 64}, 0),
    "mae": ({"encoder_patch_size": 16, "encoder_input_size": 64}, 1),
}


@pytest.mark.parametrize("encoder", ENCODERS)
def test_features_are_those_of_the_encoder_without_statistics(tmp_path: Path, encoder: str) -> None:
    changes, others = ENCODERS[encoder]
    network, architecture = CLASSES["diffusers-rae"]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = untrained(network, {**architecture, **changes, "encoder_type": encoder, "scaling_factor": 2.0})
    model.save_pretrained(tmp_path)
    autoencoder = read(folder=str(tmp_path)).load(3)
    latents = autoencoder.encode(IMAGES).mean
    noise = {"noise": torch.arange(16)[None].expand(2, -1).float()} if encoder == "mae" else {}
    inner = getattr(model.encoder, "vision_model", model.encoder)
    with torch.no_grad():
        resized = model._resize_and_normalize(torch.from_numpy(IMAGES))
        tokens = inner(resized, interpolate_pos_encoding=True, **noise) if encoder != "dinov2" else inner(resized)
        tokens = tokens.last_hidden_state[:, others:]
        decoded = model.decode(model.encode(torch.from_numpy(IMAGES)).latent).sample.clip(0, 1)
    np.testing.assert_allclose(latents, tokens.transpose(1, 2).reshape(latents.shape).numpy(), atol=1e-5)
    np.testing.assert_allclose(autoencoder.decode(latents), decoded.numpy(), atol=1e-5)


def test_weights_of_siglip_have_the_names_under_which_they_are_published(tmp_path: Path) -> None:
    network, architecture = CLASSES["diffusers-rae"]
    model = untrained(network, {**architecture, **ENCODERS["siglip2"][0], "encoder_type": "siglip2"})
    assert "encoder.vision_model.embeddings.patch_embedding.weight" in model.state_dict()


def test_the_package_of_the_encoders_is_imported_for_this_family_alone() -> None:
    """It takes a third of a second, which every job of the other families would take, too."""
    code = (
        "import sys; from pipeline.networks import backbones, diffusers_classes\n"
        "from diffusers import AutoencoderKL, AutoencoderTiny\n"
        "assert 'transformers' not in sys.modules\n"
        "from pipeline.networks import rae_encoders\n"
        "assert 'transformers' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
