"""Whatever ends a call, the next one completes it: a shorter form of `python -m tests.chaos`."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from tests.chaos import interruptions
from tests.chaos.faults import copy
from tests.chaos.interruptions import Reference, Victim, close, disk, disturb, fill, kill, unmountable
from tests.studies import command, environment, run, tiny

LOSSY = ("latents/blobs/lossy", "latents/blobs/lossy.zarr", "reconstructions/blobs/lossy", "fidelity/blobs/lossy")
LATER = (*LOSSY, "reconstructions/blobs/lossy.zarr", "heads/blobs/lossy", "scores", "gap_table")


@pytest.fixture(scope="module")
def half(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Reference]:
    """A study with one of its two autoencoders still to be done, and what an undisturbed call makes of it."""
    folder = tiny(tmp_path_factory.mktemp("study"))
    run(folder)
    for name in LATER:
        shutil.rmtree(folder / "results" / name)
    for path in (*folder.glob("results/*.csv"), *folder.glob("results/latents/blobs/lossy.*.csv")):
        path.unlink()
    undisturbed = copy(folder, folder.with_name("undisturbed"))
    return folder, interruptions.reference(undisturbed)


@pytest.mark.parametrize(
    ("victim", "number", "share"),
    [("all", signal.SIGKILL, 0.2), ("main", signal.SIGKILL, 0.5), ("worker", signal.SIGTERM, 0.7)],
)
def test_a_killed_call_is_completed_by_the_next_one(
    half: tuple[Path, Reference], tmp_path: Path, victim: Victim, number: signal.Signals, share: float
) -> None:
    study, undisturbed = half
    harm = kill(victim, number, np.random.default_rng([0, int(10 * share)]))
    result = disturb(copy(study, tmp_path / "study"), undisturbed, victim, harm, share)
    assert result.disturbed
    assert result.good(), result.printed


@pytest.mark.parametrize(
    ("harm", "share"), [(lambda folder: fill(folder / "ballast", 30_000), 0.3), (close, 0.5)], ids=["full", "read-only"]
)
def test_a_disk_that_takes_no_more_ends_the_call_and_the_next_one_completes_it(
    half: tuple[Path, Reference],
    tmp_path: Path,
    harm: Callable[[Path], Callable[[subprocess.Popen[bytes]], None]],
    share: float,
) -> None:
    if reason := unmountable():
        pytest.skip(reason)
    study, undisturbed = half
    with disk(tmp_path / "disk") as folder:
        copied = copy(study, folder / "study")
        result = disturb(copied, undisturbed, "disk", harm(folder), share)
        assert result.disturbed
        assert result.good(), result.printed


SLOW_SELECTION = """
import time
from pathlib import Path
from snakemake.scheduling.milp import Scheduler

select = Scheduler.select_jobs
def slowly(*arguments):
    Path("selecting").touch()
    time.sleep(3)
    return select(*arguments)
Scheduler.select_jobs = slowly
"""


def test_a_call_that_is_told_to_end_while_it_selects_jobs_does_not_hang(tmp_path: Path) -> None:
    (tmp_path / "study").mkdir()
    study = tiny(tmp_path / "study")
    (tmp_path / "sitecustomize.py").write_text(SLOW_SELECTION)
    call = subprocess.Popen(
        command("--cores", "1", "--", "results/gap_table.csv"),
        cwd=study,
        env=environment() | {"PYTHONPATH": str(tmp_path)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        while call.poll() is None and not (study / "selecting").exists():
            time.sleep(0.1)
        call.terminate()
        printed, _ = call.communicate(timeout=120)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(call.pid, signal.SIGKILL)
    assert call.returncode != 0
    assert "Will exit after finishing currently running jobs" in printed
    assert not (study / "results/gap_table.csv").exists()
