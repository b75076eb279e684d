"""Paths that files name are never trusted: nothing outside of a data set's folder is opened or written."""

import copy
import csv
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pydicom.data import get_testdata_file

from pipeline import families, inventory
from pipeline.datasets import DatasetSpec, is_inside
from pipeline.errors import StudyError
from tests.studies import STUDY, call, configure, run, tiny

HIDDEN = "of-nobodys-business"
OUTSIDE = [
    f"../{HIDDEN}.png",
    f"dim/../../{HIDDEN}.png",
    f"dim/dim-00/../../../{HIDDEN}.png",
    "..",
    f"/{HIDDEN}.png",
    f"//{HIDDEN}.png",
    f"..\\{HIDDEN}.png",
    f"dim\\..\\..\\{HIDDEN}.png",
    f"C:\\{HIDDEN}.png",
    f"dim/{HIDDEN}.png\0.dcm",
]


@given(st.text(st.sampled_from("ab./\\\0 ~$"), max_size=12))
def test_what_is_inside_stays_inside(path: str) -> None:
    if is_inside(path):
        resolved = os.path.normpath(f"/data/set/{path}")
        assert resolved == "/data/set" or resolved.startswith("/data/set/")
        assert "\0" not in path


@pytest.mark.parametrize("path", OUTSIDE)
def test_a_path_that_leaves_the_folder_is_not_inside(path: str) -> None:
    assert not is_inside(path)


@pytest.mark.parametrize("path", ["a.png", "a/b.png", "a..b/c..png", "...", "a/.b", "-", "~/a", "$HOME/a"])
def test_ordinary_and_odd_names_are_inside(path: str) -> None:
    assert is_inside(path)


def listed(folder: Path, path: str) -> None:
    """Let the family `filelist` list a path beside a good one."""
    with (folder / "labels.csv").open("w", newline="") as file:
        rows = [["path", "id", "label"], ["a/1.png", "p1", "a"], ["b/2.png", "p2", "b"], [path, "p3", "b"]]
        csv.writer(file).writerows(rows)
    entry = {"family": "filelist", "root": str(folder), "labels": str(folder / "labels.csv")}
    entry |= {"pixels": {"size": 16}, "classes": ["a", "b"]}
    spec = families.spec("datasets", entry)
    assert isinstance(spec, DatasetSpec)
    spec.listed(["a/1.png", "b/2.png"])


@pytest.mark.parametrize("path", OUTSIDE)
def test_a_label_file_that_names_a_path_outside_stops_the_study(path: str, tmp_path: Path) -> None:
    with pytest.raises(StudyError) as caught:
        listed(tmp_path, path)
    assert "outside" in caught.value.message or "not a CSV" in caught.value.message
    assert HIDDEN not in caught.value.message


def from_table(folder: Path, extra: list[str]) -> dict[str, Any]:
    """Write a label table of all images and of other paths; return the study that uses it."""
    paths = sorted(path.relative_to(folder / "images").as_posix() for path in (folder / "images").glob("*/*/*"))
    with (folder / "labels.csv").open("w", newline="") as file:
        rows = [[path, path.split("/")[1], path.split("/")[0]] for path in paths]
        rows += [[path, f"extra-{number}", "dim"] for number, path in enumerate(extra)]
        csv.writer(file).writerows([["path", "id", "label"], *rows])
    study = copy.deepcopy(STUDY)
    study["datasets"]["blobs"] |= {"family": "filelist", "labels": "labels.csv", "label_column": "label"}
    configure(folder, study)
    return study


def test_the_command_line_stops_at_a_path_outside_and_does_not_tell_it(tmp_path: Path) -> None:
    tiny(tmp_path)
    Image.fromarray(np.full((16, 16), 99, np.uint8)).save(tmp_path / f"{HIDDEN}.png")
    from_table(tmp_path, [f"../{HIDDEN}.png"])
    finished = call(tmp_path, "--cores", "2", "--", "results/index/blobs.parquet")
    assert finished.returncode != 0
    assert "outside the data set's folder" in finished.stdout
    assert HIDDEN not in finished.stdout
    assert HIDDEN in (tmp_path / "private/errors.txt").read_text()


