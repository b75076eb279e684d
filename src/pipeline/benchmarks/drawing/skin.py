"""A lesion on skin as a dermatoscope shows it: light that pigment and blood absorb, in millimetres.

Colour is reflectance after Beer and Lambert: skin times exp(-amount * absorption) for melanin, which absorbs blue most,
and haemoglobin, which absorbs green most (shapes after Jacques, Phys. Med. Biol. 58, 2013).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pipeline.benchmarks.drawing.shapes import Grid, Plane, blur, curve, net, noise, step

MELANIN = np.array([0.55, 0.95, 1.25])
BLOOD = np.array([0.14, 1.15, 0.95])
VEIL = np.array([0.42, 0.46, 0.56])
WHITE = np.array([0.93, 0.86, 0.78])


@dataclass(frozen=True)
class Person:
    """What stays the same between the images of a patient."""

    tone: float
    redness: float
    hair: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Person":
        """Draw a patient."""
        return cls(tone=rng.uniform(0.0, 0.28), redness=rng.uniform(0.0, 0.18), hair=rng.uniform(0, 1))


@dataclass
class Layers:
    """What covers the skin; each H x W.

    Attributes:
        melanin: optical density of melanin.
        blood: optical density of haemoglobin.
        veil: share of light that scatters back blue-grey.
        white: share of light that scatters back white.
    """

    melanin: Plane
    blood: Plane
    veil: Plane
    white: Plane

    @classmethod
    def clear(cls, grid: Grid) -> "Layers":
        """Return layers that cover nothing."""
        return cls(*(np.zeros_like(grid.x) for _ in range(4)))


@dataclass(frozen=True)
class Outline:
    """A lesion's outline: signed depth below its border (mm), its mask in [0, 1], its centre and radius."""

    depth: Plane
    mask: Plane
    x: float
    y: float
    radius: float


def photograph(rng: np.random.Generator, grid: Grid, person: Person, label: str, severity: float) -> Plane:
    """Return an H x W x 3 image in [0, 1] of one lesion."""
    layers = LESIONS[label](rng, grid, severity)
    layers.melanin += person.tone + 0.05 * noise(rng, grid.x.shape, 1.2 / grid.pixel)
    layers.blood += person.redness + 0.04 * noise(rng, grid.x.shape, 0.8 / grid.pixel)
    layers.melanin += hairs(rng, grid, person)
    light = 0.96 - 0.12 * (grid.radius(0, 0, 7, 7) ** 2) + rng.uniform(-0.05, 0.03)
    base = np.array([0.96, 0.79, 0.70]) * rng.uniform(0.97, 1.03, 3)
    image = base * np.exp(-np.clip(layers.melanin, 0, None)[..., None] * MELANIN)
    image = image * np.exp(-np.clip(layers.blood, 0, None)[..., None] * BLOOD)
    for share, colour in ((layers.veil, VEIL), (layers.white, WHITE)):
        image = image + (colour - image) * np.clip(share, 0, 1)[..., None]
    image = image * light[..., None] + 0.008 * rng.standard_normal(image.shape)
    return np.asarray(np.clip(np.stack([blur(image[..., c], 0.4) for c in range(3)], axis=-1), 0, 1))


def outline(rng: np.random.Generator, grid: Grid, irregular: float, edge: float) -> Outline:
    """Return a closed outline whose radius varies by harmonics of the angle, with a border `edge` mm wide."""
    x, y = rng.uniform(-0.8, 0.8, 2)
    radius = rng.uniform(2.6, 4.0)
    angle, distance = np.arctan2(grid.y - y, grid.x - x), np.hypot(grid.x - x, grid.y - y)
    stretch = 1 + rng.uniform(0.05, 0.2) * np.cos(2 * angle + rng.uniform(0, 6.3))
    for order in range(3, 9):
        stretch = stretch + irregular * rng.normal() / order**0.5 * np.cos(order * angle + rng.uniform(0, 6.3))
    depth = radius * np.clip(stretch, 0.4, 1.6) - distance
    return Outline(depth, step(depth, edge), x, y, radius)


def network(rng: np.random.Generator, grid: Grid, order: float) -> Plane:
    """Return a pigment network: honeycomb lines around paler holes, regular for order 1, a random net for order 0."""
    turn, period = rng.uniform(0, np.pi), rng.uniform(0.75, 0.95)
    warp = 0.25 * noise(rng, grid.x.shape, 1.5 / grid.pixel)
    waves = [
        np.cos(2 * np.pi / period * (np.cos(a) * grid.x + np.sin(a) * grid.y) + 2 * warp)
        for a in turn + np.pi / 3 * np.arange(3)
    ]
    regular = 1 - np.clip((sum(waves) + 1.5) / 3.2, 0, 1)
    return np.asarray(order * regular + (1 - order) * net(rng, grid.x.shape, 0.36 / grid.pixel, 0.5))


def scatter(rng: np.random.Generator, border: Outline, count: int, reach: float = 0.85) -> Plane:
    """Return n x 2 random positions within this share of a lesion's radius."""
    angle, distance = rng.uniform(0, 2 * np.pi, count), border.radius * reach * np.sqrt(rng.uniform(0, 1, count))
    return np.stack([border.x + distance * np.cos(angle), border.y + distance * np.sin(angle)], axis=1)


