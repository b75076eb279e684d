"""A Slurm cluster of one node, on loopback, for as long as a test needs it.

The daemons keep everything in a temporary folder and end with the process that started them. Only the configuration
must lie where Slurm's programs look by default, since the executor plugin removes SLURM_* variables. A configuration
that this module did not write is somebody's cluster, which no test may touch.
"""

import fcntl
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

CONFIGURATION = Path("/etc/slurm/slurm.conf")
MARKER = "# A test's own cluster: written by tests/slurm/cluster.py, and removed when the test ends.\n"
PROGRAMS = ("sbatch", "srun", "sacct", "sinfo", "slurmctld", "slurmd", "munged", "setpriv")
LOCK = Path(tempfile.gettempdir()) / "slurm-on-loopback.lock"
PATIENCE = 60.0
"""Seconds to wait for a daemon."""
UNACCOUNTED = (
    *("--slurm-status-command", "squeue", "--slurm-no-account"),
    *("--slurm-init-seconds-before-status-checks", "10", "--latency-wait", "10"),
)
"""Options of a call for a cluster without accounts. It looks at a job's state first after the 10 s that most jobs here
take: each time that the executor finds none finished, it waits for 10 s longer than before."""


@dataclass(frozen=True)
class Cluster:
    """A cluster that runs."""

    folder: Path

    def ended(self) -> dict[str, dict[str, str]]:
        """Return what Slurm itself recorded of the jobs that ended, by their ids: JobState, ProcCnt and more."""
        lines = (self.folder / "ended.txt").read_text().splitlines()
        jobs = [dict(word.split("=", 1) for word in line.split() if "=" in word) for line in lines]
        return {job["JobId"]: job for job in jobs}


def unavailable() -> str | None:
    """Return why no cluster can be started here, or None."""
    if "SLURM_CONF" in os.environ:
        return "the variable SLURM_CONF names somebody's cluster"
    if CONFIGURATION.exists() and not CONFIGURATION.read_text().startswith(MARKER):
        return f"{CONFIGURATION} is that of somebody's cluster"
    missing = [program for program in PROGRAMS if not shutil.which(program)]
    if missing:
        return f"Slurm is not installed: no {', '.join(missing)}"
    if os.geteuid() != 0:
        return "only root can start Slurm's daemons"
    if not CONFIGURATION.parent.is_dir():
        return f"this Slurm does not look for its configuration in {CONFIGURATION.parent}"
    # Without a file the programs ask the network: a node of a cluster may have no configuration of its own.
    if not CONFIGURATION.exists() and subprocess.run(["sinfo"], capture_output=True).returncode == 0:
        return "this machine is part of somebody's cluster"
    return None


def running_jobs() -> list[str]:
    """Return the ids of the jobs that run now."""
    lines = _asked("squeue", "--noheader", "--format=%i %T").splitlines()
    return [line.split()[0] for line in lines if line.endswith(" RUNNING")]


@contextmanager
def running() -> Iterator[Cluster]:
    """Start a cluster and stop it at the end; a second one on the same machine waits for the first to end.

    Raises:
        RuntimeError: no cluster can be started here, or a daemon did not come up; the message ends with what the
            daemons wrote.
    """
    with ExitStack() as stack:
        lock = stack.enter_context(LOCK.open("w"))
        fcntl.flock(lock, fcntl.LOCK_EX)
        reason = unavailable()
        if reason:
            raise RuntimeError(reason)
        # Not below pytest's folder, which only its owner may enter: munge refuses that, and long socket paths.
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="slurm-")))
        folder.chmod(0o755)
        stack.callback(CONFIGURATION.unlink, missing_ok=True)
        CONFIGURATION.write_text(MARKER + _configuration(folder))
        (folder / "ended.txt").touch()
        (folder / "munge.key").write_bytes(os.urandom(128))
        (folder / "munge.key").chmod(0o600)
        stack.enter_context(_daemon(folder, "munged", "--foreground", *_munge_files(folder)))
        _wait(folder, (folder / "munge.socket").exists, "munged opened no socket")
        stack.enter_context(_daemon(folder, "slurmctld", "-D"))
        stack.enter_context(_daemon(folder, "slurmd", "-D"))
        _wait(folder, lambda: _asked("sinfo", "--noheader", "--format=%T") == "idle", "the node did not become idle")
        stack.callback(_cancel_all, folder)
        yield Cluster(folder)


def _configuration(folder: Path) -> str:
    """Return a slurm.conf without accounting, control groups or anything else of the machine's own."""
    host = socket.gethostname().split(".")[0]
    return f"""\
ClusterName=loopback
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={_free_port()}
SlurmdPort={_free_port()}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
# The node is what this file says, so that requests meant for real nodes fit onto a small machine.
SlurmdParameters=config_overrides
ReturnToService=2
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/filetxt
JobCompLoc={folder}/ended.txt
MailProg=/bin/true
NodeName={host} NodeAddr=127.0.0.1 CPUs=16 RealMemory=64000 State=UNKNOWN
PartitionName=all Nodes={host} Default=YES State=UP
"""


def _munge_files(folder: Path) -> list[str]:
    return [
        f"--socket={folder}/munge.socket",
        f"--key-file={folder}/munge.key",
        f"--pid-file={folder}/munged.pid",
        f"--seed-file={folder}/munged.seed",
    ]


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def _daemon(folder: Path, *command: str) -> Iterator[None]:
    """Run a daemon in the foreground; it is told to end when this process ends, however that happens."""
    with (folder / f"{command[0]}.log").open("wb") as log:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", *command], stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _asked(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True).stdout.strip()


def _cancel_all(folder: Path) -> None:
    """End what a failed test left running: Slurm's job steps outlive its daemons."""
    subprocess.run(["scancel", "--user=root"], check=True)
    _wait(folder, lambda: not _asked("squeue", "--noheader"), "jobs could not be cancelled")


def _wait(folder: Path, ready: Callable[[], bool], complaint: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not ready():
        if time.monotonic() > deadline:
            logs = "".join(f"\n--- {path.name}\n{path.read_text()[-3000:]}" for path in sorted(folder.glob("*.log")))
            raise RuntimeError(f"{complaint} in {PATIENCE:.0f} s{logs}")
        time.sleep(0.2)
