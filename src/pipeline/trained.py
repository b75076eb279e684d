"""Heads that are networks: what the configuration says of any training, whatever the network."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from pipeline.folds import Split
from pipeline.heads import ALONE, Fitted, HeadSpec, Space, Support
from pipeline.losses import Loss, suited
from pipeline.spec import Spec

if TYPE_CHECKING:
    from torch import nn

NOISE_DEVIATION = 0.5
"""Standard deviation of inputs that noise is added to: sigma_data of EDM (Karras et al. 2022), and of paper 1."""
DECAY = {"adamw": 0.05, "adam": 0.0}
"""Weight decay where none is given. That of Adam is an L2 penalty, which paper 1 does without."""

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Augmentation(Spec):
    """How pixels are changed as they are trained on, drawn anew for each sample and epoch; latents never are."""

    flip: bool = False
    """Mirror left and right, every other time."""
    rotation: Annotated[float, Field(ge=0, le=180)] = 0.0
    """Largest angle in degrees, either way; bilinear, and black where there is no image (paper 1: 15). [degrees]"""


class Noise(Spec):
    """Gaussian noise on the inputs, whose sigma the network is told; inputs have the deviation `NOISE_DEVIATION`.

    Source: Karras et al. 2022 (EDM), equation 5 for the grid and table 1 for its values and the log-normal ones;
    paper 1 draws uniformly from the steps of the grid.
    """

    distribution: Literal["edm-grid", "log-normal"] = "edm-grid"
    """What sigma is drawn from for each sample in training: one of the grid's steps, or exp(mean + std n)."""
    steps: Annotated[int, Field(ge=2)] = 32
    """How many sigmas the grid has. [1]"""
    sigma_min: Positive = 0.002
    """The grid's smallest sigma, of inputs of deviation 0.5. [1]"""
    sigma_max: Positive = 80.0
    """The grid's largest sigma. [1]"""
    rho: Positive = 7.0
    """The larger, the more of the grid's steps are at small sigmas. [1]"""
    mean: Annotated[float, Field(allow_inf_nan=False)] = -1.2
    """Of the logarithm of sigma, under `log-normal`. [1]"""
    std: Positive = 1.2
    """Of the logarithm of sigma, under `log-normal`. [1]"""
    evaluated: Annotated[int, Field(ge=0)] = 8
    """At how many steps of the grid, evenly chosen and with both ends, the trained head is scored. [1]"""

    @model_validator(mode="after")
    def _grid_is_one(self) -> Self:
        if self.sigma_min >= self.sigma_max:
            raise ValueError(f"'sigma_min' is {self.sigma_min}, which is not below 'sigma_max', {self.sigma_max}")
        if self.evaluated > self.steps or self.evaluated == 1:
            raise ValueError(f"'evaluated' is {self.evaluated}, and must be 0 or from 2 to {self.steps}")
        return self

    def grid(self) -> list[float]:
        """Return the grid's sigmas, from the largest to the smallest."""
        top, bottom = self.sigma_max ** (1 / self.rho), self.sigma_min ** (1 / self.rho)
        return [(top + i / (self.steps - 1) * (bottom - top)) ** self.rho for i in range(self.steps)]

    def levels(self) -> list[float]:
        """Return the sigmas that the trained head is scored at, from the smallest to the largest."""
        grid, last = self.grid()[::-1], max(self.evaluated - 1, 1)
        return [grid[round(i * (self.steps - 1) / last)] for i in range(self.evaluated)]


