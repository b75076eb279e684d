"""Denoisers: one module a family, each with a `Spec` that is fitted to a space and then measured in it.

Contract: a denoiser is fitted to training rows alone and is measured on rows that it has not seen. Noise is measured in
standard deviations of the space (over training rows, one number), so that all spaces are compared at equal sigma. What
is measured has the same unit. A family's module imports torch only inside functions.
"""

import json
import sys
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.diffusion import Diffusability
from pipeline.fisher import Statistics
from pipeline.spec import Spec

Rows = NDArray[np.int64]
Tensors = Mapping[str, NDArray[Any]]

LOSS_LEVELS = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Noise, in standard deviations of the space, at which every denoiser's held-out loss is written down."""


@dataclass(frozen=True)
class Space:
    """What a denoiser is fitted to and measured on.

    Attributes:
        read: rows to n x c x h x w raw values, float32.
        shape: (c, h, w).
        train: rows to fit to.
        held_out: rows to measure on.
        patients: whose sample each row of the store is, as a number.
        most: how many samples may be held at once by what does not need all of them. That depends on the images alone,
            and so is the same in every space of a data set.
    """

    read: Callable[[Rows], NDArray[np.float32]]
    shape: tuple[int, int, int]
    train: Rows
    held_out: Rows
    patients: Rows
    most: int = sys.maxsize

    @property
    def dimension(self) -> int:
        """How many values a sample has."""
        return int(np.prod(self.shape))


def _never() -> bool:
    return False


@dataclass(frozen=True)
class Support:
    """What a training is given beside its data.

    Attributes:
        checkpoint: folder for the state of a training that is told to end; None: it is not kept.
        identity: hash of everything that the result depends on; another one's state is never gone on from.
        ended: whether the process was told to end. A training then keeps its state and raises StudyError.
    """

    checkpoint: Path | None = None
    identity: str = ""
    ended: Callable[[], bool] = _never


ALONE = Support()


@dataclass(frozen=True)
class Fitted:
    """A fitted denoiser.

    Attributes:
        tensors: what is needed to apply it.
        errors: `LOSS_LEVELS` x n squared errors of the n held-out rows, each a mean over the values of a sample, in
            units of the space's variance.
        curve: whatever the family records as it is fitted.
    """

    tensors: Tensors
    errors: NDArray[np.float64]
    curve: pd.DataFrame = field(default_factory=lambda: pd.DataFrame({"step": []}))


class DenoiserSpec(Spec):
    """What the configuration says of one denoiser."""

    family: str
    datasets: list[str] = []
    """The only data sets that it is fitted to; none: all."""
    autoencoders: list[str] = []
    """The only autoencoders in whose latents it is fitted, beside the pixels; none: all."""

    def settings(self) -> str:
        """Return what was written of the denoiser itself, and not of where it is fitted, as one line of JSON."""
        where = {"datasets", "autoencoders"}
        return json.dumps(self.model_dump(mode="json", exclude_unset=True, exclude=where), sort_keys=True)

    @abstractmethod
    def fit(self, space: Space, support: Support = ALONE) -> Fitted:
        """Fit to the training rows."""

    @abstractmethod
    def measure(
        self, tensors: Tensors, space: Space, sigmas: Sequence[float], how: Diffusability
    ) -> Iterator[Statistics]:
        """Yield the statistics of the held-out rows at each sigma, everything in units of the space's deviation."""
