"""What the configuration says of an autoencoder that lies in a folder in diffusers' layout. No torch is imported."""

import json
from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar

from pipeline.autoencoders import AutoencoderSpec, Shape
from pipeline.errors import StudyError
from pipeline.networks.patches import grid

CONFIGURATION = "config.json"
WEIGHTS = "diffusion_pytorch_model.safetensors"


class FolderSpec(AutoencoderSpec):
    """An autoencoder of one of diffusers' classes."""

    network: ClassVar[str]
    """The class."""
    blocks: ClassVar[str] = "block_out_channels"
    """The argument of the class that lists its levels, each half as wide and high as the one before."""

    folder: str
    """Holds config.json and diffusion_pytorch_model.safetensors."""

    def files(self) -> list[str]:
        """Return the configuration and the weights."""
        return [str(Path(self.folder) / name) for name in (CONFIGURATION, WEIGHTS)]

    def latent_shape(self, image: Shape) -> Shape:
        """Return (c, H / stride, W / stride) as the folder's configuration states them."""
        configuration = self.configuration()
        stride = 2 ** (len(configuration[self.blocks]) - 1)
        return self.latent_channels(configuration), *grid(image, stride)

    @abstractmethod
    def latent_channels(self, configuration: dict[str, Any]) -> int:
        """Return how many channels the latents have."""

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
