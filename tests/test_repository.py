"""What must hold for the repository as a whole."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

from tests.studies import ROOT

LOCKS = ("requirements.lock", "requirements-cpu.lock", "requirements-cuda.lock")
PIN = re.compile(r"^(?P<name>[A-Za-z0-9_.-]+)==(?P<version>\S+)", re.MULTILINE)


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in listed.splitlines()]


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_file_pins_versions_and_hashes_and_holds_no_address(lock: str) -> None:
    text = (ROOT / lock).read_text()
    assert "//" not in text
    blocks = [block for block in re.split(r"\n(?=\S)", text.strip()) if block]
    assert blocks
    assert all(PIN.match(block) and "--hash=sha256:" in block for block in blocks)


def test_every_dependency_that_is_stated_is_pinned() -> None:
    stated = re.findall(r'^    "([A-Za-z0-9-]+)', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    pinned = {match["name"].lower() for lock in LOCKS for match in PIN.finditer((ROOT / lock).read_text())}
    assert {name.lower() for name in stated} <= pinned


def test_the_conda_environment_has_the_same_pins() -> None:
    environment = yaml.safe_load((ROOT / "workflow/envs/pipeline.yaml").read_text())
    flag, *lines = next(entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict))
    assert flag == "--require-hashes"
    assert "//" not in "".join(lines)
    requirements = [Requirement(line.split(" --hash=")[0]) for line in lines]
    assert all(re.search(r"( --hash=sha256:[0-9a-f]{64})+$", line) for line in lines)
    joined = "".join((ROOT / name).read_text() for name in ("requirements.lock", "requirements-cuda.lock"))
    stated = [(match["name"], match["version"]) for match in PIN.finditer(joined)]
    assert [(found.name, str(found.specifier).removeprefix("==")) for found in requirements] == stated
    assert [re.findall(r"sha256:\w+", line) for line in lines] == [
        re.findall(r"sha256:\w+", block) for block in re.split(r"\n(?=\S)", joined.strip())
    ]


def test_torch_is_the_same_version_in_both_builds() -> None:
    versions = {
        match["version"].split("+")[0]
        for lock in LOCKS
        for match in PIN.finditer((ROOT / lock).read_text())
        if match["name"] == "torch"
    }
    assert len(versions) == 1


def test_shipped_weights_are_small_and_no_pickles() -> None:
    weights = [path for path in tracked() if path.is_relative_to(ROOT / "resources/weights")]
    stored = [path for path in weights if path.suffix == ".safetensors"]
    assert len(stored) >= 3
    assert all(path.stat().st_size <= 1_500_000 for path in stored)
    assert not [path for path in tracked() if path.suffix in (".pt", ".pth", ".pkl", ".ckpt", ".bin")]


def test_the_slurm_profile_is_found_by_its_name() -> None:
    assert (ROOT / "slurm/config.yaml").resolve() == (ROOT / "profiles/slurm/config.yaml").resolve()


def test_every_stage_has_a_rule_file_a_module_and_a_test() -> None:
    stages = [path.stem for path in (ROOT / "workflow/rules").glob("*.smk") if path.stem != "study"]
    assert len(stages) == 21
    for stage in stages:
        assert (ROOT / f"src/pipeline/{stage}.py").is_file()
        assert (ROOT / f"tests/test_{stage}.py").is_file()
