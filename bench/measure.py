"""Ratios of times that a busy machine does not spoil: both sides in turn, many times, and the median of the ratios."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        what: what was measured.
        ratio: the measured ratio, or size.
        bound: what it must be.
        low: whether the bound is a lowest (True) or a highest value; None where nothing is demanded.
        note: absolute numbers, for a person.
    """

    what: str
    ratio: float
    bound: float = 0.0
    low: bool | None = None
    note: str = ""

    def holds(self) -> bool:
        """Tell whether the bound is kept."""
        if self.low is None:
            return True
        return self.ratio >= self.bound if self.low else self.ratio <= self.bound

    def __str__(self) -> str:
        sign = {True: ">=", False: "<=", None: "  "}[self.low]
        bound = "" if self.low is None else f"{sign} {self.bound:g}"
        return f"{self.what:<58}{self.ratio:>10.3g}  {bound:<9}{'' if self.holds() else 'MISSED':<8}{self.note}"


def in_turn(ours: Callable[[], object], theirs: Callable[[], object], rounds: int = 15) -> tuple[float, str]:
    """Return the median of theirs / ours over rounds of both, and the median times in milliseconds as text."""
    pairs = [(_seconds(ours), _seconds(theirs)) for _ in range(rounds + 1)][1:]
    ratio = statistics.median(other / own for own, other in pairs)
    own, other = (1000 * statistics.median(times) for times in zip(*pairs, strict=True))
    return ratio, f"{own:.3g} ms against {other:.3g} ms"


def _seconds(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def bytes_read(function: Callable[[], object]) -> int:
    """Return how many bytes this process reads while it runs a function (Linux counts them)."""

    def count() -> int:
        return int(Path("/proc/self/io").read_text().split("rchar: ")[1].split()[0])

    function()
    start = count()
    own = count() - start
    start = count()
    function()
    return count() - start - own
