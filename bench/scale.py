"""Run config/scale.yaml through a Slurm cluster on this machine, and print what each stage took, and would take.

    python -m bench.scale                  20,000 images, four job slots: a quarter of an hour on two cores
    python -m bench.scale --images 600     the same, to see that it runs

Seconds, processor seconds and peak memory are those that Snakemake measures of every job. Peak memory is compared with
what the job's rule asks for. To a million images the seconds grow in proportion, or to the power that `POWERS` states,
and so does the memory of stages that read a data set whole; the others hold a batch, and do not grow.
"""

import argparse
import csv
import os
import re
import shutil
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from tests.slurm.cluster import running
from tests.studies import ROOT, checkout

from pipeline.plan import Plan, resources
from pipeline.study import Study

MILLION = 1_000_000
JOBS = {
    "synthesize": r"synthesize/(?P<benchmark>[^/]+)",
    "inspect": r"inspect/(?P<dataset>[^/]+)",
    "normalize": r"normalize/(?P<dataset>[^/]+)/(?P<shard>\d+)",
    "index": r"index/(?P<dataset>[^/]+)",
    "encode": r"encode/(?P<dataset>[^/]+)/(?P<autoencoder>[^/]+)/(?P<shard>\d+)",
    "decode": r"decode/(?P<dataset>[^/]+)/(?P<autoencoder>[^/]+)/(?P<shard>\d+)",
    "measure": r"measure/(?P<dataset>[^/]+)/(?P<autoencoder>[^/]+)/(?P<shard>\d+)",
    "describe": r"describe/(?P<dataset>[^/]+)/(?P<autoencoder>[^/]+)",
    "train": r"train/(?P<dataset>[^/]+)/(?P<autoencoder>[^/]+)/(?P<space>[^/]+)/(?P<head>[^/]+)",
    "evaluate": r"evaluate/(?P<dataset>[^/]+)/(?P<autoencoder>[^/]+)/(?P<head>[^/]+)",
    "tabulate": r"tabulate/(?P<dataset>[^/]+)",
    "conclude": r"conclude",
    "illustrate": r"illustrate",
}
"""The names of the files below logs/ in which Snakemake records each stage's jobs."""
POWERS = {"train knn": 2.0, "conclude": 0.0}
"""To which power of the number of images the seconds of a stage grow, where not the first: every tested sample is
compared with every training one; and claims are drawn of replicates, whose number is that of the configuration."""
GROWING = ("index", "describe", "train", "evaluate", "tabulate", "inspect")
"""Stages whose memory grows with the data set."""
# A cluster without accounts; see tests/test_slurm.py.
UNACCOUNTED = (
    "--slurm-status-command",
    "squeue",
    "--slurm-no-account",
    "--slurm-init-seconds-before-status-checks",
    "10",
)


@dataclass(frozen=True)
class Job:
    """What Snakemake measured of one job: seconds, processor seconds, MB, and the MB that its rule asks for."""

    stage: str
    seconds: float
    processor: float
    megabytes: float
    asked: int


@dataclass(frozen=True)
class Stage:
    """All jobs of a stage: their seconds one after the other, and the largest of them in memory."""

    name: str
    jobs: int
    seconds: float
    processor: float
    megabytes: float
    asked: int

    def extrapolated(self, images: int, start: float) -> tuple[float, float]:
        """Return processor hours and MB for a million images, from those for so many; a job's start does not grow."""
        times, starting = MILLION / images, min(self.processor, self.jobs * start)
        growing = self.name.split()[0] in GROWING
        # What an interpreter with its libraries takes does not grow.
        base = min(self.megabytes, 400.0)
        megabytes = base + (self.megabytes - base) * times if growing else self.megabytes
        work = (self.processor - starting) * times ** POWERS.get(self.name, 1.0)
        return (starting + work) / 3600, megabytes


def laid_out(folder: Path, images: int) -> dict[str, Any]:
    """Copy this tree into a folder, with the study of so many images."""
    folder.mkdir(parents=True)
    checkout(folder)
    shutil.copy(ROOT / "slurm", folder / "slurm", follow_symlinks=False)
    study: dict[str, Any] = yaml.safe_load((ROOT / "config/scale.yaml").read_text())
    benchmark = study["benchmarks"]["figures"]
    benchmark["patients"] = images // benchmark["images"]
    (folder / "study.yaml").write_text(yaml.safe_dump(study))
    return study


