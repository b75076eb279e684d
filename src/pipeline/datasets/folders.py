"""One folder per class, and below it one folder per patient or the images themselves."""

from pathlib import PurePosixPath
from typing import Literal

from pipeline.datasets import DatasetSpec, Listed, checked, is_image_name
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
        return checked((self._entry(path) for path in files if is_image_name(path)), self)

    def _entry(self, path: str) -> Listed:
        parts = PurePosixPath(path).parts
        label = parts[0] if len(parts) > 1 and self.classes else None
        if self.patients == "file":
            return Listed(path, path, label)
        if self.patients == "dicom":
            return Listed(path, None, label)
        if not self.classes:
            return Listed(path, "/".join(parts[:-1]) or path, label)
        if len(parts) < 3:
            raise StudyError(
                f"{self.root}/{path} is in no patient's folder; set 'patients' to dicom, or to file if every file is "
                "of another patient"
            )
        return Listed(path, parts[1], label)
