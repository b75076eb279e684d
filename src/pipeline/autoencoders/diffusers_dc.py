"""A deep-compression autoencoder without a posterior (diffusers' AutoencoderDC; Chen et al., 2025)."""

from typing import Any, ClassVar, Literal

from pipeline.autoencoders import Autoencoder
from pipeline.networks.folder import FolderSpec


class Spec(FolderSpec):
    """An autoencoder in a local folder."""

    network: ClassVar[str] = "AutoencoderDC"
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
            encode=lambda images: (model.encode(images).latent, None),
            decode=lambda latents: model.decode(latents).sample,
        )
        return TorchAutoencoder(codec, image_channels)
