"""An apical four-chamber view of a beating heart, as ultrasound shows it: speckle in a sector, in centimetres.

The probe is at the top; x grows to the patient's left, y with depth. Echo strength is in decibels below the strongest.
"""

from dataclasses import dataclass

import numpy as np

from pipeline.benchmarks.drawing.shapes import Grid, Plane, blur, step

RANGE = 60.0
"""Dynamic range of the display, in decibels."""
BLOOD, TISSUE, MUSCLE, BRIGHT = -54.0, -30.0, -21.0, -9.0
APEX = -8.3
"""Where the sector's beams meet, in y."""


@dataclass(frozen=True)
class Anatomy:
    """What stays the same between the frames of a patient; defect is the width (cm) of a hole in the septum, or 0."""

    size: float
    axis: float
    septum: float
    right: float
    squeeze: float
    phase: float
    hole: float
    defect: float
    dropout: tuple[float, float]
    gain: float
    shadow: tuple[float, float]

    @classmethod
    def draw(cls, rng: np.random.Generator, *, defect: bool, severity: float) -> "Anatomy":
        """Draw a patient with or without a septal defect."""
        width = rng.uniform(0.35, 0.85) * severity
        return cls(
            size=rng.uniform(0.92, 1.06),
            axis=rng.uniform(-9, 9),
            septum=rng.uniform(0.36, 0.5),
            right=rng.uniform(0.9, 1.1) * (1.04 if defect else 1.0),
            squeeze=rng.uniform(0.1, 0.2),
            phase=rng.uniform(0, 1),
            hole=float(rng.choice([rng.uniform(-0.9, 0.6), rng.uniform(2.9, 3.8)])),
            defect=width if defect else 0.0,
            dropout=(float(rng.uniform(-4, 4)), float(rng.uniform(8, 24))),
            gain=rng.uniform(-3, 3),
            shadow=(float(rng.uniform(-0.6, 0.6)), float(rng.uniform(2, 10))),
        )


def scan(rng: np.random.Generator, grid: Grid, anatomy: Anatomy, frames: int, looks: int) -> Plane:
    """Return frames x H x W in [0, 1]: log-compressed envelopes over one heartbeat."""
    shift = rng.uniform(-0.3, 0.3, 2)
    tilt = np.deg2rad(anatomy.axis + rng.uniform(-2, 2))
    x, y = grid.x - shift[0], grid.y - shift[1]
    turned = Grid(np.cos(tilt) * x + np.sin(tilt) * y, -np.sin(tilt) * x + np.cos(tilt) * y, grid.pixel)
    still = speckle(rng, grid, looks)
    images = []
    for frame in range(frames):
        beat = 0.5 - 0.5 * np.cos(2 * np.pi * (frame / frames + anatomy.phase))
        echo = heart(turned, anatomy, float(beat)) + beam(grid, anatomy)
        echo = blur(echo, 0.9 * grid.x.shape[0] / 96) + 0.8 * still + 0.6 * speckle(rng, grid, looks)
        images.append(np.clip(1 + (echo + anatomy.gain) / RANGE, 0, 1) * sector(grid))
    return np.stack(images)


def heart(grid: Grid, anatomy: Anatomy, beat: float) -> Plane:
    """Return the echo strength of the heart and what lies around it; beat is 0 in diastole and 1 in systole."""
    s, small = anatomy.size, 1 - anatomy.squeeze * beat
    echo = np.full_like(grid.x, TISSUE)
    rim = np.abs(grid.radius(0, 0.6, 5.3 * s, 7.2 * s) - 1) * 5.3 * s
    echo = echo + (MUSCLE - TISSUE) * grid.ellipse(0, 0.6, 5.3 * s, 7.2 * s)
    echo = echo + (BRIGHT - MUSCLE) * 0.8 * np.exp(-((rim / 0.22) ** 2))
    thick, right = anatomy.septum * (1 + 0.25 * beat), anatomy.right
    for x, y, a, b in (
        (thick + 1.85 * s * small, -1.4, 1.9 * s * small, 3.7 * s * small),
        (-thick - 1.6 * s * right * small, -1.2, 1.65 * s * right * small, 3.4 * s * small),
        (thick * 0.6 + 1.8 * s, 4.4, 1.85 * s * (1 + 0.1 * beat), 1.75 * s),
        (-thick * 0.6 - 1.75 * s * right, 4.4, 1.8 * s * right, 1.75 * s),
    ):
        cavity = grid.ellipse(x, y, a, b)
        echo = echo + (BLOOD - echo) * cavity
    echo = valves(grid, anatomy, beat, echo)
    return septum(grid, anatomy, echo)


