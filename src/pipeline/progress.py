"""How far a long job is: rate and remaining time, for the person at the terminal or the reader of a log."""

import io
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TextIO, TypeVar

from tqdm import tqdm

T = TypeVar("T")
TERMINAL = Path("/dev/tty")
PATIENCE = 2.0
"""Seconds before a bar appears: short jobs show none."""
LOG_PERIOD = 30.0
"""Seconds between two lines of a log."""


def progress(items: Iterable[T], total: int, doing: str, unit: str) -> Iterator[T]:
    """Yield the items and show how many of them are done, how fast, and when the rest will be.

    A job's standard error is a log file, so the bar goes to the terminal that the workflow was called from. Where there
    is none, as in a batch job, the log gets a line now and then.
    """
    with ExitStack() as stack:
        terminal = _terminal(stack)
        where: Any = terminal or _Lines(sys.stderr)
        every = 0.2 if terminal else LOG_PERIOD
        bar = tqdm(items, doing, total, file=where, mininterval=every, maxinterval=every, delay=PATIENCE, unit=unit)
        yield from bar


def _terminal(stack: ExitStack) -> TextIO | None:
    try:
        return stack.enter_context(TERMINAL.open("w"))
    except OSError:
        return None


class _Lines(io.TextIOBase):
    """Writes a bar's states one below the other, where there is no cursor to go back with."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        line = text.strip("\r\n ")
        if line:
            self._stream.write(f"{line}\n")
        return len(text)

    def flush(self) -> None:
        self._stream.flush()
