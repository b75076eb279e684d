"""A variational autoencoder with a Gaussian posterior (diffusers' AutoencoderKL; Rombach et al., 2022).

Latents are the posterior's mean, raw: the scaling factor that a diffusion pipeline would apply is not applied.
"""

from typing import Any, ClassVar, Literal

from pipeline.autoencoders import Autoencoder
from pipeline.networks.folder import FolderSpec


class Spec(FolderSpec):
    """An autoencoder in a local folder."""

    network: ClassVar[str] = "AutoencoderKL"
    latent_dtype: ClassVar[Literal["float16", "float32"]] = "float16"

    def latent_channels(self, configuration: dict[str, Any]) -> int:
        """Return the channels of the mean."""
        return int(configuration["latent_channels"])

    def load(self, image_channels: int) -> Autoencoder:
        """Read the weights."""
        from torch import Tensor

        from pipeline.networks.adapter import Codec, TorchAutoencoder
        from pipeline.networks.diffusers_classes import read

        channels = int(self.configuration()["in_channels"])
        model = read(self.network, self.folder)

        def encode(images: Tensor) -> tuple[Tensor, Tensor]:
            posterior = model.encode(images).latent_dist
            return posterior.mode(), posterior.logvar

        codec = Codec(model, channels, -1.0, encode, lambda latents: model.decode(latents).sample)
        return TorchAutoencoder(codec, image_channels)
