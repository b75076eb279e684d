"""A small convolutional U-Net without attention: diffusers' UNet2DModel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from pipeline.trained_denoiser import TrainedDenoiser

if TYPE_CHECKING:
    from torch import nn


class Spec(TrainedDenoiser):
    """Levels that the grid does not divide into are left out: each halves both of its sides."""

    family: Literal["unet"]
    channels: Annotated[list[Annotated[int, Field(ge=8, multiple_of=8)]], Field(min_length=1)] = [32, 64]
    """Of each level, the finest first. [channels]"""
    layers: Annotated[int, Field(ge=1)] = 1
    """Residual blocks a level. [1]"""

    def network(self, shape: tuple[int, int, int]) -> nn.Module:
        """Return the U-Net."""
        from pipeline.networks.denoiser_unet import unet

        return unet(shape, self.channels, self.layers)
