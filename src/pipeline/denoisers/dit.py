"""A small diffusion transformer (Peebles and Xie 2023): diffusers' DiTTransformer2DModel, without classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from pipeline.trained_denoiser import TrainedDenoiser

if TYPE_CHECKING:
    from torch import nn


class Spec(TrainedDenoiser):
    """Patches are the smallest of which at most `tokens` cover the grid."""

    family: Literal["dit"]
    width: Annotated[int, Field(ge=16, multiple_of=16)] = 128
    """Values that stand for one patch in each layer. [1]"""
    depth: Annotated[int, Field(ge=1)] = 4
    """Layers. [layers]"""
    heads: Annotated[int, Field(ge=1)] = 4
    """Of attention, in each layer. [1]"""
    tokens: Annotated[int, Field(ge=1)] = 256
    """At most so many patches a sample. [patches]"""

    def network(self, shape: tuple[int, int, int]) -> nn.Module:
        """Return the transformer; raise StudyError for a grid that is no square."""
        from pipeline.networks.denoiser_dit import dit

        return dit(shape, self)
