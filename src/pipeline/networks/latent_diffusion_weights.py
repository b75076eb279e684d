"""Read weights in CompVis' latent-diffusion layout into diffusers' AutoencoderKL."""

import torch
from safetensors.torch import load_file
from torch import Tensor

from pipeline.errors import StudyError
from pipeline.networks.diffusers_classes import build
from pipeline.networks.folder import Model
from pipeline.networks.latent_diffusion import architecture, original_key

UNUSED = ("channel_ds.", "channel_proj.")
"""Weights of MedVAE that are not part of the autoencoder."""
DOWN, UP = ".lora_down.weight", ".lora_up.weight"


def read(weights: str) -> Model:
    """Read an autoencoder in float32.

    Raises:
        StudyError: the file is missing, or a weight is missing, foreign or of another shape.
    """
    arguments = architecture(weights)
    model = build("AutoencoderKL", arguments)
    tensors = {key: value.float() for key, value in load_file(weights).items() if not key.startswith(UNUSED)}
    names = {key: original_key(key, len(arguments["block_out_channels"])) for key in model.state_dict()}
    try:
        tensors = merged(tensors)
        if wrong := sorted(set(names.values()) ^ set(tensors)):
            raise StudyError(f"{weights} does not hold the autoencoder that its shapes describe: see {wrong[0]}")
        model.load_state_dict({key: _as_in_diffusers(name, tensors[name]) for key, name in names.items()})
    except RuntimeError as error:
        raise StudyError(f"{weights} does not hold the autoencoder that its shapes describe: {error}") from error
    return model


def original(model: Model) -> dict[str, Tensor]:
    """Return an autoencoder's weights under their original names, which `read` takes."""
    levels = len(model.config.block_out_channels)
    return {original_key(key, levels): value for key, value in model.state_dict().items()}


def merged(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Add each low-rank update to the convolution that it belongs to.

    MedVAE's models of several latent channels were fitted with updates of rank 4 (`lora_down`, `lora_up`, scale 1) of
    every convolution in a residual or attention block, and are published with them apart. A sum of two convolutions of
    the same input is the convolution by the sum of their kernels.
    """
    down, up = ({key.removesuffix(end) for key in tensors if key.endswith(end)} for end in (DOWN, UP))
    layers = down & up  # what lacks one of them keeps its names, which are then refused
    plain: dict[str, Tensor] = {}
    for key, value in tensors.items():
        layer, _, name = key.rpartition(".")
        owner, _, part = layer.rpartition(".")
        if owner not in layers:
            plain[key] = value
        elif (part, name) == ("conv", "weight"):
            update = torch.einsum("or,rikl->oikl", tensors[owner + UP].flatten(1), tensors[owner + DOWN])
            plain[f"{owner}.weight"] = value + update
        elif part == "conv":
            plain[f"{owner}.{name}"] = value
    return plain


def _as_in_diffusers(name: str, value: Tensor) -> Tensor:
    """Return a weight of attention, which is a convolution of one pixel in the original layout, as a matrix."""
    return value.flatten(1) if ".attn_1." in name and name.endswith(".weight") and value.ndim == 4 else value
