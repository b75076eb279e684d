"""Generated benchmarks: one module a family, each with a `Spec` that can `write` a data set of image files.

A benchmark stands in for a private data set: it comes in the file format of its modality, with several images a
patient, so that every later stage treats it as real input. An image is a function of the spec and the patient's number
alone: two runs write identical bytes, and more patients leave the earlier ones as they are.
"""

from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import Field

from pipeline.spec import Spec

GOLDEN = (5**0.5 - 1) / 2


@dataclass(frozen=True)
class Row:
    """One image file: its path relative to the benchmark's folder, its invented patient, the name of its class."""

    path: str
    id: str
    label: str


class BenchmarkSpec(Spec):
    """What the configuration says of one generated benchmark."""

    family: str
    patients: int = Field(default=100, ge=1, le=9999)
    """How many invented patients have files. [patients]"""
    seed: int = Field(default=0, ge=0)
    """Of everything that is drawn."""
    size: int = Field(default=96, ge=64, le=512)
    """Rows and columns of the files, in pixels. Correlation lengths are given at 96 pixels and scale with it.
    [pixels]"""

    @classmethod
    @abstractmethod
    def prevalence(cls) -> dict[str, float]:
        """Return the share of each class, in the order in which the classes are listed; the shares add to 1."""

    @classmethod
    def classes(cls) -> list[str]:
        """Return the names of the classes in their order."""
        return list(cls.prevalence())

    @abstractmethod
    def labels(self, patient: int) -> list[str]:
        """Return the class of each file of this patient, without drawing an image."""

    @abstractmethod
    def write_patient(self, patient: int, folder: Path) -> list[Row]:
        """Write the files of one patient below the folder."""

    def write(self, folder: Path) -> list[Row]:
        """Write all files below the folder, in the order of the patients, and return one row a file."""
        return [row for patient in range(self.patients) for row in self.write_patient(patient, folder)]

    def random(self, patient: int) -> np.random.Generator:
        """Return this patient's own random stream."""
        return np.random.default_rng([self.seed, patient])

    def draw(self, number: int) -> str:
        """Return the class of the item with this number (0, 1, ...), such that shares are met in every run of items.

        The golden-ratio sequence, which has low discrepancy (Niederreiter 1992, section 3.1), takes the place of
        independent draws: among n items a class of share p occurs within a few of n * p, so even the rarest class of a
        small data set has about the number of files that its share promises.
        """
        start = float(np.random.default_rng([self.seed, 0x6C6162656C]).random())
        position = (start + number * GOLDEN) % 1.0
        edges = np.cumsum(list(self.prevalence().values()))
        return self.classes()[min(int(np.searchsorted(edges, position, side="right")), len(edges) - 1)]


def identifier(patient: int) -> str:
    """Return the invented patient identifier that files and labels share."""
    return f"SYN-{patient:04d}"


def file_path(patient: int, image: int, suffix: str) -> str:
    """Return where an image lies, relative to the benchmark's folder."""
    return f"p{patient:04d}/p{patient:04d}_{image:02d}{suffix}"
