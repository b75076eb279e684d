"""What planning costs: a dry run of the publication's study, and one of a study with 16,000 jobs.

Seconds are processor seconds of the whole call, start-up included: a busy machine does not spoil them as it does those
of a clock. Both studies have no data, only tables and weights that are named. Beside each stands what Snakemake takes
for as many jobs of which each writes one file and asks for nothing.
"""

import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from tests.grid import PAPER, laid_out
from tests.studies import ROOT

from bench.measure import Row, at_most

SHARDS = 1140
"""Of config/scale.yaml's data set: 14 jobs for each of them, so some 16,000 in all."""
BARE = """
rule all:
    input: expand("made/{{number}}", number=range({jobs}))
rule make:
    output: "made/{{number}}"
    shell: "touch {{output}}"
"""
PAPER_SECONDS = at_most(3)
GRID_SECONDS, GRID_MEGABYTES = at_most(15), at_most(400)


@dataclass(frozen=True)
class Call:
    """A dry run: processor seconds, seconds of a clock, MB at its largest, and the number of jobs."""

    processor: float
    seconds: float
    megabytes: float
    jobs: int


def planning(folder: Path) -> Iterator[Row]:
    """Plan both studies."""
    paper = dry_run(laid_out(folder / "paper", PAPER))
    yield Row("planning the publication's study: processor seconds", paper.processor, *PAPER_SECONDS, _said(paper))
    yield _times(paper, _bare(paper.jobs, folder / "as-many-as-paper"))
    scale: dict[str, Any] = yaml.safe_load((ROOT / "config/scale.yaml").read_text())
    scale["datasets"]["figures"]["shards"] = SHARDS
    (folder / "grid.yaml").write_text(yaml.safe_dump(scale))
    grid = dry_run(laid_out(folder / "grid", folder / "grid.yaml"))
    yield Row("planning 16,000 jobs: processor seconds", grid.processor, *GRID_SECONDS, _said(grid))
    yield Row("                      MB", grid.megabytes, *GRID_MEGABYTES)
    bare = _bare(grid.jobs, folder / "as-many-as-grid")
    yield _times(grid, bare)
    yield Row("planning 16,000 jobs of a file each: processor seconds", bare.processor, *GRID_SECONDS, _said(bare))
    yield Row("                      MB", bare.megabytes, *GRID_MEGABYTES)


def _bare(jobs: int, folder: Path) -> Call:
    folder.mkdir(parents=True)
    (folder / "Snakefile").write_text(BARE.format(jobs=jobs - 1))
    (folder / "study.yaml").write_text("{}")
    return dry_run(folder)


def _times(call: Call, bare: Call) -> Row:
    note = f"{bare.processor:.1f} processor seconds, {bare.megabytes:.0f} MB"
    than = "as many jobs of a file each"
    return Row("                      times", call.processor / bare.processor, note=note, than=than)


def _said(call: Call) -> str:
    return f"{call.jobs} jobs, {call.seconds:.1f} s by the clock, {call.megabytes:.0f} MB"


def dry_run(folder: Path) -> Call:
    """Plan a study in a child of a child, since a process counts the largest of all its children's memory."""
    start = time.perf_counter()
    words = [sys.executable, "-m", "bench.grid", str(folder)]
    printed = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    processor, megabytes, jobs = printed.split()[-3:]
    return Call(float(processor), time.perf_counter() - start, float(megabytes), int(jobs))


def main() -> None:
    """Plan the study in a folder, and print processor seconds, MB and jobs."""
    words = ["snakemake", "--dry-run", "--quiet", "rules", "--cores", "2", "--configfile", "study.yaml", "--", "all"]
    call = subprocess.run(words, cwd=sys.argv[1], check=True, capture_output=True, text=True)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    jobs = next(line.split()[1] for line in call.stdout.splitlines() if line.startswith("total"))
    print(used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, jobs)


if __name__ == "__main__":
    main()
