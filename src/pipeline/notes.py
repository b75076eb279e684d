"""What a person should know of a data set, said where it is found and shown in the log and on the page."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

_LOGGER = logging.getLogger(__name__)
_LOGGER.propagate = False
_LOGGER.setLevel(logging.INFO)


def note(text: str) -> None:
    """Say something that is no error, in one sentence; it is shown to everybody, so it names no patient and no file."""
    _LOGGER.info(text)


@contextmanager
def collected() -> Iterator[list[str]]:
    """Give a list to which everything is added that is noted inside."""
    handler = _List()
    _LOGGER.addHandler(handler)
    try:
        yield handler.texts
    finally:
        _LOGGER.removeHandler(handler)


class _List(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())
