"""The two-dimensional models of MedVAE (Varma et al., arXiv 2502.14753), posterior mean.

The published checkpoints keep their weights under `state_dict`; a safetensors file with the same keys is read here.
Everything about the architecture that the published YAML files state can be seen in the shapes of the weights. Pixels
are mapped to [-1, 1] as MedVAE's loader does, but by this project's pixel contract, while that loader first stretches
every image to its own minimum and maximum. The features that MedVAE computes from a code by `channel_ds` and
`channel_proj`, which cannot be decoded, are not used.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Self

from pipeline.autoencoders import Shape
from pipeline.networks.latent_diffusion import architecture
from pipeline.networks.network import TrainableSpec
from pipeline.networks.patches import grid
from pipeline.networks.plain_folder import WEIGHTS, save
from pipeline.weights import WeightFile

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pipeline.networks.adapter import Codec


class Spec(TrainableSpec):
    """An autoencoder in one local file."""

    weights: WeightFile
    """A safetensors file with the keys of a published checkpoint's `state_dict`."""

    def latent_shape(self, image: Shape) -> Shape:
        """Return (c, H / stride, W / stride): c is 1, 3 or 4 and the stride 4 or 8 for the published models."""
        found = architecture(self.weights)
        return found["latent_channels"], *grid(image, 2 ** (len(found["block_out_channels"]) - 1))

    def files(self) -> list[str]:
        """Return the weights."""
        return [self.weights]

    def codec(self) -> "Codec":
        """Read the weights. A model of grey images takes grey images only."""
        from pipeline.networks.adapter import Codec, decoder_stages
        from pipeline.networks.latent_diffusion_weights import read

        model = read(self.weights)

        def encode(images: "Tensor") -> "tuple[Tensor, Tensor]":
            posterior = model.encode(images).latent_dist
            return posterior.mode(), posterior.logvar

        return Codec(
            network=model,
            channels=model.config.in_channels,
            lowest=-1.0,
            encode=encode,
            decode=lambda latents: model.decode(latents).sample,
            stages=decoder_stages(model.decoder),
        )

    def tuned(self, folder: str) -> Self:
        """Return the same entry for weights in this folder."""
        return self.model_copy(update={"weights": str(Path(folder) / WEIGHTS)})

    def save(self, network: "nn.Module", folder: Path) -> None:
        """Write the weights under their published names, low-rank updates merged."""
        from pipeline.networks.latent_diffusion_weights import original

        save(original(network), {"_class_name": "MedVAE"}, folder)
