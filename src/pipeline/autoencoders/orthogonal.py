"""A lossless mixing: one random orthogonal matrix turns the values of every patch.

The place of a patch is kept and the arrangement inside it is lost. Distances are those of pixels, so nothing that
depends on them alone changes.
"""

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
    seed: int = Field(ge=0)
    """Of the matrix."""

    def latent_shape(self, image: Shape) -> Shape:
        """Return (C stride stride, H / stride, W / stride)."""
        return image[0] * self.stride**2, *grid(image, self.stride)

    def load(self, image_channels: int) -> Autoencoder:
        """Return the mixing of patches with this many channels."""
        return _Orthogonal(self.stride, haar(image_channels * self.stride**2, self.seed))


def haar(size: int, seed: int) -> NDArray[np.float64]:
    """Return a size x size orthogonal matrix from the uniform (Haar) distribution.

    Source: Mezzadri, "How to generate random matrices from the classical compact groups", 2007, section 5: QR of a
    Gaussian matrix is Haar once the diagonal of R is made positive.
    """
    orthogonal, triangular = np.linalg.qr(np.random.default_rng(seed).standard_normal((size, size)))
    return np.asarray(orthogonal * np.sign(np.diagonal(triangular)), dtype=np.float64)


@dataclass(frozen=True)
class _Orthogonal:
    stride: int
    matrix: NDArray[np.float64]

    # Products are taken in double precision: what is left is the rounding of the stored latent, at most 2^-24 of a
    # patch's norm, which is below the 1/65535 on which images are stored for any patch of fewer than 10,000 values.
    def encode(self, images: Pixels) -> Latents:
        mixed = np.einsum("ij,njhw->nihw", self.matrix, unshuffle(images, self.stride), optimize=True)
        return Latents(mixed.astype(np.float32))

    def decode(self, latents: NDArray[np.float32]) -> Pixels:
        patches = np.einsum("ij,nihw->njhw", self.matrix, latents, optimize=True)
        return np.clip(shuffle(patches, self.stride), 0.0, 1.0).astype(np.float32)
