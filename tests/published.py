"""Folders as they are published: the configuration to the letter, and random weights."""

import json
from pathlib import Path
from typing import Any

import torch

from tests.untrained import untrained

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


def save(configuration: dict[str, Any], folder: Path) -> Any:  # noqa: ANN401
    """Write random weights in half precision, as most are published, and return the model that has them."""
    arguments = {key: value for key, value in configuration.items() if key[0] != "_" and key != "force_upcast"}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = untrained(configuration["_class_name"], arguments).half()
    model.save_pretrained(folder)
    (folder / "config.json").write_text(json.dumps(configuration, indent=2))
    return model.float()
