"""The variational autoencoder of FLUX.2 (diffusers' AutoencoderKLFlux2), in either of its latent spaces.

"raw" is the posterior of the autoencoder itself. "packed" is what the FLUX.2 pipeline works in: 2 x 2 places become
channels, in the order of PixelUnshuffle, and each channel is normalised by the statistics that the weights carry. The
second follows from the first exactly; its log-variance is that of the normalised values.
"""

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pipeline.errors import StudyError
from pipeline.networks.folder import FolderSpec, Model

if TYPE_CHECKING:
    from torch import Tensor

PATCH = 2


class Spec(FolderSpec):
    """An autoencoder in a local folder."""

    network: ClassVar[str] = "AutoencoderKLFlux2"

    space: Literal["raw", "packed"] = "raw"  # type: ignore[assignment]
    """Which latents are stored."""

    def configuration(self) -> dict[str, Any]:
        """Read config.json; raise StudyError for a packing that the pipeline does not do."""
        configuration = super().configuration()
        if configuration.get("patch_size", [PATCH, PATCH]) != [PATCH, PATCH]:
            raise StudyError(f"{self.folder} packs {configuration['patch_size']} places, and FLUX.2 packs 2 x 2")
        return configuration

    def stride(self, configuration: dict[str, Any]) -> int:
        """Return 8, or 16 packed, for the published autoencoder."""
        return super().stride(configuration) * (PATCH if self.space == "packed" else 1)

    def latent_channels(self, configuration: dict[str, Any]) -> int:
        """Return 32, or 128 packed, for the published autoencoder."""
        return super().latent_channels(configuration) * (PATCH**2 if self.space == "packed" else 1)

    def encode(self, model: Model, images: "Tensor") -> "tuple[Tensor, Tensor | None]":
        """Return the mean and the log-variance of the posterior, both n x c x h x w."""
        from torch.nn.functional import pixel_unshuffle

        posterior = model.encode(images).latent_dist
        if self.space == "raw":
            return posterior.mode(), posterior.logvar
        mean, variance = _statistics(model)
        packed, logarithms = (pixel_unshuffle(values, PATCH) for values in (posterior.mode(), posterior.logvar))
        return (packed - mean) / variance.sqrt(), logarithms - variance.log()

    def decode(self, model: Model, latents: "Tensor") -> "Tensor":
        """Return the images."""
        from torch.nn.functional import pixel_shuffle

        if self.space == "raw":
            return super().decode(model, latents)
        mean, variance = _statistics(model)
        return super().decode(model, pixel_shuffle(latents * variance.sqrt() + mean, PATCH))


def _statistics(model: Model) -> "tuple[Tensor, Tensor]":
    """Return the mean and the variance of each packed channel, 1 x c x 1 x 1."""
    mean, variance = model.bn.running_mean, model.bn.running_var + model.config.batch_norm_eps
    return mean[None, :, None, None], variance[None, :, None, None]
