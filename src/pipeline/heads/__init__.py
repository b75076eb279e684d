"""Heads: one module a family, each with a `Spec` that can `fit` a classifier in any space.

Contract: a head sees the raw values of a space, normalises them with statistics of its training rows only, and returns
scores for the validation and the test rows. The same space, split and seed give the same scores, bit for bit on a
processor, so two spaces that hold the same values have a gap of exactly zero.
"""

import json
from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from pipeline import labels
from pipeline.errors import StudyError
from pipeline.folds import Rows, Split
from pipeline.labels import Labels
from pipeline.spec import Spec
from pipeline.values import Values, blocks

Floats = NDArray[np.float32]

ABSENT = -100.0
"""The log-probability of an exclusive class that has no training rows: constant, finite, and never the largest."""


@dataclass(frozen=True)
class Space:
    """Everything that a head may look at.

    Attributes:
        values: N x c x h x w, raw: an array, or what reads rows of a store where a space does not fit into memory.
        labels: N x K: 1, 0, or -1 where it is missing (`pipeline.labels`).
        exclusive: whether every labelled sample has exactly one class (single-label). Otherwise the K classes are K
            questions that are answered one by one.
        stride: image pixels per cell of the grid, along one side; 1 in image and reconstruction space.
        pixels: whether the values are pixels in [0, 1]: those of images or of reconstructions.
        views: the same samples again, each of the shape of `values`: what augmented images are in this space.
    """

    values: Values
    labels: Labels
    exclusive: bool
    stride: int
    pixels: bool = False
    views: tuple[Values, ...] = ()

    @property
    def classes(self) -> int:
        """The number of classes K."""
        return int(self.labels.shape[1])

    @property
    def numbers(self) -> NDArray[np.int64]:
        """N class numbers of exclusive classes; -1 where a sample is unlabelled."""
        return labels.numbers(self.labels)


def _never() -> bool:
    return False


@dataclass(frozen=True)
class Support:
    """What one training is given beside its data.

    Attributes:
        teacher: (1 + V) x n x K logits that a teacher gives the split's n training rows, as they are and in each of V
            views; None: there is no teacher.
        initial: tensors of a head that was trained on other images in the same space; None: there is none.
        stages: m x c x h x w raw latents to what the frozen decoder makes of them, by stage from the latent to the
            image, m x c' x h' x w' each; None: the space has no decoder.
        checkpoint: folder for the state of a training that is told to end; None: it is not kept.
        identity: hash of everything that the result depends on; another one's checkpoint is never gone on from.
        ended: whether the process was told to end. A training then keeps its state and raises StudyError.
    """

    teacher: Floats | None = None
    initial: Mapping[str, NDArray[np.generic]] | None = None
    stages: "Stages | None" = None
    checkpoint: Path | None = None
    identity: str = ""
    ended: Callable[[], bool] = _never


Stages = Callable[[Floats], Mapping[str, Floats]]
"""m x c x h x w raw latents to the activations of the decoder's stages, m x c' x h' x w' each, from the latent on."""

Axis = Literal["noise", "fraction", "depth"]
"""What a head can be scored along: the noise on its input (sigma, of inputs of deviation 0.5), the share of labels that
it was trained on, or the number of the decoder's stage that it looks at (0: the latent)."""


@dataclass(frozen=True)
class Point:
    """A head's scores at one place of an axis; n x K each, rows in the order of the split."""

    axis: Axis
    at: float
    validation: Floats
    test: Floats


@dataclass(frozen=True)
class Fitted:
    """A trained head.

    Attributes:
        validation: n x K scores, rows in the order of the split: log-probabilities up to a constant where classes are
            exclusive, else log-odds, so that a positive score says that the sample has the class.
        test: the same for the test rows.
        tensors: what is needed to apply the head again.
        curve: one row an epoch or step of the search, whatever the family records.
        training: (1 + V) x n x K logits of the training rows, as they are and in each view: what a student learns from.
            None for a family that cannot teach.
        profile: the head's scores elsewhere along one or more axes.
    """

    validation: Floats
    test: Floats
    tensors: Mapping[str, NDArray[np.generic]]
    curve: pd.DataFrame = field(default_factory=pd.DataFrame)
    training: Floats | None = None
    profile: tuple[Point, ...] = ()


ALONE = Support()
"""For a training that needs nothing beside its data."""


