"""A positive control for the geometry of encoders: one small autoencoder, with and without a push to a scaled isometry.

The push is the relaxed distortion measure of Lee, Yoon, Son and Park, "Regularized Autoencoders for Isometric
Representation Learning" (ICLR 2022): E tr H^2 / (E tr H)^2 with H = J'J of the decoder, which is least where all
singular values of J are the same everywhere. With it the penalties must fall; what becomes of diffusability, and of
what a classifier finds, is a result.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bench.known_answers import Classes, head, parts, score
from bench.known_answers import space as labelled
from bench.measure import Row
from pipeline.autoencoders import Latents, Pixels
from pipeline.denoisers import Space
from pipeline.denoisers.gaussian import Spec as Gaussian
from pipeline.diffusion import Diffusability, Geometry
from pipeline.encoder_geometry import surveyed
from pipeline.fisher import quantities

SIDE, INTRINSIC, HIDDEN = 6, 4, 64
HELD_OUT = 200
SIGMA = 0.5
FALLING = ("tangential_distortion", "tangential_curvature")
Images = NDArray[np.float32]


def curved(count: int, seed: int = 0) -> tuple[Images, Classes]:
    """Return images count x 1 x 6 x 6 on a curved surface of four dimensions, and classes that no plane tells apart."""
    random = np.random.default_rng([seed, 1])
    inner, outer = random.normal(size=(INTRINSIC, 16)) / 2, random.normal(size=(16, SIDE**2)) / 4
    z = np.random.default_rng([seed, 2, count]).normal(size=(count, INTRINSIC))
    images = np.tanh(z @ inner) @ outer
    return images.reshape(count, 1, SIDE, SIDE).astype(np.float32), (z[:, 0] * z[:, 1] > 0).astype(np.int64)


def _perceptron(*widths: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), nn.SiLU()]
    return nn.Sequential(*layers[:-1])


class Small(nn.Module):
    """An autoencoder of perceptrons, n x 1 x 6 x 6 to n x 4 x 1 x 1 and back, with the contract of this project."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = _perceptron(SIDE**2, HIDDEN, HIDDEN, INTRINSIC)
        self.decoder = _perceptron(INTRINSIC, HIDDEN, HIDDEN, SIDE**2)

    def encode(self, images: Pixels) -> Latents:
        """Return the latents."""
        with torch.no_grad():
            values: NDArray[np.float32] = self.encoder(torch.from_numpy(images).flatten(1)).numpy()
        return Latents(values[:, :, None, None])

    def decode(self, latents: NDArray[np.float32]) -> Pixels:
        """Return the images."""
        with torch.no_grad():
            values: NDArray[np.float32] = self.decoder(torch.from_numpy(latents).flatten(1)).numpy()
        return values.reshape(-1, 1, SIDE, SIDE)


def distortion(decoder: nn.Module, latents: Tensor, probes: Tensor) -> Tensor:
    """Return E tr H^2 / (E tr H)^2 by one Hutchinson probe a latent: 1 / d or more, and 1 / d of a scaled isometry."""
    forth = torch.func.jvp(decoder, (latents,), (probes,))[1]
    _, backward, *_ = torch.func.vjp(decoder, latents)
    (back,) = backward(forth)
    trace, square = forth.square().sum(dim=1).mean(), back.square().sum(dim=1).mean()
    ratio: Tensor = square / trace.square()
    return ratio


def trained(images: Images, weight: float, steps: int, batch: int = 128, seed: int = 0) -> Small:
    """Return an autoencoder that was trained with so much of the push, on the same batches whatever the weight."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = Small()
    flat = torch.from_numpy(images).flatten(1)
    scale = float(flat.var())
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    for step in range(steps):
        random = np.random.default_rng([seed, step])
        clean = flat[torch.from_numpy(random.integers(0, len(flat), batch))]
        latents = model.encoder(clean)
        loss = (model.decoder(latents) - clean).square().mean() / scale
        if weight:
            probes = torch.from_numpy(random.standard_normal((batch, INTRINSIC), np.float32))
            loss = loss + weight * distortion(model.decoder, latents, probes)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return model.requires_grad_(False).eval()


@dataclass(frozen=True)
class Outcome:
    """What became of one autoencoder.

    Attributes:
        error: share of the images' variance that reconstructions of held-out images miss.
        geometry: the measures of its encoder.
        rate: MMSE rate per latent dimension at sigma 0.5, by the closed-form denoiser.
        disagreement: of that denoiser.
        accuracy: balanced accuracy of nearest neighbours in the latents.
    """

    error: float
    geometry: dict[str, float]
    rate: float
    disagreement: float
    accuracy: float


def outcome(model: Small, images: Images, classes: Classes) -> Outcome:
    """Measure an autoencoder on images, the last of which it has not seen."""
    latents = model.encode(images).mean
    rows = np.arange(len(images))
    train, held_out = rows[:-HELD_OUT], rows[-HELD_OUT:]
    pixels, space = (Space(lambda w, v=v: v[w], v.shape[1:], train, held_out, rows) for v in (images, latents))  # type: ignore[misc]
    found = surveyed(model, pixels, space, Geometry(samples=64, tangents=INTRINSIC, neighbours=16))
    denoiser = Gaussian(family="gaussian")
    statistics = next(denoiser.measure(denoiser.fit(space).tensors, space, [SIGMA], Diffusability()))
    values = quantities(statistics, SIGMA**2, held_out)
    missed = float(((model.decode(latents) - images)[held_out] ** 2).mean() / images[held_out].var())
    geometry = {name: value for name, (value, _) in found.items()}
    split = parts(len(train) - HELD_OUT, HELD_OUT, HELD_OUT)
    accuracy = score(head("knn", grid=1), labelled(latents, classes), split, "balanced_accuracy")
    return Outcome(missed, geometry, values["mmse_rate"][0] / INTRINSIC, values["disagreement"][0], accuracy)


def control(count: int = 4000, steps: int = 3000, weight: float = 0.3, bound: float = 0.7) -> Iterator[Row]:
    """The penalties of the two autoencoders, one over the other."""
    images, classes = curved(count + HELD_OUT)
    plain, pushed = (outcome(trained(images[:count], w, steps), images, classes) for w in (0.0, weight))
    for name, value in pushed.geometry.items():
        note = f"{value:.3g} with the push, {plain.geometry[name]:.3g} without"
        if name in FALLING:
            yield Row(f"isometry: {name}, by that without", value / plain.geometry[name], bound, False, note)
        elif plain.geometry[name]:
            yield Row(f"isometry: {name}, by that without", value / plain.geometry[name], note=note)
    for name in ("error", "rate", "disagreement", "accuracy"):
        with_push, without = getattr(pushed, name), getattr(plain, name)
        yield Row(f"isometry: {name}, by that without", with_push / without, note=f"{with_push:.3g}, {without:.3g}")


CHECKS = (control,)
