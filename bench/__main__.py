"""Print what reading, encoding, training and statistics cost, side by side with what they are measured against.

`python -m bench` measures all, `python -m bench reading writing` these sections. The table is written to
results/bench.csv, too. The exit status is 1 if a bound is missed.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from bench import encoding, grid, integrity, pixels, published, reading, stages, statistics, writing
from bench.measure import Row, machine, write

Section = tuple[str, Callable[[Path], Iterable[Row]]]
SECTIONS: dict[str, list[Section]] = {
    "pixels": [
        ("pydicom's functions for the same", lambda _: pixels.windowing()),
        ("pydicom's time for the same file", pixels.decoding),
        ("reading the whole file", pixels.headers),
    ],
    "stages": [
        ("inspecting for the first time", stages.reinspection),
        ("what two processes of arithmetic gain", stages.normalising),
    ],
    "reading": [("", reading.measured)],
    "writing": [("", writing.measured)],
    "integrity": [("writing the same without them", integrity.writing)],
    "encoding": [
        ("the bare model on images in memory", encoding.throughput),
        ("the same, one image at a time", encoding.accelerated),
        ("the model, one batch and fixed buffers", encoding.memory),
    ],
    "published": [("", published.measured)],
    "grid": [("", grid.planning)],
    "statistics": [
        ("scikit-learn's", lambda _: statistics.areas()),
        ("seconds", lambda _: statistics.ten_thousand()),
        ("the nominal 0.95", lambda _: statistics.coverage()),
    ],
}


def main() -> None:
    """Measure all of it, or some sections."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sections", nargs="*", metavar="section", help=f"of {', '.join(SECTIONS)}; none: all")
    parser.add_argument("--table", type=Path, default=Path("results/bench.csv"))
    asked = parser.parse_args()
    if unknown := set(asked.sections) - set(SECTIONS):
        parser.error(f"there is no section {min(unknown)}; there are {', '.join(SECTIONS)}")
    print(f"{machine()}\n{'':<62}{'value':>10}  {'bound':<9}")
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as temporary:
        for than, measure in (part for name in asked.sections or SECTIONS for part in SECTIONS[name]):
            for row in measure(Path(temporary)):
                rows.append(row if row.than else replace(row, than=than))
                print(rows[-1], flush=True)
    write(rows, asked.table)
    if missed := sum(not row.holds() for row in rows):
        sys.exit(f"{missed} bounds are missed")


if __name__ == "__main__":
    main()
