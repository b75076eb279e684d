"""An axial slice of a chest in Hounsfield units, with findings.

Coordinates are millimetres; x grows to the patient's left, y to the back. Values follow Hounsfield's scale: air -1000,
inflated lung about -850, fat -100, blood and muscle 40 to 60, bone 300 to 1000.
"""

from dataclasses import dataclass

import numpy as np

from pipeline.benchmarks.drawing.shapes import Grid, Plane, noise, step

AIR, LUNG, FAT, MUSCLE, BLOOD, FLUID, SPONGY, CORTICAL = -1000.0, -850.0, -100.0, 50.0, 40.0, 10.0, 300.0, 900.0


@dataclass(frozen=True)
class Anatomy:
    """What stays the same between the slices of a patient: half-axes in millimetres, densities in HU."""

    width: float
    depth: float
    fat: float
    lung: float
    gradient: float
    heart: float
    side: int
    phase: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Anatomy":
        """Draw a patient."""
        return cls(
            width=rng.uniform(142, 160),
            depth=rng.uniform(98, 114),
            fat=rng.uniform(7, 17),
            lung=LUNG + rng.uniform(-25, 40),
            gradient=rng.uniform(20, 110),
            heart=rng.uniform(0.9, 1.15),
            side=int(rng.choice([-1, 1])),
            phase=rng.uniform(0, 1),
        )


