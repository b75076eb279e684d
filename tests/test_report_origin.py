"""Where a study comes from is said completely, and without what belongs to the machine or to patients."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import provenance
from pipeline.files import sha256
from pipeline.report import origin
from pipeline.weights import Table
from pipeline.written import HIDDEN, shown
from tests.report_exhibits import ORIGIN
from tests.report_rows import cells, parsed

ABOUT = {"split": "folds", "duplicates": 2, "merged_patients": 0, "contradictions": 1, "dropped": 0}


def index(**changes: Any) -> pd.DataFrame:  # noqa: ANN401 - columns of any kind
    """Twelve samples of six patients in three folds, two classes."""
    rows = np.arange(12)
    table = pd.DataFrame(
        {"id": [f"{row:016x}" for row in rows], "frame": 0, "patient": [f"p{row // 2}" for row in rows]}
    )
    table = table.assign(usable=True, fold=rows // 4, **{"label:a": rows % 2, "label:b": 1 - rows % 2})
    return table.assign(**changes)


def results(folder: Path) -> Path:
    (folder / "index").mkdir()
    index().to_parquet(folder / "index/chest.parquet")
    (folder / "index/chest.json").write_text(json.dumps(ABOUT))
    known = Table.read().root["kl"].files["config.json"].sha256
    for name, files in (("kl", [known, "f" * 64]), ("identity", [])):
        manifest = folder / "latents/chest" / name / "0.json"
        manifest.parent.mkdir(parents=True)
        manifest.write_text(json.dumps({"made_by": {"files": files, "spec": {"family": f"of-{name}"}}}))
    (folder / "gap_table.csv").write_text("a,b\n")
    return folder


def test_weights_are_told_by_the_hash_that_made_the_latents(tmp_path: Path) -> None:
    found = provenance.origin({"title": "x"}, results(tmp_path), ["chest"], tmp_path / "gap_table.csv")
    listed, other = found.weights
    assert (listed.autoencoder, listed.family, listed.file) == ("kl", "of-kl", "kl/config.json")
    assert listed.source == "shipped with this project"
    assert (other.sha256, other.file, other.source) == ("f" * 64, "", "")
    assert found.tables == {"gap_table.csv": sha256(tmp_path / "gap_table.csv")}
    assert found.software["numpy"] == np.__version__
    assert re.fullmatch("[0-9a-f]{40}(-dirty)?|not a git checkout", found.software["this workflow, commit"])
    page = origin.section(found)
    parsed(page)
    assert "not in the table of weights" in page


def test_folds_are_counted() -> None:
    found = list(provenance.folds(index(usable=np.arange(12) != 0), "folds"))
    assert [(fold.name, fold.samples, fold.patients) for fold in found] == [
        ("fold 0", 3, 2),
        ("fold 1", 4, 2),
        ("fold 2", 4, 2),
    ]
    assert found[0].classes == {"a": 2, "b": 1}
    assert [fold.name for fold in provenance.folds(index(), provenance.OFFICIAL)] == ["test", "validation", "train"]


def test_a_leak_is_found() -> None:
    clean = {check.what: check for check in provenance.checks(index(), ABOUT)}
    assert clean["patients in more than one fold"].passed
    assert not clean["images that occur with different labels"].passed
    leaking = index()
    leaking.loc[0, "patient"] = "p5"
    found = {check.what: check for check in provenance.checks(leaking, ABOUT)}
    assert (found["patients in more than one fold"].count, found["patients in more than one fold"].passed) == (1, False)
    twice = index(id="x")
    assert {check.what: check.count for check in provenance.checks(twice, ABOUT)}[
        "samples that stand there twice"
    ] == 11
    missing = index(**{"label:a": (np.arange(12) >= 4).astype(int)})
    assert {check.what: check.count for check in provenance.checks(missing, ABOUT)}[
        "tested folds that lack a class"
    ] == 1
    assert "2: look at this" in origin.section(ORIGIN)


@settings(deadline=None)
@given(st.text())
def test_a_path_of_the_machine_is_never_shown(name: str) -> None:
    for path in (f"/data/{name}", f"~/{name}", "${DATA}/x", f"C:\\{name}", f"{name}/labels.csv", "table.csv"):
        written = origin.written(shown({"datasets": {"chest": {"root": path, "files": [path]}}}))
        assert yaml.safe_load(written) == {"datasets": {"chest": {"root": HIDDEN, "files": [HIDDEN]}}}


@pytest.mark.parametrize("value", ["resources/weights/kl", "results/benchmarks/chest", "resnet10t", 3, None, True, 0.5])
def test_everything_else_is_shown_as_it_was_written(value: object) -> None:
    assert shown({"a": [value]}) == {"a": [value]}


def test_the_shipped_configurations_are_shown_without_their_paths() -> None:
    for path in sorted(Path("config").glob("*.yaml")):
        text = origin.written(shown(yaml.safe_load(path.read_text())))
        assert "${" not in text
        assert yaml.safe_load(text)["title"]


def test_the_table_of_checks_has_a_column_for_each_data_set() -> None:
    lines = cells(origin.section(ORIGIN))
    assert lines[0] == ["what", "chest", "skin"]
    assert ["patients in more than one fold", "0", "0"] in lines
    assert ["samples that stand there twice", "2: look at this", "\u2013"] in lines


def test_folds_stand_side_by_side_and_their_classes_below_one_another() -> None:
    page = origin.section(ORIGIN)
    parsed(page)
    lines = cells(page.split("<summary>Folds</summary>")[1].split("</table>")[0])
    assert lines[0] == ["what", "fold 0", "fold 1"]
    assert lines[2:] == [
        ["samples", "61", "59"],
        ["patients", "15", "14"],
        ["samples: a", "31", "29"],
        ["samples: b", "30", "30"],
    ]


def test_a_data_set_without_labels_has_no_folds_and_is_told_all_the_same(tmp_path: Path) -> None:
    folder = results(tmp_path)
    index().drop(columns=["fold", "label:a", "label:b"]).to_parquet(folder / "index/chest.parquet")
    (folder / "index/chest.json").write_text(json.dumps({"duplicates": 1}))
    found = provenance.origin({}, folder, ["chest"], folder / "gap_table.csv")
    assert [(fold.name, fold.samples) for fold in found.folds["chest"]] == [("in no fold", 12)]
    assert {check.what: check.count for check in found.checks["chest"]}["samples that stand there twice"] == 0
    parsed(origin.section(found))


def test_the_official_split_is_called_as_the_stage_index_calls_it() -> None:
    source = (Path(provenance.__file__).parent / "index.py").read_text()
    assert 'f"official {column}s" for column in ("part", "fold")' in source
    assert provenance.OFFICIAL == "official parts"
