"""What can be used, in which fold: failures are dropped, duplicates kept together, leaks stopped."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import families
from pipeline import index as stage
from pipeline.datasets import DatasetSpec
from pipeline.errors import StudyError
from pipeline.index import merge_duplicates
from pipeline.summary import sentences

CLASSES = ["a", "b"]


def spec(**entry: object) -> DatasetSpec:
    plain = {"family": "folders", "root": "somewhere", "pixels": {"size": 8}, "classes": CLASSES, "folds": 3}
    read = families.spec("datasets", {**plain, **entry})
    assert isinstance(read, DatasetSpec)
    return read


def samples(**columns: object) -> pd.DataFrame:
    """Twelve patients with two images each; the first six have class a."""
    numbers = np.arange(24)
    plain = {"id": [f"s{k}" for k in numbers], "frame": 0, "patient": [f"p{k // 2}" for k in numbers]}
    labels = {"label:a": (numbers < 12).astype(np.int8), "label:b": (numbers >= 12).astype(np.int8)}
    return pd.DataFrame({**plain, "unit": [f"u{k}" for k in numbers], **columns, **labels})


def indexed(
    table: pd.DataFrame | None = None,
    same: dict[int, int] | None = None,
    bad: tuple[int, ...] = (),
    warnings: dict[str, int] | None = None,
    **entry: object,
) -> stage.Indexed:
    """Index samples of which some have the pixels of another, or none."""
    table = samples() if table is None else table
    pixels = pd.DataFrame({"id": table["id"], "pixels": [f"h{k}" for k in range(len(table))], "reason": ""})
    for row, other in (same or {}).items():
        pixels.loc[row, "pixels"] = pixels.loc[other, "pixels"]
    pixels.loc[list(bad), ["pixels", "reason"]] = ["", "broken"]
    mapping = pd.DataFrame({"id": table["id"], "path": [f"f{k}" for k in range(len(table))], "frame": 0, "reason": ""})
    mapping.loc[len(mapping)] = ["s99", "f99", 0, "the file is missing"]
    return stage.index(spec(**entry), table, pixels, mapping, {"notes": ["some left out"], "warnings": warnings or {}})


def test_every_sample_has_its_patients_fold() -> None:
    made = indexed()
    assert list(made.index) == ["id", "frame", "patient", "unit", "label:a", "label:b", "usable", "fold"]
    assert made.index.groupby("patient")["fold"].nunique().eq(1).all()
    assert set(made.index["fold"]) == {0, 1, 2}
    assert made.index["usable"].all()
    assert made.rejected.to_dict("list") == {"id": ["s99"], "path": ["f99"], "reason": ["the file is missing"]}


def test_what_could_not_be_decoded_is_listed_and_in_no_fold() -> None:
    made = indexed(bad=(3, 20))
    assert list(np.flatnonzero(~made.index["usable"])) == [3, 20]
    assert list(made.index["fold"][[3, 20]]) == [-1, -1]
    assert (made.index["fold"].drop([3, 20]) >= 0).all()
    assert list(made.rejected["path"]) == ["f99", "f3", "f20"]
    assert made.summary["refused"] == {"broken": 2, "the file is missing": 1}
    assert (made.summary["samples"], made.summary["files"]) == (22, 25)
    assert any("12% of the files are refused" in sentence for sentence in sentences(made.summary))


def test_one_is_no_many() -> None:
    told = sentences({**indexed().summary, "samples": 37, "patients": 1, "files": 1})
    assert told[0] == "37 samples of 1 patient; 1 of 1 file refused."


def test_a_study_of_which_nothing_can_be_decoded_says_why() -> None:
    with pytest.raises(StudyError, match="no file of somewhere can be decoded; the first reason: the file is missing"):
        indexed(bad=tuple(range(24)))


def test_images_of_other_samples_are_noticed() -> None:
    pixels = pd.DataFrame({"id": ["x"] * 24, "pixels": "h", "reason": ""})
    with pytest.raises(StudyError, match="not those of the samples that were listed"):
        stage.index(spec(), samples(), pixels, pd.DataFrame(), {})


def test_patients_that_share_an_image_share_a_fold_and_are_counted() -> None:
    made = indexed(same={2: 0, 12: 3, 5: 4})
    assert len(set(made.index["patient"].iloc[[0, 1, 2, 3, 12, 13]])) == 1
    assert made.index["patient"].nunique() == 10
    assert made.index.groupby("patient")["fold"].nunique().eq(1).all()
    assert (made.summary["duplicates"], made.summary["merged_patients"]) == (3, 2)
    assert made.summary["contradictions"] == 1
    told = " ".join(sentences(made.summary))
    assert (
        "same pixels as an earlier one: 3 samples; who share an image with another, and therefore a fold: 2 pat" in told
    )
    assert "More than once, with different labels: 1 image." in told


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 9)), min_size=1, max_size=30))
def test_no_pixels_are_in_two_groups(rows: list[tuple[int, int]]) -> None:
    patients, pixels = (pd.Series([str(row[side]) for row in rows]) for side in (0, 1))
    groups, merged = merge_duplicates(patients, pixels)
    assert groups.groupby(pixels).nunique().eq(1).all()
    assert groups.groupby(patients).nunique().eq(1).all()
    assert merged == patients.nunique() - groups.nunique()


def test_what_has_no_pixels_is_no_duplicate() -> None:
    assert indexed(bad=(0, 2, 4)).summary["merged_patients"] == 0


def parts(*of: str) -> list[str]:
    """Give two patients of each class to each part, cyclically."""
    return [of[(k // 2) % len(of)] for k in range(24)]


def test_an_official_split_is_used_once() -> None:
    made = indexed(samples(part=parts("train", "validation", "test")))
    fold = {"test": 0, "validation": 1, "train": 2}
    assert list(made.index["fold"]) == [fold[part] for part in made.index["part"]]
    assert made.summary["split"] == "official parts"


def test_an_official_split_without_validation_takes_it_from_training_patients() -> None:
    made = indexed(samples(part=parts("train", "test", "train")))
    assert set(made.index["part"]) == {"train", "validation", "test"}
    assert (made.index["part"] == "test").sum() == 8
    assert made.index.groupby("patient")["part"].nunique().eq(1).all()


def test_official_folds_are_kept() -> None:
    fold = [(k // 2) % 4 for k in range(24)]
    made = indexed(samples(fold=fold), folds=4)
    assert list(made.index["fold"]) == fold
    assert made.summary["split"] == "official folds"


@pytest.mark.parametrize("column", ["part", "fold"])
def test_the_same_pixels_on_two_sides_of_an_official_split_stop_the_study(column: str) -> None:
    values: dict[str, list[Any]] = {
        "part": parts("train", "validation", "test"),
        "fold": [(k // 2) % 3 for k in range(24)],
    }
    with pytest.raises(StudyError, match=f"4 samples .* share an image, are in two official {column}s") as caught:
        indexed(samples(**{column: values[column]}), same={4: 0})
    assert not any(name in caught.value.message for name in ("f0", "f4"))
    assert caught.value.detail == f"f0 in {values[column][0]} and f4 in {values[column][4]}"


def test_leaking_training_samples_are_dropped_on_request_and_counted() -> None:
    table = samples(part=parts("train", "validation", "test"))
    made = indexed(table, same={4: 0, 20: 18}, leaks="drop")
    # Sample 0 (train) has the pixels of 4 (test), 18 (train) those of 20 (validation): their patients are dropped.
    assert list(np.flatnonzero(made.index["fold"] == -1)) == [0, 1, 18, 19]
    assert made.summary["dropped"] == 4
    assert "another side of the split: 4 samples." in " ".join(sentences(made.summary))
    used = made.index[made.index["fold"] >= 0]
    assert used.groupby("patient")["part"].nunique().eq(1).all()


def test_unlabelled_samples_keep_their_place_and_are_counted() -> None:
    table = samples()
    table.loc[[0, 1, 22], ["label:a", "label:b"]] = -1
    made = indexed(table)
    assert made.summary["unlabelled"] == 3
    assert (made.index["fold"] >= 0).all()
    assert made.summary["positive"] == {"a": 10, "b": 11}


def test_data_without_labels_have_no_folds() -> None:
    made = indexed(samples().drop(columns=["label:a", "label:b"]), classes=[])
    assert "fold" not in made.index
    assert "No labels" in " ".join(sentences(made.summary))


def test_a_declared_class_without_samples_and_one_with_too_few_patients_are_named() -> None:
    with pytest.raises(StudyError, match="class 'c' has 0 patients"):
        indexed(samples().assign(**{"label:c": np.int8(0)}), classes=["a", "b", "c"])
    with pytest.raises(StudyError, match="class 'a' has 6 patients, which is too few for 7 folds"):
        indexed(folds=7)
    with pytest.raises(StudyError, match="do not have the same classes"):
        indexed(classes=["a", "c"])


def test_a_series_is_scored_as_one_only_if_its_samples_agree() -> None:
    pairs = [f"u{k // 2}" for k in range(24)]
    assert indexed(samples(unit=pairs), unit="series").index["unit"].nunique() == 12
    with pytest.raises(StudyError, match="samples of a series have different patients; set 'unit' to image"):
        indexed(samples(unit=[f"u{k // 3}" for k in range(24)]), unit="series")
    table = samples(unit=pairs)
    table.loc[3, ["label:a", "label:b"]] = -1
    with pytest.raises(StudyError, match="different labels") as caught:
        indexed(table, unit="series")
    assert caught.value.detail == "f2"


def test_the_program_writes_names_to_private_only(tmp_path: Path) -> None:
    table = samples()
    table.to_parquet(tmp_path / "inspected.parquet", index=False)
    pixels = pd.DataFrame({"id": table["id"], "pixels": [f"h{k}" for k in range(24)], "reason": ""})
    pixels.loc[5, ["pixels", "reason"]] = ["", "broken"]
    for shard in range(2):
        pixels.iloc[12 * shard : 12 * shard + 12].to_parquet(tmp_path / f"{shard}.parquet", index=False)
    mapping = pd.DataFrame({"id": table["id"], "path": [f"Erika/{k}" for k in range(24)], "frame": 0, "reason": ""})
    mapping.to_csv(tmp_path / "mapping.csv", index=False)
    (tmp_path / "remarks.json").write_text('{"notes": ["three left out"], "warnings": {"look": 2}}')
    arguments = ["--spec", spec().written(), "--inspected", str(tmp_path / "inspected.parquet")]
    arguments += ["--remarks", str(tmp_path / "remarks.json"), "--mapping", str(tmp_path / "mapping.csv")]
    arguments += ["--pixels", str(tmp_path / "0.parquet"), str(tmp_path / "1.parquet")]
    arguments += ["--index", str(tmp_path / "results/i.parquet"), "--rejected", str(tmp_path / "results/r.csv")]
    arguments += ["--summary", str(tmp_path / "results/s.json"), "--rejected-paths", str(tmp_path / "private/r.csv")]
    command = [sys.executable, "-m", "pipeline.index", *arguments]
    subprocess.run(command, check=True)
    telling = [sys.executable, "-m", "pipeline.summary", "--summary", str(tmp_path / "results/s.json")]
    called = subprocess.run(telling, capture_output=True, text=True, check=True)
    assert "23 samples of 12 patients; 1 of 24 files refused." in called.stderr
    assert "2 files: look." in called.stderr
    assert "three left out." in called.stderr
    for path in (tmp_path / "results").iterdir():
        assert b"Erika" not in path.read_bytes()
    assert list(pd.read_csv(tmp_path / "results/r.csv")) == ["id", "reason"]
    assert pd.read_csv(tmp_path / "private/r.csv")["path"].tolist() == ["Erika/5"]
