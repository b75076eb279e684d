"""Folders as they are published: the configuration to the letter, random weights, and the class itself as the truth."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import zarr
from safetensors.torch import load_file, save_file

from pipeline import families
from pipeline.autoencoders import AutoencoderSpec
from pipeline.encode import lay_out_latents
from pipeline.errors import StudyError
from pipeline.natural_images import natural_images
from pipeline.store import Layout, lay_out
from tests.published import PUBLISHED, save
from tests.untrained import entry

WEIGHTS = "diffusion_pytorch_model.safetensors"
IMAGES = natural_images(2, 64, seed=44)


def read(family: str, **options: Any) -> AutoencoderSpec:  # noqa: ANN401
    spec = families.spec("autoencoders", {"family": family, **options})
    assert isinstance(spec, AutoencoderSpec)
    return spec


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder that does not outlive its test: pytest keeps the last three."""
    yield tmp_path
    shutil.rmtree(tmp_path)


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_layouts_give_the_raw_code_of_the_class_and_its_image(folder: Path, name: str) -> None:
    family, shape, configuration = PUBLISHED[name]
    model = save(configuration, folder)
    spec = read(family, folder=str(folder))
    assert spec.latent_shape((3, 64, 64)) == shape
    autoencoder = spec.load(3)
    with torch.no_grad():
        encoded = model.encode(torch.from_numpy(IMAGES) * 2 - 1)
        code = encoded.latent if family == "diffusers-dc" else encoded.latent_dist.mean
        decoded = ((model.decode(code).sample + 1) / 2).clip(0, 1).numpy()
    latents = autoencoder.encode(IMAGES)
    assert latents.mean.shape == (2, *shape)
    np.testing.assert_allclose(latents.mean, code.numpy(), atol=1e-5)
    np.testing.assert_allclose(autoencoder.decode(code.numpy()), decoded, atol=1e-4)
    assert (latents.log_variance is None) == (family == "diffusers-dc")
    if latents.log_variance is not None:
        np.testing.assert_allclose(latents.log_variance, encoded.latent_dist.logvar.numpy(), atol=1e-5)


def test_weights_with_the_old_names_of_attention_are_read(folder: Path) -> None:
    """Stable Diffusion 1 was published before diffusers renamed the layers of attention."""
    configuration = PUBLISHED["CompVis/stable-diffusion-v1-4/vae"][2] | {"block_out_channels": [32, 32, 32, 32]}
    save(configuration, folder)
    today = read("diffusers-kl", folder=str(folder)).load(3).encode(IMAGES).mean
    tensors = load_file(folder / WEIGHTS)
    for new, old in {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}.items():
        tensors = {key.replace(f".{new}.", f".{old}."): value for key, value in tensors.items()}
    assert "encoder.mid_block.attentions.0.proj_attn.weight" in tensors
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    then = read("diffusers-kl", folder=str(folder)).load(3).encode(IMAGES).mean
    np.testing.assert_array_equal(then, today)


def test_packed_latents_are_those_of_the_pipeline(folder: Path) -> None:
    """Packed as `Flux2Pipeline._patchify_latents` does, and normalised by the layer that holds the statistics."""
    model = save(PUBLISHED["black-forest-labs/FLUX.2-dev/vae"][2], folder)
    raw, packed = (read("diffusers-kl-flux2", folder=str(folder), space=space) for space in ("raw", "packed"))
    assert packed.latent_shape((3, 64, 96)) == (128, 4, 6)
    first, second = raw.load(3), packed.load(3)
    latents = first.encode(IMAGES)
    places = torch.from_numpy(latents.mean).view(2, 32, 4, 2, 4, 2).permute(0, 1, 3, 5, 2, 4).reshape(2, 128, 4, 4)
    with torch.no_grad():
        expected = model.bn(places).numpy()
    found = second.encode(IMAGES)
    np.testing.assert_allclose(found.mean, expected, atol=1e-5)
    np.testing.assert_allclose(second.decode(found.mean), first.decode(latents.mean), atol=1e-4)
    # The log-variance is that of the packed values: a step of one deviation is one in both spaces.
    assert latents.log_variance is not None
    assert found.log_variance is not None
    moved = first.encode(IMAGES).mean + np.exp(latents.log_variance / 2)
    step = model.bn(torch.from_numpy(moved).view(2, 32, 4, 2, 4, 2).permute(0, 1, 3, 5, 2, 4).reshape(2, 128, 4, 4))
    np.testing.assert_allclose(step.numpy() - found.mean, np.exp(found.log_variance / 2), atol=1e-4)


@pytest.mark.parametrize(("space", "shape"), [("raw", [4, 32, 32]), ("packed", [16, 16, 16])])
def test_a_store_says_which_space_it_holds(tmp_path: Path, space: str, shape: list[int]) -> None:
    spec = read("diffusers-kl-flux2", **entry("diffusers-kl-flux2", tmp_path), space=space)
    images, latents = tmp_path / "images.zarr", tmp_path / "latents.zarr"
    lay_out(images, Layout(2, (3, 64, 64), 1, "uint16", {"kind": "pixels"}))
    lay_out_latents(images, spec, 1, latents)
    array = zarr.open_array(latents, mode="r")
    assert array.attrs["space"] == space
    assert list(array.shape) == [2, *shape]


def test_packing_needs_an_even_number_of_places(tmp_path: Path) -> None:
    options = entry("diffusers-kl-flux2", tmp_path)
    assert read("diffusers-kl-flux2", **options).latent_shape((3, 62, 64)) == (4, 31, 32)
    with pytest.raises(StudyError, match="62 x 64"):
        read("diffusers-kl-flux2", **options, space="packed").latent_shape((3, 62, 64))


def rewrite(folder: Path, **changes: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_another_packing_is_refused(tmp_path: Path) -> None:
    options = entry("diffusers-kl-flux2", tmp_path)
    rewrite(tmp_path, patch_size=[4, 4])
    with pytest.raises(StudyError, match=r"\[4, 4\]"):
        read("diffusers-kl-flux2", **options).load(3)


def test_a_decoder_that_enlarges_is_refused(tmp_path: Path) -> None:
    """As AiArtLab/simplevae2x does: its images cannot be compared with those that were encoded."""
    options = entry("diffusers-asymmetric", tmp_path)
    rewrite(tmp_path, up_block_out_channels=[16, 16, 32], up_block_types=["UpDecoderBlock2D"] * 3)
    with pytest.raises(StudyError, match="by 2 and decodes by 4"):
        read("diffusers-asymmetric", **options).latent_shape((3, 64, 64))