def valves(grid: Grid, anatomy: Anatomy, beat: float, echo: Plane) -> Plane:
    """Return the view with the mitral and tricuspid leaflets: closed in systole, open towards the apex in diastole."""
    s, opening = anatomy.size, 1 - beat
    blood = (grid.ellipse(1.9 * s, 2.4, 1.5 * s, 0.9) + grid.ellipse(-1.9 * s, 2.4, 1.4 * s, 0.9)) * 0.9
    echo = echo + (BLOOD - echo) * np.clip(blood, 0, 1)
    ends = []
    for side in (-1, 1):
        for hinge, tip in ((0.4, 1.6), (3.4, 2.2)):
            ends.append([side * hinge * s, 2.5, side * (tip + (tip - 1.9) * opening) * s, 2.4 - 1.3 * opening])
    return np.asarray(np.maximum(echo, BLOOD + (MUSCLE + 4 - BLOOD) * grid.segments(np.array(ends), 0.16)))


def septum(grid: Grid, anatomy: Anatomy, echo: Plane) -> Plane:
    """Return the view with weak echoes along a part of the septum, and with the defect if there is one.

    Dropout occurs in every patient: it dims the septum and leaves its edges. A defect opens it to blood and has bright
    margins, which is what tells the two apart.
    """
    near = step(1.1 - np.abs(grid.x), 0.3)
    place, loss = anatomy.dropout
    echo = echo - loss * near * np.exp(-(((grid.y - place) / 0.6) ** 2))
    if anatomy.defect == 0:
        return np.asarray(echo)
    distance = np.abs(grid.y - anatomy.hole)
    margin = near * np.exp(-(((distance - anatomy.defect / 2 - 0.15) / 0.2) ** 2)) * step(0.6 - np.abs(grid.x), 0.2)
    echo = echo + (BLOOD - echo) * near * step(anatomy.defect / 2 - distance, 0.2)
    return np.asarray(echo + np.clip(MUSCLE + 5 - echo, 0, None) * margin)


def speckle(rng: np.random.Generator, grid: Grid, looks: int) -> Plane:
    """Return fully developed speckle in decibels around 0, averaged over independent looks.

    The envelope of a circular complex Gaussian field is Rayleigh distributed, and 20 log10 of it has a standard
    deviation of 5.57 dB (Goodman 2007, chapter 3).
    """
    sigma = 1.8 * grid.x.shape[0] / 96
    total = np.zeros_like(grid.x)
    for _ in range(looks):
        real, imaginary = (blur(rng.standard_normal(grid.x.shape), sigma) for _ in range(2))
        power = real**2 + imaginary**2
        total += 10 * np.log10(np.maximum(power / power.mean(), 1e-4))
    return np.asarray(total / looks + 2.5)


def beam(grid: Grid, anatomy: Anatomy) -> Plane:
    """Return what depth and a rib's shadow take from the echo, in decibels."""
    depth = np.hypot(grid.x, grid.y - APEX)
    direction, loss = anatomy.shadow
    angle = np.arctan2(grid.x, grid.y - APEX)
    return np.asarray(-0.35 * depth - loss * np.exp(-(((angle - direction) / 0.07) ** 2)))


def sector(grid: Grid) -> Plane:
    """Return the mask of the sector that the beams reach."""
    depth, angle = np.hypot(grid.x, grid.y - APEX), np.arctan2(grid.x, grid.y - APEX)
    return np.asarray(step(np.deg2rad(42) - np.abs(angle), 0.02) * step(16.3 - depth, 0.15) * step(depth - 0.6, 0.15))
