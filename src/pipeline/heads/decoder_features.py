"""A linear probe at every depth of the frozen decoder: where on the way back to the image does learnability return?

Depth 0 is the latent, 1, 2, ... are the decoder's stages in the order in which it applies them. Every depth gets the
same probe with the same number of features, so what differs is what the decoder has made explicit. Images and
reconstructions, which have no decoder behind them, get the probe on their values: they are the ends of the curve.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field, PrivateAttr

from pipeline.folds import Rows, Split
from pipeline.heads import ALONE, Fitted, HeadSpec, Point, Space, Stages, Support
from pipeline.linear_probe import Probe, fit_probe
from pipeline.stage_features import Components, StageFeatures, components


class Spec(HeadSpec):
    """Logistic regression on pooled activations, its strength of regularisation chosen at each depth by itself."""

    family: Literal["decoder-features"]
    probe: Literal["linear"] = "linear"
    """The probe at each depth."""
    grid: Annotated[int, Field(ge=1)] = 8
    """Cells along one side that activations are averaged over. What has too few channels for `components` features
    takes more cells: a space of one channel 16 instead of 8. In memory, a sample takes 4 grid^2 bytes a channel.
    [cells]"""
    components: Annotated[int, Field(ge=1)] = 256
    """Principal components of the training rows that every depth is reduced to, so that depth is not confounded with
    the number of features; fewer, at every depth the same number, where a depth or the training rows give no
    more. [1]"""
    strengths: Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=1)] = [0.001, 0.01, 0.1, 1.0]
    """Inverse strengths of the L2 penalty (scikit-learn's C) to choose from, one for all classes. [1]"""

    small: ClassVar[bool] = True
    device: ClassVar[bool] = True
    needs_decoder: ClassVar[bool] = True
    _kept: "_Kept" = PrivateAttr(default_factory=lambda: _Kept())

    def fit(self, space: Space, split: Split, seed: int, support: Support = ALONE) -> Fitted:
        """Fit a probe at each depth; the scores are those of depth 0, the profile those of all. No seed is used."""
        rows = np.unique(np.concatenate([split.train, split.validation, split.test]))
        stages = None if space.pixels else support.stages
        vectors = self._features(space, stages).of(rows)
        counts = {name: values.shape[1] for name, values in vectors.items()}
        count = max(1, min(self.components, len(split.train) - 1, *counts.values()))
        depths = []
        for name in counts:
            # Popped, because the features of a depth are many and are not needed after it.
            reduced = components(vectors.pop(name), np.isin(rows, split.train), count)
            x = _scattered(reduced.values, rows, len(space.values))
            depths.append((fit_probe(x, space, split, self.strengths), reduced))
        return self._fitted(depths, counts, alone=stages is None)

    def stages(self, decoder: str, store: Path) -> Stages | None:
        """Load the decoder."""
        from pipeline.decoder_stages import load

        return load(decoder, store)

    def _fitted(self, depths: list[tuple[Probe, Components]], counts: dict[str, int], alone: bool) -> Fitted:
        # Which classes could be trained is a matter of the labels, and the same at every depth.
        tensors: dict[str, NDArray[np.generic]] = {"trained": depths[0][0].decisions.trained}
        curves = []
        for depth, ((probe, reduced), name) in enumerate(zip(depths, counts, strict=True)):
            chosen = {"strength": np.array([self.strengths[probe.chosen]])}
            tensors |= {f"depth{depth}.{key}": value for key, value in (_tensors(probe, reduced) | chosen).items()}
            tried = pd.DataFrame({"strength": self.strengths, "validation": probe.tried})
            sizes = {"features": counts[name], "components": reduced.values.shape[1], "variance": reduced.variance}
            curves.append(tried.assign(depth=depth, stage=name, **sizes))
        probes = [probe for probe, _ in depths]
        profile = () if alone else tuple(Point("depth", at, p.validation, p.test) for at, p in enumerate(probes))
        curve = pd.concat(curves, ignore_index=True)
        return Fitted(probes[0].validation, probes[0].test, tensors, curve, profile=profile)

    def _features(self, space: Space, stages: Stages | None) -> StageFeatures:
        asked = (space, stages, self.grid, self.components)
        if self._kept.features is None or not self._kept.features.serve(*asked):
            self._kept.features = StageFeatures(*asked)
        return self._kept.features


@dataclass
class _Kept:
    """Features of the last space: every fold, seed and share of the labels asks for those of the same samples."""

    features: StageFeatures | None = field(default=None, compare=False)


def _scattered(values: NDArray[np.float64], rows: Rows, count: int) -> NDArray[np.float64]:
    """Return the values of some rows as those of all; the others are not looked at."""
    whole = np.zeros((count, values.shape[1]))
    whole[rows] = values
    return whole


def _tensors(probe: Probe, reduced: Components) -> dict[str, NDArray[np.generic]]:
    """Return the probe as one linear function of the averaged activations: all that has to be known to apply it."""
    coefficients = probe.decisions.coefficients
    return {
        "coefficients": coefficients @ reduced.projection,
        "intercepts": probe.decisions.intercepts + coefficients @ reduced.offset,
        "components": np.array([reduced.values.shape[1]]),
    }