def nevus(rng: np.random.Generator, grid: Grid, severity: float) -> Layers:
    """Return a symmetric lesion of even colour with a regular network, a soft border and at times some globules."""
    layers, border = Layers.clear(grid), outline(rng, grid, rng.uniform(0.01, 0.06), rng.uniform(0.4, 1.0))
    pattern = 0.75 + 0.4 * severity * (network(rng, grid, rng.uniform(0.5, 0.9)) - 0.4)
    even = 1 + 0.15 * noise(rng, grid.x.shape, 0.9 / grid.pixel)
    layers.melanin += border.mask * rng.uniform(0.4, 1.1) * pattern * even
    layers.melanin += rng.choice([0.0, 0.4]) * dots(rng, grid, border, (3, 8), 0.15)
    layers.blood += border.mask * rng.uniform(0, 0.45)
    return layers


def melanoma(rng: np.random.Generator, grid: Grid, severity: float) -> Layers:
    """Return an asymmetric lesion of several colours with a ragged border, a broken network, dots and a veil."""
    layers, border = Layers.clear(grid), outline(rng, grid, rng.uniform(0.02, 0.08), rng.uniform(0.3, 0.9))
    turn = rng.uniform(0, 2 * np.pi)
    slope = ((grid.x - border.x) * np.cos(turn) + (grid.y - border.y) * np.sin(turn)) / border.radius
    blotches = 1 + severity * (0.2 * noise(rng, grid.x.shape, 0.7 / grid.pixel) + rng.uniform(0, 0.3) * slope)
    pattern = 0.75 + 0.4 * severity * (network(rng, grid, rng.uniform(0.05, 0.4)) - 0.4)
    layers.melanin += border.mask * rng.uniform(0.4, 1.1) * pattern * np.clip(blotches, 0.25, 2)
    layers.melanin += rng.uniform(0.2, 0.6) * severity * dots(rng, grid, border, (3, 10), 0.16)
    patches = step(noise(rng, grid.x.shape, 0.9 / grid.pixel) - 0.9, 0.9)
    layers.veil += rng.choice([0.0, 0.0, 0.35]) * border.mask * patches
    layers.blood += border.mask * rng.uniform(0, 0.45)
    return layers


def carcinoma(rng: np.random.Generator, grid: Grid, severity: float) -> Layers:
    """Return a pink or brownish lesion with thin branching vessels and at times blue-grey nests."""
    layers, border = Layers.clear(grid), outline(rng, grid, rng.uniform(0.02, 0.07), rng.uniform(0.4, 1.0))
    layers.blood += border.mask * rng.uniform(0.1, 0.6) * (1 + 0.2 * noise(rng, grid.x.shape, 0.6 / grid.pixel))
    layers.melanin += border.mask * rng.uniform(0.1, 0.8)
    count = int(rng.integers(3, 8))
    trees = [
        curve(rng, (x, y), rng.uniform(0, 6.3), rng.uniform(1.5, 3.5), 0.45) for x, y in scatter(rng, border, count)
    ]
    layers.blood += rng.uniform(0.25, 0.65) * severity * grid.segments(np.vstack(trees), 0.1) * border.mask
    layers.veil += rng.choice([0.0, 0.35]) * dots(rng, grid, border, (1, 4), 0.35)
    return layers


def keratosis(rng: np.random.Generator, grid: Grid, severity: float) -> Layers:
    """Return a brown lesion with a sharper border, white cysts and dark plugged openings, without a network."""
    layers, border = Layers.clear(grid), outline(rng, grid, rng.uniform(0.02, 0.07), rng.uniform(0.25, 0.7))
    uneven = 0.75 + 0.15 * noise(rng, grid.x.shape, 0.5 / grid.pixel)
    layers.melanin += border.mask * rng.uniform(0.4, 1.1) * uneven
    layers.white += rng.uniform(0.1, 0.4) * severity * dots(rng, grid, border, (3, 9), 0.15)
    layers.melanin += rng.uniform(0.15, 0.55) * severity * dots(rng, grid, border, (3, 9), 0.18)
    layers.blood += border.mask * rng.uniform(0, 0.45)
    return layers


def angioma(rng: np.random.Generator, grid: Grid, severity: float) -> Layers:
    """Return red to brown lagoons that pale septa divide."""
    layers, border = Layers.clear(grid), outline(rng, grid, rng.uniform(0.02, 0.06), rng.uniform(0.25, 0.8))
    septa = net(rng, grid.x.shape, 0.5 / grid.pixel, 0.35)
    layers.blood += border.mask * rng.uniform(0.35, 0.85) * (1 - rng.uniform(0.25, 0.55) * severity * septa)
    layers.melanin += border.mask * rng.uniform(0.1, 0.7)
    return layers


def dots(rng: np.random.Generator, grid: Grid, border: Outline, count: tuple[int, int], width: float) -> Plane:
    """Return round spots within a lesion, in [0, 1]: from count[0] to count[1] - 1 of them, `width` mm wide."""
    return np.asarray(grid.spots(scatter(rng, border, int(rng.integers(*count))), width) * border.mask)


def hairs(rng: np.random.Generator, grid: Grid, person: Person) -> Plane:
    """Return the optical density of a few hairs that cross the image."""
    count = int(rng.poisson(4 * person.hair)) if person.hair > 0.5 else 0
    if count == 0:
        return np.zeros_like(grid.x)
    starts = rng.uniform(-6, 6, (count, 2))
    lines = [curve(rng, (x, y), rng.uniform(0, 6.3), rng.uniform(5, 11), 0.12) for x, y in starts]
    return np.asarray(0.8 * grid.segments(np.vstack(lines), 0.07))


LESIONS: dict[str, Callable[[np.random.Generator, Grid, float], Layers]] = {
    "Nevus": nevus,
    "Melanoma": melanoma,
    "Basal Cell Carcinoma": carcinoma,
    "Benign Keratosis": keratosis,
    "Vascular Lesion": angioma,
}
