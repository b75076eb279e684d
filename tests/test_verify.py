"""All artifacts are read again; what is damaged is named, and the next call makes just that again."""

import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from pipeline.files import sha256
from pipeline.verify import DAMAGED, Fault, faults, note_damaged
from tests.chaos.faults import damaged, delete, flip, truncate
from tests.studies import call, environment, run

TABLE = "results/gap_table.csv"


def verify(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-m", "pipeline.verify", *arguments]
    return subprocess.run(
        program, cwd=folder, env=environment() | {"PYTHONPATH": "src"}, capture_output=True, text=True
    )


def jobs(printed: str) -> Counter[str]:
    """Return how many jobs of each rule a call ran."""
    return Counter(re.findall(r"^(?:local)?rule (\w+):$", printed, re.MULTILINE))


def contents(folder: Path) -> dict[Path, str]:
    """Return what all artifacts hold."""
    files = [path for path in (folder / "results").rglob("*") if path.is_file()]
    return {path.relative_to(folder): sha256(path) for path in files}


def test_a_study_that_has_run_has_no_faults_and_every_file_is_vouched_for(finished: Path) -> None:
    assert faults(finished) == []
    (finished / "results/gap_table/stray.csv").write_text("a\n")
    stray = finished / "results/gap_table/stray.csv"
    assert faults(finished) == [Fault(stray, "nothing says what it should hold", stray)]
    stray.unlink()


@pytest.mark.parametrize("block", range(4))
def test_of_a_hundred_random_faults_each_is_found_and_nothing_else_is_named(finished: Path, block: int) -> None:
    done = Counter[str]()
    for number in range(25 * block, 25 * block + 25):
        with damaged(finished, 6, number) as damage:
            assert damage.paths
            assert {fault.path for fault in faults(finished)} == damage.named, (number, damage.what)
        done[damage.what] += 1
    assert set(done) == {"flip", "truncate", "delete", "swap"}
    assert faults(finished) == []


def test_the_program_names_faults_and_changes_nothing_unless_it_is_asked_to(study: Path) -> None:
    assert verify(study).returncode == 0
    predictions = "results/heads/blobs/lossy/latent/knn/predictions.parquet"
    (study / predictions).unlink()
    before = contents(study)
    checked = verify(study)
    assert checked.returncode == 1
    assert checked.stdout == f"{predictions}: it is missing\n"
    assert contents(study) == before
    assert verify(study, "--repair").returncode == 1
    assert (study / DAMAGED).read_text() == f"{predictions}\t{predictions}\n"
    assert "is no folder of results" in verify(study, "--results", "nothing").stderr


def test_the_next_call_makes_just_what_is_damaged_again_and_the_table_is_the_same(study: Path) -> None:
    random, before = np.random.default_rng(0), contents(study)
    flip(study / "results/latents/blobs/lossy.zarr/c/1/0/0/0", random)
    truncate(study / "results/images/blobs/0.parquet", random)
    delete(study / "results/heads/blobs/lossy/latent/knn/predictions.parquet", random)
    delete(study / "results/fidelity/blobs/lossy/.0.parquet.sums", random)
    flip(study / "private/blobs.headers.parquet", random)
    assert verify(study, "--repair").returncode == 1
    printed = run(study)
    assert jobs(printed) == {"normalize": 1, "encode": 1, "train": 1, "measure": 1, "inspect": 1}
    assert "Nothing to be done" in printed
    assert contents(study) == before
    assert verify(study).returncode == 0
    printed = run(study)
    assert jobs(printed) == {}


def test_a_damaged_secret_stops_the_call_and_is_left_as_it_is(study: Path) -> None:
    flip(study / "private/salt", np.random.default_rng(1))
    verify(study, "--repair")
    salt = (study / "private/salt").read_bytes()
    stopped = call(study, "--cores", "2", "--", TABLE)
    assert stopped.returncode == 1
    assert "private/salt is damaged, and every identifier depends on it; bring it back from a copy" in stopped.stdout
    assert (study / "private/salt").read_bytes() == salt


def test_what_was_changed_is_found_with_any_time_of_change(study: Path) -> None:
    path = study / TABLE
    content, times = path.read_bytes(), path.stat()
    path.write_bytes(content.replace(b"1", b"2", 1))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert [fault.path for fault in faults(study)] == [path]
    note_damaged(faults(study), study)
    path.write_bytes(content)
    note_damaged(faults(study), study)
    assert not (study / DAMAGED).exists()
