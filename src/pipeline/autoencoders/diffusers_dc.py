"""A deep-compression autoencoder without a posterior (diffusers' AutoencoderDC; Chen et al., 2025)."""

from typing import TYPE_CHECKING, ClassVar

from pipeline.networks.folder import FolderSpec, Model

if TYPE_CHECKING:
    from torch import Tensor


class Spec(FolderSpec):
    """An autoencoder in a local folder."""

    network: ClassVar[str] = "AutoencoderDC"
    blocks: ClassVar[str] = "encoder_block_out_channels"

    def encode(self, model: Model, images: "Tensor") -> "tuple[Tensor, None]":
        """Return the code."""
        return model.encode(images).latent, None
