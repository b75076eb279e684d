"""Computed tomography of the chest: 16-bit signed DICOM slices in Hounsfield units, several a patient."""

from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field
from pydicom.uid import CTImageStorage

from pipeline.benchmarks import BenchmarkSpec, Row, file_path, identifier
from pipeline.benchmarks.drawing import axial, dicom
from pipeline.benchmarks.drawing.shapes import Grid, Plane, blur, noise

FIELD_OF_VIEW = 335.0
"""Millimetres."""
SPACING = 12.0
"""Millimetres between slices."""
KERNEL = 0.9
"""Standard deviation of a soft reconstruction kernel's point spread, in pixels at 96 x 96."""
INTERCEPTS = (-1024, -1024, 0)
"""How scanners store Hounsfield units: most with an offset, some as they are."""


class Spec(BenchmarkSpec):
    """A generated set of axial slices; a patient has one finding, or none."""

    family: Literal["computed-tomography"]
    slices: int = Field(default=4, ge=1, le=8)
    """Of each patient. [files]"""
    severity: float = Field(default=1.0, gt=0, le=3)
    """Conspicuity of the findings: their extent and contrast, relative to the default. [1]"""
    noise: float = Field(default=22.0, ge=0)
    """Standard deviation of the reconstruction's noise, in Hounsfield units. [HU]"""

    @classmethod
    def prevalence(cls) -> dict[str, float]:
        """Return the share of each class."""
        return {"No Finding": 0.37, "Nodule": 0.25, "Ground-Glass Opacity": 0.22, "Pleural Effusion": 0.16}

    def labels(self, patient: int) -> list[str]:
        """Return the class of each slice: that of the patient, since every slice goes through the finding."""
        return [self.draw(patient)] * self.slices

    def write_patient(self, patient: int, folder: Path) -> list[Row]:
        """Write the slices of one patient as one series."""
        rng = self.random(patient)
        anatomy = axial.Anatomy.draw(rng)
        intercept = int(rng.choice(INTERCEPTS))
        rows = []
        for image, label in enumerate(self.labels(patient)):
            row = Row(file_path(patient, image, ".dcm"), identifier(patient), label)
            level = (image + 0.5) / self.slices
            self._write(self.scan(rng, anatomy, label, level), intercept, (patient, image), folder / row.path)
            rows.append(row)
        return rows

    def scan(self, rng: np.random.Generator, anatomy: axial.Anatomy, label: str, level: float) -> Plane:
        """Return one slice in Hounsfield units; level runs from 0 at the base of the lungs to 1 near their apex."""
        grid = Grid.square(self.size, FIELD_OF_VIEW).posed(rng, shift=5.0, degrees=3.0, scale=0.03)
        hounsfield = blur(axial.section(rng, grid, anatomy, label, level, self.severity), KERNEL * self.size / 96)
        return np.asarray(hounsfield + self.noise * noise(rng, hounsfield.shape, 0.9 * self.size / 96))

    def _write(self, hounsfield: Plane, intercept: int, item: tuple[int, int], path: Path) -> None:
        patient, image = item
        origin = (self.family, self.seed, patient)
        header = dicom.header(CTImageStorage, "CT", origin, 0, image)
        header.FrameOfReferenceUID = dicom.unique(*origin, "frame of reference")
        header.PositionReferenceIndicator = ""
        header.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        header.BodyPartExamined, header.KVP, header.PatientPosition = "CHEST", "120", "HFS"
        spacing = round(FIELD_OF_VIEW / self.size, 4)
        corner = -spacing * (self.size - 1) / 2
        header.PixelSpacing, header.SliceThickness = [spacing, spacing], "5"
        header.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        header.ImagePositionPatient = [round(corner, 4), round(corner, 4), image * SPACING]
        header.SliceLocation = image * SPACING
        header.RescaleSlope, header.RescaleIntercept, header.RescaleType = 1, intercept, "HU"
        header.WindowCenter, header.WindowWidth = -300, 1400
        stored = np.rint(np.clip(hounsfield, -1024, 3071) - intercept).astype(np.int16)
        dicom.write(header, stored, path, photometric="MONOCHROME2", bits=16)
