"""Canaries in every text tag, file name, folder name and patient column: none reaches anything but `private/`."""

import base64
import csv
import gzip
import io
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pydicom
import pytest
import zarr
from PIL import Image
from pydicom import uid
from pydicom.datadict import DicomDictionary
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence as Items
from pydicom.tag import Tag

from tests.studies import call, checkout, configure

CANARY = re.compile(rb"Kanarie|18370214|031415\.92|097Y|1\.2\.826\.0\.7777|2718281[0-9]", re.IGNORECASE)
TARGETS = ("results/gap_table.csv", "results/report.html")
CLASSES = {"dim": 70, "bright": 120}
PATIENTS = 6

LONG_TEXT = ("PN", "LO", "SH", "ST", "LT", "UT", "UC", "UR", "AE", "CS")
MEANT = {"0008,0005", "0008,0016", "0008,0060", "0028,0004", "0028,0301", "0028,1056", "0028,2110", "2050,0020"}
"""Tags that say how the pixels are to be read: without them each file would be refused."""


def planted(tag: int, vr: str, number: int) -> str | None:
    """Return a canary that the representation allows, told apart by its tag where there is room."""
    if vr in LONG_TEXT:
        # An application entity has 16 characters, a code string only capitals.
        return f"KANARIE{tag:08X}" if vr in ("AE", "CS", "SH") else f"Kanarie{tag:08x}-{number}"
    fixed = {
        "DA": "18370214",
        "TM": "031415.92",
        "DT": "18370214031415.92",
        "AS": "097Y",
        "IS": f"2718281{number % 10}",
    }
    return f"1.2.826.0.7777.{tag}.{number}" if vr == "UI" else fixed.get(vr)


def plant(dataset: Dataset, number: int) -> None:
    """Put a canary into every text element that the standard knows, and into private ones."""
    for tag, (vr, *_) in DicomDictionary.items():
        where = f"{tag >> 16:04x},{tag & 0xFFFF:04x}"
        about_pixels = where in MEANT or (
            where.startswith(("0028", "5200", "7fe0")) and vr not in ("LO", "LT", "ST", "UT")
        )
        if tag >> 16 <= 2 or about_pixels or tag in dataset or (value := planted(tag, vr, number)) is None:
            continue
        dataset.add_new(tag, vr, value)
    block = dataset.private_block(0x0029, "Kanarie private", create=True)
    for offset, vr in enumerate(("LO", "PN", "UT", "UI", "DA", "UN")):
        value = planted(0x00291000 + offset, vr, number)
        block.add_new(offset, vr, b"Kanarie unknown " if value is None else value)


def scan(pixels: Any, label: str, patient: int, number: int) -> Dataset:  # noqa: ANN401 - H x W of bytes
    """Return a DICOM image with canaries everywhere, nested ones too."""
    dataset = Dataset()
    dataset.Modality, dataset.PhotometricInterpretation = "OT", "MONOCHROME2"
    dataset.SOPClassUID = uid.SecondaryCaptureImageStorage
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.SamplesPerPixel = 1
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.PixelRepresentation, dataset.PixelData = 7, 0, pixels.tobytes()
    dataset["PixelData"].VR = "OB"
    dataset.PatientID = f"Kanarie patient {label} {patient}"
    for keyword, kind in {"StudyInstanceUID": 1, "SeriesInstanceUID": 2, "SOPInstanceUID": 3}.items():
        setattr(dataset, keyword, f"1.2.826.0.7777.{kind}.{len(label)}.{patient}.{number}")
    dataset.ImagePositionPatient, dataset.ImageOrientationPatient = [0, 0, number], [1, 0, 0, 0, 1, 0]
    dataset.NumberOfFrames = 1
    inner, outer = Dataset(), Dataset()
    inner.PatientName = inner.PersonName = inner.CodeMeaning = "Kanarie^Inner"
    inner.ReferencedSOPInstanceUID, inner.StudyDate = "1.2.826.0.7777.9.9", "18370214"
    outer.PurposeOfReferenceCodeSequence = Items([inner])
    dataset.RequestAttributesSequence = dataset.ReferencedImageSequence = Items([outer])
    plant(dataset, number)
    return dataset


