"""A multi-layer perceptron on a coarse grid of each space, or on all that it holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from pipeline.heads import Space
from pipeline.trained import TrainedSpec

if TYPE_CHECKING:
    from torch import nn


class Spec(TrainedSpec):
    """Linear layers with GELU and dropout between them; without hidden ones it is linear."""

    small: ClassVar[bool] = True
    family: Literal["mlp"]
    grid: Annotated[int, Field(ge=1)] | None = 8
    """Cells along one side that the space is averaged over; null: none, every value is an input. [cells]"""
    width: Annotated[int, Field(ge=1)] = 256
    """Of each hidden layer. [units]"""
    depth: Annotated[int, Field(ge=0)] = 2
    """Hidden layers. [layers]"""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of values that are set to 0 in training. [1]"""

    def network(self, space: Space) -> nn.Module:
        """Return the network for a space."""
        from pipeline.networks.perceptron import Perceptron

        return Perceptron(space.values.shape[1:], space.classes, self)
