"""How an encoder bends and stretches the data: finite differences along directions of the data and of fine detail.

f is the encoder, from images of D values to latents of d. Lengths of images are in units of rho, the root mean squared
distance of training images from their mean; slopes of f are in units of alpha, the root mean square of all its slopes
along the data, so that everything here is without unit and a scaled isometry has slopes of 1. Names follow the four
penalties of "Understanding Latent Diffusability via Fisher Geometry" (arXiv 2604.02751v2), whose own estimators could
not be obtained: each definition is this project's.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Encode = Callable[[Floats], Floats]
"""n x C x H x W images to n x ... latents."""

LOST = 0.1
"""A direction of the data with a smaller slope than this, in units of alpha, counts as lost."""
FINE = 0.25
"""Detail of more cycles a pixel than this counts as fine; half a cycle is the finest that there is."""
ENDS = (0.05, 0.95)
"""Quantiles that stand for the least and the largest slope, which single samples would decide otherwise."""
REPLICATES = 200


@dataclass(frozen=True)
class Felt:
    """What was found at each of n images, in the units of images and latents.

    Attributes:
        slopes: n x m, singular values of the derivative along m directions of the data.
        bends: n x m, ||second derivative of f|| along them.
        fine_slopes: n x m, ||derivative|| along directions of fine detail.
        fine_bends: n x m, ||second derivative|| along those.
        ratios: n x k, distance from each neighbour in latents over that in images.
        curvature: n x k, of the data at the image, from each neighbour.
        latent_curvature: n x k, of the same data as latents.
    """

    slopes: Floats
    bends: Floats
    fine_slopes: Floats
    fine_bends: Floats
    ratios: Floats
    curvature: Floats
    latent_curvature: Floats

    @classmethod
    def joined(cls, parts: "list[Felt]") -> "Felt":
        """Return what was found at all images of some parts."""
        return cls(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)))

    def drawn(self, rows: NDArray[np.int64]) -> Self:
        """Return what was found at some of the images."""
        return type(self)(*(getattr(self, field.name)[rows] for field in fields(self)))


def tangents(differences: Floats, count: int) -> Floats:
    """Return count x D orthonormal directions of the data: the principal axes of k x D differences from neighbours."""
    return np.asarray(np.linalg.svd(differences, full_matrices=False)[2][:count])


def fine(shape: tuple[int, int, int], count: int, random: np.random.Generator) -> Floats:
    """Return count x C x H x W directions of length 1 that hold fine detail alone (see `FINE`), otherwise at random."""
    _, h, w = shape
    frequency = np.hypot(np.fft.fftfreq(h)[:, None], np.fft.fftfreq(w))
    values = np.fft.ifft2(np.fft.fft2(random.standard_normal((count, *shape))) * (frequency > FINE)).real
    return np.asarray(values / np.linalg.norm(values.reshape(count, -1), axis=1)[:, None, None, None])


def curvatures(differences: Floats, count: int) -> Floats:
    """Return the curvature of the data at a sample from each of k neighbours: 2 n / t^2, in units of 1 / length.

    t and n are the lengths of the difference along the `count` directions of the data and off them: on a circle of
    radius R that is 1 / R for near neighbours (the sagitta). What is noise about the data counts as bending.
    """
    axes = tangents(differences, count)
    along = ((differences @ axes.T) ** 2).sum(axis=1)
    off = np.maximum((differences**2).sum(axis=1) - along, 0.0)
    return np.asarray(2 * np.sqrt(off) / np.maximum(along, np.finfo(float).tiny))


def derivatives(encode: Encode, image: Floats, directions: Floats, step: float) -> tuple[Floats, Floats]:
    """Return first and second derivatives of the encoder along m directions of length 1, each m x d.

    Args:
        encode: the encoder.
        image: C x H x W.
        directions: m x C x H x W.
        step: length of the step to either side.
    """
    count = len(directions)
    tried = np.concatenate([image[None], image + step * directions, image - step * directions])
    latents = encode(tried).reshape(len(tried), -1).astype(np.float64)
    middle, ahead, behind = latents[:1], latents[1 : count + 1], latents[count + 1 :]
    return (ahead - behind) / (2 * step), (ahead - 2 * middle + behind) / step**2


def felt(
    encode: Encode, image: Floats, near: tuple[Floats, Floats], count: int, step: float, random: np.random.Generator
) -> Felt:
    """Return what is found at one image.

    Args:
        encode: the encoder.
        image: C x H x W.
        near: differences of k neighbours from it, k x D in images and k x d in latents.
        count: m, directions of the data, and as many of fine detail.
        step: length of the step to either side.
        random: draws the directions of fine detail.
    """
    images, latents = near
    shape = (image.shape[0], image.shape[1], image.shape[2])
    axes = tangents(images, count).reshape(-1, *shape)
    first, second = derivatives(encode, image, np.concatenate([axes, fine(shape, count, random)]), step)
    m = len(axes)
    lengths = np.linalg.norm(first[m:], axis=1), np.linalg.norm(second, axis=1)
    ratios = np.linalg.norm(latents, axis=1) / np.maximum(np.linalg.norm(images, axis=1), np.finfo(float).tiny)
    return Felt(
        slopes=_singular(first[:m])[None],
        bends=lengths[1][None, :m],
        fine_slopes=lengths[0][None],
        fine_bends=lengths[1][None, m:],
        ratios=ratios[None],
        curvature=curvatures(images, count)[None],
        latent_curvature=curvatures(latents, count)[None],
    )


def _singular(derivative: Floats) -> Floats:
    """Return m singular values of m x d, those that a latent of fewer dimensions than directions lacks as 0."""
    found = np.linalg.svd(derivative, compute_uv=False)
    return np.asarray(np.pad(found, (0, len(derivative) - len(found))), dtype=np.float64)


def penalties(found: Felt, size: float, latent_size: float) -> dict[str, float]:
    """Return the measures of an encoder on the data; see docs/method-diffusability.md.

    Args:
        found: at n images.
        size: rho, in units of images.
        latent_size: the same of latents.
    """
    alpha = _size(found.slopes)
    if not alpha:
        return dict.fromkeys(QUANTITIES, np.nan)
    slopes, ratios = found.slopes / alpha, found.ratios / _size(found.ratios)
    low, high = np.quantile(slopes, ENDS)
    near, far = np.quantile(ratios, ENDS)
    bend = size / alpha
    values = (
        float((slopes < LOST).mean()),
        _size(slopes**2 - 1),
        float(low),
        float(high),
        float(near),
        float(far),
        _size(found.bends) * bend,
        _size(found.fine_bends) * bend,
        _size(found.fine_slopes) / alpha,
        float(np.median(found.curvature)) * size,
        float(np.median(found.latent_curvature)) * latent_size,
    )
    return dict(zip(QUANTITIES, values, strict=True))


QUANTITIES = (
    *("lost_directions", "tangential_distortion", "slope_low", "slope_high", "distance_low", "distance_high"),
    *("tangential_curvature", "fine_curvature", "fine_response", "data_curvature", "latent_data_curvature"),
)


def with_errors(found: Felt, size: float, latent_size: float, seed: int = 0) -> dict[str, tuple[float, float]]:
    """Return the measures with standard errors by bootstrap over the images."""
    values, count = penalties(found, size, latent_size), len(found.slopes)
    draws = []
    for replicate in range(REPLICATES):
        rows = np.random.default_rng([seed, replicate]).integers(0, count, count)
        draws.append(list(penalties(found.drawn(rows), size, latent_size).values()))
    errors = np.std(np.array(draws), axis=0, ddof=1)
    return {name: (value, float(error)) for (name, value), error in zip(values.items(), errors, strict=True)}


def _size(values: Floats) -> float:
    return float(np.sqrt(np.mean(values**2)))
