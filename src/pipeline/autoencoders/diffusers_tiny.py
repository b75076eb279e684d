"""A small autoencoder without a posterior (diffusers' AutoencoderTiny; the design of TAESD).

The class takes and gives [-1, 1] and maps to the [0, 1] of its own network inside. Its decoder squashes latents softly
to (-3, 3); latents are stored as the encoder gives them.
"""

from typing import TYPE_CHECKING, ClassVar

from pipeline.networks.folder import FolderSpec, Model

if TYPE_CHECKING:
    from torch import Tensor


class Spec(FolderSpec):
    """An autoencoder in a local folder."""

    network: ClassVar[str] = "AutoencoderTiny"
    blocks: ClassVar[str] = "encoder_block_out_channels"

    def encode(self, model: Model, images: "Tensor") -> "tuple[Tensor, None]":
        """Return the code."""
        return model.encode(images).latents, None
