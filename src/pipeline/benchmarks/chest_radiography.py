"""Chest radiographs: 12-bit DICOM of projected anatomies, of several detectors, with a long tail of findings."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field
from pydicom.uid import ComputedRadiographyImageStorage, JPEG2000Lossless, RLELossless

from pipeline.benchmarks import BenchmarkSpec, Row, file_path, identifier
from pipeline.benchmarks.drawing import dicom, thorax
from pipeline.benchmarks.drawing.shapes import Grid, Plane, blur

IMAGES = 5
FIELD_OF_VIEW = 38.0
"""Centimetres."""
DEPTH = 4095 / 6.5
"""Signal per unit of attenuation: a 12-bit detector whose range ends at a line integral of 6.5."""


@dataclass(frozen=True)
class Detector:
    """How one kind of detector stores its signal."""

    photometric: Literal["MONOCHROME1", "MONOCHROME2"]
    slope: float
    intercept: float
    syntax: str | None


DETECTORS = (
    Detector("MONOCHROME2", 1.0, 0.0, None),
    Detector("MONOCHROME1", 1.0, 0.0, JPEG2000Lossless),
    Detector("MONOCHROME2", 0.5, -100.0, RLELossless),
    Detector("MONOCHROME1", 0.25, 0.0, None),
)


class Spec(BenchmarkSpec):
    """A generated long-tailed set of chest radiographs; each file shows one finding or none."""

    family: Literal["chest-radiography"]
    severity: float = Field(default=1.0, gt=0, le=3)
    """Conspicuity of the findings: their extent and contrast, relative to the default. [1]"""
    dose: float = Field(default=60000.0, ge=1000)
    """Photons that reach a pixel at 96 x 96 pixels where nothing attenuates. [photons]"""

    @classmethod
    def prevalence(cls) -> dict[str, float]:
        """Return the share of each class: a long tail of 25 to 1."""
        return {
            "No Finding": 0.50,
            "Pleural Effusion": 0.19,
            "Interstitial Edema": 0.13,
            "Cardiomegaly": 0.10,
            "Pneumothorax": 0.06,
            "Pneumoperitoneum": 0.02,
        }

    def labels(self, patient: int) -> list[str]:
        """Return the class of each file; a patient has 4 or 5, from different studies."""
        count = IMAGES - patient % 2
        return [self.draw(patient * IMAGES + image) for image in range(count)]

    def write_patient(self, patient: int, folder: Path) -> list[Row]:
        """Write the radiographs of one patient."""
        rng = self.random(patient)
        anatomy = thorax.Anatomy.draw(rng)
        rows = []
        for image, label in enumerate(self.labels(patient)):
            row = Row(file_path(patient, image, ".dcm"), identifier(patient), label)
            self._write(rng, self.expose(rng, anatomy, label), (patient, image), folder / row.path)
            rows.append(row)
        return rows

    def expose(self, rng: np.random.Generator, anatomy: thorax.Anatomy, label: str) -> Plane:
        """Return the line integral of attenuation that the detector measures, after Beer and Lambert.

        Counts are Poisson, blurred by the detector; the logarithm of the counts is what computed radiography stores.
        """
        grid = Grid.square(self.size, FIELD_OF_VIEW).posed(rng, shift=1.2, degrees=4.0, scale=0.05)
        attenuation = thorax.project(rng, grid, anatomy, label, self.severity)
        photons = self.dose * (96 / self.size) ** 2 * rng.uniform(0.8, 1.6)
        counts = rng.poisson(photons * np.exp(-attenuation)).astype(np.float64)
        return np.asarray(-np.log(np.maximum(blur(counts, 0.7 * self.size / 96), 1) / photons))

    def _write(self, rng: np.random.Generator, attenuation: Plane, item: tuple[int, int], path: Path) -> None:
        detector = DETECTORS[rng.choice(len(DETECTORS), p=[0.4, 0.25, 0.2, 0.15])]
        gain, offset = rng.uniform(0.95, 1.05), rng.uniform(-60, 60)
        signal = attenuation * DEPTH * gain * detector.slope + offset * detector.slope
        stored = np.clip(np.rint((signal - detector.intercept) / detector.slope), 0, 4095).astype(np.uint16)
        center, width = (value * DEPTH * gain * detector.slope for value in window(attenuation))
        if detector.photometric == "MONOCHROME1":
            # Stored values fall as attenuation grows: the same scale, read from its other end.
            stored = (4095 - stored).astype(np.uint16)
            center = 4095 * detector.slope + 2 * detector.intercept - center - offset * detector.slope
        else:
            center += offset * detector.slope
        header = dicom.header(ComputedRadiographyImageStorage, "CR", (self.family, self.seed, item[0]), item[1], 0)
        header.BodyPartExamined, header.ViewPosition, header.PatientOrientation = "CHEST", "PA", ["L", "F"]
        header.ImagerPixelSpacing = [round(FIELD_OF_VIEW * 10 / self.size, 4)] * 2
        header.RescaleSlope, header.RescaleIntercept, header.RescaleType = detector.slope, detector.intercept, "US"
        header.WindowCenter, header.WindowWidth = round(center, 1), round(width, 1)
        dicom.write(header, stored, path, photometric=detector.photometric, bits=12, syntax=detector.syntax)


def window(attenuation: Plane) -> tuple[float, float]:
    """Return centre and width of the window that the detector's exposure recognition proposes."""
    low, high = np.percentile(attenuation[attenuation > 0.5], [2, 98])
    return float(low + high) / 2, float(high - low) * 1.15
