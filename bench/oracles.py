"""Exact denoisers of distributions whose Fisher information is known, and how far the estimators are off it.

Values are in nats and in the units of X; those of the table are by quadrature to eight digits.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.measure import Row
from bench.mixtures import GOLDEN, SPACE, THREE, TWO, Mixture
from pipeline import fisher, information
from pipeline.fisher import Statistics, Value
from pipeline.networks.classifier_gradients import Classifier, answers
from pipeline.networks.probes import Denoiser, drawn, statistics

Floats = NDArray[np.float64]
SPECTRUM = np.array([4.0, 1.0, 0.25, 0.01, 0.0])


@dataclass(frozen=True)
class Known:
    """One line of the table.

    Attributes:
        t: the noise's variance.
        fisher: J.
        fisher_rate: FIR.
        mmse: mean squared error of the best denoiser.
        mmse_rate: its derivative with respect to t.
    """

    t: float
    fisher: float
    fisher_rate: float
    mmse: float
    mmse_rate: float

    def values(self) -> dict[str, float]:
        """Return the values by the names of `pipeline.fisher`, J under each of its three."""
        named = dict.fromkeys(("fisher_score", "fisher_trace", "fisher_mmse"), self.fisher)
        return named | {"fisher_rate": self.fisher_rate, "mmse": self.mmse, "mmse_rate": self.mmse_rate}


GAUSSIAN = (
    Known(0.01, 155.08562941, 12515.83538413, 0.03449144, 3.14987095),
    Known(0.25, 10.88144796, 35.48826273, 0.56990950, 1.77729244),
    Known(1.0, 3.49009901, 2.91029605, 1.50990099, 0.93009803),
)
POINTS = (
    Known(0.25, 2.90244146, 17.50214164, 0.06859741, 0.64266312),
    Known(1.0, 0.55040049, 0.41735633, 0.44959951, 0.31655535),
    Known(4.0, 0.20025339, 0.04026885, 0.79594573, 0.04227452),
)
PAIR = (
    Known(0.1, 6.55512748, 59.25552883, 0.03444873, 0.28152979),
    Known(0.25, 2.31865652, 12.09538126, 0.10508397, 0.59663307),
    Known(1.0, 0.53441452, 0.38282753, 0.46558548, 0.31399849),
    Known(4.0, 0.19865561, 0.03962308, 0.82151030, 0.04472443),
)
TRIPLE = (
    Known(0.05, 3.41221415, 38.65597459, 0.04146946, 0.75541852),
    Known(0.5, 0.59925596, 0.71218428, 0.35018601, 0.57879011),
    Known(2.0, 0.27951210, 0.08333355, 0.88195160, 0.21528582),
)
SOLID = (Known(0.25, 5.248, 13.629, 0.4218, 1.226), Known(1.0, 1.8025, 1.5169, 1.1975, 0.9119))
"""Of the three-dimensional mixture, known by simulation alone: see `SOLID_ERRORS`."""
SOLID_ERRORS = (Known(0.25, 0.008, 0.011, 0.0001, 0.002), Known(1.0, 0.0008, 0.0005, 0.0008, 0.0016))
LINES: dict[str, tuple[Mixture, tuple[Known, ...]]] = {
    "two points": (Mixture.line([0.5, 0.5], [-1, 1], [0, 0]), POINTS),
    "two normals": (TWO, PAIR),
    "three normals": (THREE, TRIPLE),
}


def log_joint(mixture: Mixture) -> Classifier:
    """Return log(weight_k p(y | k)) up to a constant, n x K: what the best classifier says of noisy values."""
    logs, means, variances, axes = _components(mixture)

    def classify(y: Tensor, sigma: Tensor) -> Tensor:
        apart = y.reshape(len(y), 1, means.shape[1]).double() - means
        noisy = variances + sigma.double()[:, None, None].square()
        along = torch.einsum("nki,kij->nkj", apart, axes)
        joint: Tensor = logs - (along.square() / noisy + noisy.log()).sum(dim=2) / 2
        return joint

    return classify


def denoiser(mixture: Mixture) -> Denoiser:
    """Return E[X | y] of a mixture: means of the components' own denoisers, weighted by the components' posterior."""
    _, means, variances, axes = _components(mixture)
    classify = log_joint(mixture)

    def denoise(y: Tensor, sigma: Tensor) -> Tensor:
        apart = y.reshape(len(y), 1, means.shape[1]).double() - means
        kept = variances / (variances + sigma.double()[:, None, None].square())
        along = torch.einsum("nki,kij->nkj", apart, axes)
        inside = means + torch.einsum("nkj,kij->nki", kept * along, axes)
        mean: Tensor = (classify(y, sigma).softmax(dim=1)[:, :, None] * inside).sum(dim=1)
        return mean.reshape(y.shape).to(y.dtype)

    return denoise


def _components(mixture: Mixture) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the components' log-weights, means, and variances along their axes."""
    variances, axes = torch.linalg.eigh(torch.from_numpy(mixture.covariances).double())
    return torch.from_numpy(np.log(mixture.weights)), torch.from_numpy(mixture.means).double(), variances, axes


