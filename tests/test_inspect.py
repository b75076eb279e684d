"""Which samples there are, of whom; hashes in place of names; each header read once."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline import families, headers, inventory
from pipeline import inspect as stage
from pipeline.datasets import DatasetSpec
from pipeline.errors import StudyError
from pipeline.identifiers import Salt
from pipeline.labels import of
from tests.image_files import dicom, png

SALT = "3c1f"
NAME = "Mustermann-Erika-1964"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two classes of six patients with two images each."""
    for number, label in enumerate(["a", "b"]):
        for patient in range(6):
            for image in range(2):
                name = f"data/{label}/{NAME}-{label}{patient}/{image}.png"
                png(tmp_path / name, 100 * number + 10 * patient + image)
    return tmp_path / "data"


def spec(root: Path, **entry: object) -> DatasetSpec:
    plain = {"family": "folders", "root": str(root), "pixels": {"size": 8}, "classes": ["a", "b"], "folds": 3}
    read = families.spec("datasets", {**plain, **entry})
    assert isinstance(read, DatasetSpec)
    return read


def inspected(root: Path, salt: str = SALT, **entry: object) -> stage.Inspected:
    private = root.parent / "private"
    inventory.refresh(root, private / "inventory.csv")
    read, key = spec(root, **entry), Salt(salt)
    memory = headers.Memory(private / "headers.parquet", read.pixels, key)
    return stage.inspect(read, inventory.read(private / "inventory.csv"), key, memory, 1)


@pytest.mark.usefixtures("in_process")
def test_one_row_a_sample_with_its_label(root: Path) -> None:
    made = inspected(root)
    assert list(made.samples) == ["id", "frame", "patient", "unit", "label:a", "label:b"]
    assert [made.samples[name].nunique() for name in ("id", "patient", "unit")] == [24, 12, 24]
    assert list(made.mapping["id"]) == list(made.samples["id"])
    shown = ["ab"[number] for number in of(made.samples, ["a", "b"]).argmax(axis=1)]
    assert [path.split("/")[0] for path in made.mapping["path"]] == shown
    assert not made.mapping["reason"].any()


@pytest.mark.usefixtures("in_process")
def test_the_salt_changes_hashes_and_nothing_else(root: Path) -> None:
    one, other = inspected(root, "one"), inspected(root, "other")
    for name in ("id", "patient", "unit"):
        assert not set(one.samples[name]) & set(other.samples[name])
    for name in ("label:a", "label:b", "frame"):
        pd.testing.assert_series_equal(one.samples[name], other.samples[name])
    np.testing.assert_array_equal(*(pd.factorize(made.samples["patient"])[0] for made in (one, other)))
    pd.testing.assert_frame_equal(one.mapping.drop(columns="id"), other.mapping.drop(columns="id"))
    pd.testing.assert_frame_equal(one.samples, inspected(root, "one").samples)


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize(
    ("frames", "chosen"), [(None, [0, 1, 2, 3, 4]), (3, [0, 2, 4]), (1, [0]), (9, [0, 1, 2, 3, 4])]
)
def test_frames_of_a_file_are_samples_of_its_patient_and_unit(
    tmp_path: Path, frames: int | None, chosen: list[int]
) -> None:
    dicom(tmp_path / "data/clip.dcm", NAME, 5, 0)
    made = inspected(tmp_path / "data", patients="dicom", classes=[], frames=frames).samples
    assert list(made["frame"]) == chosen
    assert made["id"].nunique() == len(chosen)
    assert (made["patient"].nunique(), made["unit"].nunique()) == (1, 1)
    assert list(made) == ["id", "frame", "patient", "unit"]


