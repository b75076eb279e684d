"""A lossless rearrangement: each stride x stride patch becomes channels, so that only the structure changes."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipeline.autoencoders import Autoencoder, AutoencoderSpec, Latents, Pixels, Shape
from pipeline.networks.patches import grid, shuffle, unshuffle


class Spec(AutoencoderSpec):
    """A control with the stride of the autoencoder that it stands beside."""

    stride: int = Field(ge=1)
    """Side of a patch in pixels. [pixels]"""

    def latent_shape(self, image: Shape) -> Shape:
        """Return (C stride stride, H / stride, W / stride)."""
        return image[0] * self.stride**2, *grid(image, self.stride)

    def load(self, image_channels: int) -> Autoencoder:
        """Return the rearrangement."""
        return _PixelUnshuffle(self.stride)


@dataclass(frozen=True)
class _PixelUnshuffle:
    stride: int

    def encode(self, images: Pixels) -> Latents:
        return Latents(unshuffle(images, self.stride).astype(np.float32))

    def decode(self, latents: NDArray[np.float32]) -> Pixels:
        return np.clip(shuffle(latents, self.stride).astype(np.float32), 0.0, 1.0)
