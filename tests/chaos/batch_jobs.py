"""Batch jobs that are killed at a random moment: Snakemake hands them to Slurm again, and what they lost is made."""

import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from tests.chaos.faults import copy
from tests.chaos.interruptions import SIGNALS, Reference, Result, disturb
from tests.slurm.cluster import UNACCOUNTED, running, running_jobs

THROUGH_SLURM = ("--profile", "profiles/slurm", *UNACCOUNTED)


def killed(fresh: Path, folder: Path, undisturbed: Reference, seed: int, count: int) -> Iterator[tuple[Result, Path]]:
    """Run a study through Slurm so many times, kill one of its batch jobs each time, and make the next call.

    Args:
        fresh: a study that has not run.
        folder: for its copies.
        undisturbed: the same study's, on this machine without Slurm.
        seed: of victims and moments.
        count: how many.
    """
    with running() as cluster:
        for number in range(count):
            random = np.random.default_rng([seed, 3, number])
            sent, share = SIGNALS[number % len(SIGNALS)], float(random.uniform(0, 0.9))
            study = copy(fresh, folder / f"batch-{number}")
            what = f"batch job {number}: one by {sent.name} at {share:.0%}"
            before = cluster.ended()
            result = disturb(study, undisturbed, what, kill(sent, random), share, THROUGH_SLURM)
            ended = [job["JobState"] for name, job in cluster.ended().items() if name not in before]
            yield replace(result, disturbed=set(ended) != {"COMPLETED"}), study


def kill(sent: signal.Signals, random: np.random.Generator) -> Callable[[subprocess.Popen[bytes]], None]:
    """Return the harm of a signal to all processes of a batch job, once one runs."""

    def harm(call: subprocess.Popen[bytes]) -> None:
        time.sleep(random.uniform(0, 5))
        while call.poll() is None:
            if jobs := running_jobs():
                # Refused where the job has ended meanwhile.
                words = ["scancel", f"--signal={sent.name.removeprefix('SIG')}", "--full", str(random.choice(jobs))]
                if subprocess.run(words, capture_output=True).returncode == 0:
                    return
            time.sleep(0.1)

    return harm
