"""How every stage's command line starts and ends."""

import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError

from pipeline import ledger
from pipeline.errors import StudyError

DETAILS = Path("private/errors.txt")
"""Where the names of patients' files stand that an error is about: never in a log."""


def run(main: Callable[[], None]) -> None:
    """Run a stage; a study that must stop ends with one sentence and exit status 1 in place of a traceback.

    A defect of this program ends with the place where it happened. Its message may hold anything that was being worked
    on, a patient's name among it, so that stands with the user.
    """
    try:
        main()
        ledger.close()
    except StudyError as error:
        sys.exit(f"error: {told(error)}")
    except ValidationError as error:
        sys.exit(f"error: {error}")
    except Exception as error:
        _keep("".join(traceback.format_exception(error)))
        places = "".join(traceback.format_tb(error.__traceback__))
        sys.exit(f"{places}{type(error).__name__} (its message is at the end of {DETAILS}; please report this)")


def told(error: StudyError) -> str:
    """Return what may be shown of an error, and add the rest of it to the user's own file."""
    if not error.detail:
        return error.message
    _keep(f"{error.message}\n    {error.detail}\n")
    return f"{error.message} (which one is the last entry of {DETAILS})"


def _keep(text: str) -> None:
    DETAILS.parent.mkdir(exist_ok=True)
    with DETAILS.open("a", encoding="utf-8") as file:
        file.write(text)
