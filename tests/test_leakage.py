"""No patient and no image on both sides of a split: the real command line stops, groups or drops, and says how many."""

import copy
import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.studies import STUDY, call, configure, run, tiny

INDEX = "results/index/blobs.parquet"
PARTS = ("train", "train", "val", "test")


def study(**changes: object) -> dict[str, Any]:
    """Return the tiny study with a table of labels and official parts."""
    out = copy.deepcopy(STUDY)
    out["datasets"]["blobs"] |= {"family": "filelist", "labels": "labels.csv", "label_column": "label", **changes}
    return out


def rows(folder: Path) -> list[dict[str, str]]:
    """Return a table of the images; each patient is in one part, and each part has both classes."""
    paths = sorted(path.relative_to(folder / "images").as_posix() for path in (folder / "images").glob("*/*/*"))
    patients = {path: path.split("/")[1] for path in paths}
    part = {patient: PARTS[int(patient.split("-")[1]) % len(PARTS)] for patient in patients.values()}
    return [
        {"path": path, "id": patients[path], "label": path.split("/")[0], "Split": part[patients[path]]}
        for path in paths
    ]


def write(folder: Path, table: list[dict[str, str]]) -> None:
    with (folder / "labels.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(table[0]))
        writer.writeheader()
        writer.writerows(table)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A study with official parts in which nothing leaks."""
    tiny(tmp_path, study())
    write(tmp_path, rows(tmp_path))
    return tmp_path


def stopped(folder: Path) -> str:
    """Return what a call printed that must fail, and must not have trained anything."""
    finished = call(folder, "--cores", "2", "--", "results/gap_table.csv")
    assert finished.returncode != 0, finished.stdout
    assert "Traceback" not in finished.stdout
    assert not (folder / "results/heads").exists()
    assert not (folder / INDEX).exists()
    return finished.stdout


def indexed(folder: Path) -> tuple[pd.DataFrame, dict[str, Any], str]:
    """Return the index, its summary and its log, after making it."""
    run(folder, INDEX)
    summary: dict[str, Any] = json.loads((folder / "results/index/blobs.json").read_text())
    return pd.read_parquet(folder / INDEX), summary, (folder / "logs/index/blobs.log").read_text()


def require_no_leak(table: pd.DataFrame) -> None:
    used = table[table["fold"] >= 0] if "part" not in table else table[table["part"].notna()]
    sides = used.groupby("patient")["part" if "part" in used else "fold"].nunique()
    assert (sides == 1).all()


def samples_of(folder: Path, table: pd.DataFrame, path: str) -> pd.DataFrame:
    mapping = pd.read_csv(folder / "private/blobs.mapping.csv")
    return table[table["id"].isin(mapping[mapping["path"] == path]["id"])]


def test_official_parts_in_which_nothing_leaks_are_kept(folder: Path) -> None:
    table, summary, _ = indexed(folder)
    require_no_leak(table)
    assert summary["split"] == "official parts"
    assert summary["dropped"] == summary["merged_patients"] == 0
    assert table["part"].value_counts().to_dict() == {"train": 24, "validation": 12, "test": 12}


def test_a_patient_in_two_official_parts_stops_the_run(folder: Path) -> None:
    table = rows(folder)
    assert [row["Split"] for row in table[:2]] == ["train", "train"]
    table[1]["Split"] = "test"
    write(folder, table)
    printed = stopped(folder)
    assert "a patient is in two official parts" in printed
    assert table[0]["id"] not in printed
    assert table[1]["path"] in (folder / "private/errors.txt").read_text()


def test_a_patient_in_two_official_parts_loses_its_training_samples_on_demand(folder: Path) -> None:
    table = rows(folder)
    table[1]["Split"] = "test"
    write(folder, table)
    configure(folder, study(leaks="drop"))
    index, summary, log = indexed(folder)
    require_no_leak(index)
    assert summary["dropped"] == 1
    assert "another side of the split: 1 sample." in log
    assert samples_of(folder, index, table[0]["path"])["part"].isna().all()
    assert samples_of(folder, index, table[1]["path"])["part"].eq("test").all()


def copy_image(folder: Path, source: str, target: str) -> None:
    shutil.copy(folder / "images" / source, folder / "images" / target)


def test_the_same_pixels_under_two_patients_share_a_fold_and_are_counted(folder: Path) -> None:
    copy_image(folder, "dim/dim-00/0.png", "dim/dim-05/1.png")
    copy_image(folder, "bright/bright-02/0.png", "bright/bright-03/0.png")
    copy_image(folder, "bright/bright-02/1.png", "bright/bright-07/1.png")
    configure(folder, study(split="folds"))
    table, summary, log = indexed(folder)
    require_no_leak(table)
    assert summary["merged_patients"] == 3
    assert summary["duplicates"] == 3
    assert "who share an image with another, and therefore a fold: 3 patients." in log
    first = samples_of(folder, table, "dim/dim-00/0.png")
    second = samples_of(folder, table, "dim/dim-05/0.png")
    assert first["fold"].tolist() == second["fold"].tolist()
    trio = [samples_of(folder, table, f"bright/bright-{n}/0.png")["fold"].item() for n in ("02", "03", "07")]
    assert len(set(trio)) == 1


def test_the_same_pixels_in_another_file_format_are_the_same_pixels(folder: Path) -> None:
    from PIL import Image

    with Image.open(folder / "images/dim/dim-00/0.png") as image:
        image.save(folder / "images/dim/dim-05/1.png", compress_level=0)
    configure(folder, study(split="folds"))
    _, summary, _ = indexed(folder)
    assert summary["merged_patients"] == 1


def test_the_same_pixels_across_an_official_split_stop_the_run(folder: Path) -> None:
    # Patient 0 trains, patient 3 tests.
    copy_image(folder, "dim/dim-00/0.png", "dim/dim-03/1.png")
    printed = stopped(folder)
    assert "share an image" in printed
    assert "dim-00" not in printed
    errors = (folder / "private/errors.txt").read_text()
    assert "dim-00" in errors
    assert "dim-03" in errors


def test_the_same_pixels_across_an_official_split_are_dropped_on_demand(folder: Path) -> None:
    copy_image(folder, "dim/dim-00/0.png", "dim/dim-03/1.png")
    configure(folder, study(leaks="drop"))
    table, summary, _ = indexed(folder)
    require_no_leak(table)
    assert summary["merged_patients"] == 1
    # Both training images of the patient who shares one, since the other shows the same person.
    assert summary["dropped"] == 2
    assert samples_of(folder, table, "dim/dim-00/1.png")["part"].isna().all()
    assert samples_of(folder, table, "dim/dim-03/0.png")["part"].eq("test").all()


def test_the_same_pixels_across_official_folds_stop_the_run(folder: Path) -> None:
    table = [{**row, "fold": str(int(row["id"].split("-")[1]) % 3)} for row in rows(folder)]
    for row in table:
        del row["Split"]
    write(folder, table)
    configure(folder, study(fold_column="fold"))
    copy_image(folder, "dim/dim-00/0.png", "dim/dim-04/1.png")
    assert "share an image" in stopped(folder)


def test_one_patient_under_two_classes_stays_in_one_fold(folder: Path) -> None:
    table = rows(folder)
    for row in table:
        row["id"] = row["id"].split("-")[1]
    write(folder, table)
    configure(folder, study(split="folds"))
    index, _, _ = indexed(folder)
    require_no_leak(index)
    assert index["patient"].nunique() == 12


def test_what_was_dropped_is_on_the_page(folder: Path) -> None:
    copy_image(folder, "dim/dim-00/0.png", "dim/dim-03/1.png")
    configure(folder, study(leaks="drop"))
    run(folder, "results/report.html")
    page = (folder / "results/report.html").read_text()
    assert "Dropped, since their patient or image is on another side of the split: 2 samples." in page