def run(folder: Path, slots: int, cores: int) -> float:
    """Run the study on a cluster of this machine, so many jobs at a time, and return the seconds that it took."""
    words = ["snakemake", "--profile", "slurm", *UNACCOUNTED, "--jobs", str(slots), "--cores", str(cores)]
    # A small machine's processors are shared by its jobs.
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    environment.pop("PYTHONPATH", None)
    start = time.monotonic()
    with running(), (folder / "snakemake.log").open("w") as log:
        call = [*words, "--configfile", "study.yaml", "--", "all"]
        finished = subprocess.run(call, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT)
    if finished.returncode:
        sys.exit(f"the study did not end well; see {folder / 'snakemake.log'}")
    return time.monotonic() - start


def recorded(folder: Path, plan: Plan) -> Iterator[Job]:
    """Yield what was measured of each job; the plan looks at the folder's files, so it must be the current one."""
    logs = folder / "logs"
    for path in sorted(logs.glob("**/*.benchmark.tsv")):
        name = str(path.relative_to(logs)).removesuffix(".benchmark.tsv")
        for stage, pattern in JOBS.items():
            if match := re.fullmatch(pattern, name):
                asked = resources.memory(stage, plan.size(stage, match.groupdict(), 0), 1)
                with path.open() as file:
                    row = next(csv.DictReader(file, delimiter="\t"))
                named = f"{stage} {match.groupdict().get('head', '')}".strip()
                wall, processor, largest = (_number(row[key]) for key in ("s", "cpu_time", "max_rss"))
                yield Job(named, wall, processor, largest, asked)


def _number(text: str) -> float:
    # Snakemake writes NA of jobs that end before it looks at them.
    return 0.0 if text in ("NA", "-") else float(text)


def stages(jobs: Iterator[Job]) -> list[Stage]:
    """Return the sums over the jobs of each stage."""
    found: dict[str, list[Job]] = defaultdict(list)
    for job in jobs:
        found[job.stage].append(job)
    return [
        Stage(
            name,
            len(of),
            sum(job.seconds for job in of),
            sum(job.processor for job in of),
            max(job.megabytes for job in of),
            min(job.asked for job in of),
        )
        for name, of in found.items()
    ]


def report(found: list[Stage], images: int, seconds: float) -> Iterator[str]:
    """Yield the lines of a table, with what a million images would take."""
    yield f"{images} images, {seconds:.0f} s from the first job to the last"
    yield f"{'stage':<20}{'jobs':>5}{'wall s':>9}{'cpu s':>9}{'MB':>7}{'asked':>8}  at 1,000,000:{'cpu h':>9}{'MB':>9}"
    hours, start = 0.0, min(stage.processor / stage.jobs for stage in found)
    for stage in found:
        longer, larger = stage.extrapolated(images, start)
        hours += longer
        line = f"{stage.name:<20}{stage.jobs:>5}{stage.seconds:>9.1f}{stage.processor:>9.1f}"
        line += f"{stage.megabytes:>7.0f}{stage.asked:>8}{longer:>23.1f}{larger:>9.0f}"
        yield line if stage.megabytes <= stage.asked else f"{line}  MORE THAN ASKED"
    yield f"a million images: {hours:.0f} processor hours, the sum of jobs x {start:.1f} s, what the shortest takes,"
    yield f"and (cpu s - that) x ({MILLION} / {images})^power: too much where starts are most of what was measured"
    yield f"powers other than 1: {', '.join(f'{name} {power:g}' for name, power in POWERS.items())}"


def main() -> None:
    """Run the study, print the table, and end with 1 where a job took more memory than its rule asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=20_000, help="a multiple of 10")
    parser.add_argument("--jobs", type=int, default=4, help="job slots")
    parser.add_argument("--cores", type=int, default=os.cpu_count(), help="threads of one job at most")
    parser.add_argument("--folder", type=Path, default=ROOT / "results/scale", help="of the study; removed before")
    asked = parser.parse_args()
    shutil.rmtree(asked.folder, ignore_errors=True)
    study = laid_out(asked.folder, asked.images)
    seconds = run(asked.folder, asked.jobs, asked.cores)
    os.chdir(asked.folder)
    found = stages(recorded(asked.folder, Plan(Study(study))))
    lines = list(report(found, asked.images, seconds))
    print("\n".join(lines))
    (asked.folder / "scale.txt").write_text("\n".join(lines) + "\n")
    if any(stage.megabytes > stage.asked for stage in found):
        sys.exit("a job took more memory than its rule asks for")


if __name__ == "__main__":
    main()