def saved(dataset: Dataset, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta.SourceApplicationEntityTitle = "KANARIE AE"
    dataset.save_as(path, enforce_file_format=True)


def write_images(root: Path) -> list[dict[str, str]]:
    """Write DICOM files as class, patient and file; return the rows of a label table."""
    random = np.random.default_rng(0)
    rows = []
    for label, level in CLASSES.items():
        for patient in range(PATIENTS):
            for number in range(2):
                pixels = random.normal(level, 30, (16, 16)).clip(0, 255).astype(np.uint8)
                dataset = scan(pixels, label, patient, number)
                dataset.BurnedInAnnotation = "YES"
                path = f"{label}/KanarieFolder{label}{patient}/KanarieFile{number}.dcm"
                saved(dataset, root / path)
                rows.append(
                    {"path": path, "id": f"KanarieId{label}{patient}", "label": label, "fold": str(patient % 3)}
                )
                rows[-1]["SOPInstanceUID"] = str(dataset.SOPInstanceUID)
    return rows


def spoil(root: Path) -> None:
    """Add files that are refused by their kind, their header, their pixels, and by the death of the decoder."""
    place = root / "dim/KanarieFolderdim0"
    whole = (place / "KanarieFile0.dcm").read_bytes()
    (place / "KanarieText.dcm").write_text("Kanarie, not an image")
    (place / "KanarieCut.dcm").write_bytes(whole[:-100])
    (place / "KanarieEmpty.png").write_bytes(b"")
    (place / "KanarieCrash.png").write_bytes(b"\x89PNG\r\n\x1a\nKanarieCrash")
    for name, keyword in {
        "Colour": "PhotometricInterpretation",
        "Slope": "RescaleSlope",
        "Frames": "NumberOfFrames",
    }.items():
        dataset = pydicom.dcmread(io.BytesIO(whole))
        dataset.SOPInstanceUID = f"1.2.826.0.7777.8.{len(name)}"
        dataset.add_new(Tag(keyword), "LO", f"Kanarie{keyword}")
        saved(dataset, place / f"Kanarie{name}.dcm")
    # No rule of DICOM keeps a patient's name out of a path.
    dataset = pydicom.dcmread(io.BytesIO(whole))
    dataset.SOPInstanceUID = "../../KanarieInstance"
    saved(dataset, place / "KanarieInstance.dcm")


LOUD_DECODER = """
import os as _os

_read, _inspect = read, inspect


def inspect(path, spec):
    if b"KanarieCrash" in path.read_bytes():
        return Inspection(1, 16, 16)
    return _inspect(path, spec)


def read(path, spec, frames=None):
    if b"KanarieCrash" in path.read_bytes():
        for stream in (1, 2):
            _os.write(stream, path.read_bytes())
        _os.abort()
    return _read(path, spec, frames)
"""
"""A decoder that prints the file and dies: no file does that to every version of the real ones."""


def table(folder: Path, rows: list[dict[str, str]]) -> None:
    with (folder / "labels.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def study(*families: str) -> dict[str, Any]:
    """Return a study of the same files under several families."""
    common: dict[str, Any] = {"root": "images", "pixels": {"size": 16}, "classes": list(CLASSES), "folds": 3}
    listed: dict[str, Any] = {"labels": "labels.csv", "label_column": "label"}
    known: dict[str, dict[str, Any]] = {
        "folders": {"family": "folders"},
        "filelist": {"family": "filelist", "fold_column": "fold", "split_column": None, **listed},
        "series": {"family": "dicom-series", "key": "instance", "unlabelled": "drop", "spacing": "any", **listed},
    }
    return {
        "replicates": 100,
        "datasets": {name: common | known[name] for name in families},
        "autoencoders": {"identity": {"family": "identity"}},
        "heads": {"knn": {"family": "knn", "grid": 4, "neighbours": [3]}},
    }


def prepared(folder: Path, *families: str) -> list[dict[str, str]]:
    checkout(folder)
    rows = write_images(folder / "images")
    spoil(folder / "images")
    table(folder, rows)
    configure(folder, study(*families))
    with (folder / "src/pipeline/pixels/__init__.py").open("a") as file:
        file.write(LOUD_DECODER)
    return rows


def contents(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield everything that can be read out of a file: its name, its bytes, and what is compressed in them."""
    data = path.read_bytes()
    yield "name", str(path).encode()
    yield "bytes", data
    if path.suffix == ".parquet":
        yield "table", pd.read_parquet(path).to_csv().encode()
    elif path.suffix == ".gz":
        yield "unzipped", gzip.decompress(data)
    elif path.suffix == ".png":
        yield from pictured(data)
    elif path.name == "zarr.json":
        array = zarr.open_array(str(path.parent), mode="r")
        yield "array", np.asarray(array[...]).tobytes()
    elif path.suffix == ".html":
        for encoded in re.findall(rb"base64,([A-Za-z0-9+/=]+)", data):
            inside = base64.b64decode(encoded)
            yield "inlined", inside
            yield from pictured(inside)


def pictured(data: bytes) -> Iterator[tuple[str, bytes]]:
    if data.startswith(b"\x89PNG"):
        with Image.open(io.BytesIO(data)) as image:
            yield "text in a picture", repr(image.info).encode()


def leaks(folder: Path) -> list[str]:
    """Return where a canary stands, outside of what belongs to the user."""
    own = {folder / name for name in ("private", "images", "labels.csv", "src")}
    found = []
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not own & {path, *path.parents}:
            for kind, data in contents(path):
                if match := CANARY.search(data):
                    around = data[max(0, match.start() - 60) : match.end() + 40]
                    found.append(f"{path.relative_to(folder)} ({kind}): {around!r}")
    return found


def test_no_canary_leaves_a_study_with_refused_files_and_a_crash(tmp_path: Path) -> None:
    prepared(tmp_path, "folders", "filelist", "series")
    finished = call(tmp_path, "--cores", "2", "--", *TARGETS)
    assert finished.returncode == 0, finished.stdout
    assert not CANARY.search(finished.stdout.encode()), finished.stdout
    assert leaks(tmp_path) == []
    reasons = (tmp_path / "results/index/folders.rejected.csv").read_text()
    assert "the decoder crashed on this file" in reasons
    assert len(reasons.splitlines()) > 6
    own = (tmp_path / "private/folders.rejected.csv").read_text()
    assert "KanarieCrash.png" in own
    assert "KanarieText.dcm" in own


def test_an_instance_that_is_called_like_a_path_names_no_file(tmp_path: Path) -> None:
    prepared(tmp_path, "folders")
    finished = call(tmp_path, "--cores", "2", "--", "results/index/folders.parquet")
    assert finished.returncode == 0, finished.stdout
    everywhere = [path.name for path in tmp_path.rglob("*KanarieInstance*")]
    assert everywhere == ["KanarieInstance.dcm"]


def test_burned_in_annotation_is_reported(tmp_path: Path) -> None:
    prepared(tmp_path, "folders")
    finished = call(tmp_path, "--cores", "2", "--", "results/report.html")
    assert finished.returncode == 0, finished.stdout
    assert "BurnedInAnnotation is YES" in (tmp_path / "results/index/folders.json").read_text()
    assert "BurnedInAnnotation" in (tmp_path / "results/report.html").read_text()
    assert "BurnedInAnnotation" in (tmp_path / "logs/index/folders.log").read_text()


def two_folds(rows: list[dict[str, str]]) -> None:
    rows[0]["fold"] = "2"


def listed_twice(rows: list[dict[str, str]]) -> None:
    rows.append(rows[0] | {"label": "bright"})


def no_patient(rows: list[dict[str, str]]) -> None:
    rows[3]["id"] = ""


def spaces(rows: list[dict[str, str]]) -> None:
    rows[3]["id"] += " "


def outside(rows: list[dict[str, str]]) -> None:
    rows[3]["path"] = "../KanarieOutside.png"


def undeclared(rows: list[dict[str, str]]) -> None:
    rows[3]["label"] = "Kanarie label"


def strange_fold(rows: list[dict[str, str]]) -> None:
    rows[3]["fold"] = "Kanarie fold"


def missing_files(rows: list[dict[str, str]]) -> None:
    for row in rows:
        row["path"] = f"KanarieElsewhere/{row['path']}"


def ragged(rows: list[dict[str, str]]) -> None:
    rows[3]["fold"] = 'Kanarie "ragged, 1'


SPOILERS = [two_folds, listed_twice, no_patient, spaces, outside, undeclared, strange_fold, missing_files, ragged]


@pytest.fixture(scope="module")
def stopping(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, str]]]:
    folder = tmp_path_factory.mktemp("stopping")
    return folder, prepared(folder, "filelist")


@pytest.mark.parametrize("change", SPOILERS)
def test_no_canary_leaves_a_study_that_stops(change: Any, stopping: tuple[Path, list[dict[str, str]]]) -> None:  # noqa: ANN401 - changes rows
    folder, rows = stopping
    for logs in ("logs", ".snakemake/log"):
        shutil.rmtree(folder / logs, ignore_errors=True)
    changed = [dict(row) for row in rows]
    change(changed)
    table(folder, changed)
    finished = call(folder, "--cores", "2", "--", "results/index/filelist.parquet")
    assert finished.returncode != 0, finished.stdout
    assert "Traceback" not in finished.stdout
    assert not CANARY.search(finished.stdout.encode()), finished.stdout
    assert leaks(folder) == []


def test_what_the_user_needs_to_find_the_culprit_stands_in_private(stopping: tuple[Path, list[dict[str, str]]]) -> None:
    folder, rows = stopping
    changed = [dict(row) for row in rows]
    two_folds(changed)
    table(folder, changed)
    assert call(folder, "--cores", "2", "--", "results/index/filelist.parquet").returncode != 0
    assert "KanarieFile0.dcm" in (folder / "private/errors.txt").read_text()


def test_names_that_cannot_be_listed_stop_the_call_without_being_told(tmp_path: Path) -> None:
    prepared(tmp_path, "folders")
    (tmp_path / "images/dim/Kanarie, comma.png").write_bytes(b"")
    finished = call(tmp_path, "--cores", "2", "--", "results/index/folders.parquet")
    assert finished.returncode != 0
    assert not CANARY.search(finished.stdout.encode()), finished.stdout
    assert leaks(tmp_path) == []


DEFECT = """
import pipeline.pixels as _p


def read(path, spec, frames=None):
    raise ValueError(f"a defect that names {path}")
"""


def test_a_defect_of_the_program_tells_no_canary(tmp_path: Path) -> None:
    prepared(tmp_path, "folders")
    with (tmp_path / "src/pipeline/pixels/__init__.py").open("a") as file:
        file.write(DEFECT)
    finished = call(tmp_path, "--cores", "2", "--", "results/index/folders.parquet")
    assert finished.returncode != 0
    assert not CANARY.search(finished.stdout.encode()), finished.stdout
    assert leaks(tmp_path) == []
