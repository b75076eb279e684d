"""An autoencoder with a codebook (diffusers' VQModel; Esser et al., 2021).

Latents are the codes themselves ("quantised"), or what the encoder gives before each vector is replaced by the nearest
code ("pre-quantised"); then decoding replaces it. Both decode to the same image.
"""

from typing import Any, ClassVar, Literal

from pipeline.autoencoders import Autoencoder
from pipeline.networks.folder import FolderSpec


class Spec(FolderSpec):
    """An autoencoder in a local folder."""

    network: ClassVar[str] = "VQModel"

    space: Literal["quantised", "pre-quantised"] = "quantised"  # type: ignore[assignment]
    """Which latents are stored."""

    def latent_channels(self, configuration: dict[str, Any]) -> int:
        """Return the length of a code."""
        return int(configuration.get("vq_embed_dim") or configuration["latent_channels"])

    def load(self, image_channels: int) -> Autoencoder:
        """Read the weights and the codebook."""
        from torch import Tensor

        from pipeline.networks.adapter import Codec, TorchAutoencoder
        from pipeline.networks.diffusers_classes import read

        configuration = self.configuration()
        model = read(self.network, self.folder)
        by_place = configuration.get("norm_type") == "spatial"

        def nearest(latents: Tensor) -> Tensor:
            # Looked up in the codebook: the class itself returns latents + (code - latents), which rounds.
            count, _, rows, columns = latents.shape
            codes: Tensor = model.quantize.embedding(model.quantize(latents)[2][2])
            return codes.reshape(count, rows, columns, -1).permute(0, 3, 1, 2)

        def encode(images: Tensor) -> tuple[Tensor, None]:
            latents = model.encode(images).latents
            return (nearest(latents) if self.space == "quantised" else latents), None

        def decode(latents: Tensor) -> Tensor:
            codes = latents if self.space == "quantised" else nearest(latents)
            images: Tensor = model.decoder(model.post_quant_conv(codes), codes if by_place else None)
            return images

        return TorchAutoencoder(Codec(model, int(configuration["in_channels"]), -1.0, encode, decode), image_channels)
