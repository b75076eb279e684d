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
from tests.untrained import entry, untrained

WEIGHTS = "diffusion_pytorch_model.safetensors"
IMAGES = natural_images(2, 64, seed=44)

FOUR = {"down_block_types": ["DownEncoderBlock2D"] * 4, "up_block_types": ["UpDecoderBlock2D"] * 4}
KL = {**FOUR, "act_fn": "silu", "block_out_channels": [128, 256, 512, 512], "in_channels": 3, "layers_per_block": 2}
KL |= {"out_channels": 3}
NEWER = {**KL, "force_upcast": True, "norm_num_groups": 32, "sample_size": 1024}
UNQUANTISED = {**NEWER, "latent_channels": 16, "latents_mean": None, "latents_std": None}
UNQUANTISED |= {"use_post_quant_conv": False, "use_quant_conv": False}
FLUX2 = {**NEWER, "batch_norm_eps": 0.0001, "batch_norm_momentum": 0.1, "latent_channels": 32, "patch_size": [2, 2]}
FLUX2 |= {"mid_block_add_attention": True, "use_post_quant_conv": True, "use_quant_conv": True}
ASYMMETRIC = {**FOUR, "act_fn": "silu", "down_block_out_channels": [128, 256, 512, 512], "in_channels": 3}
ASYMMETRIC |= {"latent_channels": 4, "layers_per_down_block": 2, "norm_num_groups": 32, "out_channels": 3}
ASYMMETRIC |= {"sample_size": 32, "scaling_factor": 0.18215}
DEEP_BLOCKS = ["ResBlock"] * 3 + ["EfficientViTBlock"] * 3
DEEP_SCALES: list[list[int]] = [[], [], [], [5], [5], [5]]
DEEP = {"attention_head_dim": 32, "decoder_act_fns": "silu", "decoder_block_types": DEEP_BLOCKS, "in_channels": 3}
DEEP |= {"decoder_norm_types": "rms_norm", "decoder_qkv_multiscales": DEEP_SCALES, "downsample_block_type": "Conv"}
DEEP |= {"encoder_block_types": DEEP_BLOCKS, "encoder_qkv_multiscales": DEEP_SCALES, "latent_channels": 32}
DEEP |= {"scaling_factor": 0.41407, "upsample_block_type": "interpolate"}

# The config.json of each repository, family and shape of the latents of 64 x 64 pixels beside it.
PUBLISHED: dict[str, tuple[str, tuple[int, int, int], dict[str, Any]]] = {
    "CompVis/stable-diffusion-v1-4/vae": (
        "diffusers-kl",
        (4, 8, 8),
        {**KL, "_class_name": "AutoencoderKL", "_diffusers_version": "0.2.2", "latent_channels": 4, "sample_size": 512},
    ),
    "stabilityai/stable-diffusion-xl-base-1.0/vae": (
        "diffusers-kl",
        (4, 8, 8),
        {**NEWER, "_class_name": "AutoencoderKL", "latent_channels": 4, "scaling_factor": 0.13025},
    ),
    "stabilityai/stable-diffusion-3-medium-diffusers/vae": (
        "diffusers-kl",
        (16, 8, 8),
        {**UNQUANTISED, "_class_name": "AutoencoderKL", "scaling_factor": 1.5305, "shift_factor": 0.0609},
    ),
    "black-forest-labs/FLUX.1-dev/vae": (
        "diffusers-kl",
        (16, 8, 8),
        {
            **UNQUANTISED,
            "_class_name": "AutoencoderKL",
            "_diffusers_version": "0.30.0.dev0",
            "_name_or_path": "../checkpoints/flux-dev",
            "mid_block_add_attention": True,
            "scaling_factor": 0.3611,
            "shift_factor": 0.1159,
        },
    ),
    "black-forest-labs/FLUX.2-dev/vae": (
        "diffusers-kl-flux2",
        (32, 8, 8),
        {**FLUX2, "_class_name": "AutoencoderKLFlux2", "_diffusers_version": "0.36.0.dev0"},
    ),
    "black-forest-labs/FLUX.2-small-decoder": (
        "diffusers-kl-flux2",
        (32, 8, 8),
        {**FLUX2, "_class_name": "AutoencoderKLFlux2", "decoder_block_out_channels": [96, 192, 384, 384]},
    ),
    # Published with [256, 512, 1024, 1024] and 5 layers in the decoder: 1.2 GB.
    "cross-attention/asymmetric-autoencoder-kl-x-2": (
        "diffusers-asymmetric",
        (4, 8, 8),
        {
            **ASYMMETRIC,
            "_class_name": "AsymmetricAutoencoderKL",
            "_diffusers_version": "0.18.0.dev0",
            "layers_per_up_block": 1,
            "up_block_out_channels": [64, 128, 256, 256],
        },
    ),
    # Published with [128, 256, 512, 512, 1024, 1024], [2, 2, 2, 3, 3, 3] and [3, 3, 3, 3, 3, 3] layers: 1.2 GB.
    "mit-han-lab/dc-ae-f32c32-sana-1.0-diffusers": (
        "diffusers-dc",
        (32, 2, 2),
        {
            **DEEP,
            "_class_name": "AutoencoderDC",
            "_diffusers_version": "0.32.0.dev0",
            "encoder_block_out_channels": [32, 32, 64, 64, 128, 128],
            "decoder_block_out_channels": [32, 32, 64, 64, 128, 128],
            "encoder_layers_per_block": [1, 1, 1, 1, 1, 1],
            "decoder_layers_per_block": [1, 1, 1, 1, 1, 1],
        },
    ),
}


def read(family: str, **options: Any) -> AutoencoderSpec:  # noqa: ANN401
    spec = families.spec("autoencoders", {"family": family, **options})
    assert isinstance(spec, AutoencoderSpec)
    return spec


def save(configuration: dict[str, Any], folder: Path) -> Any:  # noqa: ANN401
    """Write random weights in half precision, as most are published, and return the model that has them."""
    arguments = {key: value for key, value in configuration.items() if key[0] != "_" and key != "force_upcast"}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = untrained(configuration["_class_name"], arguments).half()
    model.save_pretrained(folder)
    (folder / "config.json").write_text(json.dumps(configuration, indent=2))
    return model.float()


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
