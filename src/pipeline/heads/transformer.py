"""A transformer on patches of a space: the head of high capacity, which assumes little of what lies beside what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, model_validator

from pipeline.heads import Space
from pipeline.trained import TrainedSpec

if TYPE_CHECKING:
    from torch import nn


class Spec(TrainedSpec):
    """The control for a gap that is due to convolutions: if latents hold the classes, enough capacity finds them."""

    family: Literal["transformer"]
    tokens: Annotated[int, Field(ge=1)] = 256
    """At most so many patches a sample: they are square, and as small as that allows. [patches]"""
    depth: Annotated[int, Field(ge=6)] = 6
    """Layers. [layers]"""
    width: Annotated[int, Field(ge=1)] = 192
    """Values that stand for one patch in each layer. [1]"""
    heads: Annotated[int, Field(ge=1)] = 3
    """Of attention, in each layer. [1]"""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of values that are set to 0 in training. [1]"""

    @model_validator(mode="after")
    def _heads_share_the_width(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"'width' is {self.width}, which {self.heads} heads cannot share")
        return self

    def network(self, space: Space) -> nn.Module:
        """Return the network for a space."""
        from pipeline.networks.tokens import TokenTransformer

        return TokenTransformer(space.values.shape[1:], space.classes, self)
