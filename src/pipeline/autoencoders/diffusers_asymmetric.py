"""A variational autoencoder with a larger decoder (diffusers' AsymmetricAutoencoderKL; Zhu et al., arXiv 2306.04632).

Decoding uses the latents alone: the decoder's optional inputs, an image and a mask for inpainting, are left out.
"""

from typing import Any, ClassVar

from pipeline.errors import StudyError
from pipeline.networks.folder import FolderSpec


class Spec(FolderSpec):
    """An autoencoder in a local folder."""

    network: ClassVar[str] = "AsymmetricAutoencoderKL"
    blocks: ClassVar[str] = "down_block_out_channels"

    def configuration(self) -> dict[str, Any]:
        """Read config.json; raise StudyError for a decoder that gives images of another size than the encoder takes."""
        configuration = super().configuration()
        down, up = (len(configuration[f"{name}_block_out_channels"]) for name in ("down", "up"))
        if down != up:
            raise StudyError(f"{self.folder} encodes by {2 ** (down - 1)} and decodes by {2 ** (up - 1)}")
        return configuration