class TrainedSpec(HeadSpec):
    """What is said of the training of any network.

    Inputs are normalised channel by channel with statistics of the training rows. The epoch whose balanced accuracy on
    the validation rows is best is kept; of equal ones the last.

    Without a `loss`, exclusive classes are trained by cross-entropy, others by the binary cross-entropy of every label
    that is known. What paper 1 has is `optimiser: adam`, `learning_rate: 1e-4`, `schedule: constant`, `batch: 256`,
    `loss: {kind: ldam, normalised: false}`, `reweight_from: 10`, `patience: 15`.
    """

    device: ClassVar[bool] = True
    deviation: ClassVar[float] = 1.0
    """Standard deviation that the inputs' channels are normalised to where no noise is added."""

    epochs: Annotated[int, Field(ge=1)] = 60
    """Passes over the training rows, at most. [epochs]"""
    batch: Annotated[int, Field(ge=2)] = 32
    """Samples of one step. [samples]"""
    optimiser: Literal["adamw", "adam"] = "adamw"
    """AdamW, whose weight decay is decoupled, or Adam."""
    learning_rate: Positive = 1e-3
    """The peak of the one cycle, or the constant rate. [1]"""
    schedule: Literal["one-cycle", "constant"] = "one-cycle"
    """One cycle of rate and momentum over all epochs (Smith and Topin 2017), or no change."""
    weight_decay: Annotated[float, Field(ge=0)] | None = None
    """None: 0.05 with AdamW, and 0 with Adam. [1]"""
    precision: Literal["float32", "bfloat16"] = "float32"
    """What the network computes in; weights, loss and scores are float32 in any case."""
    in_memory_bytes: Annotated[int, Field(ge=1)] = 2**34
    """Where a data set's images with their views, each counted as a colour image in float32, take more than this,
    its samples are shuffled as far as they can be read from a store in that order (`pipeline.shuffle`), in every
    space alike. It bounds what is read ahead, too. [bytes]"""
    side: Annotated[int, Field(ge=8)] | None = None
    """Pixels along one side of what a network sees of images and reconstructions, averaged over areas; latents stay.
    [pixels]"""
    augment: Augmentation | None = None
    """Of images and reconstructions, as published; for the same augmentation in every space take the study's
    `augmentation`."""
    noise: Noise | None = None
    """Noise on the inputs; null: none."""
    mask_ratio: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the space's cells that are set to the mean, drawn anew for each sample and epoch (paper 1: 0.2). [1]"""
    effective_number: Annotated[float, Field(ge=0, lt=1)] = 0.9999
    """beta of the class-balanced loss (Cui et al. 2019): weights (1 - beta) / (1 - beta^n), normalised to mean 1: over
    exclusive classes, otherwise over the two sides of each class. [1]"""
    loss: Loss | None = None
    """One of `pipeline.losses`, by its `kind` and with keys of its own."""
    reweight_from: Annotated[int, Field(ge=0)] = 0
    """The epoch, counted from 0, from which the weights of `effective_number` hold; before it all are 1. A later one
    than the first is deferred re-weighting (Cao et al. 2019): the learning rate is a tenth from there on, and patience
    starts. [epochs]"""
    patience: Annotated[int, Field(ge=0)] | None = None
    """How many epochs in a row without a better validation score are borne; as in paper 1, one more ends the training.
    The learning rate's schedule is always that of all epochs. [epochs]"""

    @model_validator(mode="after")
    def _weights_hold_some_day(self) -> Self:
        if self.reweight_from >= self.epochs:
            raise ValueError(f"'reweight_from' is {self.reweight_from}, and there are only {self.epochs} epochs")
        return self

    @property
    def decay(self) -> float:
        """The weight decay that holds."""
        return DECAY[self.optimiser] if self.weight_decay is None else self.weight_decay

    @property
    def input_deviation(self) -> float:
        """The standard deviation of each channel of the inputs."""
        return self.deviation if self.noise is None else NOISE_DEVIATION

    def passes(self, pixels: bool) -> int:
        """Return the number of epochs."""
        return self.epochs

    def sees_views(self) -> bool:
        """Tell that every network is trained on views."""
        return True

    def check_task(self, exclusive: bool) -> None:
        """Refuse a loss that is for the other kind of labels."""
        suited(self.loss, exclusive)

    @abstractmethod
    def network(self, space: Space) -> nn.Module:
        """Return an untrained network for a space, whose weights are drawn by torch's generator.

        It takes n x c x h x w normalised values and gives n x K logits. Its `get_classifier()` is the linear layer that
        gives them: a loss may put another one in its place. Where it has an attribute `conditioned` that is true, it
        takes the n standard deviations of the noise on its inputs as a second argument, which is never 0.
        """

    def fit(self, space: Space, split: Split, seed: int, support: Support = ALONE) -> Fitted:
        """Train, keep the epoch that is best on the validation rows, score both others."""
        from pipeline.networks.trainer import fit

        return fit(self, space, split, seed, support)


def require_part(entry: HeadSpec, name: str) -> None:
    """Raise ValueError where an entry that is a part of another one sets what holds for the whole."""
    whole = sorted((entry.model_fields_set & HeadSpec.model_fields.keys()) - {"family"})
    if whole:
        raise ValueError(f"'{whole[0]}' is said of the whole entry, and not of its '{name}'")


class BackboneSpec(TrainedSpec):
    """A model of timm whose stem is fitted to the space; see `pipeline.networks.stems`."""

    model: str
    """timm's name of it."""
    arguments: dict[str, Any] = {}
    """Further arguments of timm's `create_model`."""
    weights: str | None = None
    """A safetensors file with the weights of an ImageNet classifier; null: random ones."""
    stem: Literal[4] = 4
    """Pixels along one side of what one cell of the grid behind the stem stands for, in spaces that are not coarser.
    [pixels]"""
    smallest: Annotated[int, Field(ge=1)] = 1
    """Cells along one side that the last map shall have at least, and in latents as many as that of the images: strides
    of the first stages are dropped, too, until it has. [cells]"""

    def files(self) -> list[str]:
        """Return the file of weights, where there is one."""
        return [self.weights] if self.weights else []

    def network(self, space: Space) -> nn.Module:
        """Return the model with a stem for this space."""
        from pipeline.networks.stems import backbone

        return backbone(self, space)
