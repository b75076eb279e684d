"""What the configuration says of an autoencoder that lies in a folder in diffusers' layout. No torch is imported."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeAlias

from pipeline.autoencoders import Shape
from pipeline.errors import StudyError
from pipeline.networks.network import TrainableSpec
from pipeline.networks.patches import grid

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pipeline.networks.adapter import Codec

CONFIGURATION = "config.json"
WEIGHTS = "diffusion_pytorch_model.safetensors"

Model: TypeAlias = Any
"""An autoencoder of diffusers, which states no types that a checker could use."""


class FolderSpec(TrainableSpec):
    """An autoencoder of one of diffusers' classes.

    What most of them share is here: a Gaussian posterior whose mean is the latent, and pixels in [-1, 1]. The scale and
    the shift that a diffusion pipeline would apply to latents stand in the configuration and are not applied.
    """

    network: ClassVar[str]
    """The class."""
    blocks: ClassVar[str] = "block_out_channels"
    """The argument of the class that lists its levels, each half as wide and high as the one before."""
    lowest: ClassVar[float] = -1.0
    """What stands for a pixel of 0 in the class; 1 stands for a pixel of 1."""

    folder: str
    """Holds config.json and diffusion_pytorch_model.safetensors."""

    def files(self) -> list[str]:
        """Return the configuration and the weights."""
        return [str(Path(self.folder) / name) for name in (CONFIGURATION, WEIGHTS)]

    def latent_shape(self, image: Shape) -> Shape:
        """Return (c, H / stride, W / stride) as the folder's configuration states them."""
        configuration = self.configuration()
        return self.latent_channels(configuration), *grid(image, self.stride(configuration))

    def stride(self, configuration: dict[str, Any]) -> int:
        """Return how many pixels, down and across, become one place of the latents."""
        return int(2 ** (len(configuration[self.blocks]) - 1))

    def latent_channels(self, configuration: dict[str, Any]) -> int:
        """Return how many channels the latents have."""
        return int(configuration["latent_channels"])

    def image_channels(self, configuration: dict[str, Any]) -> int:
        """Return how many channels the images of the class have."""
        return int(configuration["in_channels"])

    def codec(self) -> "Codec":
        """Read the weights."""
        from pipeline.networks.adapter import Codec
        from pipeline.networks.diffusers_classes import read

        channels = self.image_channels(self.configuration())
        model = read(self.network, self.folder)
        return Codec(
            network=model,
            channels=channels,
            lowest=self.lowest,
            encode=lambda images: self.encode(model, images),
            decode=lambda latents: self.decode(model, latents),
            stages=self.stages(model),
        )

    def stages(self, model: Model) -> "dict[str, nn.Module]":
        """Return the modules of the decoder, from the latent to the image, whose outputs are its activations."""
        from pipeline.networks.adapter import decoder_stages

        return decoder_stages(model.decoder)

    def tuned(self, folder: str) -> Self:
        """Return the same entry for another folder."""
        return self.model_copy(update={"folder": folder})

    def save(self, network: "nn.Module", folder: Path) -> None:
        """Write the network in diffusers' layout."""
        network.save_pretrained(str(folder), safe_serialization=True)  # type: ignore[operator]

    def encode(self, model: Model, images: "Tensor") -> "tuple[Tensor, Tensor | None]":
        """Return the mean and the log-variance of the posterior, both n x c x h x w."""
        posterior = model.encode(images).latent_dist
        return posterior.mode(), posterior.logvar

    def decode(self, model: Model, latents: "Tensor") -> "Tensor":
        """Return the images."""
        images: Tensor = model.decode(latents).sample
        return images

    def configuration(self) -> dict[str, Any]:
        """Read config.json.

        Raises:
            StudyError: it is missing, it is no JSON object, or it describes another class.
        """
        path = Path(self.folder) / CONFIGURATION
        try:
            configuration = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise StudyError(f"there is no file {path}") from error
        except ValueError as error:
            raise StudyError(f"{path} is not JSON") from error
        found = configuration.get("_class_name") if isinstance(configuration, dict) else None
        if found != self.network:
            raise StudyError(f"{path} describes {found}, and the family {self.family} takes {self.network}")
        return dict(configuration)
