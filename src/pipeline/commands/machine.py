"""What a study needs of the machine: packages, accelerator, cluster, memory, folders that can be written."""

import fcntl
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from packaging.requirements import Requirement

from pipeline import lock
from pipeline.commands.findings import OK, PROBLEM, WARNING, Finding

LEAST = (3, 11)
LOCKS = {"cpu": Path("requirements-cpu.lock"), "cuda": Path("requirements-cuda.lock")}
PLAIN = Path("requirements.lock")
PIN = re.compile(r"^[A-Za-z0-9][^\\\n]*==[^\\\n]*", re.MULTILINE)
INSTALL = "make .venv/installed, then: source .venv/bin/activate"
FOLDERS = ("results", "logs", "private", ".snakemake")
PATIENCE = 20.0
"""Seconds that a program of the cluster may take to answer."""


def python() -> Iterator[Finding]:
    """Look at the interpreter."""
    found = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < LEAST:
        yield Finding(PROBLEM, "python", f"{found} is too old", f"install {'.'.join(map(str, LEAST))} or newer")
    else:
        yield Finding(OK, "python", f"{found}, {sys.executable}")


def packages() -> Iterator[Finding]:
    """Compare what is installed with the lock files."""
    files = [path for path in (PLAIN, _torch_lock()) if path.is_file()]
    if PLAIN not in files:
        yield Finding(PROBLEM, "packages", f"there is no {PLAIN}", "call this in the checkout")
        return
    pins = [Requirement(match[0].strip()) for path in files for match in PIN.finditer(path.read_text())]
    pins = [pin for pin in pins if pin.marker is None or pin.marker.evaluate()]
    missing, other = [], []
    for pin in pins:
        try:
            found = version(pin.name)
        except PackageNotFoundError:
            missing.append(pin.name)
            continue
        if not pin.specifier.contains(found, prereleases=True):
            other.append(f"{pin.name} is {found} and not {str(pin.specifier).lstrip('=')}")
    if missing:
        names = ", ".join(missing[:3]) + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
        yield Finding(PROBLEM, "packages", f"{names} of {len(pins)} are not installed", INSTALL)
    elif other:
        more = f", and {len(other) - 1} more differ" if len(other) > 1 else ""
        what = f"{other[0]}{more}: results may not be those of the locked versions"
        yield Finding(WARNING, "packages", what, INSTALL)
    else:
        yield Finding(OK, "packages", f"{len(pins)} are those of the lock files")


def _torch_lock() -> Path:
    try:
        return LOCKS["cpu" if version("torch").endswith("+cpu") else "cuda"]
    except PackageNotFoundError:
        return LOCKS["cpu"]


def accelerator() -> Iterator[Finding]:
    """Ask the driver for accelerators, and whether torch is built for them."""
    listed = _answer(["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"])
    if not listed:
        what = "none is seen here, so networks run on the processor"
        yield Finding(
            OK, "accelerator", f"{what} (a cluster's nodes may have some)" if shutil.which("sbatch") else what
        )
    elif _torch_lock() == LOCKS["cpu"]:
        cure = "make clean-environment .venv/installed TORCH=cuda"
        yield Finding(WARNING, "accelerator", f"{listed[0]} is here, and torch is built for the processor alone", cure)
    else:
        yield Finding(OK, "accelerator", "; ".join(listed))


def slurm() -> Iterator[Finding]:
    """Ask the cluster for its partitions and for its accounts of finished jobs."""
    if not shutil.which("sbatch"):
        yield Finding(OK, "slurm", "is not here; jobs run on this machine")
        return
    partitions = _answer(["sinfo", "--noheader", "--format=%P"])
    if not partitions:
        yield Finding(
            WARNING, "slurm", "is installed, and no cluster answers", "call `sinfo`, and ask who runs the cluster"
        )
    elif _answer(["sacct", "--noheader", "--allocations", "--starttime=now"]) is None:
        cure = "set `slurm-status-command: squeue` in profiles/slurm/config.yaml"
        yield Finding(WARNING, "slurm", "keeps no accounts of finished jobs", cure)
    else:
        yield Finding(OK, "slurm", f"answers, with the partitions {', '.join(dict.fromkeys(partitions))}")


def _answer(command: list[str]) -> list[str] | None:
    """Return the lines that a program prints; None where there is no such program, or it fails."""
    if not shutil.which(command[0]):
        return None
    try:
        asked = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    except subprocess.TimeoutExpired:
        return None
    return None if asked.returncode else [line.strip() for line in asked.stdout.splitlines() if line.strip()]


def memory(needed: int) -> Finding:
    """Compare this machine's memory with the bytes of the largest space, as float32 with its views."""
    held = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    told = f"{held / 1e9:,.1f} GB, and the largest space with its views is {needed / 1e9:,.1f} GB"
    if needed > held:
        cure = "train on a machine with more, or choose smaller images or fewer views"
        return Finding(WARNING, "memory", told, cure)
    return Finding(OK, "memory", told)


def writable() -> Iterator[Finding]:
    """Write and lock a file where a study writes."""
    for name in FOLDERS:
        folder = next(path for path in (Path(name), Path()) if path.is_dir())
        try:
            with tempfile.TemporaryFile(dir=folder) as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            cure = "put the checkout where you may write, on a file system that locks files"
            yield Finding(PROBLEM, "writable", f"{name}/ cannot be written or locked ({error.strerror})", cure)
            return
    yield Finding(OK, "writable", f"{', '.join(f'{name}/' for name in FOLDERS)}")


def locks() -> Iterator[Finding]:
    """Look whether a call is running here, or a killed one left its lock or batch jobs."""
    folder = Path(".snakemake")
    left = list(folder.glob("locks/*.lock"))
    if _running(folder / "running"):
        yield Finding(OK, "locks", "a call is running here")
    elif left and (living := lock.living_jobs()):
        what = f"{len(living)} batch jobs of a killed call are queued or running"
        yield Finding(PROBLEM, "locks", what, f"scancel {' '.join(living)}")
    elif left:
        yield Finding(OK, "locks", "a killed call left its lock; the next call removes it")
    else:
        yield Finding(OK, "locks", "no call is running here")


def _running(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
    return False
