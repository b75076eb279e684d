"""How every stage's command line starts and ends."""

import sys
from collections.abc import Callable

from pydantic import ValidationError

from pipeline.errors import StudyError


def run(main: Callable[[], None]) -> None:
    """Run a stage; a study that must stop ends with one sentence and exit status 1 in place of a traceback."""
    try:
        main()
    except (StudyError, ValidationError) as error:
        sys.exit(f"error: {error}")
