"""Miniature copies of the publication's own file lists, with their headers and the form of their paths."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.layouts.drawing import SIDE, draw, one_hot, write_table
from tests.layouts.photographs import ISIC_2019
from tests.layouts.radiography import dicom_id

MIMIC = [
    *("Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Enlarged Cardiomediastinum", "Fracture"),
    *("Lung Lesion", "Lung Opacity", "No Finding", "Pleural Effusion", "Pleural Other", "Pneumonia"),
    *("Pneumothorax", "Support Devices", "Pneumoperitoneum", "Pneumomediastinum", "Subcutaneous Emphysema"),
    *("Tortuous Aorta", "Calcification of the Aorta"),
]
CT_RATE = ["No Finding", *("1a", "1b", "1c", "1d", "1e", "1f"), *("2a", "2b", "2c", "2d", "2e", "2h")]
PATIENTS = 12
"""Patients of each class."""


def _patients(classes: list[str]) -> Iterator[tuple[int, int, str]]:
    """Yield the number of a class, that of a patient of it, and an official part."""
    for number in range(len(classes)):
        for patient in range(PATIENTS):
            yield number, patient * len(classes) + number, ("TRAIN", "TRAIN", "VAL", "TEST")[patient % 4]


def _entry(folder: Path, classes: list[str], **more: object) -> dict[str, Any]:
    entry = {"family": "filelist", "root": folder.name, "labels": f"{folder.name}/list.csv", "classes": classes}
    return {**entry, "split": "folds", "folds": 3, "pixels": {"size": SIDE}, **more}


def mimic(folder: Path) -> dict[str, Any]:
    """Write mimic.csv: no patients, and paths that are bare names; the images lie in MIMIC-CXR-JPG's tree."""
    rows = []
    for number, patient, part in _patients(MIMIC[:4]):
        name, subject = dicom_id(patient, 0), f"1{patient:07d}"
        path = folder / "files" / f"p{subject[:2]}" / f"p{subject}" / f"s5{patient:07d}" / f"{name}.jpg"
        draw(path, 40 + 50 * number, patient)
        rows.append([len(rows), name, part, *one_hot(number, len(MIMIC))])
    # Every class must occur, here as often as the four that are told apart by the test.
    write_table(folder / "list.csv", ["index", "path", "Split", *MIMIC], rows)
    return _entry(
        folder, MIMIC[:4], ignore_columns=MIMIC[4:], match="name", patient_from_path=r"/p(\d{8})/", split="folds"
    )


def isic(folder: Path) -> dict[str, Any]:
    """Write isic.csv: no patients, and names with and without the mark of reduced images."""
    rows, classes = [], ISIC_2019[:8]
    for number, patient, part in _patients(classes):
        name = f"processed_files/ISIC_2019/ISIC_{patient:07d}{'_downsampled' if patient % 3 else ''}.png"
        draw(folder / name, 20 + 30 * number, patient, channels=3)
        rows.append([len(rows), name, part, *one_hot(number, 8)])
    write_table(folder / "list.csv", ["index", "path", "Split", *classes], rows)
    return _entry(folder, classes, patient_column=None, split="official", pixels={"size": SIDE, "channels": "rgb"})


def ct_rate(folder: Path) -> dict[str, Any]:
    """Write ctrate.csv: numbers for patients, and slices that are listed more than once."""
    rows = []
    for number, patient, part in _patients(CT_RATE):
        for _ in range(1 + patient % 2):
            name = f"processed_files/ctflow_slices/train_{patient}_a_1_f{patient:03d}.nii.gz.png"
            rows.append([len(rows), name, part, patient, *one_hot(number, len(CT_RATE))])
        draw(folder / name, 15 + 18 * number, patient)
    write_table(folder / "list.csv", ["index", "path", "Split", "id", *CT_RATE], rows)
    return _entry(folder, CT_RATE, repeats="once")


def cardium(folder: Path) -> dict[str, Any]:
    """Write cardium.csv: the patient stands in the path and as a number."""
    rows, classes = [], ["CHD", "Non_CHD"]
    for number, patient, part in _patients(classes):
        for image in range(2):
            name = f"aedxf{patient:05d}rrfgkl0"
            path = f"processed_files/cardium_images/{classes[number]}/{name}/{image}_{name}.png"
            draw(folder / path, 60 + 100 * number, 10 * patient + image)
            rows.append([len(rows), path, patient, *one_hot(number, 2), part])
    write_table(folder / "list.csv", ["index", "path", "id", *classes, "Split"], rows)
    return _entry(folder, classes, split="official")
