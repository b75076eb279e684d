"""One folder per class, and below it one folder per patient or the images themselves."""

from pathlib import PurePosixPath
from typing import Literal

from pipeline.datasets import DatasetSpec, Listed, checked, is_image_name
from pipeline.datasets.reading.rules import require_mentioned
from pipeline.errors import StudyError


class Spec(DatasetSpec):
    """`root/<class>/<patient>/.../image`, or `root/<class>/image` where the file itself names its patient.

    Without classes every folder is a patient's.
    """

    family: Literal["folders"]
    patients: Literal["folder", "dicom", "file"] = "folder"
    """Where the patient stands: in the folder below the class, in the DICOM header, or every file is one of its own.

    A folder of the same name below two classes is one patient: taken for two it could be on both sides of a split.
    """

    def listed(self, files: list[str]) -> list[Listed]:
        """Take the class from the first folder of each image's path."""
        entries = checked((self._entry(path) for path in files if is_image_name(path)), self)
        if entries:
            require_mentioned([entry.labels for entry in entries], self.classes)
        return entries

    def _entry(self, path: str) -> Listed:
        parts = PurePosixPath(path).parts
        return Listed(path, self._patient(path, parts), self._labels(path, parts))

    def _labels(self, path: str, parts: tuple[str, ...]) -> dict[str, bool]:
        if not self.classes:
            return {}
        if len(parts) < 2:
            raise StudyError(f"an image lies in {self.root} itself and in no class's folder", path)
        return {parts[0]: True}

    def _patient(self, path: str, parts: tuple[str, ...]) -> str | None:
        if self.patients == "file":
            return path
        if self.patients == "dicom":
            return None
        if not self.classes:
            return "/".join(parts[:-1]) or path
        if len(parts) < 3:
            raise StudyError(
                f"an image below {self.root} is in no patient's folder; set 'patients' to dicom, or to file if every "
                "file is of another patient",
                path,
            )
        return parts[1]
