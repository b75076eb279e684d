"""One call at a time in one folder: a dead call's lock is removed, a living one's never."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline import lock
from pipeline.errors import StudyError

FOLDER = Path(".snakemake")
HOLD = """
import fcntl, time
held = open(".snakemake/running", "w")
fcntl.flock(held, fcntl.LOCK_EX)
print(flush=True)
time.sleep(60)
"""


@pytest.fixture(autouse=True)
def working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Work in a folder of our own, where no cluster answers, and let go of the kernel's lock at the end."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(lock, "living_jobs", list)
    yield
    let_go()


def let_go() -> None:
    if descriptor := lock._held.pop(FOLDER.resolve(), None):
        os.close(descriptor)


def left_behind() -> Path:
    file = FOLDER / "locks/0.output.lock"
    file.parent.mkdir(parents=True)
    file.write_text("results/gap_table.csv\n")
    return file


def test_a_dead_calls_lock_is_removed_and_ours_is_held() -> None:
    file = left_behind()
    assert lock.hold(FOLDER)
    assert not file.exists()
    program = "import fcntl; fcntl.flock(open('.snakemake/running'), fcntl.LOCK_EX | fcntl.LOCK_NB)"
    other = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "BlockingIOError" in other.stderr


def test_a_living_calls_lock_is_left_alone_until_it_dies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "PATIENCE", 0.3)
    file = left_behind()
    with subprocess.Popen([sys.executable, "-c", HOLD], stdout=subprocess.PIPE) as other:
        assert other.stdout
        other.stdout.readline()
        assert not lock.hold(FOLDER)
        assert file.exists()
        other.kill()
    assert lock.hold(FOLDER)
    assert not file.exists()


def test_holding_the_lock_twice_in_one_process_does_not_wait() -> None:
    assert lock.hold(FOLDER)
    assert lock.hold(FOLDER)


def test_the_held_lock_is_not_handed_to_jobs() -> None:
    lock.hold(FOLDER)
    assert not os.get_inheritable(lock._held[FOLDER.resolve()])


def test_batch_jobs_of_a_killed_call_are_named_and_its_lock_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    file = left_behind()
    monkeypatch.setattr(lock, "living_jobs", lambda: ["12", "17"])
    with pytest.raises(StudyError, match="scancel 12 17"):
        lock.hold(FOLDER)
    assert file.exists()
    let_go()


@pytest.mark.parametrize("answer", ["31|{here}|rule_encode_wildcards_a", "31|{here}|group_x"])
def test_only_this_folders_workflow_jobs_are_taken_for_those_of_a_killed_call(
    answer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    programs = tmp_path / "bin"
    programs.mkdir()
    lines = [answer.format(here=tmp_path), "32|/elsewhere|rule_encode", f"33|{tmp_path}|interactive"]
    (programs / "squeue").write_text("#!/bin/sh\n" + "".join(f"echo '{line}'\n" for line in lines))
    (programs / "squeue").chmod(0o755)
    monkeypatch.setenv("PATH", str(programs), prepend=os.pathsep)
    assert lock.living_jobs() == ["31"]
