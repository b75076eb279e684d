"""Untrained autoencoders on disk, in the layout of families of which no weights are shipped."""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from tests.latent_diffusion import random_weights

LEVELS = {"down_block_types": ["DownEncoderBlock2D"] * 2, "up_block_types": ["UpDecoderBlock2D"] * 2}
CLASSES: dict[str, tuple[str, dict[str, Any]]] = {
    "diffusers-dc": (
        "AutoencoderDC",
        {
            "encoder_block_out_channels": [8, 16],
            "decoder_block_out_channels": [8, 16],
            "encoder_layers_per_block": [1, 1],
            "decoder_layers_per_block": [1, 1],
            "encoder_qkv_multiscales": [[], []],
            "decoder_qkv_multiscales": [[], []],
            "latent_channels": 4,
        },
    ),
    "diffusers-kl-flux2": (
        "AutoencoderKLFlux2",
        {**LEVELS, "block_out_channels": [16, 32], "layers_per_block": 1, "latent_channels": 4, "norm_num_groups": 4},
    ),
    "diffusers-asymmetric": (
        "AsymmetricAutoencoderKL",
        {
            **LEVELS,
            "down_block_out_channels": [8, 16],
            "up_block_out_channels": [16, 32],
            "layers_per_up_block": 2,
            "norm_num_groups": 4,
        },
    ),
    "diffusers-rae": (
        "AutoencoderRAE",
        {
            "encoder_type": "dinov2",
            "encoder_hidden_size": 64,
            "encoder_patch_size": 14,
            "encoder_num_hidden_layers": 1,
            "decoder_hidden_size": 32,
            "decoder_num_hidden_layers": 1,
            "decoder_num_attention_heads": 2,
            "decoder_intermediate_size": 64,
            "patch_size": 16,
            "encoder_input_size": 56,
            "num_channels": 3,
        },
    ),
}
FAMILIES = [*CLASSES, "medvae"]


def entry(family: str, folder: Path) -> dict[str, str]:
    """Write a small untrained autoencoder and return what a study would say of it."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        if family == "medvae":
            save_file(random_weights(channels=3, latent=3, widths=(32, 64), rank=4), folder / "medvae.safetensors")
            return {"weights": str(folder / "medvae.safetensors")}
        network, architecture = CLASSES[family]
        untrained(network, architecture).save_pretrained(folder)
    return {"folder": str(folder)}


def untrained(network: str, architecture: dict[str, Any]) -> Any:  # noqa: ANN401
    """Return a new autoencoder whose statistics, too, are not what they are by default."""
    from pipeline.networks.diffusers_classes import build

    if network == "AutoencoderRAE":
        from pipeline.networks.rae_encoders import lend_encoders

        lend_encoders()
        places = architecture["encoder_input_size"] // architecture["encoder_patch_size"]
        shape = (architecture["encoder_hidden_size"], places, places)
        mean, deviation = torch.randn(shape), torch.rand(shape) + 0.5
        architecture = {**architecture, "latents_mean": mean.tolist(), "latents_std": deviation.tolist()}
    model = build(network, architecture).eval()
    if network == "AutoencoderKLFlux2":
        model.bn.running_mean.normal_()
        model.bn.running_var.uniform_(0.5, 2.0)
    return model
