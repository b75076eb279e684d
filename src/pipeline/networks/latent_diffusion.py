"""The weights of CompVis' latent-diffusion autoencoders and their names in AutoencoderKL. No torch is imported.

Source of both: diffusers 0.42.1 (`AutoencoderKL`, `loaders/single_file_utils.py`) and StanfordMIMI/MedVAE
(`medvae/utils/vae/diffusionmodels.py`).
"""

import re
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from pipeline.errors import StudyError

# From diffusers' name to the original one; the levels of the decoder are counted from the other end.
RENAMED = (
    (r"\.conv_norm_out\.", r".norm_out."),
    (r"\.down_blocks\.(\d+)\.resnets\.(\d+)\.", r".down.\1.block.\2."),
    (r"\.down_blocks\.(\d+)\.downsamplers\.0\.", r".down.\1.downsample."),
    (r"\.up_blocks\.(\d+)\.resnets\.(\d+)\.", r".up.\1.block.\2."),
    (r"\.up_blocks\.(\d+)\.upsamplers\.0\.", r".up.\1.upsample."),
    (r"\.mid_block\.resnets\.0\.", r".mid.block_1."),
    (r"\.mid_block\.resnets\.1\.", r".mid.block_2."),
    (r"\.mid_block\.attentions\.0\.", r".mid.attn_1."),
    (r"\.group_norm\.", r".norm."),
    (r"\.to_([qkv])\.", r".\1."),
    (r"\.to_out\.0\.", r".proj_out."),
    (r"\.conv_shortcut\.", r".nin_shortcut."),
)


def original_key(key: str, levels: int) -> str:
    """Return the original name of one of diffusers' weights, for an autoencoder of so many levels."""
    for pattern, name in RENAMED:
        key = re.sub(pattern, name, key)
    return re.sub(r"\.up\.(\d+)\.", lambda match: f".up.{levels - 1 - int(match[1])}.", key)


def architecture(weights: str) -> dict[str, Any]:
    """Return the arguments of AutoencoderKL that fit the weights, from the file's header alone.

    Raises:
        StudyError: the file is missing or does not hold a two-dimensional autoencoder in this layout.
    """
    shapes = _shapes(weights)
    try:
        widths = _along(shapes, "encoder.down.{}.block.0.norm2.weight")
        channels = [shapes[f"{name}.weight"] for name in ("encoder.conv_in", "decoder.conv_out", "post_quant_conv")]
    except KeyError as error:
        raise StudyError(f"{weights} holds no autoencoder in the layout of latent diffusion: no {error}") from error
    if not widths or any(len(shape) != 4 for shape in channels):
        raise StudyError(f"{weights} holds no autoencoder for images of two dimensions")
    taken, given, latent = channels
    return {
        "in_channels": taken[1],
        "out_channels": given[0],
        "latent_channels": latent[1],
        "block_out_channels": widths,
        "down_block_types": ["DownEncoderBlock2D"] * len(widths),
        "up_block_types": ["UpDecoderBlock2D"] * len(widths),
        "layers_per_block": len(_along(shapes, "encoder.down.0.block.{}.norm2.weight")),
    }


def _along(shapes: dict[str, list[int]], key: str) -> list[int]:
    """Return the lengths of the weights that `key` names with 0, 1, 2 and so on."""
    lengths: list[int] = []
    while (name := key.format(len(lengths))) in shapes:
        lengths.append(shapes[name][0])
    return lengths


def _shapes(weights: str) -> dict[str, list[int]]:
    if not Path(weights).is_file():
        raise StudyError(f"there is no file {weights}")
    try:
        with safe_open(weights, framework="numpy") as file:
            return {key: file.get_slice(key).get_shape() for key in file.keys()}  # noqa: SIM118  (it is no dict)
    except SafetensorError as error:
        raise StudyError(f"{weights} is not a safetensors file") from error
