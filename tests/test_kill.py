"""A call that is killed with -9 at any moment is finished by the next one, with the same bytes."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.studies import command, environment, run, tiny

TABLE = "results/gap_table.csv"


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, float]:
    """The table of an undisturbed call, and how many seconds it took."""
    folder = tiny(tmp_path_factory.mktemp("reference"))
    start = time.monotonic()
    run(folder)
    return (folder / TABLE).read_bytes(), time.monotonic() - start


def kill_after(folder: Path, seconds: float) -> None:
    """Start a call and kill it and everything that it started."""
    process = subprocess.Popen(
        command("--cores", "2", "--", TABLE),
        cwd=folder,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    time.sleep(seconds)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def test_a_killed_call_is_finished_by_the_next_one(reference: tuple[bytes, float], tmp_path: Path) -> None:
    table, duration = reference
    folder = tiny(tmp_path)
    for share in (0.25, 0.35, 0.3):
        kill_after(folder, share * duration)
        assert (folder / ".snakemake").is_dir()
    run(folder)
    assert (folder / TABLE).read_bytes() == table
    assert "Nothing to be done" in run(folder)


def test_killing_only_the_first_process_leaves_nothing_that_the_next_call_cannot_finish(
    reference: tuple[bytes, float], tmp_path: Path
) -> None:
    table, _ = reference
    folder = tiny(tmp_path)
    process = subprocess.Popen(
        command("--cores", "2", "--", TABLE),
        cwd=folder,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    # By what is there and not by the clock: beside other work a call takes longer at one time than at another.
    while process.poll() is None and not list(folder.glob("results/heads/**/predictions.parquet")):
        time.sleep(0.05)
    process.kill()
    process.wait()
    assert list((folder / ".snakemake/locks").glob("*")), "the call was not running when it was killed"
    run(folder)
    assert (folder / TABLE).read_bytes() == table
