"""Denoisers that are networks: what the configuration says of any training, whatever the network."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from pipeline.denoisers import ALONE, DenoiserSpec, Fitted, Space, Support, Tensors
from pipeline.diffusion import Diffusability, Positive
from pipeline.fisher import Statistics

if TYPE_CHECKING:
    from torch import nn


class TrainedDenoiser(DenoiserSpec):
    """A network with the preconditioning, the noise and the loss of EDM (Karras et al. 2022), trained by Adam.

    Inputs have the deviation 0.5 over the training rows. What is kept is a moving average of the weights.
    """

    steps: Annotated[int, Field(ge=1)] = 4000
    """Optimiser steps. [steps]"""
    batch: Annotated[int, Field(ge=1)] = 32
    """Samples of one step. [samples]"""
    learning_rate: Positive = 1e-3
    """The peak of the one cycle, or the constant rate. [1]"""
    schedule: Literal["one-cycle", "constant"] = "one-cycle"
    """One cycle of rate and momentum over all steps, or no change."""
    average: Annotated[float, Field(ge=0, lt=1)] = 0.999
    """How much of the averaged weights a step leaves; less in the first steps. [1]"""
    normalisation: Literal["channel", "space"] = "channel"
    """Each channel to the deviation 0.5, as latent diffusion does, or the whole space by one number, which leaves an
    isometry one."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """What the network computes with in training; weights and measurements are float32."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Of weights, batches and noise."""

    @abstractmethod
    def network(self, shape: tuple[int, int, int]) -> nn.Module:
        """Return an untrained network for (c, h, w): n x c x h x w values of variance 1 and n x ln(sigma) / 4."""

    def fit(self, space: Space, support: Support = ALONE) -> Fitted:
        """Train on the training rows."""
        from pipeline.networks.denoiser_training import fit

        return fit(self, space, support)

    def measure(
        self, tensors: Tensors, space: Space, sigmas: Sequence[float], how: Diffusability
    ) -> Iterator[Statistics]:
        """Yield what probes find."""
        from pipeline.networks.denoiser_measuring import measure

        yield from measure(self, tensors, space, sigmas, how)
