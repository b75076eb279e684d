"""A projected thorax: how far rays run through soft tissue, lung and bone, in centimetres, with findings.

Coordinates are centimetres in the plane of the detector; x grows to the patient's left, y towards the feet.
"""

from dataclasses import dataclass

import numpy as np

from pipeline.benchmarks.drawing.shapes import Grid, Plane, chord, curve, net, noise, step

SOFT = 0.19
"""Linear attenuation of soft tissue, 1/cm, at a mean energy of 70 keV (NIST XCOM)."""
BONE = 0.36
"""What bone attenuates beyond the soft tissue that it displaces, 1/cm."""
UNEVEN = 0.03
"""Standard deviation of the line integral from what the model leaves out: breasts, muscles, clothes."""
INFLATED = 0.72
"""Share of a lung that is air."""


@dataclass(frozen=True)
class Anatomy:
    """What stays the same between the images of a patient: lengths in centimetres."""

    width: float
    depth: float
    heart: float
    dome: float
    ribs: float
    vessels: float
    bubble: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Anatomy":
        """Draw a patient."""
        return cls(
            width=rng.uniform(0.92, 1.06),
            depth=rng.uniform(10.0, 12.5),
            heart=rng.uniform(0.88, 1.1),
            dome=rng.uniform(8.0, 9.6),
            ribs=rng.uniform(0.55, 0.95),
            vessels=rng.uniform(0.6, 1.3),
            bubble=rng.uniform(0.0, 1.0),
        )


@dataclass(frozen=True)
class Lung:
    """One lung: side is -1 for the right (left in the image) and +1 for the left."""

    side: int
    centre: float
    dome: float
    half: float = 5.9

    def air(self, grid: Grid) -> Plane:
        """Return the length of rays in this lung, above its dome of diaphragm."""
        radius = grid.radius(self.centre, 0.5, self.half, 13.5)
        return np.asarray(15 * chord(radius**1.4) * step(self.diaphragm(grid) - grid.y, 0.5))

    def diaphragm(self, grid: Grid) -> Plane:
        """Return the height of the diaphragm at each x."""
        return np.asarray(self.dome + 3.2 * ((grid.x - self.centre * 0.8) / self.half) ** 2)


def project(rng: np.random.Generator, grid: Grid, anatomy: Anatomy, label: str, severity: float) -> Plane:
    """Return the line integral of attenuation through an anatomy with one finding, or none."""
    amount = severity * rng.uniform(0.75, 1.25)
    breath = rng.normal(0, 0.5)
    lungs = [
        Lung(-1, -7.0 * anatomy.width, anatomy.dome + breath),
        Lung(1, 7.0 * anatomy.width, anatomy.dome + breath + rng.uniform(0.5, 1.4)),
    ]
    enlarged = anatomy.heart * (1 + 0.27 * amount if label == "Cardiomegaly" else rng.uniform(0.95, 1.06))
    affected = lungs[int(rng.integers(2))]
    heart = 13 * chord(grid.radius(2.4 * enlarged, 5.2, 6.1 * enlarged, 4.5 * enlarged, 32.0))
    heart = np.maximum(heart, 6 * chord(grid.radius(1.9, -4.6, 2.3, 2.6)))
    lines = vessels(rng, grid, lungs) * anatomy.vessels
    air, tissue = np.zeros_like(grid.x), np.zeros_like(grid.x)
    for lung in lungs:
        chest = np.maximum(lung.air(grid) - heart, 0)
        inside = np.clip(chest / 6, 0, 1)
        soft = lines * inside
        if label == "Pleural Effusion" and lung is affected:
            chest = chest * (1 - effusion(rng, grid, lung, amount))
        if label == "Pneumothorax" and lung is affected:
            soft, extra = pneumothorax(grid, lung, rng.uniform(0.9, 1.7) * amount, soft)
            soft, chest = soft * np.clip(2 * inside, 0, 1), chest + extra * inside
        if label == "Interstitial Edema":
            soft = soft + inside * edema(rng, grid, amount)
        air += chest
        tissue += soft
    air += abdomen(rng, grid, anatomy, lungs, amount if label == "Pneumoperitoneum" else 0.0)
    path = np.maximum(body(grid, anatomy) - INFLATED * air + tissue, 0)
    uneven = UNEVEN * noise(rng, grid.x.shape, 3.0 / grid.pixel)
    return np.asarray(SOFT * path + BONE * bones(grid, anatomy) + uneven)


def body(grid: Grid, anatomy: Anatomy) -> Plane:
    """Return the length of rays in the outline of trunk, shoulders and neck."""
    trunk = 2 * anatomy.depth * chord((grid.x / (16.5 * anatomy.width)) ** 2)
    shoulders = 13 * step(grid.y + 17.5 - 0.28 * np.abs(grid.x), 2.0) * step(-10 - grid.y + 0.2 * np.abs(grid.x), 4.0)
    below = step(grid.y + 15.5 - 0.15 * np.abs(grid.x), 3.0)
    neck = 11 * chord((grid.x / 5.5) ** 2)
    return np.asarray(np.maximum(np.maximum(trunk * below, shoulders), neck))


