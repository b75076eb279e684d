"""How much memory this process may take, without asking for it."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

MIB = 2**20


def available(root: Path = Path("/"), environment: Mapping[str, str] = os.environ) -> int:
    """Return how many bytes are free for this process: on the machine, in its control groups, and in its Slurm job.

    Args:
        root: below which /proc and /sys lie.
        environment: where Slurm says what it granted.
    """
    return max(0, min([_machine(root), *_groups(root), *_slurm(root, environment)]))


def _machine(root: Path) -> int:
    try:
        lines = (root / "proc/meminfo").read_text().splitlines()
    except OSError:
        # No Linux: all that there is.
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))


def _groups(root: Path) -> Iterator[int]:
    """Yield what each limit on the process's control groups and their parents leaves; versions 2 and 1."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            yield from _limits(root / "sys/fs/cgroup", path, "memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            yield from _limits(root / "sys/fs/cgroup/memory", path, *names)


def _limits(mount: Path, path: str, limit: str, used: str, cached: str) -> Iterator[int]:
    # Inside a container the path may be that of the host, and only the mount's own files are there.
    inside = Path(path.lstrip("/"))
    for folder in (mount / part for part in (inside, *inside.parents)):
        try:
            most = (folder / limit).read_text().strip()
            taken = int((folder / used).read_text())
            statistics = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        except OSError:
            continue
        if most != "max":
            # What files have left in memory is given up where it is needed.
            yield int(most) - taken + int(statistics.get(cached, 0))


def _slurm(root: Path, environment: Mapping[str, str]) -> Iterator[int]:
    """Yield what this process leaves of what its job was granted here; Slurm counts MiB, and 0 is the whole node."""
    try:
        lines = (root / "proc/self/status").read_text().splitlines()
    except OSError:
        lines = []
    taken = next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:")), 0)
    node, cpu = (int(environment.get(f"SLURM_MEM_PER_{kind}") or 0) for kind in ("NODE", "CPU"))
    if node:
        yield node * MIB - taken
    elif cpu:
        yield cpu * int(environment.get("SLURM_CPUS_ON_NODE") or 1) * MIB - taken
