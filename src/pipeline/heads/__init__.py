"""Heads: one module a family, each with a `Spec` that can `fit` a classifier in any space.

Contract: a head sees the raw values of a space, normalises them with statistics of its training rows only, and returns
scores for the validation and the test rows. The same space, split and seed give the same scores, bit for bit on a
processor, so two spaces that hold the same values have a gap of exactly zero.
"""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from pipeline.folds import Split
from pipeline.labels import Labels
from pipeline.spec import Spec

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Space:
    """Everything that a head may look at.

    Attributes:
        values: N x c x h x w, raw, float32.
        labels: N x K: 1, 0, or -1 where it is missing (`pipeline.labels`).
        exclusive: whether every labelled sample has exactly one class (single-label). Otherwise the K classes are K
            questions that are answered one by one.
        stride: image pixels per cell of the grid, along one side; 1 in image and reconstruction space.
    """

    values: Floats
    labels: Labels
    exclusive: bool
    stride: int

    @property
    def classes(self) -> int:
        """The number of classes K."""
        return self.labels.shape[1]


@dataclass(frozen=True)
class Fitted:
    """A trained head.

    Attributes:
        validation: n x K scores, rows in the order of the split: log-probabilities up to a constant where classes are
            exclusive, else log-odds, so that a positive score says that the sample has the class.
        test: the same for the test rows.
        tensors: what is needed to apply the head again.
        curve: one row an epoch or step of the search, whatever the family records.
    """

    validation: Floats
    test: Floats
    tensors: Mapping[str, NDArray[np.generic]]
    curve: pd.DataFrame = field(default_factory=pd.DataFrame)


class HeadSpec(Spec):
    """What the configuration says of one head."""

    family: str
    label_fraction: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share of the training patients whose labels the head may see. A smaller share is a part of every larger one."""
    label_seed: int = 0
    """Draws which patients those are."""

    @abstractmethod
    def fit(self, space: Space, split: Split, seed: int) -> Fitted:
        """Train on the split's training rows, select on its validation rows, score both others."""


def channel_statistics(values: Floats) -> tuple[Floats, Floats]:
    """Return mean and standard deviation of each channel of n x c x h x w; a constant channel gets a deviation of 1."""
    mean = values.mean(axis=(0, 2, 3), dtype=np.float64)
    deviation = values.std(axis=(0, 2, 3), dtype=np.float64)
    deviation[deviation < 1e-12] = 1.0
    return mean.astype(np.float32), deviation.astype(np.float32)


def balanced_accuracy(scores: Floats, labels: NDArray[np.int64]) -> float:
    """Return the mean recall over the classes that occur, for selecting on validation rows."""
    hits = scores.argmax(axis=1) == labels
    return float(np.mean([hits[labels == label].mean() for label in np.unique(labels)]))
