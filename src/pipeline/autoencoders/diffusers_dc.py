"""A deep-compression autoencoder without a posterior (diffusers' AutoencoderDC; Chen et al., 2025)."""

from typing import TYPE_CHECKING, ClassVar

from pipeline.networks.folder import FolderSpec, Model

if TYPE_CHECKING:
    from torch import Tensor, nn


class Spec(FolderSpec):
    """An autoencoder in a local folder."""

    network: ClassVar[str] = "AutoencoderDC"
    blocks: ClassVar[str] = "encoder_block_out_channels"

    def encode(self, model: Model, images: "Tensor") -> "tuple[Tensor, None]":
        """Return the code."""
        return model.encode(images).latent, None

    def stages(self, model: Model) -> "dict[str, nn.Module]":
        """Return the decoder's first layer and its levels, of which it applies the last one first.

        A level without layers is left out: where the finest one has none, the image is computed from half its size.
        """
        blocks = {f"up_blocks.{name}": block for name, block in model.decoder.up_blocks.named_children() if len(block)}
        return {"conv_in": model.decoder.conv_in, **dict(reversed(blocks.items()))}