def test_a_second_spelling_of_a_path_is_no_second_file(tmp_path: Path) -> None:
    tiny(tmp_path)
    from_table(tmp_path, ["./dim/dim-00/0.png", "dim//dim-00/0.png", "dim/./dim-00/0.png", "dim/dim-00/0.png/"])
    run(tmp_path, "results/index/blobs.parquet")
    rejected = pd.read_csv(tmp_path / "private/blobs.rejected.csv")
    assert rejected["reason"].tolist() == ["the file is missing"] * 4
    assert len(pd.read_parquet(tmp_path / "results/index/blobs.parquet")) == 48


def test_a_link_to_what_is_no_image_is_refused_and_its_content_told_nowhere(tmp_path: Path) -> None:
    folder = tmp_path / "study"
    folder.mkdir()
    tiny(folder)
    (tmp_path / "secret").write_text(HIDDEN * 100)
    (folder / "images/dim/dim-00/link.png").symlink_to(tmp_path / "secret")
    (folder / "images/dim/dim-00/nowhere.png").symlink_to(tmp_path / "absent")
    (folder / "images/dim/dim-00/device.png").symlink_to("/dev/zero")
    run(folder, "results/index/blobs.parquet")
    refused = pd.read_csv(folder / "private/blobs.rejected.csv").set_index("path")["reason"]
    assert sorted(refused.index) == [f"dim/dim-00/{name}.png" for name in ("device", "link", "nowhere")]
    told = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    assert not [path for path in told if HIDDEN.encode() in path.read_bytes()]


def test_a_link_to_a_folder_above_stops_the_listing(tmp_path: Path) -> None:
    (tmp_path / "images/a").mkdir(parents=True)
    (tmp_path / "images/a/up").symlink_to(tmp_path / "images")
    with pytest.raises(StudyError, match="a link to one above it"):
        inventory.scan(tmp_path / "images")


@pytest.mark.parametrize("name", ["a,b.png", 'a"b.png', "a\nb.png", "a\rb.png"])
def test_a_name_that_would_break_the_inventory_stops_the_listing(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(StudyError) as caught:
        inventory.scan(tmp_path)
    assert name not in caught.value.message


@pytest.mark.parametrize("name", ["../evil", "a/b", ".", "..", "/tmp/evil", "a b", "a\\b", ""])  # noqa: S108
@pytest.mark.parametrize("section", ["datasets", "autoencoders", "heads"])
def test_a_name_in_the_configuration_that_is_a_path_is_refused(name: str, section: str) -> None:
    from pipeline.study import Study

    study = copy.deepcopy(STUDY)
    entry = next(iter(study[section].values()))
    study[section][name] = entry
    with pytest.raises(StudyError):
        Study(study)


def test_no_path_is_made_of_what_a_header_says(tmp_path: Path) -> None:
    folder = tmp_path / "deep/er/study"
    folder.mkdir(parents=True)
    tiny(folder)
    for name, levels in {"dim": 0, "bright": 200}.items():
        for number in range(4):
            scan = pydicom.dcmread(str(get_testdata_file("CT_small.dcm")))
            scan.PixelData = (scan.pixel_array + levels + number).tobytes()
            up = "../" * (number + 1)
            for keyword in ("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
                setattr(scan, keyword, f"{up}{HIDDEN}-{name}-{number}")
            scan.save_as(folder / f"images/{name}/{number}.dcm")
    for path in list((folder / "images").glob("*/*/*")):
        path.unlink()
    study = copy.deepcopy(STUDY)
    study["datasets"]["blobs"] |= {"family": "dicom-series", "key": "patient", "labels": "labels.csv", "spacing": "any"}
    study["datasets"]["blobs"] |= {"label_column": "label"}
    with (folder / "labels.csv").open("w", newline="") as file:
        ids = [[f"{'../' * (n + 1)}{HIDDEN}-{name}-{n}", name] for name in ("dim", "bright") for n in range(4)]
        csv.writer(file).writerows([["PatientID", "label"], *ids])
    configure(folder, study)
    before = set(tmp_path.rglob("*"))
    run(folder, "results/index/blobs.parquet")
    made = set(tmp_path.rglob("*")) - before
    assert made
    assert all(path.is_relative_to(folder) for path in made)
    assert not list(tmp_path.rglob(f"*{HIDDEN}*"))
    assert len(pd.read_parquet(folder / "results/index/blobs.parquet")) == 8
