"""A small autoencoder without a posterior (diffusers' AutoencoderTiny; the design of TAESD).

The class takes and gives [-1, 1] and maps to the [0, 1] of its own network inside. Its decoder squashes latents softly
to (-3, 3); latents are stored as the encoder gives them.
"""

from typing import Any, ClassVar, Literal

from pipeline.autoencoders import Autoencoder
from pipeline.networks.folder import FolderSpec


class Spec(FolderSpec):
    """An autoencoder in a local folder."""

    network: ClassVar[str] = "AutoencoderTiny"
    blocks: ClassVar[str] = "encoder_block_out_channels"
    latent_dtype: ClassVar[Literal["float16", "float32"]] = "float16"

    def latent_channels(self, configuration: dict[str, Any]) -> int:
        """Return the channels of the code."""
        return int(configuration["latent_channels"])

    def load(self, image_channels: int) -> Autoencoder:
        """Read the weights."""
        from pipeline.networks.adapter import Codec, TorchAutoencoder
        from pipeline.networks.diffusers_classes import read

        channels = int(self.configuration()["in_channels"])
        model = read(self.network, self.folder)
        codec = Codec(
            network=model,
            channels=channels,
            lowest=-1.0,
            encode=lambda images: (model.encode(images).latents, None),
            decode=lambda latents: model.decode(latents).sample,
        )
        return TorchAutoencoder(codec, image_channels)
