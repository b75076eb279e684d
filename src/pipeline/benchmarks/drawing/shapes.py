"""Soft-edged shapes and correlated noise on a pixel grid; every array is H x W (or broadcasts to it), float64."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float64]


@dataclass(frozen=True)
class Grid:
    """Coordinates of pixel centres in the field's physical unit; x grows to the right and y downwards."""

    x: Plane
    y: Plane
    pixel: float
    """Edge of a pixel, in the same unit."""

    @classmethod
    def square(cls, size: int, field_of_view: float) -> "Grid":
        """Return a centred grid of size x size pixels that covers field_of_view on each side."""
        pixel = field_of_view / size
        axis = (np.arange(size) - (size - 1) / 2) * pixel
        x, y = np.meshgrid(axis, axis)
        return cls(x, y, pixel)

    def posed(self, rng: np.random.Generator, shift: float, degrees: float, scale: float) -> "Grid":
        """Return the grid after a random rigid motion and zoom: uniform within +- the given limits."""
        angle = np.deg2rad(rng.uniform(-degrees, degrees))
        zoom = 1 + rng.uniform(-scale, scale)
        dx, dy = rng.uniform(-shift, shift, size=2)
        x = (np.cos(angle) * (self.x - dx) + np.sin(angle) * (self.y - dy)) / zoom
        y = (-np.sin(angle) * (self.x - dx) + np.cos(angle) * (self.y - dy)) / zoom
        return Grid(x, y, self.pixel / zoom)

    def radius(self, cx: float, cy: float, a: float, b: float, degrees: float = 0.0) -> Plane:
        """Return the normalised elliptic radius: 1 on the ellipse with half-axes a and b."""
        angle = np.deg2rad(degrees)
        u = np.cos(angle) * (self.x - cx) + np.sin(angle) * (self.y - cy)
        v = -np.sin(angle) * (self.x - cx) + np.cos(angle) * (self.y - cy)
        return np.asarray(np.hypot(u / a, v / b))

    def ellipse(self, cx: float, cy: float, a: float, b: float, degrees: float = 0.0) -> Plane:
        """Return the anti-aliased mask of an ellipse, in [0, 1]."""
        return step((1 - self.radius(cx, cy, a, b, degrees)) * min(a, b), self.pixel)

    def segments(self, ends: Plane, width: Plane | float) -> Plane:
        """Return the union of line segments with Gaussian profiles, in [0, 1].

        Args:
            ends: n x 4 rows of x0, y0, x1, y1.
            width: standard deviation of the profile, for all or for each segment (n).
        """
        spread = np.broadcast_to(np.asarray(width, dtype=float), (len(ends),))
        nearest = np.full(self.x.shape, np.inf)
        for (x0, y0, x1, y1), sigma in zip(ends, spread, strict=True):
            dx, dy = x1 - x0, y1 - y0
            u, v = self.x - x0, self.y - y0
            along = np.clip((u * dx + v * dy) / (dx**2 + dy**2 + 1e-9), 0, 1)
            np.minimum(nearest, ((u - along * dx) ** 2 + (v - along * dy) ** 2) / sigma**2, out=nearest)
        return np.asarray(np.exp(-nearest / 2))

    def spots(self, centres: Plane, width: Plane | float) -> Plane:
        """Return the union of round Gaussian spots at the n x 2 centres, in [0, 1]."""
        return self.segments(np.hstack([centres, centres]), width)


def step(distance: Plane, edge: float) -> Plane:
    """Return 1 where the signed distance is well above 0 and 0 well below, with a ramp about `edge` wide."""
    return np.asarray(0.5 * (1 + np.tanh(2 * distance / edge)))


def chord(radius: Plane) -> Plane:
    """Return the length of a ray through a unit sphere at this distance from its centre, relative to the diameter."""
    return np.asarray(np.sqrt(np.clip(1 - radius**2, 0, None)))


def blur(field: Plane, sigma: float) -> Plane:
    """Return the field after a Gaussian point spread of `sigma` pixels."""
    # Imported late: the Snakefile reads specs in every cluster job and blurs nothing.
    from skimage.filters import gaussian

    smooth = gaussian(field, sigma=sigma, mode="reflect", preserve_range=True)
    return np.asarray(smooth, dtype=np.float64)


def noise(rng: np.random.Generator, shape: tuple[int, int], sigma: float) -> Plane:
    """Return Gaussian noise of mean 0 and standard deviation 1, correlated over `sigma` pixels."""
    field = blur(rng.standard_normal(shape), sigma)
    return np.asarray((field - field.mean()) / field.std())


def net(rng: np.random.Generator, shape: tuple[int, int], sigma: float, thin: float = 0.35) -> Plane:
    """Return a random net of thin lines in [0, 1]: the zero crossings of correlated noise."""
    return np.asarray(np.exp(-((noise(rng, shape, sigma) / thin) ** 2)))


def curve(rng: np.random.Generator, start: tuple[float, float], heading: float, length: float, bend: float) -> Plane:
    """Return a winding line as 6 x 4 segments: it starts at a point, in a heading (radians), and bends at random."""
    steps = 6
    headings = heading + np.cumsum(rng.normal(0, bend, steps))
    points = np.cumsum(np.stack([np.cos(headings), np.sin(headings)], axis=1) * (length / steps), axis=0)
    points = np.vstack([[0.0, 0.0], points]) + np.array(start)
    return np.hstack([points[:-1], points[1:]])
