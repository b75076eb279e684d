"""Another autoencoder, trained further on the images of a data set: a recipe, and not a codec.

Each tested fold gets a member of its own, trained on that fold's training rows alone and stopped early by its
validation rows, so that no tested image is encoded by weights that have seen it. Members are what is encoded and
decoded; they read their weights as their parent's family does.
"""

import json
from typing import Literal, Self

from pydantic import Field, FiniteFloat, model_validator

from pipeline.autoencoders import Autoencoder, AutoencoderSpec, Shape
from pipeline.errors import StudyError


class Spec(AutoencoderSpec):
    """How to train; `parent` is all that must be said.

    The loss of a step is the reconstruction error per image value, plus the weighted divergence of the posterior from a
    standard normal in nats per image value, plus weighted LPIPS, plus the adversarial term. These are the terms and,
    up to the reconstruction's scale, the relative weights of Rombach et al. (2022), whose sums over an image are here
    divided by its number of values. Images are taken as they are: nothing is augmented.
    """

    parent: str
    """Name of the autoencoder of this study that is trained further."""
    datasets: list[str] = []
    """Data sets that get members; unsaid, every one with classes."""
    steps: int = Field(default=2000, ge=1)
    """Optimiser steps at most. [steps]"""
    batch: int = Field(default=16, ge=1)
    """Images a step, each time drawn anew. [images]"""
    learning_rate: FiniteFloat = Field(default=1e-4, gt=0)
    """Of Adam with betas 0.5 and 0.9, constant; the discriminator's, too. [1]"""
    reconstruction: Literal["l1", "l2"] = "l1"
    """Mean absolute or mean squared error of pixels in [0, 1]."""
    kl_weight: FiniteFloat = Field(default=1e-6, ge=0)
    """Of the divergence; without effect where there is no posterior. [1]"""
    lpips_weight: FiniteFloat = Field(default=0.0, ge=0)
    """Of LPIPS, whose weights `lpips` names. [1]"""
    lpips: str | None = None
    """File of LPIPS' weights; must be said where its weight is not 0."""
    adversarial_weight: FiniteFloat = Field(default=0.0, ge=0)
    """Of a patch discriminator's judgement, relative to the gradient of the reconstruction (Esser et al., 2021). [1]"""
    adversarial_start: int = Field(default=0, ge=0)
    """Steps before the discriminator takes part. [steps]"""
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    """Of the forward and backward pass; weights, moments and validation are always float32."""
    seed: int = Field(default=0, ge=0)
    """Of batches, posterior samples and the discriminator; every fold draws its own."""
    patience: int = Field(default=5, ge=1)
    """Validation rounds without improvement after which training ends. [rounds]"""
    evaluate_every: int = Field(default=100, ge=1)
    """Steps between two validation rounds. [steps]"""
    checkpoint_every: FiniteFloat = Field(default=300.0, ge=0)
    """Seconds between two checkpoints. [seconds]"""

    @model_validator(mode="after")
    def _codec_is_the_parents(self) -> Self:
        if said := sorted({"latent_dtype", "space", "tile"} & self.model_fields_set):
            raise ValueError(f"'{said[0]}' is the parent's, and is said there")
        return self

    @model_validator(mode="after")
    def _lpips_has_weights(self) -> Self:
        if self.lpips_weight and self.lpips is None:
            raise ValueError("'lpips_weight' needs 'lpips', the file of its weights")
        return self

    @model_validator(mode="after")
    def _discriminator_is_reached(self) -> Self:
        if self.adversarial_weight and self.adversarial_start >= self.steps:
            raise ValueError("'adversarial_start' is not before the last of the 'steps'")
        return self

    def written(self) -> str:
        """Return what a member is trained by: another data set in the list trains no member again."""
        return json.dumps(self.model_dump(mode="json", exclude_unset=True, exclude={"datasets"}), sort_keys=True)

    def files(self) -> list[str]:
        """Return the weights of LPIPS, where it is used."""
        return [self.lpips] if self.lpips and self.lpips_weight else []

    def latent_shape(self, image: Shape) -> Shape:
        """Raise StudyError: members have latents."""
        raise self._no_codec()

    def load(self, image_channels: int) -> Autoencoder:
        """Raise StudyError: members are loaded."""
        raise self._no_codec()

    def _no_codec(self) -> StudyError:
        return StudyError(
            f"a fine-tuned {self.parent} is a recipe: its members, one for each fold, are what is encoded"
        )
