"""How every stage's command line starts and ends."""

import sys
from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError

from pipeline.errors import StudyError

DETAILS = Path("private/errors.txt")
"""Where the names of patients' files stand that an error is about: never in a log."""


def run(main: Callable[[], None]) -> None:
    """Run a stage; a study that must stop ends with one sentence and exit status 1 in place of a traceback."""
    try:
        main()
    except StudyError as error:
        sys.exit(f"error: {told(error)}")
    except ValidationError as error:
        sys.exit(f"error: {error}")


def told(error: StudyError) -> str:
    """Return what may be shown of an error, and add the rest of it to the user's own file."""
    if not error.detail:
        return error.message
    DETAILS.parent.mkdir(exist_ok=True)
    with DETAILS.open("a", encoding="utf-8") as file:
        file.write(f"{error.message}\n    {error.detail}\n")
    return f"{error.message} (which one is the last entry of {DETAILS})"
