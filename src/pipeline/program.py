"""How every stage's command line starts and ends."""

import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError

from pipeline import ledger, pool
from pipeline.errors import StudyError

DETAILS = Path("private/errors.txt")
"""Where the names of patients' files stand that an error is about: never in a log."""
TRACEBACK = "LEARNABILITY_TRACEBACK"
"""Set to anything, this environment variable asks for the places that an error came through."""


def run(main: Callable[[], None]) -> None:
    """Run a stage; what goes wrong ends with one sentence and exit status 1 in place of a traceback.

    The message of a defect of this program may hold anything that was being worked on, a patient's name among it, so
    it stands with the user, and the sentence says where it happened.
    """
    try:
        main()
        ledger.close()
        pool.offer()
    except StudyError as error:
        sys.exit(f"{_places(error)}error: {told(error)}")
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        sys.exit(f"{_places(error)}error: {error.title}: {key}: {first['msg']}")
    except Exception as error:
        _keep("".join(traceback.format_exception(error)))
        last = traceback.extract_tb(error.__traceback__)[-1]
        sys.exit(
            f"{_places(error)}error: {type(error).__name__} in {Path(last.filename).name}, line {last.lineno} "
            f"(its message is at the end of {DETAILS}; please report this, with what {TRACEBACK}=1 adds)"
        )


def _places(error: BaseException) -> str:
    """Return the places that an error came through, where they are asked for; no message, which may name patients."""
    return "".join(traceback.format_tb(error.__traceback__)) if os.environ.get(TRACEBACK) else ""


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
