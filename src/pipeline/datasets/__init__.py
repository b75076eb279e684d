"""Data sets: one module a family, each with a `Spec` that lists which file shows what, of whom."""

import re
from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Annotated, Self

from pydantic import Field, model_validator

from pipeline.errors import StudyError
from pipeline.pixels import PixelSpec
from pipeline.spec import Spec


@dataclass(frozen=True)
class Listed:
    """One image file as its data set describes it.

    Attributes:
        path: relative to the data set's root, with forward slashes.
        patient: the patient's raw identifier; None where only the file itself knows it.
        label: a class name; None where the data set has no labels.
        fold: the official fold, where the data set declares one.
    """

    path: str
    patient: str | None
    label: str | None
    fold: int | None = None


class DatasetSpec(Spec):
    """What the configuration says of one data set, whatever its family."""

    family: str
    root: str
    pixels: PixelSpec
    classes: list[str] = []
    """Names of the classes. Empty: the data set has no labels, and only its reconstructions are measured."""
    leave_out: list[str] = []
    """Labels whose samples are left out on purpose; every other undeclared label stops the study."""
    folds: Annotated[int, Field(ge=3)] = 5
    fold_seed: int = 0
    shards: Annotated[int, Field(ge=1)] = 1
    """Into how many shard files, and so jobs, each of the data set's stores is cut."""
    frames: Annotated[int, Field(ge=1)] | None = None
    """At most so many frames of a multi-frame file, evenly spaced; None takes all."""

    @model_validator(mode="after")
    def _classes_tell_apart(self) -> Self:
        if len(self.classes) == 1:
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

    def tables(self) -> list[str]:
        """Return the label files that `listed` reads."""
        return []


def checked(entries: Iterable[Listed], spec: DatasetSpec) -> list[Listed]:
    """Refuse undeclared and missing labels and paths that leave the root; drop what is left out on purpose."""
    kept = [entry for entry in entries if entry.label not in spec.leave_out]
    for entry in kept:
        if ".." in PurePosixPath(entry.path).parts or PurePosixPath(entry.path).is_absolute():
            raise StudyError(f"the path {entry.path!r} leaves the data set's folder {spec.root}")
        if spec.classes and entry.label not in spec.classes:
            raise StudyError(
                f"{spec.root}/{entry.path} has the label {entry.label!r}, which is neither among the declared classes "
                f"({', '.join(spec.classes)}) nor left out"
            )
    return kept


READABLE = r"\.(dcm|dicom|dic|ima|png|jpe?g|jfif)$"
UNREADABLE = r"\.(tiff?|bmp|gif|webp|jp2|nii|nii\.gz|mha|mhd|nrrd|avi|mp4)$"
BARE = r"(^|/)[^./]+$|\.[0-9]+$"
IMAGE_NAME = re.compile(f"{READABLE}|{UNREADABLE}|{BARE}", re.IGNORECASE)


def is_image_name(path: str) -> bool:
    """Tell whether a file's name may be that of an image.

    DICOM files often have no ending, or a unique identifier's last number. Images in formats that are not supported
    count, too, because they must end among the refused files and not be passed over.
    """
    return IMAGE_NAME.search(path) is not None
