"""Which samples there are, of whom; hashes in place of names; refused files with their reasons."""

import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from pipeline import families, inventory
from pipeline import index as stage
from pipeline.datasets import DatasetSpec
from pipeline.errors import Refused, StudyError
from pipeline.quarantine import Outcome

SALT = "3c1f"
NAME = "Mustermann-Erika-1964"


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read files in this process: workers are tested elsewhere, and each takes seconds to start."""

    def survive(function: Callable[[Any], Any], items: Iterable[Any], _workers: int) -> Iterator[Outcome[Any, Any]]:
        for item in items:
            try:
                yield Outcome(item, function(item), None)
            except Refused as refused:
                yield Outcome(item, None, str(refused))

    monkeypatch.setattr(stage, "survive", survive)


def png(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (8, 8), dtype=np.uint8)).save(path)


def dicom(path: Path, patient: str, frames: int, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = (
        CTImageStorage,
        generate_uid(entropy_srcs=[path.name]),
    )
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    data.PatientID, data.Rows, data.Columns, data.NumberOfFrames = patient, 8, 8, frames
    data.SamplesPerPixel, data.PhotometricInterpretation, data.PixelRepresentation = 1, "MONOCHROME2", 0
    data.BitsAllocated = data.BitsStored = 8
    data.HighBit = 7
    data.PixelData = np.random.default_rng(seed).integers(0, 256, (frames, 8, 8), dtype=np.uint8).tobytes()
    data.save_as(path, enforce_file_format=True)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two classes of six patients with two images each."""
    for number, label in enumerate(["a", "b"]):
        for patient in range(6):
            for image in range(2):
                png(
                    tmp_path / f"data/{label}/{NAME}-{label}{patient}/{image}.png",
                    100 * number + 10 * patient + image,
                )
    return tmp_path / "data"


def spec(root: Path, **entry: object) -> DatasetSpec:
    plain = {"family": "folders", "root": str(root), "pixels": {"size": 8}, "classes": ["a", "b"], "folds": 3}
    read = families.spec("datasets", {**plain, **entry})
    assert isinstance(read, DatasetSpec)
    return read


def indexed(root: Path, salt: str = SALT, **entry: object) -> stage.Indexed:
    files = sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
    return stage.index(spec(root, **entry), files, salt, 1)


@pytest.mark.usefixtures("in_process")
def test_one_row_a_sample_with_its_patients_fold(root: Path) -> None:
    made = indexed(root)
    assert list(made.index) == ["id", "frame", "patient", "label", "fold"]
    assert (len(made.index), made.index["id"].nunique(), made.index["patient"].nunique()) == (24, 24, 12)
    assert made.index.groupby("patient")["fold"].nunique().eq(1).all()
    assert list(made.mapping["id"]) == list(made.index["id"])
    assert [path.split("/")[0] for path in made.mapping["path"]] == list(made.index["label"])
    assert made.rejected.empty
    assert made.notes == []


@pytest.mark.usefixtures("in_process")
def test_the_salt_changes_hashes_and_nothing_else(root: Path) -> None:
    one, other = indexed(root, "one"), indexed(root, "other")
    assert not set(one.index["id"]) & set(other.index["id"])
    assert not set(one.index["patient"]) & set(other.index["patient"])
    for name in ("label", "fold", "frame"):
        pd.testing.assert_series_equal(one.index[name], other.index[name])
    np.testing.assert_array_equal(*(pd.factorize(made.index["patient"])[0] for made in (one, other)))
    pd.testing.assert_frame_equal(one.mapping.drop(columns="id"), other.mapping.drop(columns="id"))
    pd.testing.assert_frame_equal(one.index, indexed(root, "one").index)


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize(
    ("frames", "chosen"), [(None, [0, 1, 2, 3, 4]), (3, [0, 2, 4]), (1, [0]), (9, [0, 1, 2, 3, 4])]
)
def test_frames_of_a_file_are_samples_of_its_patient(tmp_path: Path, frames: int | None, chosen: list[int]) -> None:
    dicom(tmp_path / "clip.dcm", NAME, 5, 0)
    made = indexed(tmp_path, patients="dicom", classes=[], frames=frames)
    assert list(made.index["frame"]) == chosen
    assert made.index["id"].nunique() == len(chosen)
    assert len(set(made.index["patient"])) == 1
    assert list(made.index) == ["id", "frame", "patient"]


