"""What is not in order is found, said in one line with its cure, and what is in order is not complained about."""

import errno
import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline import lock
from pipeline.commands import doctor, machine, main
from tests.studies import ROOT

CONFIG: dict[str, Any] = {
    "datasets": {"mine": {"family": "folders", "root": "images", "pixels": {"size": 16}, "classes": ["a", "b"]}},
    "autoencoders": {"identity": {"family": "identity"}},
    "heads": {"near": {"family": "knn"}},
}
STATES = ("ok", "warning", "problem")


@pytest.fixture(autouse=True)
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that is a checkout of this tree, with a study whose one image is there, and no program of a cluster."""
    monkeypatch.chdir(tmp_path)
    for part in ("Snakefile", "src", "profiles", "slurm", "resources", "requirements.lock", "requirements-cpu.lock"):
        (tmp_path / part).symlink_to(ROOT / part)
    (tmp_path / "requirements-cuda.lock").symlink_to(ROOT / "requirements-cuda.lock")
    (tmp_path / "images/a").mkdir(parents=True)
    (tmp_path / "images/a/1.png").touch()
    configure(CONFIG)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    for name in ("SNAKEMAKE_PROFILE", "LEARNABILITY_POOL"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "bin").mkdir()
    yield tmp_path


def configure(config: dict[str, Any]) -> None:
    Path("study.yaml").write_text(yaml.safe_dump(config))


def program(name: str, prints: str, status: int = 0) -> None:
    """Put a program into the path that prints this."""
    path = Path("bin") / name
    path.write_text(f"#!/bin/sh\necho '{prints}'\nexit {status}\n")
    path.chmod(0o755)


def findings(capsys: pytest.CaptureFixture[str], status: int = 0) -> dict[str, str]:
    """Return what the doctor says by what it is about: the state, and the sentence."""
    try:
        main(["doctor", "--configfile", "study.yaml"])
        ended = 0
    except SystemExit as leaving:
        ended = int(leaving.code or 0)
    printed = capsys.readouterr()
    assert ended == status, printed
    lines = printed.out.splitlines()
    assert lines[-2] == ""
    said = {}
    for line in lines[:-2]:
        state, sentence = line[:8].strip(), line[9:]
        assert state in STATES
        said.setdefault(sentence.partition(":")[0], f"{state}: {sentence.partition(': ')[2]}")
    problems = sum(value.startswith("problem") for value in said.values())
    assert lines[-1].startswith(f"{problems} problems, ")
    return said


def test_a_study_in_order_has_no_problem_and_no_warning(capsys: pytest.CaptureFixture[str]) -> None:
    said = findings(capsys)
    assert {about: line for about, line in said.items() if not line.startswith("ok")} == {}
    assert said["slurm"] == "ok: is not here; jobs run on this machine"
    assert said["data set mine"] == "ok: images"
    assert said["configuration"] == "ok: study.yaml: 1 data sets, 1 autoencoders, 1 heads"
    assert said["locks"] == "ok: no call is running here"


def test_the_default_study_is_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(ROOT / "config/config.yaml", "study.yaml")
    said = findings(capsys)
    assert said["data set chest"].startswith("ok: is generated")
    assert said["weights"] == "ok: 6 of 6 files are there and are what is known of them"


@pytest.mark.parametrize(
    ("lock_line", "expected"),
    [
        ("no-such-package==1.0 \\\n", "problem: no-such-package of"),
        ("numpy==0.1 \\\n", "warning: numpy is"),
        ("no-such-package==1.0 ; sys_platform == 'win32' \\\n", "ok: "),
    ],
)
def test_packages_are_compared_with_the_lock_files(
    capsys: pytest.CaptureFixture[str], lock_line: str, expected: str
) -> None:
    Path("requirements.lock").unlink()
    Path("requirements.lock").write_text(f"{lock_line}    --hash=sha256:{'0' * 64}\n")
    said = findings(capsys, status=int(expected.startswith("problem")))
    assert said["packages"].startswith(expected)
    assert expected.startswith("ok") or "make .venv/installed" in said["packages"]


def test_an_accelerator_that_torch_cannot_use_is_a_warning(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    program("nvidia-smi", "NVIDIA H200, 143771 MiB")
    monkeypatch.setattr(machine, "_torch_lock", lambda: machine.LOCKS["cpu"])
    assert findings(capsys)["accelerator"].startswith("warning: NVIDIA H200, 143771 MiB is here, and torch is built")
    monkeypatch.setattr(machine, "_torch_lock", lambda: machine.LOCKS["cuda"])
    Path("requirements-cuda.lock").unlink()
    assert findings(capsys)["accelerator"] == "ok: NVIDIA H200, 143771 MiB"


def test_a_driver_that_fails_is_no_accelerator(capsys: pytest.CaptureFixture[str]) -> None:
    program("nvidia-smi", "no driver", status=9)
    assert findings(capsys)["accelerator"].startswith("ok: none is seen here")


def test_slurm_is_asked_for_partitions_and_accounts(capsys: pytest.CaptureFixture[str]) -> None:
    program("sbatch", "")
    program("sinfo", "", status=1)
    assert findings(capsys)["slurm"].startswith("warning: is installed, and no cluster answers; ")
    program("sinfo", "gpu*")
    program("sacct", "no accounting", status=1)
    assert "slurm-status-command: squeue" in findings(capsys)["slurm"]
    program("sacct", "")
    assert findings(capsys)["slurm"] == "ok: answers, with the partitions gpu*"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("title: [", "study.yaml cannot be read"),
        ("- a\n", "study.yaml holds no keys"),
        (
            yaml.safe_dump(CONFIG | {"seed": [0]}),
            "the configuration: seed: there is no such key; did you mean",
        ),
        (yaml.safe_dump(CONFIG | {"heads": {"x": {"family": "y"}}}), "heads: x: there is no family 'y'"),
        (None, "there is no file study.yaml"),
    ],
)
def test_a_wrong_configuration_is_named_and_the_rest_is_examined(
    capsys: pytest.CaptureFixture[str], content: str | None, expected: str
) -> None:
    Path("study.yaml").unlink()
    if content is not None:
        Path("study.yaml").write_text(content)
    said = findings(capsys, status=1)
    assert said["configuration"].startswith(f"problem: {expected}")
    assert said["packages"].startswith("ok")
    assert "data set mine" not in said


def test_another_checkouts_program_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    Path("src").unlink()
    Path("src").mkdir()
    assert "this is the program of" in findings(capsys, status=1)["configuration"]


def test_a_missing_an_empty_and_a_table_less_data_set_are_problems(capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree("images")
    assert (
        findings(capsys, 1)["data set mine"] == "problem: there is no folder images; correct 'root' of datasets: mine"
    )
    Path("images").mkdir()
    assert findings(capsys, 1)["data set mine"].startswith("problem: the folder images is empty; mount it")
    Path("images/1.png").touch()
    listed = CONFIG["datasets"]["mine"] | {"family": "filelist", "labels": "labels.csv"}
    configure(CONFIG | {"datasets": {"mine": listed}})
    assert findings(capsys, 1)["data set mine"].startswith("problem: there is no file labels.csv")


def test_a_disk_that_went_away_is_a_problem_and_no_end(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(_: Path) -> Iterator[Path]:
        raise OSError(errno.ESTALE, "Stale file handle")

    monkeypatch.setattr(Path, "iterdir", gone)
    said = findings(capsys, status=1)
    assert said["data sets"].startswith("problem: cannot be looked at (Stale file handle)")
    assert "memory" in said


def test_weights_are_compared_with_what_is_known_of_them(capsys: pytest.CaptureFixture[str]) -> None:
    entry = {"family": "tae", "weights": "models/w.safetensors"}
    configure(CONFIG | {"autoencoders": CONFIG["autoencoders"] | {"t": entry}})
    missing = findings(capsys, status=1)["weights"]
    cure = "put it there, or correct its path in autoencoders: t"
    assert missing == f"problem: autoencoders: t: the file models/w.safetensors is missing; {cure}"
    Path("models").mkdir()
    Path("models/w.safetensors").write_bytes(b"weights")
    assert findings(capsys)["weights"] == "ok: 1 of 1 files are there and are what is known of them"
    Path("models/SHA256SUMS").write_text(f"{hashlib.sha256(b'others').hexdigest()}  w.safetensors\n")
    assert "models/w.safetensors has changed" in findings(capsys, status=1)["weights"]


def test_weights_that_are_fetched_are_a_warning_and_gated_ones_ask_for_a_token(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    table = {
        "family": "tae", "repository": "who/what", "revision": "0" * 40, "licence": "none",
        "files": {"w.safetensors": {"sha256": "0" * 64}},
    }  # fmt: skip
    Path("resources").unlink()
    Path("resources").mkdir()
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setenv("HOME", str(Path.cwd()))
    entry = {"family": "tae", "weights": "resources/weights/theirs/w.safetensors"}
    configure(CONFIG | {"autoencoders": CONFIG["autoencoders"] | {"t": entry}})
    Path("resources/weights.yaml").write_text(yaml.safe_dump({"theirs": table}))
    assert "is not there yet and will be fetched" in findings(capsys)["weights"]
    Path("resources/weights.yaml").write_text(yaml.safe_dump({"theirs": table | {"gated": True}}))
    gated = findings(capsys)["weights"]
    assert gated.startswith("warning: ")
    assert "accept the licence of who/what" in gated
    monkeypatch.setenv("HF_TOKEN", "x")
    assert "accept the licence" not in findings(capsys)["weights"]


def test_a_private_folder_that_others_may_read_is_a_warning(capsys: pytest.CaptureFixture[str]) -> None:
    Path("private").mkdir(mode=0o755)
    assert findings(capsys)["private"].endswith("; chmod 700 private")
    Path("private").chmod(0o700)
    assert findings(capsys)["private"].startswith("ok")


def test_a_pool_that_others_may_look_into_is_a_problem(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert findings(capsys)["shared"] == "ok: nothing; LEARNABILITY_POOL is not set"
    monkeypatch.setenv("LEARNABILITY_POOL", str(tmp_path / "pool"))
    assert findings(capsys)["shared"] == f"ok: LEARNABILITY_POOL is {tmp_path / 'pool'}"
    (tmp_path / "pool").chmod(0o755)
    assert findings(capsys, status=1)["shared"].endswith(f"call: chmod 700 {tmp_path / 'pool'}")


def test_a_full_disk_and_a_disk_without_files_are_warnings(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("results/inspected").mkdir(parents=True)
    Path("results/inspected/mine.rows").write_text("1000000\n")
    # Images and the latents and reconstructions of one autoencoder: 256 pixels of 2, 4 and 2 bytes.
    assert "the stores take at most 2.0 GB" in findings(capsys)["disk"]
    found = os.statvfs(".")
    names = ("f_bavail", "f_frsize", "f_files", "f_favail")

    class Status:
        f_bavail, f_frsize, f_files, f_favail = (getattr(found, name) for name in names)

    monkeypatch.setattr(doctor.os, "statvfs", lambda _: Status)
    Status.f_bavail = 10
    assert findings(capsys)["disk"].startswith("warning: 0.0 GB are free")
    Status.f_bavail, Status.f_files, Status.f_favail = found.f_blocks, 1000, 7
    monkeypatch.setattr(doctor, "LITTLE", 0)
    assert "only 7 files can still be made" in findings(capsys)["disk"]


def test_a_space_larger_than_memory_is_a_warning(capsys: pytest.CaptureFixture[str]) -> None:
    assert "is known once its first call has listed the images" in findings(capsys)["memory"]
    Path("results/inspected").mkdir(parents=True)
    Path("results/inspected/mine.rows").write_text(f"{10**12}\n")
    assert findings(capsys)["memory"].startswith("warning: ")


def test_a_folder_that_cannot_be_written_is_a_problem(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    assert "results/ cannot be written or locked (Read-only file system)" in findings(capsys, status=1)["writable"]


def test_locks_of_running_and_of_killed_calls_are_told_apart(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path(".snakemake/locks").mkdir(parents=True)
    Path(".snakemake/locks/0.output.lock").touch()
    assert findings(capsys)["locks"] == "ok: a killed call left its lock; the next call removes it"
    with Path(".snakemake/running").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert findings(capsys)["locks"] == "ok: a call is running here"
    monkeypatch.setattr(lock, "living_jobs", lambda: ["12", "17"])
    left = findings(capsys, status=1)["locks"]
    assert left == "problem: 2 batch jobs of a killed call are queued or running; scancel 12 17"


def test_a_missing_and_a_broken_profile_are_problems(capsys: pytest.CaptureFixture[str]) -> None:
    Path("slurm").unlink()
    # A link: Git knows nothing below it.
    assert findings(capsys, status=1)["profile"] == "problem: there is no slurm/config.yaml; git checkout slurm"
    Path("slurm").mkdir()
    Path("slurm/config.yaml").write_text("jobs: [")
    assert findings(capsys, status=1)["profile"].startswith("problem: slurm/config.yaml is no YAML")


def test_the_help_lists_every_stage_and_helper(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert not ended.value.code
    printed = capsys.readouterr().out
    # What these hold is done by the first process of a call.
    rules = {path.stem for path in (ROOT / "workflow/rules").glob("*.smk")} - {"study", "repair"}
    for name in [*rules, "doctor", "explain", "inspect", "compare"]:
        assert f"\n  {name} " in printed or f"\n    {name} " in printed
