"""Calls that are killed, run out of disk or lose their right to write at a random moment; the next one must complete.

A moment is told by how many files a study has written and not by the clock, which says nothing on a machine that other
work shares.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import numpy as np

from pipeline.repair import lost_shards
from pipeline.store import Manifest
from pipeline.verify import faults
from tests.studies import command, environment

TABLE = "results/gap_table.csv"
CORES = 2
PATIENCE = 600.0
"""Seconds in which a call ends, or a file appears."""
Victim = Literal["all", "main", "worker"]
VICTIMS: tuple[Victim, ...] = ("all", "main", "worker")
SIGNALS = (signal.SIGKILL, signal.SIGTERM)


@dataclass(frozen=True)
class Reference:
    """An undisturbed run: its table, and how many files it wrote beyond those that were there."""

    table: bytes
    written: int


@dataclass(frozen=True)
class Result:
    """What became of a study that was disturbed once.

    Attributes:
        what: was done to it.
        disturbed: whether it was still running then.
        remade: finished shards that were made again.
        same: whether the table is that of the undisturbed run, and every artifact what its job recorded.
        printed: by the call that was to complete.
    """

    what: str
    disturbed: bool
    remade: int
    same: bool
    printed: str

    def good(self) -> bool:
        """Tell whether the study survived, at the price of a shard for each worker at most."""
        return self.same and self.remade <= CORES


def log_of(folder: Path) -> Path:
    """Return what the last call printed: beside the study, since that may have no room."""
    return folder.with_name(f"{folder.name}.log")


def start(folder: Path, *how: str) -> subprocess.Popen[bytes]:
    """Start a call in a process group of its own; on this machine's processors, where its options say nothing else."""
    with log_of(folder).open("wb") as log:
        return subprocess.Popen(
            command(*(how or ("--cores", str(CORES))), "--", TABLE),
            cwd=folder,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def written(folder: Path) -> int:
    """Return how many files a study has written so far: logs as jobs start, artifacts as they end."""
    return sum(len(names) for kind in ("logs", "results") for _, _, names in os.walk(folder / kind))


def reference(folder: Path) -> Reference:
    """Run a study undisturbed."""
    before = written(folder)
    if start(folder).wait(PATIENCE):
        raise RuntimeError(log_of(folder).read_text())
    return Reference((folder / TABLE).read_bytes(), written(folder) - before)


def shards(folder: Path) -> dict[Path, int]:
    """Return the finished shards of a study, each with a number that changes when it is made again."""
    lost = {shard for shard, _ in lost_shards(folder / "results")}
    finished = {}
    for path in sorted((folder / "results").glob("*/**/c/*/0/0/0")):
        store = path.parents[4]
        manifest = store.with_name(store.name.removesuffix(".zarr")) / f"{path.parents[2].name}.json"
        if manifest.is_file() and path not in lost and Manifest.read(manifest).bytes:
            finished[path] = path.stat().st_ino
    return finished


def disturb(
    folder: Path,
    undisturbed: Reference,
    what: str,
    harm: Callable[[subprocess.Popen[bytes]], None],
    share: float,
    how: Sequence[str] = (),
) -> Result:
    """Run a study, do harm once it has written a share of its files, make the next call, and say what became of it.

    Args:
        folder: of the study.
        undisturbed: the same study's.
        what: the harm is, for a person.
        harm: is done to the running call, and undone before it returns.
        share: from 0 to 1.
        how: options of both calls, by default those of this machine.
    """
    before = written(folder)
    call = start(folder, *how)
    while call.poll() is None and written(folder) - before < share * undisturbed.written:
        time.sleep(0.02)
    disturbed = call.poll() is None
    finished = shards(folder)
    if disturbed:
        harm(call)
    # Its jobs may outlive it, as where only the first process was killed; or it makes again what they have lost.
    call.wait(PATIENCE)
    finished = shards(folder) | finished
    ended = start(folder, *how).wait(PATIENCE)
    now = shards(folder)
    remade = sum(now.get(path) != number for path, number in finished.items())
    table = folder / TABLE
    same = ended == 0 and table.read_bytes() == undisturbed.table and not faults(folder)
    return Result(what, disturbed, remade, same, log_of(folder).read_text())


def kill(
    victim: Victim, number: signal.Signals, random: np.random.Generator
) -> Callable[[subprocess.Popen[bytes]], None]:
    """Return the harm of a signal: to a call with all its jobs, to its first process, or to one of its jobs."""

    def harm(call: subprocess.Popen[bytes]) -> None:
        time.sleep(random.uniform(0, 0.3))
        if victim == "all":
            os.killpg(call.pid, number)
        elif victim == "main":
            os.kill(call.pid, number)
        else:
            _kill_a_job(call, number, random)

    return harm


def _kill_a_job(call: subprocess.Popen[bytes], number: signal.Signals, random: np.random.Generator) -> None:
    while call.poll() is None:
        if jobs := _jobs(call.pid):
            with suppress(ProcessLookupError):
                os.kill(int(random.choice(jobs)), number)
                return
        time.sleep(0.01)


def _jobs(group: int) -> list[int]:
    """Return the processes of a process group that run one of this project's programs, or the shells around them."""
    found = []
    for place in Path("/proc").iterdir():
        if place.name.isdigit():
            with suppress(OSError):
                if os.getpgid(int(place.name)) == group and b"-m pipeline." in _words(place):
                    found.append(int(place.name))
    return sorted(found)


def _words(place: Path) -> bytes:
    return (place / "cmdline").read_bytes().replace(b"\0", b" ")


def unmountable() -> str | None:
    """Return why no file system can be mounted here, or None."""
    if os.geteuid() != 0:
        return "only root can mount a small disk"
    with TemporaryDirectory() as folder:
        if subprocess.run(["mount", "-t", "tmpfs", "tmpfs", folder], capture_output=True).returncode:
            return "no file system can be mounted here"
        subprocess.run(["umount", folder], check=True)
    return None


@contextmanager
def disk(folder: Path, size: int = 2**28) -> Iterator[Path]:
    """Mount a small disk of its own on a new folder."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def fill(ballast: Path, left: int) -> Callable[[subprocess.Popen[bytes]], None]:
    """Return the harm of a disk on which only so many bytes are left, until the call has ended."""

    def harm(call: subprocess.Popen[bytes]) -> None:
        free = os.statvfs(ballast.parent)
        with ballast.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(1, free.f_bavail * free.f_frsize - left))
        call.wait(PATIENCE)
        ballast.unlink()

    return harm


def close(folder: Path) -> Callable[[subprocess.Popen[bytes]], None]:
    """Return the harm of a disk, mounted on this folder, that nobody may write to until the call has ended."""

    def harm(call: subprocess.Popen[bytes]) -> None:
        # Refused for as long as a file is open for writing.
        while (
            call.poll() is None
            and subprocess.run(["mount", "-o", "remount,ro", folder], capture_output=True).returncode
        ):
            time.sleep(0.01)
        call.wait(PATIENCE)
        subprocess.run(["mount", "-o", "remount,rw", folder], check=True)

    return harm
