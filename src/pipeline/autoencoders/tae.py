"""Tiny autoencoders in their original key layout, with mid blocks (madebyollin/taesd: TAEF2, the FLUX.2 latent space).

diffusers' AutoencoderTiny has no mid blocks and cannot hold these weights.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Self

from pipeline.autoencoders import Shape
from pipeline.networks.network import TrainableSpec
from pipeline.networks.patches import grid
from pipeline.networks.plain_folder import WEIGHTS, save
from pipeline.weights import WeightFile

if TYPE_CHECKING:
    from torch import nn

    from pipeline.networks.adapter import Codec

LATENT_CHANNELS = 32
STRIDE = 8


class Spec(TrainableSpec):
    """An autoencoder in one local file."""

    weights: WeightFile
    """A safetensors file with keys below `encoder.` and `decoder.`."""

    def latent_shape(self, image: Shape) -> Shape:
        """Return (32, H / 8, W / 8)."""
        return LATENT_CHANNELS, *grid(image, STRIDE)

    def files(self) -> list[str]:
        """Return the weights."""
        return [self.weights]

    def codec(self) -> "Codec":
        """Read the weights."""
        from pipeline.networks import tae
        from pipeline.networks.adapter import Codec, decoder_stages

        network = tae.read(self.weights)
        return Codec(
            network=network,
            channels=3,
            lowest=0.0,
            encode=lambda images: (network.encoder(images), None),
            decode=network.decoder,
            stages=decoder_stages(network.decoder),
        )

    def tuned(self, folder: str) -> Self:
        """Return the same entry for weights in this folder."""
        return self.model_copy(update={"weights": str(Path(folder) / WEIGHTS)})

    def save(self, network: "nn.Module", folder: Path) -> None:
        """Write the weights under their own names."""
        save(network.state_dict(), {"_class_name": "TinyAutoencoder"}, folder)
