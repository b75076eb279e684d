"""Tiny autoencoders in their original key layout, with mid blocks (madebyollin/taesd: TAEF2, the FLUX.2 latent space).

diffusers' AutoencoderTiny has no mid blocks and cannot hold these weights.
"""

from typing import ClassVar, Literal

from pipeline.autoencoders import Autoencoder, AutoencoderSpec, Shape
from pipeline.networks.patches import grid
from pipeline.weights import WeightFile

LATENT_CHANNELS = 32
STRIDE = 8


class Spec(AutoencoderSpec):
    """An autoencoder in one local file."""

    latent_dtype: ClassVar[Literal["float16", "float32"]] = "float16"

    weights: WeightFile
    """A safetensors file with keys below `encoder.` and `decoder.`."""

    def latent_shape(self, image: Shape) -> Shape:
        """Return (32, H / 8, W / 8)."""
        return LATENT_CHANNELS, *grid(image, STRIDE)

    def files(self) -> list[str]:
        """Return the weights."""
        return [self.weights]

    def load(self, image_channels: int) -> Autoencoder:
        """Read the weights."""
        from pipeline.networks import tae
        from pipeline.networks.adapter import Codec, TorchAutoencoder

        network = tae.read(self.weights)
        codec = Codec(network, 3, 0.0, lambda images: (network.encoder(images), None), network.decoder)
        return TorchAutoencoder(codec, image_channels)
