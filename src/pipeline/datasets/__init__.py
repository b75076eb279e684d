"""Data sets: one module a family, each with a `Spec` that lists which file shows what, of whom."""

import re
from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pipeline.errors import StudyError
from pipeline.labels import Task
from pipeline.pixels import Inspection, PixelSpec
from pipeline.spec import Spec

Part = Literal["train", "validation", "test"]
Keyed = Callable[[str, str], str]


@dataclass(frozen=True)
class Listed:
    """One image file as its data set describes it.

    Attributes:
        path: relative to the data set's root, with forward slashes.
        patient: the patient's raw identifier; None where only the file itself knows it.
        labels: class to whether the file shows it, in the data set's order; what is not in it is missing.
        part: the official part, where the data set declares one.
        fold: the official fold, counted from 0, where the data set declares folds.
        unit: what is scored together under `unit: series`; None is the file.
        frames: the frames of a multi-frame file that are meant; None is all of them.
    """

    path: str
    patient: str | None = None
    labels: Mapping[str, bool] = field(default_factory=dict)
    part: Part | None = None
    fold: int | None = None
    unit: str | None = None
    frames: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Found:
    """A listed file and its header. The header's identifiers are hashed already: see `DatasetSpec.resolved`."""

    entry: Listed
    header: Inspection


class DatasetSpec(Spec):
    """What the configuration says of one data set, whatever its family."""

    family: str
    root: str
    """The folder with the images: DICOM, PNG, JPEG, TIFF, NIfTI, told apart by their content."""
    pixels: PixelSpec
    """How files become pixels."""
    classes: list[str] = []
    """Names of the classes. Empty: the data set has no labels, and only its reconstructions are measured."""
    task: Task = "single-label"
    """`single-label`: every sample has one class. `multi-label`: any number, each may be missing. `first-label`: reduce
    a multi-label set to each sample's first finding (in alphabetical order where labels stand in columns, as in the
    publication's code)."""
    leave_out: list[str] = []
    """Labels whose samples are left out on purpose; under `single-label` other undeclared labels stop the study."""
    split: Literal["auto", "official", "folds"] = "auto"
    """`official` trains, validates and tests once, on the data set's own parts; `folds` is the published scheme (fold k
    tests, fold k + 1 validates, the others train). `auto` is official where the data set declares parts or folds."""
    folds: Annotated[int, Field(ge=3)] = 5
    """Patient-grouped, stratified folds; an official split without a validation part gives one fold's share of its
    training patients for it. [folds]"""
    fold_seed: int = 0
    """Of the order in which patients are shuffled before they are put into folds."""
    leaks: Literal["stop", "drop"] = "stop"
    """What happens to patients, and images, that are on both sides of an official split: the study stops, or their
    training and validation samples are dropped, and the number is reported."""
    unit: Literal["image", "series"] = "image"
    """What is scored: every image by itself, or all images of a file or series together, by their mean score."""
    shards: Annotated[int, Field(ge=1)] = 1
    """Into how many shard files, and so jobs, each of the data set's stores is cut. [files]"""
    frames: Annotated[int, Field(ge=1)] | None = None
    """At most so many frames of a multi-frame file, evenly spaced; None takes all. [frames]"""

    @model_validator(mode="after")
    def _classes_tell_apart(self) -> Self:
        if len(self.classes) == 1 and self.task != "multi-label":
            raise ValueError("one class alone leaves nothing to tell apart; without labels leave 'classes' out")
        for name in self.classes:
            if self.classes.count(name) > 1 or name in self.leave_out:
                raise ValueError(f"the class {name!r} stands there twice")
        return self

    @abstractmethod
    def listed(self, files: list[str]) -> list[Listed]:
        """Return one entry for each of the data set's image files.

        Args:
            files: every file below the root, relative, in sorted order.

        Raises:
            StudyError: the labels cannot be trusted.
        """

    def resolved(self, found: list[Found], keyed: Keyed) -> tuple[list[Found], list[tuple[str, str]]]:
        """Complete entries by what the headers say: for families whose labels or order depend on headers.

        Args:
            found: every listed file whose header was accepted.
            keyed: hashes an identifier ("patient", "study", "series" or "instance", and its value) as the headers' are.

        Returns:
            The entries to keep, and path and reason of those to refuse.
        """
        return found, []

    def tested_folds(self) -> int:
        """Return how many folds are tested, as far as the configuration says; official parts are tested once."""
        return 1 if self.split == "official" else self.folds

    def tables(self) -> list[str]:
        """Return the label files that `listed` reads."""
        return []


def checked(entries: Iterable[Listed], spec: DatasetSpec) -> list[Listed]:
    """Refuse paths that leave the root; drop what is left out on purpose."""
    kept = [entry for entry in entries if not any(entry.labels.get(name) for name in spec.leave_out)]
    for entry in kept:
        if not is_inside(entry.path):
            raise StudyError("a label file names a path outside the data set's folder", f"{spec.root}: {entry.path!r}")
    return kept


def is_inside(path: str) -> bool:
    """Tell whether a relative path stays below the folder that it is relative to."""
    return not (path.startswith("/") or ".." in path.split("/") or "\\" in path or "\0" in path)


READABLE = r"\.(dcm|dicom|dic|ima|png|jpe?g|jfif|tiff?|nii|nii\.gz)$"
UNREADABLE = r"\.(bmp|gif|webp|jp2|mha|mhd|nrrd|avi|mp4)$"
BARE = r"(^|/)[^./]+$|\.[0-9]+$"
IMAGE_NAME = re.compile(f"{READABLE}|{UNREADABLE}|{BARE}", re.IGNORECASE)


def is_image_name(path: str) -> bool:
    """Tell whether a file's name may be that of an image.

    DICOM files often have no ending, or a unique identifier's last number. Images in formats that are not supported
    count, too, because they must end among the refused files and not be passed over.
    """
    return IMAGE_NAME.search(path) is not None
