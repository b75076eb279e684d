"""Procedural images with the statistics of natural ones, on which the shipped autoencoders are trained.

No photograph and no medical image is involved, so an autoencoder has seen nothing of what it is later judged on. A
canvas is a dead-leaves scene (occluding ellipses with radii from an inverse cubic law: Lee, Mumford and Huang,
"Occlusion models for natural images", 2001) whose leaves carry coloured 1/f noise (Field, 1987), under soft shading,
through a lens blur, sometimes with multiplicative speckle, sensor noise or a black surround.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

Field = NDArray[np.floating[Any]]
"""H x W, or H x W x 3 for colour."""

CROPS_PER_SIDE = 3
GREY_SHARE = 0.4
LEAVES_PER_PIXEL = 0.012


def natural_images(count: int, size: int, seed: int) -> NDArray[np.float32]:
    """Return count x 3 x size x size pixels in [0, 1]; a grey image has three equal channels.

    The first images of a larger pool are the same as those of a smaller one with the same seed.
    """
    rng = np.random.default_rng(seed)
    pieces: list[Field] = []
    while len(pieces) < count:
        pieces += _crops(_canvas(rng, size * CROPS_PER_SIDE), size)
    return np.ascontiguousarray(np.stack(pieces[:count]).transpose(0, 3, 1, 2), dtype=np.float32)


def _crops(canvas: Field, size: int) -> list[Field]:
    starts = range(0, canvas.shape[0], size)
    return [canvas[top : top + size, left : left + size] for top in starts for left in starts]


def _canvas(rng: np.random.Generator, side: int) -> Field:
    image = _shaded(rng, _dead_leaves(rng, side))
    image = np.asarray(gaussian_filter(image, sigma=(*[rng.uniform(0.0, 1.4)] * 2, 0.0)))
    if rng.random() < 0.25:
        image = image * _speckle(rng, side)
    if rng.random() < 0.25:
        image = image * _surround(rng, side)
    if rng.random() < 0.4:
        image = image + rng.normal(0.0, rng.uniform(0.0, 0.02), image.shape)
    if rng.random() < GREY_SHARE:
        image = np.repeat(image.mean(axis=2, keepdims=True), 3, axis=2)
    return np.asarray(np.clip(image, 0.0, 1.0), dtype=np.float32)


def coloured_noise(rng: np.random.Generator, side: int, exponent: float) -> Field:
    """Return side x side noise of zero mean and unit variance whose amplitude spectrum falls as 1 / f^exponent."""
    vertical, horizontal = np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None, :]
    frequency = np.hypot(vertical, horizontal)
    frequency[0, 0] = np.inf
    spectrum = np.fft.rfft2(rng.standard_normal((side, side))) * frequency**-exponent
    noise = np.fft.irfft2(spectrum, s=(side, side))
    return np.asarray(noise / noise.std(), dtype=np.float32)


def _colours(rng: np.random.Generator, count: int) -> Field:
    # Luminance varies about three times as much as either chroma axis in photographs (Ruderman, 1998).
    centre, spread = rng.uniform(0.15, 0.85), rng.uniform(0.05, 0.3)
    axes = np.array([[1, 1, 1], [1, 0, -1], [-0.5, 1, -0.5]])
    tint = rng.normal(0.0, [0.0, 0.12, 0.06])
    weights = rng.normal(0.0, [spread, spread / 3, spread / 4], (count, 3)) + tint
    return np.asarray(centre + weights @ axes, dtype=np.float32)


def _dead_leaves(rng: np.random.Generator, side: int) -> Field:
    count = int(LEAVES_PER_PIXEL * side * side * rng.uniform(0.2, 1.5))
    colours = _colours(rng, count + 1)
    textures = [coloured_noise(rng, side, rng.uniform(0.6, 1.8))[..., None] for _ in range(2)]
    image: Field = colours[-1] + rng.exponential(0.06) * textures[0] * np.ones(3, np.float32)
    smallest, largest = rng.uniform(2.0, 6.0), side * rng.uniform(0.15, 0.6)
    # Inverse of the distribution function of a density proportional to r^-3 between the two radii.
    radii = (rng.random(count) * (smallest**-2 - largest**-2) + largest**-2) ** -0.5
    for radius, colour in zip(radii, colours[:-1], strict=True):
        _paint_leaf(rng, image, radius, colour, textures[rng.integers(2)])
    return image


def _paint_leaf(rng: np.random.Generator, image: Field, radius: float, colour: Field, texture: Field) -> None:
    side = image.shape[0]
    row, column = rng.uniform(0, side, 2)
    top, bottom = max(int(row - radius), 0), min(int(row + radius) + 2, side)
    left, right = max(int(column - radius), 0), min(int(column + radius) + 2, side)
    down, across = np.ogrid[top - row : bottom - row - 0.5, left - column : right - column - 0.5]
    angle, aspect = rng.uniform(0, np.pi), rng.uniform(1.0, 2.5)
    along = np.cos(angle) * across + np.sin(angle) * down
    aside = aspect * (np.cos(angle) * down - np.sin(angle) * across)
    softness = max(1.0, radius * rng.beta(0.5, 3.0))
    cover = np.clip((radius - np.hypot(along, aside)) / softness, 0.0, 1.0)[..., None]
    window = image[top:bottom, left:right]
    leaf = colour + rng.exponential(0.05) * texture[top:bottom, left:right]
    window += (cover * (leaf - window)).astype(np.float32)


def _shaded(rng: np.random.Generator, image: Field) -> Field:
    shading = coloured_noise(rng, image.shape[0], 2.5)[..., None]
    return np.asarray(image * (1 + rng.uniform(0.0, 0.25) * shading), dtype=np.float32)


def _speckle(rng: np.random.Generator, side: int) -> Field:
    # Fully developed speckle is the modulus of a complex Gaussian field that the aperture has smoothed.
    sigma = (rng.uniform(0.5, 1.5), rng.uniform(0.5, 2.5))
    real, imaginary = (gaussian_filter(rng.standard_normal((side, side)), sigma) for _ in range(2))
    modulus = np.hypot(real, imaginary)
    strength = rng.uniform(0.1, 0.7)
    return np.asarray(1 - strength + strength * modulus / modulus.mean(), dtype=np.float32)[..., None]


def _surround(rng: np.random.Generator, side: int) -> Field:
    down, across = np.mgrid[0:side, 0:side] / side - rng.uniform(0.3, 0.7, 2)[:, None, None]
    distance = np.hypot(down, across) if rng.random() < 0.5 else np.maximum(np.abs(down), np.abs(across))
    edge = rng.uniform(0.01, 0.2)
    return np.asarray(np.clip((rng.uniform(0.25, 0.6) - distance) / edge, 0.0, 1.0), dtype=np.float32)[..., None]
