"""Trained denoisers where the best one is known: how far their quantities are off, and what they draw."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from bench.measure import Row
from bench.mixtures import THREE, Floats, Mixture
from bench.oracles import denoiser
from pipeline import families, fisher
from pipeline.denoisers import Fitted, Space
from pipeline.diffusion import Diffusability
from pipeline.fisher import Statistics, Value
from pipeline.networks import edm
from pipeline.networks.denoiser_measuring import in_unit
from pipeline.networks.denoiser_training import built
from pipeline.networks.probes import drawn, statistics
from pipeline.trained_denoiser import TrainedDenoiser

MIDDLE = (0.5, 1.0, 2.0)
"""Noise levels, in deviations of the space, at which a trained denoiser is held to the best one."""
COMPARED = ("mmse", "fisher_score", "fisher_trace", "fisher_mmse", "mmse_rate")


def spec(family: str, **options: object) -> TrainedDenoiser:
    """Return a denoiser by its family and settings."""
    found = families.spec("denoisers", {"family": family, **options})
    if not isinstance(found, TrainedDenoiser):
        raise TypeError(f"{family} is no family of trained denoisers")
    return found


def patterns(side: int, seed: int = 0) -> Mixture:
    """Return a mixture of three kinds of images side x side: smooth noise of other strengths around three patterns."""
    random = np.random.default_rng([seed, side])
    places = np.indices((side, side)).reshape(2, -1).T
    apart = np.abs(places[:, None] - places).sum(axis=2)
    smooth = np.exp(-apart / 2.0)
    means = random.normal(size=(3, side * side)) @ np.linalg.cholesky(smooth).T
    means *= np.array([[2.0], [1.0], [1.0]])
    return Mixture(np.array([0.5, 0.3, 0.2]), means, np.stack([0.3 * smooth, 0.1 * smooth, 0.2 * np.eye(side**2)]))


@dataclass(frozen=True)
class Trial:
    """A denoiser that was trained on draws of a mixture.

    Attributes:
        spec: its settings.
        mixture: in the unit of the space, around 0.
        space: training rows, then held-out ones.
        fitted: what came of the training.
    """

    spec: TrainedDenoiser
    mixture: Mixture
    space: Space
    fitted: Fitted

    @classmethod
    def of(cls, spec: TrainedDenoiser, mixture: Mixture, side: int, count: int, held_out: int = 1000) -> "Trial":
        """Train on so many draws."""
        x = mixture.draw(count + held_out, np.random.default_rng([count, 11]))[0]
        values = x.reshape(-1, 1, side, side).astype(np.float32)
        rows = np.arange(len(values))
        space = Space(lambda wanted: values[wanted], (1, side, side), rows[:count], rows[count:], rows)
        fitted = spec.fit(space)
        unit, middle = float(fitted.tensors["deviation"].item()) * edm.DEVIATION, fitted.tensors["mean"].item()
        scaled = Mixture(mixture.weights, (mixture.means - middle) / unit, mixture.covariances / unit**2)
        return cls(spec, scaled, space, fitted)

    def measured(self, probes: int = 2) -> Iterator[tuple[float, dict[str, Value], dict[str, Value]]]:
        """Yield each middle noise level, what the denoiser has there and what the best one has on the same draws."""
        how = Diffusability(levels=list(MIDDLE), probes=probes, batch=500)
        groups = np.arange(len(self.space.held_out))
        found = self.spec.measure(self.fitted.tensors, self.space, MIDDLE, how)
        for level, (sigma, statistics_found) in enumerate(zip(MIDDLE, found, strict=True)):
            best = self._best(level, sigma, probes)
            values, exact = (fisher.quantities(one, sigma**2, groups) for one in (statistics_found, best))
            yield sigma, values, exact

    def _best(self, level: int, sigma: float, probes: int) -> Statistics:
        rows = self.space.held_out
        unit, middle = self.fitted.tensors["deviation"].item() * edm.DEVIATION, self.fitted.tensors["mean"].item()
        clean = torch.from_numpy((self.space.read(rows).astype(np.float64) - middle) / unit)
        noise, signs = drawn(rows, self.space.shape, level, probes, self.spec.seed)
        return statistics(denoiser(self.mixture), clean, sigma, (noise, signs))

    def generated(self, count: int, steps: int = 18) -> Floats:
        """Return count x d samples that are drawn from nothing but noise."""
        denoise = in_unit(built(self.spec, self.space.shape, self.fitted.tensors))
        noise = np.random.default_rng([count, 13]).standard_normal((count, *self.space.shape), np.float32)
        parts = [edm.sample(denoise, torch.from_numpy(part), edm.levels(steps)) for part in np.array_split(noise, 4)]
        return np.asarray(torch.cat(parts).flatten(1).double().numpy())


def compared(name: str, trial: Trial, bound: float = 0.05) -> Iterator[Row]:
    """The quantities of a trained denoiser against those of the best one."""
    for sigma, found, best in trial.measured():
        for quantity in COMPARED:
            off = abs(found[quantity][0] / best[quantity][0] - 1)
            note = f"{found[quantity][0]:.4g}, {best[quantity][0]:.4g} of the best denoiser"
            yield Row(f"{name}, {quantity}, sigma {sigma:g}: off by a share", off, bound, False, note)


def drawn_by(name: str, trial: Trial, count: int = 2000) -> Iterator[Row]:
    """Samples of a trained denoiser: means, covariances and weights of the mixture."""
    x, mixture = trial.generated(count), trial.mixture
    kinds = mixture.log_posterior(x, 1e-6).argmax(axis=1)
    weights: NDArray[np.float64] = np.bincount(kinds, minlength=len(mixture.weights)) / count
    errors = np.sqrt(mixture.weights * (1 - mixture.weights) / count)
    yield Row(
        f"{name}, drawn: weights off by",
        float(np.abs(weights - mixture.weights).max()),
        0.05,
        False,
        f"+- {errors.max():.3f}",
    )
    off = np.linalg.norm(x.mean(axis=0) - mixture.mean()) / np.sqrt(np.trace(mixture.covariance()))
    yield Row(f"{name}, drawn: mean off by, in deviations", float(off), 0.08, False)
    apart = np.linalg.norm(np.cov(x.T) - mixture.covariance()) / np.linalg.norm(mixture.covariance())
    yield Row(f"{name}, drawn: covariance off by a share", float(apart), 0.1, False)


SMALL: dict[str, dict[str, object]] = {"dit": {"width": 32, "depth": 2, "heads": 2}, "unet": {"channels": [32]}}
BOUNDS = {"dit": 0.07, "unet": 0.05}
"""The transformer's score at the least of the noise levels stays 5 to 6 % off; everything else of it is within 3 %."""


def trained(steps: int = 3000) -> Iterator[Row]:
    """Both networks on a mixture on the line, against the best denoiser."""
    for family, options in SMALL.items():
        settings = spec(family, steps=steps, batch=256, learning_rate=0.003, **options)
        yield from compared(f"{family}, three normals", Trial.of(settings, THREE, 1, 20_000), BOUNDS[family])


def generated(steps: int = 2000) -> Iterator[Row]:
    """What a U-Net draws that was trained on three kinds of images."""
    settings = spec("unet", steps=steps, batch=64)
    yield from drawn_by("unet, three kinds of images", Trial.of(settings, patterns(4), 4, 20_000))


CHECKS = (trained, generated)
