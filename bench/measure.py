"""Ratios of times that a busy machine does not spoil: both sides in turn, many times, and the median of the ratios."""

import csv
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from pipeline.files import write_atomically

COLUMNS = ("name", "value", "relative to", "bound", "met", "machine")


class Bound(NamedTuple):
    """What a value must be: at least that, or at most. A section's bounds stand at the head of its module, by name."""

    value: float
    low: bool | None

    def __str__(self) -> str:
        return "" if self.low is None else f"{'>=' if self.low else '<='} {self.value:g}"


def at_least(value: float) -> Bound:
    """Return a lowest value."""
    return Bound(value, True)


def at_most(value: float) -> Bound:
    """Return a highest value."""
    return Bound(value, False)


FREE = Bound(0, None)
"""Of what is told, and not demanded."""


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        what: what was measured.
        ratio: the measured ratio, or size; None where it could not be measured here.
        bound: what it must be.
        low: whether the bound is a lowest (True) or a highest value; None where nothing is demanded.
        note: absolute numbers, for a person; or why nothing was measured.
        than: what it is relative to, or the unit.
    """

    what: str
    ratio: float | None
    bound: float = 0.0
    low: bool | None = None
    note: str = ""
    than: str = ""

    def holds(self) -> bool:
        """Tell whether the bound is kept, or nothing was measured that could break it."""
        if self.low is None or self.ratio is None:
            return True
        return self.ratio >= self.bound if self.low else self.ratio <= self.bound

    @property
    def demanded(self) -> str:
        """The bound with its sign; empty where there is none."""
        return str(Bound(self.bound, self.low))

    @property
    def met(self) -> str:
        """Whether the bound is kept, in a word."""
        if self.ratio is None:
            return "not yet measured"
        return "" if self.low is None else "yes" if self.holds() else "no"

    def __str__(self) -> str:
        ratio = f"{'-':>10}" if self.ratio is None else f"{self.ratio:>10.3g}"
        about = "; ".join(part for part in (self.than, self.note) if part)
        return f"{self.what:<62}{ratio}  {self.demanded:<9}{'' if self.holds() else 'MISSED':<8}{about}"


def write(rows: Iterable[Row], path: Path) -> None:
    """Write rows as a table of `COLUMNS`, with the machine that they were measured on."""

    def fill(temporary: Path) -> None:
        with temporary.open("w", newline="", encoding="utf-8") as file:
            lines = csv.writer(file, lineterminator="\n")
            lines.writerow(COLUMNS)
            for row in rows:
                value = "" if row.ratio is None else f"{row.ratio:.4g}"
                lines.writerow([row.what.strip(), value, row.than, row.demanded, row.met, machine()])

    write_atomically(path, fill)


def machine() -> str:
    """Return the processor, its cores, whether they are a virtual machine's, and the accelerator."""
    import torch

    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    known = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    parts = [known.get("model name") or platform.machine(), f"{cores} cores"]
    parts += ["virtual machine"] if "hypervisor" in known.get("flags", "").split() else []
    parts.append(torch.cuda.get_device_name() if torch.cuda.is_available() else "no CUDA device")
    return ", ".join(parts)


def in_turn(ours: Callable[[], object], theirs: Callable[[], object], rounds: int = 15) -> tuple[float, str]:
    """Return the median of theirs / ours over rounds of both, and the median times in milliseconds as text."""
    pairs = [(seconds(ours), seconds(theirs)) for _ in range(rounds + 1)][1:]
    ratio = statistics.median(other / own for own, other in pairs)
    own, other = (1000 * statistics.median(times) for times in zip(*pairs, strict=True))
    return ratio, f"{own:.3g} ms against {other:.3g} ms"


def seconds(function: Callable[[], object]) -> float:
    """Return how long a function takes."""
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
