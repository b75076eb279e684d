"""Dermatoscopy: RGB PNG of pigmented and vascular lesions, several lesions a patient."""

from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image
from pydantic import Field

from pipeline.benchmarks import BenchmarkSpec, Row, file_path, identifier
from pipeline.benchmarks.drawing import skin
from pipeline.benchmarks.drawing.shapes import Grid

IMAGES = 5
FIELD_OF_VIEW = 12.0
"""Millimetres."""


class Spec(BenchmarkSpec):
    """A generated, moderately imbalanced set of lesions; each file shows one lesion."""

    family: Literal["dermatoscopy"]
    severity: float = Field(default=1.0, gt=0, le=3)
    """Conspicuity of each class's own structures (network, dots, vessels, cysts), relative to the default. [1]"""

    @classmethod
    def prevalence(cls) -> dict[str, float]:
        """Return the share of each class."""
        return {
            "Nevus": 0.40,
            "Melanoma": 0.22,
            "Basal Cell Carcinoma": 0.16,
            "Benign Keratosis": 0.14,
            "Vascular Lesion": 0.08,
        }

    def labels(self, patient: int) -> list[str]:
        """Return the class of each file; a patient has 3 to 5 lesions."""
        return [self.draw(patient * IMAGES + image) for image in range(IMAGES - patient % 3)]

    def write_patient(self, patient: int, folder: Path) -> list[Row]:
        """Write the images of one patient."""
        rng = self.random(patient)
        person = skin.Person.draw(rng)
        rows = []
        for image, label in enumerate(self.labels(patient)):
            row = Row(file_path(patient, image, ".png"), identifier(patient), label)
            grid = Grid.square(self.size, FIELD_OF_VIEW)
            colours = skin.photograph(rng, grid, person, label, self.severity)
            path = folder / row.path
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.rint(colours * 255).astype(np.uint8)).save(path, format="PNG")
            rows.append(row)
        return rows