@pytest.mark.usefixtures("in_process")
def test_files_without_a_sound_header_are_refused_with_reasons_and_the_rest_goes_on(root: Path, tmp_path: Path) -> None:
    (root / f"b/{NAME}-b0/0.png").write_text("no image")
    (root / f"b/{NAME}-b0/2.png").symlink_to(tmp_path / "nowhere")
    rows = [f"{path.relative_to(root)},{path.parent.name},{path.parts[-3]}" for path in sorted(root.rglob("*.png"))]
    (tmp_path / "labels.csv").write_text("path,id,label\n" + "\n".join([*rows, "a/gone.png,p,a"]) + "\n")
    made = inspected(root, family="filelist", labels=str(tmp_path / "labels.csv"), label_column="label")
    refused = made.mapping[made.mapping["reason"] != ""]
    assert len(made.samples) == 23
    assert list(made.mapping["id"].iloc[:23]) == list(made.samples["id"])
    reasons = dict(zip(refused["path"].str.split("/").str[-1], refused["reason"], strict=True))
    assert reasons["gone.png"] == "the file is missing"
    assert reasons["2.png"] == "the file cannot be opened: FileNotFoundError"
    assert reasons["0.png"].startswith("not a DICOM")
    assert not set(refused["id"]) & set(made.samples["id"])


@pytest.mark.usefixtures("in_process")
def test_a_study_without_a_readable_file_says_why(tmp_path: Path) -> None:
    (tmp_path / "data/p").mkdir(parents=True)
    with pytest.raises(StudyError, match="the data set lists none"):
        inspected(tmp_path / "data", classes=[])
    (tmp_path / "data/p/0.png").write_text("no image")
    with pytest.raises(StudyError, match=r"no file of .* can be read; the first reason: not a DICOM"):
        inspected(tmp_path / "data", classes=[])


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize("patient", ["", "   "])
def test_a_file_that_does_not_say_whose_it_is_stops_the_study(tmp_path: Path, patient: str) -> None:
    dicom(tmp_path / "data/1.dcm", patient, 1, 0)
    with pytest.raises(StudyError, match="says whose the file is") as caught:
        inspected(tmp_path / "data", patients="dicom", classes=[])
    assert caught.value.detail.endswith("data/1.dcm")


@pytest.mark.usefixtures("in_process")
def test_an_undeclared_label_stops_the_study_and_its_file_is_named_apart(root: Path) -> None:
    png(root / f"c/{NAME}-c0/0.png", 7)
    with pytest.raises(StudyError, match="a label that is neither among the declared classes") as caught:
        inspected(root)
    assert NAME not in caught.value.message
    assert NAME in caught.value.detail
    assert caught.value.detail.endswith("the label 'c'")


def listed(root: Path, column: str, value: Callable[[str, int], object], **entry: object) -> stage.Inspected:
    """Inspect with an official split, given by a patient's name and an image's number."""
    paths = [path.relative_to(root) for path in sorted(root.rglob("*.png"))]
    lines = [f"{path},{path.parts[1]},{path.parts[0]},{value(path.parts[1][-1], int(path.stem))}" for path in paths]
    table = root.parent / "labels.csv"
    table.write_text(f"path,id,label,{column}\n" + "\n".join(lines) + "\n")
    return inspected(root, family="filelist", labels=str(table), label_column="label", **entry)


@pytest.mark.usefixtures("in_process")
def test_official_folds_and_parts_are_kept_unless_they_are_not_wanted(root: Path) -> None:
    made = listed(root, "fold", lambda patient, _: int(patient) % 3, fold_column="fold")
    assert list(made.samples["fold"]) == [int(path.split("/")[1][-1]) % 3 for path in made.mapping["path"]]
    assert "part" not in made.samples
    made = listed(root, "Split", lambda patient, _: ["train", "val", "test"][int(patient) % 3])
    assert set(made.samples["part"]) == {"train", "validation", "test"}
    made = listed(root, "Split", lambda patient, _: ["train", "val", "test"][int(patient) % 3], split="folds")
    assert "part" not in made.samples


@pytest.mark.usefixtures("in_process")
def test_a_patient_on_two_sides_of_an_official_split_is_named_by_the_files_apart(root: Path) -> None:
    with pytest.raises(StudyError, match="a patient is in two official folds") as caught:
        listed(root, "fold", lambda patient, image: (int(patient) + image) % 3, fold_column="fold")
    assert NAME not in caught.value.message
    assert f"{NAME}-a0/0.png, a/{NAME}-a0/1.png" in caught.value.detail
    with pytest.raises(StudyError, match="two official parts; set 'leaks' to drop"):
        listed(root, "Split", lambda _, image: ["train", "test"][image])


