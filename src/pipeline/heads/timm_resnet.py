"""A residual network from timm, trained from scratch with the same budget in every space."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from pipeline.folds import Split
from pipeline.heads import ALONE, Fitted, HeadSpec, Space, Support
from pipeline.losses import Loss, suited


class Spec(HeadSpec):
    """The `matched` protocol: one backbone, optimiser, augmentation and number of epochs for every space.

    The stem is the only thing that follows the space: it reduces images, and latents that are finer than `stem`, to a
    grid of one cell for every `stem` x `stem` pixels, so that the stages behind it work at the same resolution.

    Without a `loss`, exclusive classes are trained by cross-entropy, others by the binary cross-entropy of every label
    that is known. What paper 1 has is `loss: {kind: ldam, normalised: false}`, `reweight_from: 10`, `patience: 15`.
    """

    family: Literal["timm-resnet"]
    model: str = "resnet18"
    """Any of timm's residual networks."""
    arguments: dict[str, Any] = {}
    """Further arguments of timm's `create_model`."""
    stem: Literal[4] = 4
    epochs: Annotated[int, Field(ge=1)] = 60
    batch: Annotated[int, Field(ge=2)] = 32
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    mask_ratio: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the space's cells that are set to the mean, drawn anew for each sample and epoch (paper 1: 0.2)."""
    effective_number: Annotated[float, Field(ge=0, lt=1)] = 0.9999
    """beta of the class-balanced loss (Cui et al. 2019): weights (1 - beta) / (1 - beta^n), normalised to mean 1: over
    exclusive classes, otherwise over the two sides of each class."""

    loss: Loss | None = None
    """One of `pipeline.losses`, by its `kind` and with keys of its own."""
    reweight_from: Annotated[int, Field(ge=0)] = 0
    """The epoch, counted from 0, from which the weights of `effective_number` hold; before it all are 1. A later one
    than the first is deferred re-weighting (Cao et al. 2019): the learning rate is a tenth from there on, and patience
    starts."""
    patience: Annotated[int, Field(ge=0)] | None = None
    """How many epochs in a row without a better validation score are borne; as in paper 1, one more ends the training.
    The learning rate's schedule is always that of all epochs."""

    @model_validator(mode="after")
    def _weights_hold_some_day(self) -> Self:
        if self.reweight_from >= self.epochs:
            raise ValueError(f"'reweight_from' is {self.reweight_from}, and there are only {self.epochs} epochs")
        return self

    def check_task(self, exclusive: bool) -> None:
        """Refuse a loss that is for the other kind of labels."""
        suited(self.loss, exclusive)

    def fit(self, space: Space, split: Split, seed: int, support: Support = ALONE) -> Fitted:
        """Train, keep the epoch that is best on the validation rows, score both others."""
        from pipeline.networks.residual import fit

        return fit(self, space, split, seed)
