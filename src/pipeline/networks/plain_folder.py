"""Weights of networks that diffusers has no class for, in a folder of the same layout."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.networks.folder import CONFIGURATION
from pipeline.networks.folder import WEIGHTS as WEIGHTS

if TYPE_CHECKING:
    from torch import Tensor


def save(tensors: "Mapping[str, Tensor]", configuration: dict[str, str], folder: Path) -> None:
    """Write config.json and diffusion_pytorch_model.safetensors."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    (folder / CONFIGURATION).write_text(json.dumps(configuration) + "\n", encoding="utf-8")
    contiguous = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    save_file(contiguous, folder / WEIGHTS, metadata={"format": "pt"})
