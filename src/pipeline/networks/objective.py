"""What fine-tuning minimises, apart from a discriminator's part in it."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from pipeline.autoencoders.finetuned import Spec
from pipeline.networks.adapter import Codec
from pipeline.networks.guarded import Values


@dataclass(frozen=True)
class PixelCodec:
    """A codec for images with pixels in [0, 1], differentiable, and grey where the images are.

    A grey image is repeated over the channels of a colour network, and the decoded channels are averaged, as everywhere
    else: the loss is of what will be measured.
    """

    codec: Codec
    channels: int

    def encode(self, images: Tensor) -> Values:
        """Return the posterior mean and log-variance of n x C x H x W pixels."""
        lowest = self.codec.lowest
        return self.codec.encode(lowest + (1 - lowest) * images.expand(-1, self.codec.channels, -1, -1))

    def decode(self, latents: Tensor) -> Tensor:
        """Return n x C x H x W pixels, which may leave [0, 1]."""
        lowest = self.codec.lowest
        images = (self.codec.decode(latents) - lowest) / (1 - lowest)
        return images.mean(dim=1, keepdim=True) if self.channels == 1 else images


def divergence(mean: Tensor, log_variance: Tensor, values: int) -> Tensor:
    """Return n divergences of normal distributions from the standard normal, in nats by a number of values."""
    terms = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance)
    return terms.flatten(1).sum(dim=1) / values


def sampled(mean: Tensor, log_variance: Tensor | None, noise: Tensor) -> Tensor:
    """Return the latents that are decoded in training: drawn from the posterior, where there is one."""
    return mean if log_variance is None else mean + (0.5 * log_variance).exp() * noise


class Objective:
    """Reconstruction error and LPIPS, image by image; the first is the mean over an image's values."""

    def __init__(self, spec: Spec, device: torch.device) -> None:
        self.spec, self.lpips = spec, None
        if spec.lpips_weight and spec.lpips:
            from pipeline.networks.lpips import read

            self.lpips = read(Path(spec.lpips)).to(device)

    def terms(self, images: Tensor, decoded: Tensor) -> dict[str, Tensor]:
        """Return n errors, and n distances where LPIPS has a weight."""
        difference = (decoded - images).flatten(1)
        error = difference.abs() if self.spec.reconstruction == "l1" else difference.square()
        terms = {"reconstruction": error.mean(dim=1)}
        if self.lpips is not None:
            terms["lpips"] = self.lpips(images, decoded)
        return terms

    def total(self, terms: dict[str, Tensor]) -> Tensor:
        """Return the weighted sum of terms of any shape, `kl` among them or not."""
        weights = {"reconstruction": 1.0, "lpips": self.spec.lpips_weight, "kl": self.spec.kl_weight}
        return torch.stack([weights[name] * value for name, value in terms.items()]).sum(dim=0)