def bones(grid: Grid, anatomy: Anatomy) -> Plane:
    """Return the length of rays in the spine, the ribs and the clavicles."""
    vertebrae = 1 + 0.25 * np.cos(2 * np.pi * grid.y / 2.6)
    spine = 1.6 * chord((grid.x / 1.9) ** 2) * vertebrae
    lateral = np.abs(grid.x) / anatomy.width
    cage = step(14.5 - lateral, 1.0) * step(lateral - 1.5, 1.0)
    posterior = rib(alternate(grid.y - 0.02 * (lateral - 5) ** 2 - 0.1 * lateral))
    anterior = rib(alternate(grid.y - 1.2 + 0.035 * (lateral - 3) ** 2) / 1.2)
    cage = cage * step(grid.y + 16.5, 1.0) * step(13.5 - grid.y, 2.0)
    front = step(lateral - 4.5, 2.0) * 0.6
    clavicles = rib((grid.y + 12.2 + 0.25 * lateral - 0.012 * lateral**2) / 1.1) * step(13 - lateral, 1.0)
    return np.asarray(spine + anatomy.ribs * cage * (posterior + anterior * front) + 0.7 * clavicles)


def alternate(height: Plane) -> Plane:
    """Return the distance to the nearest of a ladder of ribs, 2.75 cm apart."""
    return np.asarray((height + 1.375) % 2.75 - 1.375)


def rib(distance: Plane) -> Plane:
    """Return the relative length of rays in a hollow bar: its cortex is denser than its marrow."""
    return np.asarray(
        1.2 * np.exp(-((distance / 0.62) ** 4)) * (0.7 + 0.5 * np.clip(np.abs(distance) / 0.62, 0, 1) ** 2)
    )


def vessels(rng: np.random.Generator, grid: Grid, lungs: list[Lung]) -> Plane:
    """Return the length of rays in the vessels that branch from the hila and taper."""
    lines = []
    for lung in lungs:
        for heading in np.linspace(-1.2, 1.2, 9) + rng.normal(0, 0.12, 9):
            outward = heading if lung.side > 0 else np.pi - heading
            lines.append(curve(rng, (lung.side * 3.2, 0.5), outward, rng.uniform(5.5, 9.5), 0.18))
    ends = np.vstack(lines)
    widths = np.tile(np.linspace(0.5, 0.22, 6), len(lines))
    return np.asarray(1.8 * grid.segments(ends, widths))


def effusion(rng: np.random.Generator, grid: Grid, lung: Lung, amount: float) -> Plane:
    """Return where fluid with a meniscus fills the space above the costophrenic angle."""
    outward = np.clip(lung.side * (grid.x - lung.centre) / lung.half, -1.2, 1.2)
    level = lung.dome + 2.2 - rng.uniform(0.6, 3.4) * amount - 2.6 * np.maximum(outward, 0) ** 2
    return step(grid.y - level, 0.7)


def pneumothorax(grid: Grid, lung: Lung, gap: float, soft: Plane) -> tuple[Plane, Plane]:
    """Return the vessels with the visceral pleura, and the air that the collapsed lung has given up."""
    centre = lung.centre - lung.side * gap * 0.45
    inner = (1 - grid.radius(centre, 1.2 + gap, lung.half - gap * 0.75, 13.2 - gap)) * lung.half
    outer = step(-inner, 0.4)
    pleura = 1.5 * np.exp(-((inner / 0.28) ** 2))
    return np.asarray(soft * (1 - outer) + pleura), np.asarray(3.0 * outer)


def edema(rng: np.random.Generator, grid: Grid, amount: float) -> Plane:
    """Return the length of rays in thickened septa: a net of thin lines, densest at the bases."""
    mesh = net(rng, grid.x.shape, 0.62 / grid.pixel, 0.4)
    basal = 0.6 + 0.4 * np.clip((grid.y + 8) / 14, 0, 1)
    return np.asarray(2.0 * amount * mesh * basal)


def abdomen(rng: np.random.Generator, grid: Grid, anatomy: Anatomy, lungs: list[Lung], free: float) -> Plane:
    """Return the air below the diaphragm: the stomach's bubble, and free air under the right dome."""
    right, left = lungs
    low = left.dome + 2.6
    bubble = 7 * anatomy.bubble * chord(grid.radius(left.centre * 0.75, low, 2.8, 1.5)) * rng.uniform(0.5, 1)
    if free == 0:
        return np.asarray(bubble)
    under = grid.y - right.diaphragm(grid) - 0.55
    extent = step(3.8 - np.abs(grid.x - right.centre * 0.85), 0.8)
    crescent = step(under, 0.35) * step(rng.uniform(1.0, 1.6) * free - under, 0.5) * extent
    return np.asarray(bubble + 7 * crescent)
