"""A textured figure on 1/f noise: what a classifier can learn shape, texture and their combination from."""

from collections.abc import Callable

import numpy as np

from pipeline.benchmarks.drawing.shapes import Grid, Plane, blur, noise, step

Tint = np.ndarray[tuple[int], np.dtype[np.float64]]
"""Red, green and blue in [0, 1], or a single grey."""

CONTRAST = 0.22
"""Least difference in brightness between any two of the figure's colours and the background."""


def figure(rng: np.random.Generator, size: int, shape: str, texture: str, channels: int) -> Plane:
    """Return size x size x channels pixels in [0, 1] of one figure in a random pose, in random colours."""
    grid = Grid.square(size, 2.0)
    backdrop, first, second = _colours(rng, channels)
    scene = backdrop + 0.12 * _mottle(rng, size, rng.uniform(0.7, 1.5), channels)
    scene = _strewn(rng, grid, scene, channels)
    posed = _pose(rng, grid)
    cover = step(SHAPES[shape](posed), posed.pixel)[..., None]
    share = TEXTURES[texture](rng, Grid.square(size, 2.0).posed(rng, 0.3, 180, 0.2))[..., None]
    inside = first + (second - first) * share + 0.04 * _mottle(rng, size, 1.5, channels)
    scene = scene + cover * (inside * _light(rng, grid) - scene)
    soft = np.stack([blur(plane, rng.uniform(0.2, 0.7) * size / 64) for plane in np.moveaxis(scene, 2, 0)], axis=2)
    return np.asarray(np.clip(soft + rng.normal(0, rng.uniform(0.005, 0.03), soft.shape), 0, 1))


def _pose(rng: np.random.Generator, grid: Grid) -> Grid:
    """Return coordinates in which the figure has radius 1: shifted, turned, of another size and aspect."""
    turned = grid.posed(rng, shift=0.25, degrees=180, scale=0.0)
    radius, aspect = rng.uniform(0.5, 0.8), rng.uniform(0.85, 1.18)
    return Grid(turned.x * aspect / radius, turned.y / aspect / radius, turned.pixel / radius)


def _colours(rng: np.random.Generator, channels: int) -> tuple[Tint, Tint, Tint]:
    """Return the background and the figure's two colours, of any hue, that differ enough in brightness."""
    while True:
        colours = rng.uniform(0.1, 0.9, size=(3, channels))
        if np.diff(np.sort(colours.mean(axis=1))).min() > CONTRAST:
            return colours[0], colours[1], colours[2]


def _mottle(rng: np.random.Generator, size: int, exponent: float, channels: int) -> Plane:
    """Return size x size x channels of 1/f^exponent noise, its channels alike for the most part."""
    # Imported late: the Snakefile reads specs in every cluster job and draws nothing.
    from pipeline.natural_images import coloured_noise

    common = coloured_noise(rng, size, exponent)[..., None]
    own = np.stack([coloured_noise(rng, size, exponent) for _ in range(channels)], axis=2)
    return np.asarray(0.9 * common + 0.4 * own, dtype=np.float64)


def _strewn(rng: np.random.Generator, grid: Grid, scene: Plane, channels: int) -> Plane:
    """Return the scene with small ellipses that belong to no figure, so that no single edge tells a class."""
    for _ in range(rng.integers(1, 6)):
        cx, cy = rng.uniform(-1, 1, 2)
        a, b = rng.uniform(0.04, 0.16, 2)
        blob = grid.ellipse(cx, cy, a, b, rng.uniform(0, 180))[..., None]
        scene = scene + blob * (rng.uniform(0.05, 0.95, channels) - scene)
    return scene


def _light(rng: np.random.Generator, grid: Grid) -> Plane:
    """Return a shading that falls along one direction, H x W x 1."""
    angle = rng.uniform(0, 2 * np.pi)
    return np.asarray(1 + 0.15 * (np.cos(angle) * grid.x + np.sin(angle) * grid.y))[..., None]


def _polygon(corners: int) -> Callable[[Grid], Plane]:
    def depth(grid: Grid) -> Plane:
        angle, part = np.arctan2(grid.y, grid.x), 2 * np.pi / corners
        return np.asarray(np.cos(part / 2) - np.hypot(grid.x, grid.y) * np.cos(angle % part - part / 2))

    return depth


def _disc(grid: Grid) -> Plane:
    return np.asarray(0.85 - np.hypot(grid.x, grid.y))


def _ring(grid: Grid) -> Plane:
    return np.asarray(0.22 - np.abs(np.hypot(grid.x, grid.y) - 0.72))


def _flower(grid: Grid) -> Plane:
    return np.asarray(0.7 + 0.3 * np.cos(5 * np.arctan2(grid.y, grid.x)) - np.hypot(grid.x, grid.y))


def _cross(grid: Grid) -> Plane:
    x, y = np.abs(grid.x), np.abs(grid.y)
    return np.maximum(np.minimum(0.95 - x, 0.27 - y), np.minimum(0.27 - x, 0.95 - y))


def _plain(rng: np.random.Generator, grid: Grid) -> Plane:
    return np.full_like(grid.x, float(rng.integers(2)))


def _striped(rng: np.random.Generator, grid: Grid) -> Plane:
    return _sharp(np.sin(2 * np.pi * rng.uniform(2.6, 4.2) * grid.x + rng.uniform(0, 2 * np.pi)))


def _dotted(rng: np.random.Generator, grid: Grid) -> Plane:
    pitch = 2 * np.pi * rng.uniform(2.4, 3.6)
    return _sharp(2 * np.cos(pitch * grid.x) * np.cos(pitch * grid.y) - 0.6)


def _marbled(rng: np.random.Generator, grid: Grid) -> Plane:
    return _sharp(noise(rng, (len(grid.x), len(grid.x)), len(grid.x) * rng.uniform(0.04, 0.06)))


def _sharp(wave: Plane) -> Plane:
    """Return a wave around 0 as a share in [0, 1] with narrow transitions."""
    return np.asarray(0.5 + 0.5 * np.tanh(3 * wave))


SHAPES: dict[str, Callable[[Grid], Plane]] = {
    "disc": _disc,
    "triangle": _polygon(3),
    "ring": _ring,
    "flower": _flower,
    "cross": _cross,
}
"""Signed depth inside each figure, about in units of its radius: positive inside."""
TEXTURES: dict[str, Callable[[np.random.Generator, Grid], Plane]] = {
    "plain": _plain,
    "striped": _striped,
    "dotted": _dotted,
    "marbled": _marbled,
}
"""The share of the second colour at each place."""
