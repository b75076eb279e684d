"""The cosine transform of square blocks, of which the lowest frequencies are kept: a linear code of known geometry.

Each stride x stride block of each channel becomes its orthonormal DCT-II coefficients; the first `keep` in zigzag order
are the latent, channel by channel: the latent's channel c keep + i is coefficient i of image channel c. The first
coefficient is stride times the block's mean. The code is the orthogonal projection onto the frequencies that are kept:
its error is the energy of those that are not, and with keep = stride^2 it is lossless and keeps every distance.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from pipeline.autoencoders import Autoencoder, AutoencoderSpec, Latents, Pixels, Shape
from pipeline.networks.cosine import inverse, transform
from pipeline.networks.finite import finite
from pipeline.networks.patches import grid


class Spec(AutoencoderSpec):
    """A transform with the stride of the autoencoder that it stands beside."""

    stride: int = Field(ge=1)
    """Side of a block in pixels. [pixels]"""
    keep: int = Field(ge=1)
    """Coefficients kept of each block of each channel, at most stride^2. [1]"""

    @model_validator(mode="after")
    def _block_has_them(self) -> Self:
        if self.keep > self.stride**2:
            raise ValueError(f"a block of {self.stride} x {self.stride} has no {self.keep} coefficients to keep")
        return self

    def latent_shape(self, image: Shape) -> Shape:
        """Return (C keep, H / stride, W / stride)."""
        return image[0] * self.keep, *grid(image, self.stride)

    def load(self, image_channels: int) -> Autoencoder:
        """Return the transform."""
        return _Dct(self.stride, self.keep)


@dataclass(frozen=True)
class _Dct:
    stride: int
    keep: int

    def encode(self, images: Pixels) -> Latents:
        finite(images, "the images")
        return Latents(np.concatenate([self._encode(image[None]) for image in images]))

    # One image at a time: a product of matrices may round differently in a batch of another size.
    def _encode(self, image: Pixels) -> NDArray[np.float32]:
        kept = transform(image, self.stride)[:, :, : self.keep]
        _, channels, _, rows, columns = kept.shape
        return kept.reshape(1, channels * self.keep, rows, columns).astype(np.float32)

    def decode(self, latents: NDArray[np.float32]) -> Pixels:
        finite(latents, "the latents")
        return np.concatenate([self._decode(latent[None]) for latent in latents])

    def _decode(self, latent: NDArray[np.float32]) -> Pixels:
        _, values, rows, columns = latent.shape
        kept = latent.reshape(1, values // self.keep, self.keep, rows, columns)
        dropped = self.stride**2 - self.keep
        pixels = inverse(np.pad(kept, ((0, 0), (0, 0), (0, dropped), (0, 0), (0, 0))), self.stride)
        return np.clip(pixels, 0.0, 1.0).astype(np.float32)
