"""Autoencoders: one module a family, each with a `Spec` that can `load` an `Autoencoder`.

Contract: pixels in [0, 1] in, raw deterministic latents out (the posterior mean, never a sample; nothing normalised),
and back. The result for a sample does not depend on what else is in the batch. A family's module imports torch only
inside `load`, and keeps networks of its own in a module below `pipeline/networks/`.
"""

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline.spec import Spec

Pixels = NDArray[np.float32]
"""n x C x H x W in [0, 1]; C is 1 for grey images and 3 for colour."""

Shape = tuple[int, int, int]
"""Channels, height, width of one sample."""


@dataclass(frozen=True)
class Latents:
    """Raw latents of a batch.

    Attributes:
        mean: n x c x h x w, float32: the posterior mean, or the code itself where there is no posterior.
        log_variance: same shape, only for a variational encoder.
    """

    mean: NDArray[np.float32]
    log_variance: NDArray[np.float32] | None = None


class Autoencoder(Protocol):
    """A frozen encoder and decoder for images of the number of channels that it was loaded for."""

    def encode(self, images: Pixels) -> Latents:
        """Encode a batch of pixels."""
        ...

    def decode(self, latents: NDArray[np.float32]) -> Pixels:
        """Decode a batch of posterior means to pixels, clipped to [0, 1]."""
        ...


class AutoencoderSpec(Spec):
    """What the configuration says of one autoencoder."""

    family: str
    latent_dtype: ClassVar[Literal["float16", "float32"]] = "float32"
    """How latents are stored. float16 only where its rounding is far below what the decoder resolves."""
    space: Literal["raw"] = "raw"
    """Which of the spaces that an autoencoder offers the latents live in. A family that offers more says so here."""

    @abstractmethod
    def latent_shape(self, image: Shape) -> Shape:
        """Return (c, h, w) for images of shape (C, H, W); raise StudyError for a size that is not supported."""

    @abstractmethod
    def load(self, image_channels: int) -> Autoencoder:
        """Load the autoencoder for images with this many channels (1 or 3)."""

    def files(self) -> list[str]:
        """Return the weight and configuration files that `load` reads; a change of one of them encodes anew."""
        return []