@pytest.mark.usefixtures("in_process")
def test_patients_that_share_an_image_share_a_fold(root: Path) -> None:
    (root / f"a/{NAME}-a1/0.png").write_bytes((root / f"a/{NAME}-a0/0.png").read_bytes())
    (root / f"b/{NAME}-b3/0.png").write_bytes((root / f"a/{NAME}-a1/1.png").read_bytes())
    made = indexed(root)
    of = made.index.assign(name=[path.split("/")[1][-2:] for path in made.mapping["path"]])
    assert of[of["name"].isin(["a0", "a1", "b3"])]["patient"].unique().size == 1
    assert of["patient"].unique().size == 10
    assert of.groupby("patient")["fold"].nunique().eq(1).all()
    assert any("same pixels as another patient's" in note for note in made.notes)


@pytest.mark.usefixtures("in_process")
def test_bad_files_are_refused_with_reasons_and_the_rest_goes_on(root: Path, tmp_path: Path) -> None:
    bad = root / f"a/{NAME}-a0/0.png"
    bad.write_bytes(bad.read_bytes()[:60])
    (root / f"b/{NAME}-b0/0.png").write_text("no image")
    (root / f"b/{NAME}-b0/2.png").symlink_to(tmp_path / "nowhere")
    rows = [f"{path.relative_to(root)},{path.parent.name},{path.parts[-3]}" for path in sorted(root.rglob("*.png"))]
    (tmp_path / "labels.csv").write_text("path,id,label\n" + "\n".join([*rows, "a/gone.png,p,a"]) + "\n")
    inventory.refresh(root, tmp_path / "inventory.csv")
    entry = spec(root, family="filelist", labels=str(tmp_path / "labels.csv"))
    made = stage.index(entry, inventory.paths(tmp_path / "inventory.csv"), SALT, 1)
    assert len(made.index) == 22
    reasons = {
        path.split("/")[-1]: reason for path, reason in zip(made.rejected["path"], made.rejected["reason"], strict=True)
    }
    assert len(made.rejected) == 4
    assert reasons["gone.png"] == "the file is missing"
    assert reasons["2.png"] == "the file cannot be opened: FileNotFoundError"
    assert "truncated" in made.rejected["reason"].iloc[0] or "PNG" in made.rejected["reason"].iloc[0]
    assert not set(made.rejected["id"]) & set(made.index["id"])


@pytest.mark.usefixtures("in_process")
def test_a_study_without_a_readable_file_says_why(tmp_path: Path) -> None:
    (tmp_path / "a/p").mkdir(parents=True)
    (tmp_path / "a/p/0.png").write_text("no image")
    with pytest.raises(StudyError, match=r"no file of .* can be read; the first reason: not a DICOM"):
        indexed(tmp_path)
    with pytest.raises(StudyError, match="the data set lists none"):
        stage.index(spec(tmp_path), [], SALT, 1)


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize("patient", ["", "   "])
def test_a_file_that_does_not_say_whose_it_is_stops_the_study(tmp_path: Path, patient: str) -> None:
    dicom(tmp_path / "a/1.dcm", patient, 1, 0)
    with pytest.raises(StudyError, match=r"whose a/1\.dcm is"):
        indexed(tmp_path, patients="dicom")


@pytest.mark.usefixtures("in_process")
def test_a_declared_class_without_samples_and_one_with_too_few_patients_are_named(root: Path) -> None:
    with pytest.raises(StudyError, match="class 'c' is declared and has no sample"):
        indexed(root, classes=["a", "b", "c"])
    with pytest.raises(StudyError, match="class 'a' has 6 patients, which is too few for 7 folds"):
        indexed(root, folds=7)


