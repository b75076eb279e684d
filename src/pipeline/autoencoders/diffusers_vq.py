"""An autoencoder with a codebook (diffusers' VQModel; Esser et al., 2021).

Latents are the codes themselves ("quantised"), or what the encoder gives before each vector is replaced by the nearest
code ("pre-quantised"); then decoding replaces it. Both decode to the same image.
"""

from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pipeline.errors import StudyError
from pipeline.networks.folder import FolderSpec, Model

if TYPE_CHECKING:
    from torch import Tensor


class Spec(FolderSpec):
    """An autoencoder in a local folder."""

    # A code that is rounded is no longer in the codebook.
    latent_dtype: Literal["float32"] = "float32"
    network: ClassVar[str] = "VQModel"

    space: Literal["quantised", "pre-quantised"] = "quantised"  # type: ignore[assignment]
    """Which latents are stored."""

    def latent_channels(self, configuration: dict[str, Any]) -> int:
        """Return the length of a code."""
        return int(configuration.get("vq_embed_dim") or configuration["latent_channels"])

    def tuned(self, folder: str) -> Self:
        """Raise StudyError: the codec has no gradient, and straight-through training is not done here."""
        raise StudyError(f"the family {self.family} is not fine-tuned: its codebook gives the encoder no gradient")

    def encode(self, model: Model, images: "Tensor") -> "tuple[Tensor, None]":
        """Return the codes, or the vectors that they replace."""
        latents = model.encode(images).latents
        return (_nearest(model, latents) if self.space == "quantised" else latents), None

    def decode(self, model: Model, latents: "Tensor") -> "Tensor":
        """Return the images of the codes, or of the codes next to these vectors."""
        codes = latents if self.space == "quantised" else _nearest(model, latents)
        by_place = model.config.norm_type == "spatial"
        images: Tensor = model.decoder(model.post_quant_conv(codes), codes if by_place else None)
        return images


def _nearest(model: Model, latents: "Tensor") -> "Tensor":
    # Looked up in the codebook: the class itself returns latents + (code - latents), which rounds.
    count, _, rows, columns = latents.shape
    codes: Tensor = model.quantize.embedding(model.quantize(latents)[2][2])
    return codes.reshape(count, rows, columns, -1).permute(0, 3, 1, 2)
