"""Programs that are told to end, and then keep what they have."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
"""A keyboard sends the second; Slurm sends the others before a job's time is over or its node is taken."""


@contextmanager
def ending() -> Iterator[Callable[[], bool]]:
    """Give a function that says whether this process was told to end, which it then must do by itself."""
    received: list[int] = []
    before = {number: signal.signal(number, lambda number, _: received.append(number)) for number in SIGNALS}
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
