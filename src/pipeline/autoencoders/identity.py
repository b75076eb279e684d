"""The pixel baseline: the latent is the image, so that its gap must be zero."""

import numpy as np
from numpy.typing import NDArray

from pipeline.autoencoders import Autoencoder, AutoencoderSpec, Latents, Pixels, Shape


class Spec(AutoencoderSpec):
    """A control without options."""

    def latent_shape(self, image: Shape) -> Shape:
        """Return the shape of the image."""
        return image

    def load(self, image_channels: int) -> Autoencoder:
        """Return the identity."""
        return _Identity()


class _Identity:
    def encode(self, images: Pixels) -> Latents:
        return Latents(images.astype(np.float32))

    def decode(self, latents: NDArray[np.float32]) -> Pixels:
        return np.clip(latents.astype(np.float32), 0.0, 1.0)
