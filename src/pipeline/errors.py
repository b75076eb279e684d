"""The two ways in which input can be wrong: a study that must stop, and a file that is set aside."""


class StudyError(Exception):
    """The study cannot be trusted as it is configured.

    Attributes:
        message: one sentence that names the culprit, but neither a patient nor a patient's file: logs are shared.
        detail: what only the user may see: the file, the patient, the row. It goes to `private/errors.txt`.
    """

    def __init__(self, message: str, detail: str = "") -> None:
        super().__init__(message)
        self.message, self.detail = message, detail

    def __reduce__(self) -> tuple[type["StudyError"], tuple[str, str]]:
        return type(self), (self.message, self.detail)


class Refused(Exception):
    """This file cannot become pixels. The message is the reason that `rejected.csv` shows; it names no patient."""
