"""How much memory is free, by the files and variables that say so."""

from pathlib import Path

import pytest

from pipeline import memory

GIB = 2**30


def machine(root: Path, files: dict[str, str]) -> Path:
    """Write files as Linux shows them; 8 GiB are available."""
    for name, content in {"proc/meminfo": "MemTotal: 9 kB\nMemAvailable: 8388608 kB\n", **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


def second(folder: str, limit: str, used: int, cached: int = 0) -> dict[str, str]:
    """Return the files of a control group of version 2."""
    return {
        f"{folder}/memory.max": f"{limit}\n",
        f"{folder}/memory.current": f"{used}\n",
        f"{folder}/memory.stat": f"anon 5\ninactive_file {cached}\n",
    }


def test_without_limits_it_is_what_the_machine_has(tmp_path: Path) -> None:
    assert memory.available(machine(tmp_path, {}), {}) == 8 * GIB
    here = memory.available(environment={})
    assert 0 < here < 2**50


@pytest.mark.parametrize("inside", ["sys/fs/cgroup/job/step", "sys/fs/cgroup/job", "sys/fs/cgroup"])
def test_the_limit_of_any_parent_counts_and_what_files_left_does_not(tmp_path: Path, inside: str) -> None:
    files = {"proc/self/cgroup": "0::/job/step\n", **second(inside, str(4 * GIB), 3 * GIB, GIB)}
    assert memory.available(machine(tmp_path, files), {}) == 2 * GIB
    unlimited = {"proc/self/cgroup": "0::/job/step\n", **second(inside, "max", 3 * GIB)}
    assert memory.available(machine(tmp_path, unlimited), {}) == 8 * GIB


def test_version_1_is_read_too(tmp_path: Path) -> None:
    folder = "sys/fs/cgroup/memory/slurm/job"
    files = {
        "proc/self/cgroup": "9:name=systemd:/x\n4:memory:/slurm/job\n0::/\n",
        f"{folder}/memory.limit_in_bytes": str(6 * GIB),
        f"{folder}/memory.usage_in_bytes": str(5 * GIB),
        f"{folder}/memory.stat": f"total_inactive_file {GIB}\n",
    }
    assert memory.available(machine(tmp_path, files), {}) == 2 * GIB


def test_a_group_that_is_full_leaves_nothing(tmp_path: Path) -> None:
    files = {"proc/self/cgroup": "0::/\n", **second("sys/fs/cgroup", str(GIB), 2 * GIB)}
    assert memory.available(machine(tmp_path, files), {}) == 0


@pytest.mark.parametrize(
    ("environment", "gib"),
    [
        ({"SLURM_MEM_PER_NODE": "3072"}, 3),
        ({"SLURM_MEM_PER_CPU": "1024", "SLURM_CPUS_ON_NODE": "2"}, 2),
        ({"SLURM_MEM_PER_CPU": "1024"}, 1),
        ({"SLURM_MEM_PER_NODE": "0"}, 8),
        ({}, 8),
    ],
)
def test_a_slurm_job_has_what_it_was_granted(tmp_path: Path, environment: dict[str, str], gib: int) -> None:
    assert memory.available(machine(tmp_path, {}), environment) == gib * GIB
    taken = {"proc/self/status": "VmHWM: 9 kB\nVmRSS: 1048576 kB\n"}
    assert memory.available(machine(tmp_path, taken), environment) == (gib if gib == 8 else gib - 1) * GIB


def test_elsewhere_it_is_all_memory(tmp_path: Path) -> None:
    assert memory.available(tmp_path, {}) >= GIB / 4
