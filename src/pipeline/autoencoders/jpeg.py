"""Baseline JPEG (ITU-T T.81) as an autoencoder of stride 8: the latent is what the codec keeps of an image.

The latent holds the quantised coefficients of each 8 x 8 block, 64 channels for each component in zigzag order: of a
grey image its levels, of a colour image Y, Cb and Cr (JFIF), none of them subsampled, so that there is one grid. They
stand in the transform's own units, index times quantisation step, in which distances are those between reconstructions
(in levels of 255) and images of different quality can be compared; the first channel is 8 times the block's mean less
128. Decoding is the inverse transform, rounded to levels as a decoder of JPEG rounds them.
"""

from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from pipeline.autoencoders import Autoencoder, AutoencoderSpec, Latents, Pixels, Shape
from pipeline.errors import StudyError
from pipeline.networks import jpeg_blocks, jpeg_files
from pipeline.networks.finite import finite
from pipeline.networks.patches import grid

BLOCK = 8


class Spec(AutoencoderSpec):
    """A codec at one quality, or at one rate."""

    # Whole numbers of at most 1,151 in size: float16 holds each of them exactly.
    latent_dtype: Literal["float16"] = "float16"  # type: ignore[assignment]

    quality: int | None = Field(default=None, ge=1, le=100)
    """Of every image, as libjpeg counts it: 50 are the tables of the standard's annex K. [1]"""
    bits_per_pixel: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Instead: each image gets the highest quality at which its file, headers included, takes at most so many. [bits
    per pixel]"""

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.quality is None) == (self.bits_per_pixel is None):
            raise ValueError("say either 'quality' or 'bits_per_pixel'")
        return self

    def latent_shape(self, image: Shape) -> Shape:
        """Return (64 C, H / 8, W / 8)."""
        return image[0] * BLOCK**2, *grid(image, BLOCK)

    def load(self, image_channels: int) -> Autoencoder:
        """Return the codec."""
        if image_channels not in (1, 3):
            raise StudyError(f"JPEG holds images of 1 or 3 channels, and not of {image_channels}")
        return Jpeg(self.quality, self.bits_per_pixel)


@dataclass(frozen=True)
class Jpeg:
    """The codec; one of its two settings is None."""

    quality: int | None
    bits_per_pixel: float | None

    def encode(self, images: Pixels) -> Latents:
        """Round n x C x H x W pixels to levels of 0 to 255, transform and quantise them."""
        finite(images, "the images")
        codes = [jpeg_blocks.quantised(image, self.chosen(image)) for image in jpeg_blocks.levels(images)]
        return Latents(np.stack(codes).astype(np.float32))

    def decode(self, latents: NDArray[np.float32]) -> Pixels:
        """Return the pixels, multiples of 1/255."""
        finite(latents, "the latents")
        return np.stack([jpeg_blocks.restored(latent) for latent in latents]).astype(np.float32) / np.float32(255)

    def file_bytes(self, images: Pixels) -> NDArray[np.int64]:
        """Return how many bytes the file of each image takes."""
        return np.array([jpeg_files.size(image, self.chosen(image)) for image in jpeg_blocks.levels(images)])

    def chosen(self, image: NDArray[np.uint8]) -> int:
        """Return the quality of one image of C x H x W levels."""
        return self.quality or jpeg_files.highest_quality(image, self.bits_per_pixel or 0.0)
