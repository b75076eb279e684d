"""What the configuration says of an autoencoder that is a torch network. No torch is imported."""

from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pipeline.autoencoders import Autoencoder, AutoencoderSpec

if TYPE_CHECKING:
    from torch import nn

    from pipeline.networks.adapter import Codec


class NetworkSpec(AutoencoderSpec):
    """An autoencoder whose family builds a network and reads its weights."""

    is_network: ClassVar[bool] = True

    latent_dtype: Literal["float16", "float32"] = "float16"  # type: ignore[assignment]
    """How latents are stored; float32 for one whose latents exceed what float16 holds (65,504)."""
    precision: Literal["float32", "float16", "bfloat16"] = "float32"
    """What the network computes with. A batch that is not finite in reduced precision is repeated in float32."""

    @abstractmethod
    def codec(self) -> "Codec":
        """Read the weights."""

    def place(self, job: int) -> None:
        """Let the network be loaded to one of several accelerators, by the number of the job."""
        from pipeline.networks.inference import place

        place(job)

    def load(self, image_channels: int) -> Autoencoder:
        """Return the network behind the contract of this project."""
        from pipeline.networks.adapter import TorchAutoencoder

        return TorchAutoencoder(self.codec(), image_channels, self.precision, self.latent_dtype)


class TrainableSpec(NetworkSpec):
    """A network that can be fine-tuned, and be read again from a folder of its own."""

    @abstractmethod
    def tuned(self, folder: str) -> Self:
        """Return the same entry with its weights in this folder."""

    @abstractmethod
    def save(self, network: "nn.Module", folder: Path) -> None:
        """Write config.json and diffusion_pytorch_model.safetensors to a folder."""
