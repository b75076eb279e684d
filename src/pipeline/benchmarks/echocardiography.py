"""Echocardiography: multi-frame 8-bit DICOM of apical four-chamber views, with speckle, in a sector."""

from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field
from pydicom.tag import Tag
from pydicom.uid import UltrasoundMultiFrameImageStorage

from pipeline.benchmarks import BenchmarkSpec, Row, file_path, identifier
from pipeline.benchmarks.drawing import dicom, ventricles
from pipeline.benchmarks.drawing.shapes import Grid

FIELD_OF_VIEW = 17.0
"""Centimetres."""
FRAME_TIME = 120.0
"""Milliseconds."""


class Spec(BenchmarkSpec):
    """A generated set of clips; the class belongs to the patient, and one row stands for a clip of several frames."""

    family: Literal["echocardiography"]
    clips: int = Field(default=1, ge=1, le=8)
    """Of each patient. [files]"""
    frames: int = Field(default=4, ge=2, le=64)
    """Of each clip. [frames]"""
    severity: float = Field(default=1.0, gt=0, le=3)
    """Width of the defect, relative to the default. [1]"""
    looks: int = Field(default=16, ge=1, le=64)
    """Independent looks that are compounded; the speckle's standard deviation is 5.6 dB over their square root. [1]"""

    @classmethod
    def prevalence(cls) -> dict[str, float]:
        """Return the share of each class."""
        return {"Normal": 0.6, "Septal Defect": 0.4}

    def labels(self, patient: int) -> list[str]:
        """Return the class of each clip: that of the patient."""
        return [self.draw(patient)] * self.clips

    def write_patient(self, patient: int, folder: Path) -> list[Row]:
        """Write the clips of one patient."""
        rng = self.random(patient)
        labels = self.labels(patient)
        anatomy = ventricles.Anatomy.draw(rng, defect=labels[0] == "Septal Defect", severity=self.severity)
        rows = []
        for clip, label in enumerate(labels):
            row = Row(file_path(patient, clip, ".dcm"), identifier(patient), label)
            grid = Grid.square(self.size, FIELD_OF_VIEW)
            frames = ventricles.scan(rng, grid, anatomy, self.frames, self.looks)
            self._write(np.rint(frames * 255).astype(np.uint8), (patient, clip), folder / row.path)
            rows.append(row)
        return rows

    def _write(
        self, frames: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], item: tuple[int, int], path: Path
    ) -> None:
        patient, clip = item
        header = dicom.header(UltrasoundMultiFrameImageStorage, "US", (self.family, self.seed, patient), 0, clip)
        header.ImageType = ["ORIGINAL", "PRIMARY", "TTE"]
        header.FrameTime = FRAME_TIME
        header.FrameIncrementPointer = Tag("FrameTime")
        header.LossyImageCompression = "00"
        dicom.write(header, frames, path, photometric="MONOCHROME2", bits=8)
