"""Networks that are told of the noise in their inputs: feature-wise scale and shift (FiLM) from an embedding of sigma.

The embedding is that of EDM2 (Karras et al. 2024, appendix B) as paper 1 uses it: c = ln(sigma) / 4, Fourier features,
and two layers that keep the magnitude of their inputs. The scale and shift of each place start at zero, so that a
network starts out as it would be without them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.errors import StudyError
from pipeline.networks.stems import backbone
from pipeline.trained import NOISE_DEVIATION

if TYPE_CHECKING:
    from pipeline.heads import Space
    from pipeline.trained import BackboneSpec

EMBEDDING = 256
SILU_MAGNITUDE = 0.596
"""Root mean square of SiLU of a standard normal variable."""


class FourierFeatures(nn.Module):
    """n numbers to n x F features sqrt(2) cos(2 pi (f x + p)), with random frequencies f and phases p, which stay."""

    frequencies: Tensor
    phases: Tensor

    def __init__(self, features: int) -> None:
        super().__init__()
        self.register_buffer("frequencies", 2 * math.pi * torch.randn(features))
        self.register_buffer("phases", 2 * math.pi * torch.rand(features))

    def forward(self, x: Tensor) -> Tensor:
        """Return features of mean square 1 over the phases."""
        return math.sqrt(2) * torch.cos(x[:, None].float() * self.frequencies + self.phases)


class KeepingLinear(nn.Module):
    """A linear layer that keeps magnitudes: each output is a combination of inputs by a weight vector of length 1."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs))

    def forward(self, x: Tensor) -> Tensor:
        """Return n x outputs of n x inputs; uncorrelated inputs of variance 1 give outputs of variance 1."""
        return functional.linear(x, functional.normalize(self.weight, dim=1))


def keeping_silu(x: Tensor) -> Tensor:
    """Return SiLU, scaled so that standard normal inputs give a mean square of 1."""
    return functional.silu(x) / SILU_MAGNITUDE


class NoiseEmbedding(nn.Module):
    """n standard deviations of noise to n x `EMBEDDING` features."""

    def __init__(self) -> None:
        super().__init__()
        self.fourier = FourierFeatures(EMBEDDING)
        self.first, self.second = KeepingLinear(EMBEDDING, EMBEDDING), KeepingLinear(EMBEDDING, EMBEDDING)

    def forward(self, sigma: Tensor) -> Tensor:
        """Return the features."""
        made: Tensor = self.second(keeping_silu(self.first(self.fourier(sigma.log() / 4))))
        return made


class Film(nn.Module):
    """Features times (1 + scale) plus shift, which are zero at first."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(EMBEDDING, 2 * width)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, features: Tensor, embedding: Tensor, channel: int = -1) -> Tensor:
        """Return features of which n x `EMBEDDING` embeddings scale and shift the channels, along one dimension."""
        shape = [len(features), *(1 for _ in features.shape[1:])]
        shape[channel] = features.shape[channel]
        scale, shift = (part.reshape(shape) for part in self.linear(embedding).chunk(2, dim=1))
        made: Tensor = features * (1 + scale) + shift
        return made


def unit(values: Tensor, sigma: Tensor) -> Tensor:
    """Return n x c x h x w values of the deviation `NOISE_DEVIATION`, with noise of sigma, scaled to variance 1."""
    return values / (sigma.square() + NOISE_DEVIATION**2).sqrt()[:, None, None, None]


class FilmConvNeXt(nn.Module):
    """A ConvNeXt of timm's with scale and shift behind each stage: n x c x h x w and n sigmas to n x K logits."""

    conditioned = True

    def __init__(self, network: Any, name: str) -> None:  # noqa: ANN401 - timm's own
        super().__init__()
        stages = getattr(network, "stages", None)
        if not isinstance(stages, nn.Sequential) or not hasattr(network, "norm_pre"):
            raise StudyError(f"timm's {name} is not a ConvNeXt; take one of convnext_atto to convnext_large")
        self.backbone = network
        self.embedding = NoiseEmbedding()
        self.films = nn.ModuleList(Film(int(info["num_chs"])) for info in network.feature_info)

    def get_classifier(self) -> nn.Module:
        """Return the last layer."""
        layer: nn.Module = self.backbone.get_classifier()
        return layer

    def forward(self, values: Tensor, sigma: Tensor) -> Tensor:
        """Return logits."""
        embedding = self.embedding(sigma)
        x = self.backbone.stem(values)
        stages: Iterable[nn.Module] = self.backbone.stages
        for stage, film in zip(stages, self.films, strict=True):
            x = film(stage(x), embedding, channel=1)
        logits: Tensor = self.backbone.forward_head(self.backbone.norm_pre(x))
        return logits


def film_convnext(spec: BackboneSpec, space: Space) -> nn.Module:
    """Return the network for a space; raise StudyError where the model is no ConvNeXt."""
    return FilmConvNeXt(backbone(spec, space), spec.model)
