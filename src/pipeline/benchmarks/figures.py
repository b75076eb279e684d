"""Figures: PNG of textured shapes on noise, to pretrain classifiers on where there are no other images.

No photograph and no medical image is involved, so what is pretrained on them has seen nothing of what it is later
judged on. A class is a shape and a texture; place, size, angle, colours, light and background say nothing about it.
"""

from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image
from pydantic import Field

from pipeline.benchmarks import BenchmarkSpec, Row, file_path, identifier
from pipeline.benchmarks.drawing.figures import SHAPES, TEXTURES, figure


class Spec(BenchmarkSpec):
    """A generated, balanced set of 20 classes. `patients` are groups of `images` files that have nothing in common."""

    family: Literal["figures"]
    images: int = Field(default=10, ge=3, le=100)
    """Files of each group. [files]"""
    colour: bool = True
    """Whether files are RGB; otherwise they are grey, and the figures' brightness is drawn in the same way."""

    @classmethod
    def prevalence(cls) -> dict[str, float]:
        """Return the share of each class, all the same."""
        names = [f"{texture} {shape}" for shape in SHAPES for texture in TEXTURES]
        return dict.fromkeys(names, 1 / len(names))

    def labels(self, patient: int) -> list[str]:
        """Return the class of each file of this group."""
        return [self.draw(patient * self.images + image) for image in range(self.images)]

    def write_patient(self, patient: int, folder: Path) -> list[Row]:
        """Write the images of one group."""
        rng = self.random(patient)
        rows = []
        for image, label in enumerate(self.labels(patient)):
            row = Row(file_path(patient, image, ".png"), identifier(patient), label)
            path = folder / row.path
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(self.drawn(rng, label)).save(path, format="PNG")
            rows.append(row)
        return rows

    def drawn(self, rng: np.random.Generator, label: str) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
        """Return size x size x 3 levels of one figure of this class, or size x size where there is no colour."""
        texture, shape = label.split()
        values = figure(rng, self.size, shape, texture, 3 if self.colour else 1)
        levels = np.rint(values * 255).astype(np.uint8)
        return levels if self.colour else levels[..., 0]
