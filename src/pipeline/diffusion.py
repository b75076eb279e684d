"""How diffusability is measured: part of the configuration."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from pipeline.spec import Spec

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Geometry(Spec):
    """How an encoder is felt along directions of the data: see docs/method-diffusability.md for every measure."""

    samples: Annotated[int, Field(ge=2)] = 32
    """Images at which it is measured. [images]"""
    tangents: Annotated[int, Field(ge=1)] = 4
    """Directions of the data at each: principal axes of the neighbours' differences from it. [1]"""
    neighbours: Annotated[int, Field(ge=2)] = 12
    """Nearest training images, from which directions and curvature come. [images]"""
    step: Positive = 0.02
    """How far the encoder is tried to either side, as a share of the images' root mean squared distance from their
    mean. [1]"""

    @model_validator(mode="after")
    def _neighbours_span_the_tangents(self) -> Self:
        if self.neighbours <= self.tangents:
            raise ValueError(f"'neighbours' must be more than 'tangents', {self.tangents}")
        return self


class Diffusability(Spec):
    """What the configuration says of stage `diffusability`: the same in every space."""

    levels: Annotated[list[Positive], Field(min_length=1)] = [0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0]
    """Standard deviations of the noise, each as a multiple of the space's own. [1]"""
    samples: Annotated[int, Field(ge=2)] = 256
    """Held-out samples at most. [samples]"""
    probes: Annotated[int, Field(ge=1)] = 2
    """Hutchinson probes a sample and level, for denoisers without a closed form. [1]"""
    batch: Annotated[int, Field(ge=1)] = 32
    """Samples that are measured at once. [samples]"""
    geometry: Geometry = Geometry()
    """How the encoder is felt along the data."""

    @model_validator(mode="after")
    def _levels_rise(self) -> Self:
        if sorted(set(self.levels)) != self.levels:
            raise ValueError("'levels' must rise from one to the next")
        return self