def official(root: Path, tmp_path: Path, fold: Callable[[str, int], int], **entry: object) -> stage.Indexed:
    """Index with official folds, given by a patient's name and an image's number."""
    paths = [path.relative_to(root) for path in sorted(root.rglob("*.png"))]
    lines = [f"{path},{path.parts[1]},{path.parts[0]},{fold(path.parts[1][-1], int(path.stem))}" for path in paths]
    (tmp_path / "labels.csv").write_text("path,id,label,fold\n" + "\n".join(lines) + "\n")
    return indexed(root, family="filelist", labels=str(tmp_path / "labels.csv"), fold_column="fold", **entry)


@pytest.mark.usefixtures("in_process")
def test_official_folds_are_kept(root: Path, tmp_path: Path) -> None:
    made = official(root, tmp_path, lambda patient, _: int(patient) % 3)
    assert list(made.index["fold"]) == [int(path.split("/")[1][-1]) % 3 for path in made.mapping["path"]]


@pytest.mark.usefixtures("in_process")
def test_a_patient_or_an_image_in_two_official_folds_is_named_by_its_files(root: Path, tmp_path: Path) -> None:
    with pytest.raises(
        StudyError, match=r"-a0/0.png in the official fold 0 and .*-a0/1.png in fold 1 are of one patient"
    ):
        official(root, tmp_path, lambda patient, image: (int(patient) + image) % 3)
    (root / f"a/{NAME}-a1/0.png").write_bytes((root / f"a/{NAME}-a0/0.png").read_bytes())
    with pytest.raises(
        StudyError, match=r"-a0/0.png in the official fold 0 and .*-a1/0.png in fold 1 .* share an image"
    ):
        official(root, tmp_path, lambda patient, _: int(patient) % 3)
    with pytest.raises(StudyError, match="fold 3 of 4 has no sample"):
        official(root, tmp_path, lambda patient, _: 0 if patient in "01" else int(patient) % 3, folds=4)


def test_the_program_writes_no_name_outside_private(root: Path, tmp_path: Path) -> None:
    (root / f"b/{NAME}-b0/0.png").write_text("no image")
    (tmp_path / "salt").write_text(SALT + "\n")
    inventory.refresh(root, tmp_path / "inventory.csv")
    arguments = ["--spec", spec(root).written(), "--inventory", str(tmp_path / "inventory.csv")]
    arguments += ["--salt", str(tmp_path / "salt"), "--index", str(tmp_path / "results/i.parquet")]
    arguments += ["--rejected", str(tmp_path / "results/r.csv"), "--mapping", str(tmp_path / "private/m.csv")]
    arguments += ["--rejected-paths", str(tmp_path / "private/r.csv")]
    command = [sys.executable, "-m", "pipeline.index", *arguments]
    called = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "23 samples; 1 files refused" in called.stderr
    for path in (tmp_path / "results").iterdir():
        assert NAME.encode() not in path.read_bytes()
        assert b".png" not in path.read_bytes()
    assert NAME not in called.stderr
    assert len(pd.read_csv(tmp_path / "results/r.csv")) == 1
    assert NAME in pd.read_csv(tmp_path / "private/r.csv")["path"].iloc[0]
    assert pd.read_csv(tmp_path / "private/m.csv")["path"].str.contains(NAME).all()
    (tmp_path / "salt").write_text("\n")
    called = subprocess.run(command, capture_output=True, text=True, check=False)
    assert called.returncode == 1
    assert "salt is empty" in called.stderr
    assert "Traceback" not in called.stderr


def test_the_written_example_is_a_valid_dicom_file(tmp_path: Path) -> None:
    dicom(tmp_path / "1.dcm", "p", 2, 0)
    assert pydicom.dcmread(tmp_path / "1.dcm").pixel_array.shape == (2, 8, 8)
