"""What would run, and why: in the words of the configuration, before anything runs."""

import copy
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.commands import causes, main
from pipeline.commands.causes import FOLLOWS
from pipeline.commands.explain import Job, advice, sentences
from pipeline.plan import programs
from pipeline.store import Manifest
from tests.studies import ROOT, STUDY, call, configure, environment, tiny

TARGET = "results/latents/blobs/lossy.statistics.csv"
CHANGE = "CHANGED = True\n"
UNMADE = "results/reconstructions/blobs/lossy.zarr/zarr.json"
CONFIG: dict[str, Any] = STUDY | {"datasets": {"blobs": STUDY["datasets"]["blobs"] | {"shards": 1}}}


def explain(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pipeline", "explain", "--configfile", "study.yaml", *words]
    variables = environment() | {"PYTHONPATH": "src"}
    return subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny study whose latents are made."""
    folder = tiny(tmp_path_factory.mktemp("study"))
    configure(folder, CONFIG)
    finished = call(folder, "--cores", "2", "--", TARGET)
    assert finished.returncode == 0, finished.stdout
    return folder


def test_a_real_plan_names_what_changed_and_a_finished_one_that_nothing_did(study: Path) -> None:
    asked = explain(study, TARGET)
    assert asked.stdout.startswith("Nothing would run: all of "), asked.stderr
    assert asked.stderr == ""
    changed = copy.deepcopy(CONFIG)
    changed["autoencoders"]["lossy"]["stride"] = 4
    changed["datasets"]["blobs"]["folds"] = 4
    configure(study, changed)
    asked = explain(study, TARGET, UNMADE, "--jobs")
    lines = [line for line in asked.stdout.splitlines() if not line.startswith(" ")]
    assert lines[0].endswith(" would run; nothing has been started.")
    told = dict(line.split(": ", 1) for line in lines[1:])
    assert list(told) == ["index", "lay_out_latents", "encode", "standardize", "lay_out_reconstructions"]
    assert told["index"] == "1 of 1 data set, because of the settings of data set blobs: folds is 4, was 3"
    for rule in ("lay_out_latents", "encode"):
        assert told[rule].endswith(", because of the settings of autoencoder lossy: stride is 4, was 8")
    assert told["standardize"].endswith("what it is made from would be made again (encode and index)")
    assert told["lay_out_reconstructions"] == "1 of 1 store, because it was never made"
    assert f"  standardize: {TARGET}: what it is made from" in asked.stdout
    # Nothing has run.
    assert not (study / UNMADE).exists()


def test_changed_code_is_named_by_its_file(study: Path) -> None:
    configure(study, CONFIG)
    module = study / "src/pipeline/standardize.py"
    module.write_text(module.read_text() + CHANGE)
    asked = explain(study, TARGET)
    assert asked.stdout.splitlines()[1:] == ["standardize: 1 of 1 autoencoder, because pipeline/standardize.py changed"]


def test_what_code_alone_makes_run_can_be_found_out_first(study: Path) -> None:
    follows = Job("standardize", "b", f"{FOLLOWS} (index)", first=False)
    changed = Job("index", "a", "pipeline/index.py changed")
    words = ["--configfile", "study.yaml", "--", TARGET]
    (line,) = advice([changed, follows], words)
    assert f"snakemake --until index --configfile study.yaml -- {TARGET} first" in line
    # Alone, it would make all before it first.
    assert advice([changed, follows, Job("conclude", "c", "pipeline/conclude.py changed", first=False)], words) == [
        line
    ]
    # Nothing follows, or it was no code that changed.
    assert advice([changed], words) == []
    assert advice([Job("index", "a", "labels.csv changed"), follows], words) == []


def test_a_target_that_nothing_makes_is_one_sentence(study: Path) -> None:
    asked = explain(study, "results/nothing.csv")
    assert asked.returncode == 1
    assert asked.stdout == ""
    assert asked.stderr.startswith("error: No rule to produce results/nothing.csv")
    assert asked.stderr.count("\n") == 1


def test_a_wrong_entry_is_the_sentence_of_a_real_call(study: Path) -> None:
    configure(study, CONFIG | {"heads": {"knn": {"family": "knn", "neigbours": [3]}}})
    asked = explain(study)
    assert asked.stderr == "error: heads: knn: neigbours: there is no such key; did you mean 'neighbours'?\n"
    assert "Traceback" not in asked.stderr


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"title: \xff", "study.yaml cannot be read: 'utf-8' codec"), (None, "there is no file study.yaml")],
)
def test_a_configuration_that_is_no_text_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for part in ("Snakefile", "src"):
        Path(part).symlink_to(ROOT / part)
    if content is not None:
        Path("study.yaml").write_bytes(content)
    with pytest.raises(SystemExit, match=f"^error: {message}"):
        main(["explain", "--configfile", "study.yaml"])


def test_causes_are_counted_where_jobs_have_several() -> None:
    planned = [Job("train", f"{n}", "a" if n < 3 else "b") for n in range(5)] + [Job("all", "", "c")]
    assert sentences(planned, Counter(train=80, all=1)) == [
        "6 jobs of 81 would run; nothing has been started.",
        "train: 5 of 80 trained heads: 3 because a; 2 because b",
        "all: 1 of 1 job, because c",
    ]


@pytest.mark.parametrize(
    ("parameter", "wildcards", "expected"),
    [
        ("spec", {"dataset": "d", "autoencoder": "a", "space": "latent", "head": "h"}, "the settings of head h"),
        ("spec", {"dataset": "d", "autoencoder": "a", "shard": "0"}, "the settings of autoencoder a"),
        ("classes", {"dataset": "d", "autoencoder": "a", "head": "h"}, "the settings of data set d"),
        ("seeds", {"dataset": "d", "autoencoder": "a", "head": "h"}, "the study's settings"),
        ("spec", {}, "the study's settings"),
    ],
)
def test_a_parameter_is_said_of_its_entry(parameter: str, wildcards: dict[str, str], expected: str) -> None:
    assert causes.subject(parameter, wildcards) == expected


def test_settings_are_compared_key_by_key() -> None:
    old, new = {"a": 1, "b": [1, 2], "gone": 0}, {"a": 1, "b": [3], "new": "x"}
    assert causes.difference("spec", old, new) == "b is [3], was [1, 2]; gone is not set, was 0; new is x, was not set"
    assert causes.difference("seeds", [0], [0, 1]) == "seeds is [0, 1], was [0]"
    assert causes.difference("seeds", None, [0, 1]) == "seeds is [0, 1]"


def changed_job(before: list[Any], now: dict[str, Any]) -> list[str]:
    """Return what is said of a job whose recorded and present parameters these are."""
    old, new = {repr(value) for value in before}, {repr(value) for value in now.values()}
    change = SimpleNamespace(only_old=old - new, only_new=new - old)
    known = SimpleNamespace(params_changed=lambda job: change if old != new else None)
    return causes.parameters(SimpleNamespace(params=now, wildcards_dict={"dataset": "d"}), known)


def test_the_value_before_is_told_only_where_it_is_certain() -> None:
    assert changed_job([3], {"folds": 3}) == []
    assert changed_job([3, "x"], {"folds": 4, "task": "x"}) == ["of the settings of data set d: folds is 4, was 3"]
    # Either may have been 3.
    twice = changed_job([3, 5], {"folds": 4, "shards": 6})
    assert twice == ["of the settings of data set d: folds is 4", "of the settings of data set d: shards is 6"]
    specs = [json.dumps({"family": "a", "x": 1}), json.dumps({"other": 1})]
    found = changed_job(specs, {"spec": json.dumps({"family": "a", "x": 2}), "flags": json.dumps({"other": 1})})
    assert found == ["of the settings of data set d: x is 2, was 1"]
    assert changed_job(["--folds 1"], {}) == ["a setting was taken away"]


def test_files_are_told_by_what_they_mean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("results/latents/d/a").mkdir(parents=True)
    Path("results/latents/d/a/3.json").write_text('{"lost": true}')
    Manifest(0, 1, "", 1, {}).write(Path("results/latents/d/a/4.json"))
    program = programs.FOLDER / "encode/sources.json"
    program.parent.mkdir(parents=True)
    program.write_text(json.dumps(dict.fromkeys((f"pipeline/{name}.py" for name in "abcdef"), "")))
    assert causes.files([str(program)], 5) == ["the code that it runs changed"]
    seen = {f"pipeline/{name}.py": ["", "", 6] for name in "abcde"} | {"pipeline/f.py": ["", "", 4]}
    programs.SINCE.write_text(json.dumps(seen))
    assert causes.files([str(program)], 5) == ["pipeline/a.py, pipeline/b.py and 3 more changed"]
    assert causes.files(["results/latents/d/a/3.json", "results/latents/d/a/4.json"], 0) == [
        "the shard of results/latents/d/a/3.json was missing or damaged",
        "results/latents/d/a/4.json changed",
    ]
    assert causes.files(["results/inspected/d/0.sha256", "results/inspected/d/1.sha256"], 0) == [
        "image files of data set d changed"
    ]
    assert causes.files(["results/inspected/d.parquet"], 0) == [
        "labels, patients or the list of samples of data set d changed"
    ]
    assert causes.other_inputs({"a", "b"}, ["b", "c"]) == ["it is also made from a", "it is no longer made from c"]
