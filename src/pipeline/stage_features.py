"""What a frozen decoder makes of latents, stage by stage, as feature vectors of a bounded length.

Activations are large: at 512 pixels, those of one image take gigabytes. So samples go through the decoder a batch at a
time, and only averages over a grid are kept, in float32.
"""

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pipeline.autoencoders import batch_size
from pipeline.errors import StudyError
from pipeline.folds import Rows
from pipeline.heads import Floats, Space, Stages
from pipeline.pooling import averages
from pipeline.values import fingerprint

SPACE = "space"
"""The name of depth 0: the values of the space as they are."""


def cells(channels: int, grid: int, enough: int) -> int:
    """Return how many cells along one side give at least `enough` features: `grid`, or more for few channels."""
    return max(grid, math.isqrt(max(0, -(-enough // channels) - 1)) + 1)


@dataclass(eq=False)
class StageFeatures:
    """Averages of a space and of its decoder's stages, each computed when a row is first asked for.

    Attributes:
        space: gives the latents.
        stages: the frozen decoder; None: there is only the space.
        grid: cells along one side that are averaged over.
        enough: features that a depth with few channels takes more cells for.
    """

    space: Space
    stages: Stages | None
    grid: int
    enough: int
    _identity: str = field(init=False)
    _known: NDArray[np.bool_] = field(init=False)
    _vectors: dict[str, Floats] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        """Start with no row."""
        self._known = np.zeros(len(self.space.values), dtype=bool)
        self._identity = fingerprint(self.space.values)

    def serve(self, space: Space, stages: Stages | None, grid: int, enough: int) -> bool:
        """Tell whether these are the features that are asked for, so that those which are known can be used."""
        asked = (stages, space.stride, grid, enough)
        own = (self.stages, self.space.stride, self.grid, self.enough)
        return asked == own and self._identity == fingerprint(space.values)

    def of(self, rows: Rows) -> dict[str, Floats]:
        """Return n x F features of these rows by stage: the space itself, then its decoder's stages in their order.

        A sample goes through the decoder at the place in a batch that its row number gives it, whatever else is asked
        for. So its features are the same bits in every fold and for every share of the labels.

        Raises:
            StudyError: the decoder gives something else than finite maps of all samples, the same stages every time.
        """
        c, h, w = self.space.values.shape[1:]
        size = batch_size((c, h * self.space.stride, w * self.space.stride))
        missing = rows[~self._known[rows]]
        for number in np.unique(missing // size):
            self._add(missing[missing // size == number], number * size, size)
        return {name: vectors[rows] for name, vectors in self._vectors.items()}

    def _add(self, rows: Rows, first: int, size: int) -> None:
        # Rows that nobody asked for may be anything, even no numbers: zeros keep their places.
        batch = np.zeros((size, *self.space.values.shape[1:]), dtype=np.float32)
        batch[rows - first] = self.space.values[rows]
        outputs = {SPACE: batch, **(self.stages(batch) if self.stages else {})}
        if self._vectors and list(outputs) != list(self._vectors):
            raise StudyError("the decoder gave other stages than before; a decoder has the same stages for every image")
        for name, output in outputs.items():
            vectors = self._averaged(name, output, size)[rows - first]
            if not np.isfinite(vectors).all():
                raise StudyError(f"depth {name!r} has values that are not finite; check the autoencoder's weights")
            whole = self._vectors.setdefault(name, np.zeros((len(self._known), vectors.shape[1]), np.float32))
            whole[rows] = vectors
        self._known[rows] = True

    def _averaged(self, name: str, output: Floats, size: int) -> Floats:
        if output.ndim != 4 or len(output) != size:
            raise StudyError(
                f"what the decoder gives at {name} has the shape {output.shape} for {size} latents; a stage must give "
                "n x channels x height x width"
            )
        pooled = averages(output, cells(output.shape[1], self.grid, self.enough))
        return pooled.reshape(size, -1).astype(np.float32)


@dataclass(frozen=True)
class Components:
    """Principal components of standardised features, scaled as one so that they have a mean variance of 1.

    The scale is one number, so the spectrum keeps its shape, and the penalty of a regression means the same at every
    depth however many features are behind it.

    Attributes:
        values: n x k.
        projection: k x F and offset: k, such that values = projection @ features + offset.
        variance: share of the standardised features' variance, over the training rows, that the components hold.
    """

    values: NDArray[np.float64]
    projection: NDArray[np.float64]
    offset: NDArray[np.float64]
    variance: float


def components(vectors: Floats, train: NDArray[np.bool_], count: int) -> Components:
    """Return the first `count` principal components of n x F features, fitted to the rows that train.

    Each feature is divided by its deviation before, so that no channel counts for more because its numbers are large.
    Components of training rows and not random directions, because activations are smooth and repeat each other: a few
    hundred components keep nearly all that varies, and random directions keep their share of it only.
    """
    from sklearn.decomposition import PCA

    mean = vectors[train].mean(axis=0, dtype=np.float64)
    deviation = vectors[train].std(axis=0, dtype=np.float64)
    # What is constant up to the rounding of float32 says nothing, and must not be enlarged.
    deviation[deviation <= 1e-6 * np.abs(mean) + 1e-12] = np.inf
    mean, deviation = mean.astype(np.float32), deviation.astype(np.float32)
    standard = (vectors - mean) / deviation
    if not standard[train].any():
        return Components(np.zeros((len(vectors), count)), np.zeros((count, len(mean))), np.zeros(count), 0.0)
    axes = PCA(count, random_state=0).fit(standard[train]).components_.astype(np.float64)
    values = standard @ axes.T
    held, whole = np.square(values[train]).sum(), np.square(standard[train], dtype=np.float64).sum()
    scale = np.sqrt(held / values[train].size)
    projection = axes / deviation / scale
    return Components(values / scale, projection, -projection @ mean, float(held / whole))