class HeadSpec(Spec):
    """What the configuration says of one head."""

    family: str
    label_fraction: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share of the training patients whose labels the head may see. A smaller share is a part of every larger one.
    [1]"""
    label_seed: int = 0
    """Draws which patients those are."""
    fractions: list[Annotated[float, Field(gt=0, lt=1)]] = []
    """Further shares at which the head is trained, too, for its learning curve: each a part of every larger one. [1]"""
    protocol: Literal["matched", "paper"] = "matched"
    """What the head's rows are called: `matched` gives every space the same chances, `paper` does as was published."""
    search: dict[str, list[Any]] = {}
    """Settings to choose among, key to values: every combination is trained with the first seed, in each space and fold
    by itself, and the one with the best validation score is kept. The curves report all."""
    datasets: list[str] = []
    """The only data sets that it is trained on; none: all that are labelled."""
    autoencoders: list[str] = []
    """The only autoencoders whose spaces it is trained in, beside the pixels; none: all."""

    pretrained_on: dict[str, str] = {}
    """Data set to the one of `pretraining` on which the head is trained first, in the same space; it then starts from
    there. Where there are any, it is trained on these data sets alone."""
    small: ClassVar[bool] = False
    """Whether a training takes minutes and not hours, so that a batch system is given several together."""
    device: ClassVar[bool] = False
    """Whether it computes on an accelerator where there is one."""
    needs_decoder: ClassVar[bool] = False
    """Whether the head looks at what the frozen decoder makes of latents."""

    def stages(self, decoder: str, store: Path) -> "Stages | None":
        """Return what a head that looks at a decoder is given; None for any other, or where none shows its stages.

        Args:
            decoder: the autoencoder's entry of the configuration as JSON.
            store: of its latents.
        """
        return None

    def sees_views(self) -> bool:
        """Tell whether the head is trained on the views of a space, too."""
        return False

    def passes(self, pixels: bool) -> int:
        """Return how often one training goes over its samples at most, in pixels or in latents; 0: it is no network."""
        return 0

    def files(self) -> list[str]:
        """Return the files that the head is loaded from before it is trained: inputs of its jobs."""
        return []

    def teachers(self) -> list[str]:
        """Return the names of the heads on images that this one learns from: none, or one."""
        return []

    def trained_on(self, dataset: str) -> bool:
        """Tell whether the head is trained on a data set that has labels."""
        named = [*self.datasets, *self.pretrained_on]
        return not named or dataset in named

    def settings(self) -> str:
        """Return what was written of the head itself, and not of where it is trained, as one sorted line of JSON."""
        where = {"datasets", "autoencoders", "pretrained_on"}
        return json.dumps(self.model_dump(mode="json", exclude_unset=True, exclude=where), sort_keys=True)

    def check_task(self, exclusive: bool) -> None:
        """Raise StudyError where the head cannot be trained on exclusive classes, or on classes that are not."""

    @abstractmethod
    def fit(self, space: Space, split: Split, seed: int, support: Support = ALONE) -> Fitted:
        """Train on the split's training rows, select on its validation rows, score both others."""


def channel_statistics(values: Values, rows: Rows | None = None) -> tuple[Floats, Floats]:
    """Return mean and standard deviation of each channel of N x c x h x w, over all rows or these.

    A constant channel gets a deviation of 1. Blocks of rows are put together as Chan, Golub and LeVeque do (1983,
    equation 2.1), so that values need not fit into memory, and their squares need not be many digits apart.
    """
    count, mean, squares = 0, np.zeros(values.shape[1]), np.zeros(values.shape[1])
    for block in blocks(values, rows):
        own, more = block.mean(axis=(0, 2, 3), dtype=np.float64), len(block) / (count + len(block))
        squares += len(block) * (block.var(axis=(0, 2, 3), dtype=np.float64) + (own - mean) ** 2 * (1 - more))
        mean += (own - mean) * more
        count += len(block)
    deviation = np.sqrt(squares / count)
    deviation[deviation < 1e-12] = 1.0
    return mean.astype(np.float32), deviation.astype(np.float32)


def constant_odds(positives: int, negatives: int) -> float:
    """Return the log-odds of a class that has training rows on one side only: by the rule of succession.

    The sign is that of the side that was seen; of a class without any known row it is 0.
    """
    return float(np.log((positives + 1) / (negatives + 1)))


def selection_score(space: Space, rows: Rows, scores: Floats) -> float:
    """Return what a head is chosen by on its validation rows, from scores n x K of them: their balanced accuracy.

    Where classes are not exclusive it is the mean over the classes that the rows know both sides of.

    Raises:
        StudyError: the rows know both sides of no class.
    """
    if space.exclusive:
        return balanced_accuracy(scores, space.numbers[rows])
    given, positive = space.labels[rows], scores > 0
    counts = np.stack([(given == side).sum(axis=0) for side in (0, 1)])
    hits = np.stack([((given == side) & (positive == bool(side))).sum(axis=0) for side in (0, 1)])
    both = counts.min(axis=0) > 0
    if not both.any():
        raise StudyError("the validation rows have positive and negative samples of no class, so nothing can be chosen")
    return float((hits[:, both] / counts[:, both]).mean())


def balanced_accuracy(scores: Floats, numbers: NDArray[np.int64]) -> float:
    """Return the mean recall over the exclusive classes that occur."""
    hits = scores.argmax(axis=1) == numbers
    return float(np.mean([hits[numbers == number].mean() for number in np.unique(numbers)]))
