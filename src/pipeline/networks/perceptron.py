"""A multi-layer perceptron, told of the noise in its inputs where there is any."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.nn import functional

from pipeline.networks.film import Film, NoiseEmbedding, unit

if TYPE_CHECKING:
    from pipeline.heads.mlp import Spec


class Perceptron(nn.Module):
    """n x c x h x w values to n x K logits; with noise, n sigmas scale and shift each hidden layer."""

    def __init__(self, shape: tuple[int, ...], classes: int, spec: Spec) -> None:
        super().__init__()
        channels, h, w = shape
        self.cells = (h, w) if spec.grid is None else (min(spec.grid, h), min(spec.grid, w))
        widths = [channels * self.cells[0] * self.cells[1], *[spec.width] * spec.depth]
        self.hidden = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))
        self.dropout = nn.Dropout(spec.dropout)
        self.last = nn.Linear(widths[-1], classes)
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
        if values.shape[2:] != self.cells:
            values = functional.adaptive_avg_pool2d(values, self.cells)
        x = values.flatten(1)
        for number, layer in enumerate(self.hidden):
            x = layer(x)
            if sigma is not None:
                x = self.films[number](x, embedding)
            x = self.dropout(functional.gelu(x))
        logits: Tensor = self.last(x)
        return logits