def by_quadrature(denoise: Denoiser, mixture: Mixture, t: float, points: int = 401) -> dict[str, Value]:
    """Return the quantities of a denoiser on a mixture on the line, by the estimators themselves.

    The trapezoidal rule over X and Z takes the place of draws; its error falls faster than any power. In one dimension
    every probe is exact, so what is left is rounding.
    """
    nodes = np.linspace(-9, 9, points)
    density = np.exp(-(nodes**2) / 2)
    x, z, weights = [], [], []
    for share, centre, variance in zip(mixture.weights, mixture.means, mixture.covariances, strict=True):
        inner = (nodes, density / density.sum()) if variance > 0 else (np.zeros(1), np.ones(1))
        values, normal = np.meshgrid(inner[0], nodes, indexing="ij")
        x.append((centre + np.sqrt(variance[0]) * values).ravel())
        z.append(normal.ravel())
        weights.append(share * np.outer(inner[1], density).ravel())
    clean, noise = (torch.from_numpy(np.concatenate(parts))[:, None] for parts in (x, z))
    probes = torch.ones(len(clean), 1, 1, dtype=torch.float64)
    found = statistics(denoise, clean, t**0.5, (noise, probes))
    return fisher.quantities(found, t, np.arange(len(clean)), np.concatenate(weights))


def by_draws(denoise: Denoiser, x: Floats, t: float, probes: int = 1, seed: int = 0) -> dict[str, Value]:
    """Return the quantities of a denoiser on draws n x ... of a distribution, in batches."""
    parts: list[Statistics] = []
    for rows in np.array_split(np.arange(len(x)), len(x) // 20_000 + 1):
        draws = drawn(rows, x.shape[1:], 0, probes, seed)
        parts.append(statistics(denoise, torch.from_numpy(x[rows]), t**0.5, draws))
    return fisher.quantities(Statistics.joined(parts), t, np.arange(len(x)))


def lines() -> Iterator[Row]:
    """The estimators with exact denoisers on the line, against the table."""
    for name, (mixture, table) in LINES.items():
        for known in table:
            found = by_quadrature(denoiser(mixture), mixture, known.t)
            for quantity, value in known.values().items():
                off = abs(found[quantity][0] - value)
                note = f"{found[quantity][0]:.8f}, {value:.8f} in the table"
                yield Row(f"{quantity}, {name}, t {known.t:g}: off", off, 1e-6, False, note)


def spectra() -> Iterator[Row]:
    """The closed form of a normal distribution against the table."""
    for known in GAUSSIAN:
        found = fisher.gaussian(SPECTRUM, known.t)
        for quantity, value in known.values().items():
            off = abs(found[quantity] - value)
            yield Row(f"{quantity}, normal in 5-D, t {known.t:g}: off", off, 1e-6, False, f"{found[quantity]:.8f}")


def solid(count: int = 200_000) -> Iterator[Row]:
    """The estimators with the exact denoiser of the three-dimensional mixture, by draws, against the table."""
    x = SPACE.draw(count, np.random.default_rng([count, 3]))[0]
    for known, errors in zip(SOLID, SOLID_ERRORS, strict=True):
        found = by_draws(denoiser(SPACE), x, known.t)
        for quantity, value in known.values().items():
            estimate, error = found[quantity]
            off = abs(estimate - value) / np.hypot(error, errors.values()[quantity])
            note = f"{estimate:.4f} +- {error:.4f}, {value:.4f} in the table"
            yield Row(f"{quantity}, 3-D mixture, t {known.t:g}: off in standard errors", float(off), 4, False, note)


def answered(mixture: Mixture, classify: Classifier, sigmas: Floats, points: int = 201) -> information.Answers:
    """Return what a classifier says of a mixture on the line, by quadrature within each component."""
    nodes = np.linspace(-9, 9, points)
    count = len(mixture.weights)
    classes = np.repeat(np.arange(count), points)
    weights = mixture.weights[classes] * np.tile(np.exp(-(nodes**2) / 2), count)
    logs, squares = [], []
    for sigma in sigmas:
        deviations = np.sqrt(mixture.covariances[:, 0, 0] + sigma**2)
        y = mixture.means[classes, 0] + deviations[classes] * np.tile(nodes, count)
        found = answers(classify, torch.from_numpy(y)[:, None], float(sigma))
        logs.append(found[0].numpy())
        squares.append(found[1].numpy())
    return information.Answers(sigmas, np.stack(logs), np.stack(squares), classes, weights, np.arange(len(classes)))


def classes(levels: int = 200) -> Iterator[Row]:
    """I(C; Y_t) of the best classifier, and what its squared gradients integrate to, against the table."""
    for name, mixture, t, known in GOLDEN:
        sigmas = np.geomspace(np.sqrt(t), 60, levels)
        found = information.quantities(answered(mixture, log_joint(mixture), sigmas))
        first = {quantity: value for sigma, quantity, value, *_ in found if sigma == sigmas[0]}
        for quantity, bound in (("information", 1e-6), ("information_integrated", 1e-4)):
            note = f"{first[quantity]:.8f}, {known:.8f} in the table"
            yield Row(f"{quantity}, {name}, t {t:g}: off", abs(first[quantity] - known), bound, False, note)


CHECKS = (spectra, lines, solid, classes)
