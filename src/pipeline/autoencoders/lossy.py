"""A loss with a known answer: only the mean of each channel over each stride x stride patch is kept.

Decoding spreads a mean over its patch, so that encoding and decoding together project onto images that are constant on
patches. The latent and the reconstruction hold the same information: all that is lost is lost as information, and the
learnability gap must be zero.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipeline.autoencoders import Autoencoder, AutoencoderSpec, Latents, Pixels, Shape
from pipeline.networks.patches import grid, unshuffle


class Spec(AutoencoderSpec):
    """A control with the stride of the autoencoder that it stands beside."""

    stride: int = Field(ge=2)
    """Side of a patch in pixels. [pixels]"""

    def latent_shape(self, image: Shape) -> Shape:
        """Return (C, H / stride, W / stride)."""
        return image[0], *grid(image, self.stride)

    def load(self, image_channels: int) -> Autoencoder:
        """Return the averaging."""
        return _Lossy(self.stride)


@dataclass(frozen=True)
class _Lossy:
    stride: int

    def encode(self, images: Pixels) -> Latents:
        count, channels, *_ = images.shape
        patches = unshuffle(images, self.stride)
        values = patches.reshape(count, channels, self.stride**2, *patches.shape[2:])
        return Latents(values.mean(axis=2, dtype=np.float64).astype(np.float32))

    def decode(self, latents: NDArray[np.float32]) -> Pixels:
        spread = latents.repeat(self.stride, axis=2).repeat(self.stride, axis=3)
        return np.clip(spread.astype(np.float32), 0.0, 1.0)
