"""Weights in the layout of MedVAE are read as they were meant: a second implementation gives the same numbers."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from pipeline import families
from pipeline.autoencoders import AutoencoderSpec
from pipeline.errors import StudyError
from pipeline.natural_images import natural_images
from tests.latent_diffusion import Reference, random_weights

# `ddconfig` of the YAML files in stanfordmimi/MedVAE, all with ch 128 and two residual blocks; the size in megabytes of
# the checkpoint beside it; and the rank of the updates that `medvae/utils/factory.py` puts into those of more channels.
PUBLISHED: dict[str, tuple[dict[str, Any], int]] = {
    "medvae_4x1": ({"channels": 1, "latent": 1, "widths": (128, 256, 512)}, 221),
    "medvae_4x3": ({"channels": 3, "latent": 3, "widths": (128, 256, 512), "rank": 4}, 224),
    "medvae_8x1": ({"channels": 1, "latent": 1, "widths": (128, 256, 512, 512)}, 335),
    "medvae_8x4": ({"channels": 3, "latent": 4, "widths": (128, 256, 512, 512), "rank": 4}, 338),
}
SMALL: dict[str, Any] = {"channels": 3, "latent": 3, "widths": (32, 64, 64), "rank": 4}
IMAGES = natural_images(2, 64, seed=45)


def spec(weights: Path) -> AutoencoderSpec:
    found = families.spec("autoencoders", {"family": "medvae", "weights": str(weights)})
    assert isinstance(found, AutoencoderSpec)
    return found


def save(folder: Path, architecture: dict[str, Any]) -> dict[str, torch.Tensor]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        tensors = random_weights(**architecture)
    save_file(tensors, folder / "weights.safetensors")
    return tensors


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_layout_is_as_large_as_the_published_checkpoint(name: str) -> None:
    architecture, megabytes = PUBLISHED[name]
    with torch.device("meta"):
        numbers = sum(tensor.numel() for tensor in random_weights(**architecture).values())
    assert 4 * numbers / 1e6 == pytest.approx(megabytes, abs=0.6)


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_layouts_have_the_channels_and_the_stride_of_their_name(tmp_path: Path, name: str) -> None:
    architecture = PUBLISHED[name][0]
    save(tmp_path, architecture | {"widths": tuple(width // 4 for width in architecture["widths"])})
    stride, channels = (int(number) for number in name.removeprefix("medvae_").split("x"))
    shape = spec(tmp_path / "weights.safetensors").latent_shape((3, 64, 96))
    assert shape == (channels, 64 // stride, 96 // stride)


@pytest.mark.parametrize("rank", [0, 4])
@pytest.mark.parametrize("channels", [1, 3])
def test_another_implementation_gives_the_same_latents_and_images(tmp_path: Path, channels: int, rank: int) -> None:
    reference = Reference(save(tmp_path, {**SMALL, "channels": channels, "rank": rank}), levels=3)
    images = IMAGES[:, :channels]
    with torch.no_grad():
        mean, log_variance = reference.moments(torch.from_numpy(images) * 2 - 1).chunk(2, dim=1)
        decoded = ((reference.images(mean) + 1) / 2).clip(0, 1).numpy()
    autoencoder = spec(tmp_path / "weights.safetensors").load(channels)
    latents = autoencoder.encode(images)
    assert mean.std() > 0.1
    np.testing.assert_allclose(latents.mean, mean.numpy(), atol=1e-4)
    assert latents.log_variance is not None
    np.testing.assert_allclose(latents.log_variance, log_variance.numpy(), atol=1e-4)
    np.testing.assert_allclose(autoencoder.decode(mean.numpy()), decoded, atol=1e-4)


def test_updates_of_low_rank_are_not_lost(tmp_path: Path) -> None:
    tensors = save(tmp_path, SMALL)
    whole = spec(tmp_path / "weights.safetensors").load(3).encode(IMAGES).mean
    tensors |= {key: torch.zeros_like(value) for key, value in tensors.items() if "lora_up" in key}
    save_file(tensors, tmp_path / "weights.safetensors")
    assert np.abs(spec(tmp_path / "weights.safetensors").load(3).encode(IMAGES).mean - whole).max() > 0.01


def test_names_are_those_of_the_converter_in_diffusers(tmp_path: Path) -> None:
    from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint

    from pipeline.networks.latent_diffusion_weights import read

    tensors = save(tmp_path, {**SMALL, "rank": 0})
    model = read(str(tmp_path / "weights.safetensors"))
    converted = convert_ldm_vae_checkpoint(tensors, model.config)
    assert set(converted) == set(model.state_dict())
    for key, value in model.state_dict().items():
        torch.testing.assert_close(value, converted[key], rtol=0, atol=0)


def test_half_precision_is_read_in_full(tmp_path: Path) -> None:
    tensors = {key: value.half() for key, value in save(tmp_path, SMALL).items()}
    save_file(tensors, tmp_path / "weights.safetensors")
    rounded = Reference({key: value.float() for key, value in tensors.items()}, levels=3)
    with torch.no_grad():
        mean = rounded.moments(torch.from_numpy(IMAGES) * 2 - 1)[:, :3].numpy()
    np.testing.assert_allclose(spec(tmp_path / "weights.safetensors").load(3).encode(IMAGES).mean, mean, atol=1e-4)


@pytest.mark.parametrize(
    "key", ["encoder.down.0.block.0.conv1.conv.weight", "decoder.mid.attn_1.q.lora_up.weight", "decoder.norm_out.bias"]
)
@pytest.mark.parametrize("change", ["missing", "foreign", "of another shape"])
def test_weights_that_do_not_fit_are_refused(tmp_path: Path, key: str, change: str) -> None:
    tensors = save(tmp_path, SMALL)
    if change == "foreign":
        tensors[key.replace("coder.", "coder.attn.")] = tensors[key].clone()
    value = tensors.pop(key)
    if change != "missing":
        tensors[key] = value if change == "foreign" else value[:-1].clone()
    save_file(tensors, tmp_path / "weights.safetensors")
    with pytest.raises(StudyError, match="does not hold the autoencoder"):
        spec(tmp_path / "weights.safetensors").load(3)


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    with pytest.raises(StudyError, match="no file"):
        spec(path).latent_shape((3, 64, 64))
    path.write_bytes(b"PK" * 99)
    with pytest.raises(StudyError, match="not a safetensors file"):
        spec(path).latent_shape((3, 64, 64))
    save_file({"encoder.conv_in.weight": torch.zeros(1)}, path)
    with pytest.raises(StudyError, match="layout of latent diffusion"):
        spec(path).latent_shape((3, 64, 64))


def test_the_models_of_volumes_are_refused(tmp_path: Path) -> None:
    """medvae_4x1 and medvae_8x1 exist for volumes, too, with the same names of weights."""
    tensors = save(tmp_path, {**SMALL, "rank": 0})
    volumes = {key: value[..., None].contiguous() if value.ndim == 4 else value for key, value in tensors.items()}
    save_file(volumes, tmp_path / "weights.safetensors")
    with pytest.raises(StudyError, match="two dimensions"):
        spec(tmp_path / "weights.safetensors").latent_shape((1, 64, 64))


def test_colour_is_not_given_to_a_model_of_grey_images(tmp_path: Path) -> None:
    save(tmp_path, {**SMALL, "channels": 1})
    assert load_file(tmp_path / "weights.safetensors")["encoder.conv_in.weight"].shape[1] == 1
    with pytest.raises(StudyError, match="images of 3"):
        spec(tmp_path / "weights.safetensors").load(3)
