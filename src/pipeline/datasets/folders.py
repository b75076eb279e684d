"""One folder per class, and below it one folder per patient or the images themselves."""

from pathlib import PurePosixPath
from typing import Literal

from pipeline.datasets import DatasetSpec, Listed, checked, is_image_name


class Spec(DatasetSpec):
    """`root/<class>/<patient>/.../image`, or `root/<class>/image` where the file itself names its patient."""

    family: Literal["folders"]
    patients: Literal["folder", "dicom", "file"] = "folder"
    """Where the patient stands: in the folder below the class, in the DICOM header, or every file is one of its own."""

    def listed(self, files: list[str]) -> list[Listed]:
        """Take the class from the first folder of each image's path."""
        return checked((self._entry(path) for path in files if is_image_name(path)), self)

    def _entry(self, path: str) -> Listed:
        parts = PurePosixPath(path).parts
        label = parts[0] if len(parts) > 1 and self.classes else None
        if self.patients == "file":
            return Listed(path, path, label)
        if self.patients == "dicom":
            return Listed(path, None, label)
        return Listed(path, "/".join(parts[: 2 if len(parts) > 2 else 1]) if len(parts) > 1 else path, label)