def section(rng: np.random.Generator, grid: Grid, anatomy: Anatomy, label: str, level: float, severity: float) -> Plane:
    """Return a slice in Hounsfield units; level is 0 at the base of the lungs and 1 near their apex."""
    amount = severity * rng.uniform(0.75, 1.25)
    lungs = [lung(grid, anatomy, side, level) for side in (-1, 1)]
    affected = lungs[(anatomy.side + 1) // 2]
    mask = np.maximum(*lungs)
    inside = parenchyma(rng, grid, anatomy, mask)
    if label == "Ground-Glass Opacity":
        inside = ground_glass(rng, grid, anatomy, affected, inside, amount)
    inside = np.maximum(inside, vessels(rng, grid, anatomy))
    if label == "Nodule":
        inside = nodule(rng, grid, affected, inside, amount)
    depth = rng.uniform(14, 34) * amount if label == "Pleural Effusion" else 0.0
    pleura = fluid(grid, anatomy, depth, level)
    inside = inside * (1 - pleura * affected) + FLUID * pleura * affected
    return np.asarray(mask * inside + (1 - mask) * wall(grid, anatomy, level))


def blend(under: Plane, value: float | Plane, mask: Plane) -> Plane:
    """Return `value` where the mask is 1 and `under` where it is 0: a partial volume in between."""
    return np.asarray(under + (value - under) * mask)


def wall(grid: Grid, anatomy: Anatomy, level: float) -> Plane:
    """Return the table of air, skin, fat, muscle, ribs, spine, heart and great vessels, without the lungs."""
    w, d = anatomy.width, anatomy.depth
    body = blend(np.full_like(grid.x, AIR), FAT, grid.ellipse(0, 0, w, d))
    body = blend(body, MUSCLE, grid.ellipse(0, 2, w - anatomy.fat, d - anatomy.fat))
    body = blend(body, FAT, grid.ellipse(0, -15, 28, 62) * 0.8)
    heart = anatomy.heart * (1 - 0.75 * level)
    body = blend(body, BLOOD, grid.ellipse(16 * heart, -14, 52 * heart, 40 * heart, 30))
    body = blend(body, BLOOD, grid.ellipse(16, 36, 12, 12))
    body = blend(body, BLOOD, grid.ellipse(-10, -18, 15, 15) * step(np.full_like(grid.x, level - 0.4), 0.2))
    body = blend(body, AIR, grid.ellipse(0, 14, 8, 9) * step(np.full_like(grid.x, level - 0.45), 0.2))
    angle = np.arctan2(grid.y / d, grid.x / w)
    ring = np.abs(grid.radius(0, 2, w - anatomy.fat - 6, d - anatomy.fat - 6) - 1) * d
    gaps = step(np.cos(11 * angle + 6 * (anatomy.phase + level)) - 0.25, 0.5)
    body = blend(
        body, blend(np.full_like(grid.x, SPONGY), CORTICAL * 0.7, step(ring - 1.6, 2.0)), gaps * step(4.2 - ring, 2.0)
    )
    body = blend(body, SPONGY, grid.ellipse(0, -d + anatomy.fat + 9, 20, 6))
    body = blend(body, CORTICAL, grid.ellipse(0, 62, 20, 16))
    body = blend(body, SPONGY, grid.ellipse(0, 62, 17, 13))
    body = blend(body, CORTICAL * 0.8, grid.ellipse(0, 84, 9, 14) * step(grid.y - 76, 3.0))
    return blend(body, BLOOD, grid.ellipse(0, 82, 8, 6))


def lung(grid: Grid, anatomy: Anatomy, side: int, level: float) -> Plane:
    """Return the mask of one lung, which narrows to the apex."""
    size = 1 - 0.22 * level**2
    a, b = 53 * size * anatomy.width / 150, 78 * size * anatomy.depth / 105
    centre = side * (71 * anatomy.width / 150)
    mask = grid.ellipse(centre, 6, a, b, -8 * side)
    heart = anatomy.heart * (1 - 0.75 * level)
    return np.asarray(mask * (1 - grid.ellipse(16 * heart, -14, 54 * heart, 42 * heart, 30)))


def parenchyma(rng: np.random.Generator, grid: Grid, anatomy: Anatomy, mask: Plane) -> Plane:
    """Return inflated lung, which is denser towards the back, where gravity draws the blood."""
    dependent = anatomy.gradient * np.clip((grid.y + 20) / 90, 0, 1) ** 2
    return np.asarray(anatomy.lung + dependent + 12 * noise(rng, mask.shape, 9 / grid.pixel))


def vessels(rng: np.random.Generator, grid: Grid, anatomy: Anatomy) -> Plane:
    """Return vessels, cut across as dots or along as short tapering lines, larger towards the hila."""
    count = 20
    side = rng.choice([-1, 1], count)
    reach = rng.uniform(0, 1, count) ** 0.8
    x = side * (26 + 88 * reach) * anatomy.width / 150
    y = 8 + rng.normal(0, 30, count) * (0.45 + reach)
    length = rng.uniform(0, 22, count) * (rng.uniform(size=count) < 0.6)
    heading = np.arctan2(y - 5, x - side * 20) + rng.normal(0, 0.3, count)
    ends = np.stack([x, y, x + length * np.cos(heading), y + length * np.sin(heading)], axis=1)
    widths = (2.8 - 1.5 * reach) * rng.uniform(0.7, 1.1, count)
    peak = grid.segments(ends, widths)
    return np.asarray(anatomy.lung - 100 + 0.85 * (BLOOD - anatomy.lung + 100) * peak)


def nodule(rng: np.random.Generator, grid: Grid, mask: Plane, under: Plane, amount: float) -> Plane:
    """Return the lung with a solid, lobulated nodule of about 18 to 31 mm."""
    x, y = place(rng, grid, mask)
    radius = rng.uniform(9.5, 15.0) * np.sqrt(amount)
    angle = np.arctan2(grid.y - y, grid.x - x)
    lobes = 1 + 0.12 * np.cos(rng.integers(3, 6) * angle + rng.uniform(0, 6))
    distance = np.hypot(grid.x - x, grid.y - y)
    return blend(under, 30.0, step(radius * lobes - distance, grid.pixel))


def ground_glass(
    rng: np.random.Generator, grid: Grid, anatomy: Anatomy, mask: Plane, under: Plane, amount: float
) -> Plane:
    """Return the lung with a hazy patch of fine texture, through which vessels stay visible."""
    x, y = place(rng, grid, mask)
    extent = rng.uniform(26, 42)
    patch = np.exp(-((np.hypot((grid.x - x) / extent, (grid.y - y) / (1.2 * extent))) ** 4))
    texture = np.clip(1 + 0.75 * noise(rng, mask.shape, 3.2 / grid.pixel), 0, 2.2)
    return np.asarray(under + 260 * amount * patch * texture)


def fluid(grid: Grid, anatomy: Anatomy, depth: float, level: float) -> Plane:
    """Return where fluid layers along the back of the pleural space, thinner towards the apex."""
    if depth == 0:
        return np.zeros_like(grid.x)
    thickness = depth * (1 - 0.4 * level)
    b = 78 * (1 - 0.22 * level**2) * anatomy.depth / 105
    surface = 6 + b - thickness + 0.004 * (np.abs(grid.x) - 65) ** 2
    return step(grid.y - surface, 2 * grid.pixel)


def place(rng: np.random.Generator, grid: Grid, mask: Plane) -> tuple[float, float]:
    """Return a random position well inside the mask."""
    inner = np.argwhere(
        mask * np.roll(mask, 5, 0) * np.roll(mask, -5, 0) * np.roll(mask, 4, 1) * np.roll(mask, -4, 1) > 0.9
    )
    row, column = inner[rng.integers(len(inner))]
    return float(grid.x[row, column]), float(grid.y[row, column])
