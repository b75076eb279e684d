"""The two ways in which input can be wrong: a study that must stop, and a file that is set aside."""


class StudyError(Exception):
    """The study cannot be trusted as it is configured. The message is one sentence that names the culprit."""


class Refused(Exception):
    """This file cannot become pixels. The message is the reason that `rejected.csv` shows; it names no patient."""
