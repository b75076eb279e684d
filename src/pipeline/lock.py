"""One call at a time in one folder: the lock of a killed call is removed, that of a living one never.

Snakemake's lock is a set of files, which outlive a process that is killed. Ours is held by the kernel and goes with the
process, so whoever gets it knows that no other call is running here.
"""

import fcntl
import os
import shutil
import subprocess
import time
from pathlib import Path

from pipeline.errors import StudyError

PATIENCE = 5.0
"""Seconds to wait for another call that is only planning."""

_held: dict[Path, int] = {}


def hold(folder: Path) -> bool:
    """Hold the lock of Snakemake's folder for as long as this process lives; return whether that was possible.

    Raises:
        StudyError: batch jobs of a killed call go on, or the file system cannot lock.
    """
    folder.mkdir(exist_ok=True)
    place = folder.resolve()
    if place in _held:
        return True
    descriptor = os.open(folder / "running", os.O_CREAT | os.O_RDWR)
    deadline = time.monotonic() + PATIENCE
    while not _try(descriptor):
        if time.monotonic() > deadline:
            os.close(descriptor)
            return False
        time.sleep(0.1)
    _held[place] = descriptor
    release_stale(folder)
    return True


def descriptor(folder: Path) -> int:
    """Return the descriptor of a lock that is held."""
    return _held[folder.resolve()]


def _try(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise StudyError(f"the file system of {Path.cwd()} cannot lock files ({error.strerror}); mount it so") from None
    return True


def release_stale(folder: Path) -> None:
    """Remove Snakemake's lock files that a killed call left behind, unless its batch jobs still go on."""
    locks = list(folder.glob("locks/*.lock"))
    living = living_jobs() if locks else []
    if living:
        ids = " ".join(living)
        raise StudyError(f"batch jobs of a killed call are still queued or running here; end them with: scancel {ids}")
    for lock in locks:
        lock.unlink(missing_ok=True)


def living_jobs() -> list[str]:
    """Return the ids of the batch jobs that a killed call left behind: they would write beside ours."""
    if not shutil.which("squeue"):
        return []
    command = ["squeue", "--me", "--noheader", "--format=%i|%Z|%k"]
    asked = subprocess.run(command, capture_output=True, text=True)
    if asked.returncode:
        # Where Slurm is installed and no cluster answers, the killed call ran on this machine alone.
        return []
    jobs = [line.split("|", 2) for line in asked.stdout.splitlines()]
    return [job for job, place, note in jobs if place == str(Path.cwd()) and note.startswith(("rule_", "group_"))]
