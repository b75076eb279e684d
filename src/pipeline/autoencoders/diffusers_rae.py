"""A frozen vision encoder and a decoder of its features (diffusers' AutoencoderRAE; Zheng et al., arXiv 2510.11690).

Latents are the encoder's patch features, raw: what the class returns is normalised by statistics in its weights, and
that is undone here. The encoder (DINOv2, SigLIP 2 or MAE) is one of the package transformers.
"""

from typing import TYPE_CHECKING, Any, ClassVar

from pipeline.autoencoders import Shape
from pipeline.errors import StudyError
from pipeline.networks.folder import FolderSpec, Model

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pipeline.networks.adapter import Codec


class Spec(FolderSpec):
    """An autoencoder in a local folder."""

    network: ClassVar[str] = "AutoencoderRAE"
    # The class takes pixels as they are and applies the encoder's own mean and deviation.
    lowest: ClassVar[float] = 0.0

    def latent_shape(self, image: Shape) -> Shape:
        """Return (c, h, w); raise StudyError for images of another size than the decoder gives.

        The class would resize any image to its encoder's input, and still decode to the one size.
        """
        configuration = self.configuration()
        places = configuration["encoder_input_size"] // configuration["encoder_patch_size"]
        side = places * configuration["patch_size"]
        if image[1:] != (side, side):
            raise StudyError(
                f"images of {image[1]} x {image[2]} pixels do not fit: {self.folder} takes {side} x {side}"
            )
        return self.latent_channels(configuration), places, places

    def latent_channels(self, configuration: dict[str, Any]) -> int:
        """Return the length of a feature."""
        return int(configuration["encoder_hidden_size"])

    def image_channels(self, configuration: dict[str, Any]) -> int:
        """Return how many channels the images of the class have."""
        return int(configuration.get("num_channels", 3))

    def configuration(self) -> dict[str, Any]:
        """Read config.json; raise StudyError for latents without places."""
        configuration = super().configuration()
        if not configuration.get("reshape_to_2d", True):
            raise StudyError(f"{self.folder} gives a list of features without places")
        return configuration

    def codec(self) -> "Codec":
        """Read the weights."""
        from pipeline.networks.rae_encoders import lend_encoders

        lend_encoders()
        return super().codec()

    def stages(self, model: Model) -> "dict[str, nn.Module]":
        """Return none: the decoder is a transformer, whose activations are no maps."""
        return {}

    def encode(self, model: Model, images: "Tensor") -> "tuple[Tensor, None]":
        """Return the features."""
        return model._denormalize_latents(model.encode(images).latent / model.config.scaling_factor), None

    def decode(self, model: Model, latents: "Tensor") -> "Tensor":
        """Return the images."""
        return super().decode(model, model._normalize_latents(latents) * model.config.scaling_factor)
