"""The noise-conditioned classifier of latents: a ConvNeXt that is told how much noise it sees."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pipeline.heads import Space
from pipeline.trained import NOISE_DEVIATION, BackboneSpec, Noise

if TYPE_CHECKING:
    from torch import nn


class Spec(BackboneSpec):
    """Trained on x + sigma n; chosen and scored on x, and scored at each of the noise's `evaluated` levels.

    Paper 1 has convnext_tiny, LDAM with deferred re-weighting, and the weights of a distilled head to start from. The
    default is a smaller model; `arguments: {depths: [..], dims: [..]}` makes it as small as wanted.
    """

    deviation: ClassVar[float] = NOISE_DEVIATION
    family: Literal["film-convnext"]
    model: str = "convnext_atto"
    learning_rate: float = 5e-4
    noise: Noise | None = Noise()
    """Null: trained on x alone, and told of a sigma of 1e-5 all the time."""

    def network(self, space: Space) -> nn.Module:
        """Return a ConvNeXt whose stem fits the space, with scale and shift behind each stage."""
        from pipeline.networks.film import film_convnext

        return film_convnext(self, space)