@pytest.mark.usefixtures("in_process")
def test_a_split_that_is_not_there_or_only_for_some_stops_the_study(root: Path) -> None:
    with pytest.raises(StudyError, match="has no official split"):
        inspected(root, split="official")
    some = pd.DataFrame({"patient": ["p", "q"], "part": ["train", None], "fold": None})
    with pytest.raises(StudyError, match="only some samples have an official part") as caught:
        stage._with_official(some, pd.Series(["x.png", "y.png"]), spec(root))
    assert caught.value.detail == "y.png has none"


@pytest.mark.usefixtures("in_process")
def test_a_header_is_read_once_for_as_long_as_its_file_does_not_change(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    original = headers.inspect

    def counted(path: Path, pixels: headers.PixelSpec) -> headers.Inspection:
        read.append(path.name)
        return original(path, pixels)

    monkeypatch.setattr(headers, "inspect", counted)
    first = inspected(root)
    assert len(read) == 24
    second = inspected(root)
    assert len(read) == 24
    pd.testing.assert_frame_equal(first.samples, second.samples)
    changed = root / f"a/{NAME}-a0/0.png"
    png(changed, 999)
    third = inspected(root)
    assert len(read) == 25
    assert [a != b for a, b in zip(first.sources, third.sources, strict=True)].count(True) == 1
    # Another size of the images says nothing of the files; another window does.
    inspected(root, pixels={"size": 16})
    assert len(read) == 25
    inspected(root, pixels={"size": 8, "channels": "rgb"})
    assert len(read) == 49


@pytest.mark.usefixtures("in_process")
def test_headers_that_were_read_survive_a_call_that_is_killed(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(headers, "SAVE_PERIOD", 0.0)
    read: list[str] = []
    original = headers.inspect

    def killed_at_the_tenth(path: Path, pixels: headers.PixelSpec) -> headers.Inspection:
        if len(read) == 10:
            read.append(path.name)
            raise KeyboardInterrupt
        read.append(path.name)
        return original(path, pixels)

    monkeypatch.setattr(headers, "inspect", killed_at_the_tenth)
    with pytest.raises(KeyboardInterrupt):
        inspected(root)
    made = inspected(root)
    assert len(made.samples) == 24
    assert len(read) == 11 + 14


def test_the_program_writes_no_name_outside_private(root: Path, tmp_path: Path) -> None:
    (root / f"b/{NAME}-b0/0.png").write_text("no image")
    (tmp_path / "salt").write_text(SALT + "\n")
    (tmp_path / "spec.json").write_text(spec(root, shards=2).written())
    inventory.refresh(root, tmp_path / "inventory.csv")
    arguments = ["--spec", str(tmp_path / "spec.json"), "--inventory", str(tmp_path / "inventory.csv")]
    arguments += ["--salt", str(tmp_path / "salt"), "--folder", str(tmp_path / "results/blobs")]
    arguments += ["--private", str(tmp_path / "private/blobs")]
    command = [sys.executable, "-m", "pipeline.inspect", *arguments]
    called = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "23 samples; 1 files refused" in called.stderr
    written = {path.name: path for path in (tmp_path / "results").iterdir()}
    assert set(written) == {f"blobs.{end}" for end in ("parquet", "rows", "shards", "remarks.json", "made_from.json")}
    for path in [*written.values(), tmp_path / "private/blobs.headers.parquet"]:
        assert NAME.encode() not in path.read_bytes()
        assert b".png" not in path.read_bytes()
    assert NAME not in called.stderr
    assert written["blobs.rows"].read_text() == "23\n"
    assert [line.split()[0] for line in written["blobs.shards"].read_text().splitlines()] == ["0", "1"]
    assert set(json.loads(written["blobs.made_from.json"].read_text())) == {"headers", "tables"}
    assert pd.read_csv(tmp_path / "private/blobs.mapping.csv")["path"].str.contains(NAME).all()
    times = {path: path.stat().st_mtime_ns for path in written.values()}
    subprocess.run(command, capture_output=True, check=True)
    assert {path: path.stat().st_mtime_ns for path in written.values()} == times
    (tmp_path / "salt").write_text("\n")
    called = subprocess.run(command, capture_output=True, text=True, check=False)
    assert called.returncode == 1
    assert "salt is empty" in called.stderr
    assert "Traceback" not in called.stderr
