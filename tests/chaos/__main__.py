"""Kill, starve and damage a small study, let eight writers race, and say what became of it: `python -m tests.chaos`.

Exit status 1 if a study did not survive, or a fault was not found. Every kill has a number, and the same number is the
same victim, signal and share of the study's files: `--first 7 --kills 1` does kill 7 again.
"""

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from pipeline.verify import faults
from tests.chaos import batch_jobs, writers
from tests.chaos.faults import copy, damaged
from tests.chaos.interruptions import (
    SIGNALS,
    VICTIMS,
    Reference,
    Result,
    close,
    disk,
    disturb,
    fill,
    kill,
    reference,
    unmountable,
)
from tests.slurm.cluster import unavailable
from tests.studies import STUDY, tiny

HEADS = {**STUDY["heads"], "mlp": {"family": "mlp", "epochs": 1, "width": 8, "depth": 1, "grid": 2}}
"""One that is a network, whose unfinished trainings are kept, too."""
LEFT = 400_000
"""Bytes that a full disk has left at most: about what the study writes."""


def main() -> None:
    """Run the program."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--first", type=int, default=0, help="number of the first kill")
    parser.add_argument("--faults", type=int, default=1000)
    parser.add_argument("--disks", type=int, default=5, help="how often a disk is full, and how often it is read-only")
    parser.add_argument("--batch-jobs", type=int, default=6, help="how many of Slurm's jobs are killed")
    parser.add_argument("--races", type=int, default=20, help="how often eight writers fill one store")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "fresh").mkdir()
        fresh = tiny(folder / "fresh", STUDY | {"heads": HEADS})
        start = time.monotonic()
        finished = copy(fresh, folder / "finished")
        undisturbed = reference(finished)
        print(f"undisturbed: {undisturbed.written} files, {time.monotonic() - start:.0f} s", flush=True)
        good = _faults(finished, asked.seed, asked.faults)
        survived = [
            _kill(fresh, folder, undisturbed, asked.seed, k) for k in range(asked.first, asked.first + asked.kills)
        ]
        survived += list(_disks(fresh, folder, undisturbed, asked.seed, asked.disks))
        survived += list(_batch_jobs(fresh, folder, undisturbed, asked.seed, asked.batch_jobs))
        whole = [_race(folder / f"race-{number}", asked.seed, number) for number in range(asked.races)]
    print(f"{sum(survived)} of {len(survived)} disturbed studies were completed by the next call")
    print(f"{sum(whole)} of {len(whole)} stores with eight writers have every row")
    sys.exit(not (good and all(survived) and all(whole)))


def _faults(study: Path, seed: int, count: int) -> bool:
    """Do so many random faults, and tell whether each was found, and nothing else was named."""
    done, missed = Counter[str](), list[int]()
    for number in range(count):
        with damaged(study, seed, number) as damage:
            done[damage.what] += 1
            if {fault.path for fault in faults(study)} != damage.named:
                missed.append(number)
                print(
                    f"fault {number} ({damage.what}): not just {sorted(map(str, damage.named))} was named", flush=True
                )
    what = ", ".join(f"{number} {name}" for name, number in sorted(done.items()))
    print(f"{count - len(missed)} of {count} faults were found, each alone ({what})", flush=True)
    return not missed


def _kill(fresh: Path, folder: Path, undisturbed: Reference, seed: int, number: int) -> bool:
    random = np.random.default_rng([seed, 1, number])
    victim = VICTIMS[number % len(VICTIMS)]
    sent = SIGNALS[number // len(VICTIMS) % len(SIGNALS)]
    study = copy(fresh, folder / f"killed-{number}")
    share = float(random.uniform())
    what = f"kill {number}: {victim} by {sent.name} at {share:.0%}"
    return _said(disturb(study, undisturbed, what, kill(victim, sent, random), share), study)


def _disks(fresh: Path, folder: Path, undisturbed: Reference, seed: int, count: int) -> Iterator[bool]:
    if reason := unmountable():
        print(f"disks: left out, because {reason}")
        return
    for number in range(count):
        random = np.random.default_rng([seed, 2, number])
        for what, harm in (("full", _full(int(random.integers(LEFT)))), ("read-only", close)):
            with disk(folder / f"{what}-{number}") as place:
                study, share = copy(fresh, place / "study"), float(random.uniform())
                said = f"disk {number}: {what} at {share:.0%}"
                yield _said(disturb(study, undisturbed, said, harm(place), share), study)


def _batch_jobs(fresh: Path, folder: Path, undisturbed: Reference, seed: int, count: int) -> Iterator[bool]:
    if not count:
        return
    if reason := unavailable():
        print(f"batch jobs: left out, because {reason}")
        return
    for result, study in batch_jobs.killed(fresh, folder, undisturbed, seed, count):
        yield _said(result, study)


def _race(folder: Path, seed: int, number: int) -> bool:
    what, good = writers.race(folder, np.random.default_rng([seed, 4, number]))
    print(f"eight writers {number}: {what}: {'no row lost' if good else 'ROWS LOST'}", flush=True)
    return good


def _full(left: int) -> Callable[[Path], Callable[..., None]]:
    return lambda place: fill(place / "ballast", left)


def _said(result: Result, study: Path) -> bool:
    """Print what became of a study."""
    outcome = "completed" if result.good() else f"NOT COMPLETED\n{result.printed}"
    moment = "" if result.disturbed else " (it had ended)"
    print(f"{result.what}{moment}: {outcome}, {result.remade} finished shards made again", flush=True)
    return result.good()


if __name__ == "__main__":
    main()
