"""A transformer on square patches of a space, told of the noise in its inputs where there is any."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.networks.film import Film, NoiseEmbedding, unit

if TYPE_CHECKING:
    from pipeline.heads.transformer import Spec

POSITION_DEVIATION = 0.02
"""Of the learned positions at first, as in Dosovitskiy et al. 2021."""


def patch_side(height: int, width: int, most: int) -> int:
    """Return the smallest side of square patches of which at most so many cover height x width cells."""
    sides = range(1, max(height, width) + 1)
    return next(side for side in sides if ceil(height / side) * ceil(width / side) <= most)


class TokenTransformer(nn.Module):
    """n x c x h x w values to n x K logits of the mean token; with noise, n sigmas scale and shift each layer's tokens.

    Layers normalise before attention and before the perceptron, and add what these give (Xiong et al. 2020). Where
    patches stand out over the border, what is missing is the channel's mean.
    """

    def __init__(self, shape: tuple[int, ...], classes: int, spec: Spec) -> None:
        super().__init__()
        channels, h, w = shape
        self.side = patch_side(h, w, spec.tokens)
        rows, columns = ceil(h / self.side), ceil(w / self.side)
        self.margin = (0, columns * self.side - w, 0, rows * self.side - h)
        self.patches = nn.Linear(channels * self.side**2, spec.width)
        self.positions = nn.Parameter(POSITION_DEVIATION * torch.randn(1, rows * columns, spec.width))
        self.layers = nn.ModuleList(_layer(spec) for _ in range(spec.depth))
        self.norm, self.last = nn.LayerNorm(spec.width), nn.Linear(spec.width, classes)
        self.dropout = nn.Dropout(spec.dropout)
        self.conditioned = spec.noise is not None
        if self.conditioned:
            self.embedding = NoiseEmbedding()
            self.films = nn.ModuleList(Film(spec.width) for _ in range(spec.depth))

    def get_classifier(self) -> nn.Module:
        """Return the last layer."""
        return self.last

    def forward(self, values: Tensor, sigma: Tensor | None = None) -> Tensor:
        """Return logits."""
        if sigma is not None:
            values, embedding = unit(values, sigma), self.embedding(sigma)
        patches = functional.unfold(functional.pad(values, self.margin), self.side, stride=self.side)
        x = self.dropout(self.patches(patches.transpose(1, 2)) + self.positions)
        for number, layer in enumerate(self.layers):
            x = layer(x)
            if sigma is not None:
                x = self.films[number](x, embedding)
        logits: Tensor = self.last(self.norm(x).mean(dim=1))
        return logits


def _layer(spec: Spec) -> nn.Module:
    return nn.TransformerEncoderLayer(
        spec.width, spec.heads, 4 * spec.width, spec.dropout, "gelu", batch_first=True, norm_first=True
    )
