"""The profile for Slurm, and a study that runs through a real, small cluster."""

import os
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.plan import resources
from pipeline.plan.resources import Size
from pipeline.verify import faults
from tests.slurm.cluster import UNACCOUNTED, Cluster, running, running_jobs, unavailable
from tests.studies import ROOT, checkout, configure, environment

TABLE = "results/gap_table/echo.csv"
JOBS = {
    **{"synthesize": 1, "inspect": 1, "normalize": 2, "index": 1, "encode": 4, "decode": 4, "measure": 4},
    **{"train": 4, "evaluate": 2, "tabulate": 1},
}
"""How many jobs of each rule the study below has on the cluster."""
BATCH_JOBS = {
    **{"synthesize": 1, "inspect": 1, "index": 1, "tabulate": 1},
    # One for each shard; one for each shard and autoencoder; one for each autoencoder, whose only head is small.
    **{"images.echo.0": 1, "images.echo.1": 1},
    **{f"codes.echo.{name}.{shard}": 1 for name in ("identity", "lossy") for shard in (0, 1)},
    **{"heads.echo.identity": 1, "heads.echo.lossy": 1},
}
"""And how many batch jobs these are."""
LOCAL = {"salt": 1, "inspect_shard": 2, "lay_out_images": 1, "lay_out_latents": 2, "lay_out_reconstructions": 2}
LOCAL |= {"standardize": 2}
"""The jobs that run where Snakemake runs."""
STUDY: dict[str, Any] = {
    "replicates": 100,
    "benchmarks": {"echo": {"family": "echocardiography", "patients": 24, "seed": 4, "size": 64, "frames": 2}},
    "datasets": {
        "echo": {
            "family": "filelist",
            "root": "results/benchmarks/echo",
            "labels": "results/benchmarks/echo.labels.csv",
            "pixels": {"size": 32, "channels": "grey"},
            "classes": ["Normal", "Septal Defect"],
            "folds": 3,
            "shards": 2,
        }
    },
    "autoencoders": {"identity": {"family": "identity"}, "lossy": {"family": "lossy", "stride": 8}},
    "heads": {"linear": {"family": "linear"}},
}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A cluster on this machine, or a skip that says why there is none."""
    reason = unavailable()
    if reason:
        pytest.skip(reason)
    with running() as started:
        yield started


def tree(folder: Path) -> Path:
    """Copy this tree, with the link by which `--profile slurm` is found, and the small study."""
    folder.mkdir()
    checkout(folder)
    shutil.copy(ROOT / "slurm", folder / "slurm", follow_symlinks=False)
    configure(folder, STUDY)
    return folder


def start(folder: Path, *arguments: str, path: str | None = None) -> subprocess.Popen[str]:
    """Start a call on this environment's own programs."""
    programs = f"{Path(sys.executable).parent}:{path or os.environ['PATH']}"
    return subprocess.Popen(
        ["snakemake", *arguments],
        cwd=folder,
        env=environment() | {"PATH": programs},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def end(call: subprocess.Popen[str]) -> str:
    """Return what a call printed; fail with it if the call failed."""
    printed, _ = call.communicate()
    assert call.returncode == 0, printed
    return printed


def test_a_study_gives_the_same_table_on_slurm_as_on_one_machine(cluster: Cluster, tmp_path: Path) -> None:
    through_slurm, here = tree(tmp_path / "slurm"), tree(tmp_path / "here")
    arguments = ["--profile", "slurm", TABLE, *UNACCOUNTED, "--configfile", "study.yaml"]

    call = start(through_slurm, *arguments)
    try:
        end(start(here, "--cores", "2", TABLE, "--configfile", "study.yaml"))
        printed = end(call)
    finally:
        call.terminate()
        call.wait()
    assert (through_slurm / TABLE).read_bytes() == (here / TABLE).read_bytes()

    found = re.findall(r"has been submitted with SLURM jobid (\d+) \(log: \S+/(?:rule|group)_([^/_]+)", printed)
    submitted = dict(found)
    assert Counter(submitted.values()) == BATCH_JOBS
    ended = cluster.ended()
    assert {job: fields["JobState"] for job, fields in ended.items()} == dict.fromkeys(submitted, "COMPLETED")
    # A rule's threads become the processors that Slurm grants. The two spaces of `lossy` are trained side by side; of
    # `identity` one after the other, since they may be the same. How much there is to inspect is not known before.
    granted = {name: ended[job]["ProcCnt"] for job, name in submitted.items()}
    assert granted == dict.fromkeys(BATCH_JOBS, "1") | {"inspect": "16", "heads.echo.lossy": "2"}

    assert "Nothing to be done" in end(start(through_slurm, *arguments))
    assert len(cluster.ended()) == len(submitted)


def running_job(call: subprocess.Popen[str]) -> str:
    """Wait until a job runs, and return its id."""
    while call.poll() is None:
        if jobs := running_jobs():
            return jobs[0]
        time.sleep(0.2)
    raise AssertionError(end(call))


@pytest.mark.parametrize(
    "harm",
    [
        # As where a job of more importance takes the node; Slurm itself would wait before it starts the job again.
        [["scontrol", "requeue", "{job}"], ["scontrol", "update", "JobId={job}", "StartTime=now"]],
        [["scancel", "--signal=KILL", "--full", "{job}"]],
    ],
    ids=["requeued", "killed"],
)
def test_a_job_that_is_requeued_or_killed_is_done_by_the_same_call(
    cluster: Cluster, tmp_path: Path, harm: list[list[str]]
) -> None:
    folder, made = tree(tmp_path / "tree"), "results/benchmarks/echo.inventory.csv"
    call = start(folder, "--profile", "slurm", made, *UNACCOUNTED, "--configfile", "study.yaml")
    try:
        job = running_job(call)
        for command in harm:
            # Refused while the job is being ended.
            while call.poll() is None and subprocess.run([word.format(job=job) for word in command]).returncode:
                time.sleep(0.5)
        end(call)
    finally:
        call.terminate()
        call.wait()
    states = [fields["JobState"] for fields in cluster.ended().values()]
    assert states[-1] == "COMPLETED"
    assert len((folder / made).read_text().splitlines()) == 1 + 24
    assert faults(folder) == []


def test_somebody_elses_cluster_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = tmp_path / "slurm.conf"
    theirs.write_text("ClusterName=theirs\n")
    monkeypatch.setattr("tests.slurm.cluster.CONFIGURATION", theirs)
    monkeypatch.setattr("tests.slurm.cluster.LOCK", tmp_path / "lock")
    with pytest.raises(RuntimeError, match="somebody's cluster"), running():
        pass
    assert theirs.read_text() == "ClusterName=theirs\n"


@pytest.fixture
def without_slurm(tmp_path: Path) -> str:
    """A search path on which there is no program of Slurm's."""
    for program in ("bash", "sh", "which"):
        found = shutil.which(program)
        assert found
        (tmp_path / program).symlink_to(found)
    return str(tmp_path)


def test_the_profile_plans_batch_jobs_where_slurm_is_not_installed(without_slurm: str, tmp_path: Path) -> None:
    folder = tree(tmp_path / "tree")
    printed = end(start(folder, "--profile", "slurm", "-n", TABLE, "--configfile", "study.yaml", path=without_slurm))
    planned = re.findall(r"^ *rule (\w+):$", printed, re.MULTILINE)
    assert {rule: planned.count(rule) for rule in planned} == JOBS | LOCAL
    # What is written there is that of a first attempt at 8,192 samples, as long as nothing has been inspected.
    encode = resources.minutes("encode", Size(2 * 8192, 8192, 32 * 32, 32 * 32), 1)
    assert re.search(rf"^    rule encode:(\n .*)*\n        resources: .*\bruntime={encode}\b", printed, re.MULTILINE)


def test_the_profile_is_found_by_the_name_that_users_type() -> None:
    assert (ROOT / "slurm").readlink() == Path("profiles/slurm")


def test_every_key_of_the_profile_is_an_option_of_the_installed_versions(without_slurm: str) -> None:
    options = end(start(ROOT, "--help", path=without_slurm))
    for key in yaml.safe_load((ROOT / "slurm/config.yaml").read_text()):
        assert re.search(rf"^  (-\w.*, )?--{key}\b", options, re.MULTILINE), key


def test_every_rule_that_the_profile_names_is_in_the_workflow() -> None:
    profile = yaml.safe_load((ROOT / "slurm/config.yaml").read_text())
    rules = {
        name
        for file in (ROOT / "workflow/rules").glob("*.smk")
        for name in re.findall(r"^rule (\w+):$", file.read_text(), re.MULTILINE)
    }
    assert {*profile["set-threads"]} <= rules
    text = (ROOT / "slurm/config.yaml").read_text()
    assert set(re.findall(r"^#   (\w+): [&*]accelerated", text, re.MULTILINE)) <= rules | {"embed"}


def test_the_profile_leaves_the_number_of_processors_to_the_threads_of_a_rule() -> None:
    profile = yaml.safe_load((ROOT / "slurm/config.yaml").read_text())
    assert "cpus_per_task" not in profile["default-resources"]
