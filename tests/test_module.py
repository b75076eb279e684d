"""The workflow as a module of another one, from another folder, and through the catalogue's entry."""

import re
import subprocess
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml

from tests.studies import ROOT, STUDY, configure, draw_images, environment, plan, tiny

OUTER = """
configfile: "outer.yaml"


module learnability:
    snakefile: {snakefile!r}
    config: config["learnability"]
    {option}


use rule * from learnability as learnability_*


rule summary:
    default_target: True
    input:
        "results/gap_table.csv",
    output:
        "summary.txt",
    shell:
        "wc -l {{input}} > {{output}}"


rule environment:
    output:
        "environment.txt",
    shell:
        "env > {{output}}"
"""


class Quiet(SimpleHTTPRequestHandler):
    """Serves files and says nothing of it."""

    def log_message(self, *_: object) -> None:
        pass


def outer(folder: Path, option: str = "", snakefile: Path | str = ROOT / "Snakefile") -> Path:
    """Write another workflow that uses this one, with images of its own."""
    (folder / "Snakefile").write_text(OUTER.format(snakefile=str(snakefile), option=option))
    (folder / "outer.yaml").write_text(yaml.safe_dump({"learnability": STUDY}))
    draw_images(folder / "images")
    return folder


def call(folder: Path, *arguments: str) -> tuple[bool, str]:
    """Run Snakemake in a folder; return whether that succeeded, and what it printed."""
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    done = subprocess.run(["snakemake", *arguments], cwd=folder, env=environment(), text=True, **streams)
    return not done.returncode, done.stdout


def jobs(printed: str) -> dict[str, int]:
    """Return how many jobs of each rule a dry run names."""
    return {rule: int(count) for rule, count in re.findall(r"^([a-z_]+) +(\d+)$", printed, re.MULTILINE)}


@pytest.fixture(scope="module")
def direct(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """The jobs of the same study, called in a checkout of its own."""
    return plan(tiny(tmp_path_factory.mktemp("direct")))


@pytest.mark.parametrize("snakefile", ["Snakefile", "workflow/Snakefile"])
def test_a_module_plans_the_jobs_that_a_call_in_its_own_folder_plans(
    tmp_path: Path, direct: dict[str, int], snakefile: str
) -> None:
    succeeded, printed = call(outer(tmp_path, snakefile=ROOT / snakefile), "--dry-run")
    assert succeeded, printed
    planned = jobs(printed)
    assert planned.pop("summary") == 1
    assert planned.pop("total") == sum(direct.values()) + 1
    assert {rule.removeprefix("learnability_"): count for rule, count in planned.items()} == direct


def test_programs_of_a_module_run_and_the_other_workflow_keeps_its_environment(tmp_path: Path) -> None:
    succeeded, printed = call(outer(tmp_path), "--cores", "1", "results/inspected/blobs.parquet", "environment.txt")
    assert succeeded, printed
    assert (tmp_path / "private/blobs.mapping.csv").is_file()
    assert not re.search("^(HF_HUB_OFFLINE|PYTHONPATH)=", (tmp_path / "environment.txt").read_text(), re.MULTILINE)


@pytest.mark.parametrize("option", ['prefix: "learnability"', 'replace_prefix: {"results/": "elsewhere/"}'])
def test_a_module_whose_files_would_lie_elsewhere_is_refused(tmp_path: Path, option: str) -> None:
    succeeded, printed = call(outer(tmp_path, option), "--dry-run")
    assert not succeeded
    assert "leave out the module's 'prefix'" in printed


def test_a_module_that_is_not_on_this_machine_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    handler = partial(Quiet, directory=str(ROOT))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        outer(tmp_path, snakefile=f"http://127.0.0.1:{server.server_port}/Snakefile")
        succeeded, printed = call(tmp_path, "--dry-run")
        server.shutdown()
    assert not succeeded
    assert "clone the repository" in printed


def test_a_wrong_configuration_of_a_module_is_refused_by_name(tmp_path: Path) -> None:
    study: dict[str, Any] = {**STUDY, "sedes": [1]}
    (outer(tmp_path) / "outer.yaml").write_text(yaml.safe_dump({"learnability": study}))
    succeeded, printed = call(tmp_path, "--dry-run")
    assert not succeeded
    assert "sedes" in printed


def test_a_study_is_called_from_a_folder_of_its_own(tmp_path: Path, direct: dict[str, int]) -> None:
    draw_images(tmp_path / "images")
    configure(tmp_path, STUDY)
    arguments = ("--snakefile", str(ROOT / "Snakefile"), "--configfile", "study.yaml", "--dry-run")
    succeeded, printed = call(tmp_path, *arguments, "--", "results/gap_table.csv")
    assert succeeded, printed
    planned = jobs(printed)
    assert planned.pop("total") == sum(direct.values())
    assert planned == direct
    assert not (ROOT / "private/blobs.inventory.csv").exists()
