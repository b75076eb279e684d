"""The encoders of diffusers' AutoencoderRAE, which are classes of the package transformers.

`diffusers_classes` keeps diffusers from importing them for every family; here they are lent to the one that needs them.
"""

# First: diffusers is to be imported without transformers, and transformers needs torchvision.
from pipeline.networks import diffusers_classes  # noqa: F401  isort: skip

from typing import Any

import transformers
from diffusers.models.autoencoders import autoencoder_rae
from torch import Tensor, nn

CONFIGURATIONS = ("Dinov2WithRegistersConfig", "SiglipVisionConfig", "ViTMAEConfig")
MODELS = ("Dinov2WithRegistersModel", "ViTMAEModel")


class SiglipVisionModel(nn.Module):
    """transformers' class of this name, one level down.

    Up to transformers 5.5 it held its network as `vision_model`, where diffusers 0.42 looks for it and below which
    published weights have their names; since 5.6 it is the network itself.
    """

    def __init__(self, config: Any) -> None:  # noqa: ANN401 - a class that transformers makes at run time
        super().__init__()
        self.vision_model = transformers.SiglipVisionModel(config)

    def forward(self, images: Tensor, *, interpolate_pos_encoding: bool, output_hidden_states: bool) -> object:
        """Return transformers' output; features of single layers, which nobody reads, are not collected."""
        return self.vision_model(images, interpolate_pos_encoding=interpolate_pos_encoding)


def lend_encoders() -> None:
    """Let AutoencoderRAE be built."""
    for name in (*CONFIGURATIONS, *MODELS):
        setattr(autoencoder_rae, name, getattr(transformers, name))
    setattr(autoencoder_rae, SiglipVisionModel.__name__, SiglipVisionModel)
