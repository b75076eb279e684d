"""Miniature chest radiographs: MIMIC-CXR-JPG, CXR-LT and NIH ChestX-ray14."""

from pathlib import Path
from typing import Any

from tests.layouts.drawing import SIDE, draw, write_table

CHEXPERT = [
    *("Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Enlarged Cardiomediastinum", "Fracture"),
    *("Lung Lesion", "Lung Opacity", "No Finding", "Pleural Effusion", "Pleural Other", "Pneumonia"),
    *("Pneumothorax", "Support Devices"),
]
"""The columns of the CheXpert and NegBio tables, in their order."""
METADATA = [
    "dicom_id",
    "subject_id",
    "study_id",
    "PerformedProcedureStepDescription",
    "ViewPosition",
    "Rows",
    "Columns",
]
NIH = [
    *("Image Index", "Finding Labels", "Follow-up #", "Patient ID", "Patient Age", "Patient Gender", "View Position"),
    *("OriginalImage[Width", "Height]", "OriginalImagePixelSpacing[x", "y]", ""),
]
"""The header of Data_Entry_2017.csv, whose brackets hold commas and whose rows end on one."""
SUBJECTS = 24


def dicom_id(subject: int, number: int) -> str:
    """Return a name of MIMIC-CXR's form."""
    return "-".join(f"{(subject * 7919 + number * 104729 + place * 1299709) % 2**32:08x}" for place in range(5))


def place(subject: int, number: int, ending: str = "jpg") -> str:
    """Return the official path of an image; image and study have the same number."""
    name = f"1{subject:07d}"
    return f"files/p{name[:2]}/p{name}/s{study(subject, number)}/{dicom_id(subject, number)}.{ending}"


def study(subject: int, number: int) -> str:
    """Return a study's identifier."""
    return f"5{subject:05d}{number:02d}"


def _mimic_images(root: Path) -> list[tuple[int, int, bool, bool]]:
    """Write two frontal studies a subject; return subject, number, and whether there is cardiomegaly, and edema."""
    images = []
    for subject in range(SUBJECTS):
        for number in range(2):
            heart, edema = subject % 2 == 1, (subject // 2) % 2 == 1
            draw(root / place(subject, number), 50 + 70 * heart + 90 * edema, 100 * subject + number)
            images.append((subject, number, heart, edema))
    return images


def mimic_cxr(folder: Path) -> dict[str, Any]:
    """Write MIMIC-CXR-JPG with CheXpert's values 1, 0, -1 and missing, the official split, and lateral views."""
    root = folder / "mimic-cxr-jpg"
    images = _mimic_images(root)
    rows, split, metadata = [], [], []
    for subject, number, heart, edema in images:
        cells = {"Cardiomegaly": "1.0" if heart else "0.0", "Edema": "1.0" if edema else "0.0"}
        if (subject, number) in ((0, 0), (9, 0)):
            cells["Edema"] = "-1.0"
        if (subject, number) in ((4, 1), (5, 0), (8, 0)):
            cells["Cardiomegaly"] = ""
        rows.append([f"1{subject:07d}", study(subject, number), *(cells.get(name, "") for name in CHEXPERT)])
        part = ("train", "train", "train", "validate", "test", "test")[subject // 4]
        split.append([dicom_id(subject, number), study(subject, number), f"1{subject:07d}", part])
        metadata.append(
            [
                dicom_id(subject, number),
                f"1{subject:07d}",
                study(subject, number),
                "CHEST",
                "AP" if number else "PA",
                9,
                9,
            ]
        )
    # A lateral view belongs to the study of a frontal one, and has its labels.
    lateral = dicom_id(0, 9)
    draw(root / place(0, 0).replace(dicom_id(0, 0), lateral), 255, 9999)
    split.append([lateral, study(0, 0), "10000000", "train"])
    metadata.append([lateral, "10000000", study(0, 0), "CHEST", "LATERAL", 9, 9])
    write_table(root / "mimic-cxr-2.0.0-chexpert.csv.gz", ["subject_id", "study_id", *CHEXPERT], rows)
    write_table(root / "mimic-cxr-2.0.0-split.csv.gz", ["dicom_id", "study_id", "subject_id", "split"], split)
    write_table(root / "mimic-cxr-2.0.0-metadata.csv.gz", METADATA, metadata)
    where = f"{folder.name}/mimic-cxr-jpg"
    return {
        "family": "mimic-cxr",
        "root": where,
        "labels": f"{where}/mimic-cxr-2.0.0-chexpert.csv.gz",
        "split_table": f"{where}/mimic-cxr-2.0.0-split.csv.gz",
        "metadata": f"{where}/mimic-cxr-2.0.0-metadata.csv.gz",
        "views": ["PA", "AP"],
        "uncertain": "missing",
        "classes": ["Cardiomegaly", "Edema"],
        "task": "multi-label",
        "pixels": {"size": SIDE},
    }


def cxr_lt(folder: Path) -> dict[str, Any]:
    """Write MIMIC-CXR-JPG with the tables of CXR-LT, one a part."""
    root = folder / "mimic-cxr-jpg"
    header = ["dicom_id", "subject_id", "study_id", "ViewPosition", "ViewCodeSequence_CodeMeaning", "fpath"]
    findings = ["Atelectasis", "Cardiomegaly", "Edema"]
    tables: dict[str, list[list[object]]] = {"train": [], "development": [], "test": []}
    for subject, number, heart, edema in _mimic_images(root):
        part = ("train", "train", "train", "development", "test", "test")[subject // 4]
        row = [dicom_id(subject, number), f"1{subject:07d}", study(subject, number), "PA", "antero-posterior"]
        tables[part].append([*row, place(subject, number), 0, int(heart), int(edema)])
    for part, rows in tables.items():
        write_table(folder / "cxr-lt-2023" / f"{part}.csv", [*header, *findings], rows)
    names = {"train": "train", "validation": "development", "test": "test"}
    return {
        "family": "mimic-cxr",
        "root": f"{folder.name}/mimic-cxr-jpg",
        "labels": {part: f"{folder.name}/cxr-lt-2023/{name}.csv" for part, name in names.items()},
        "classes": ["Cardiomegaly", "Edema"],
        "task": "multi-label",
        "pixels": {"size": SIDE},
    }


def nih_cxr14(folder: Path) -> dict[str, Any]:
    """Write ChestX-ray14 in numbered folders, with images of several findings; reduced to the first."""
    rows, lists = [], {"train_val_list": [], "test_list": []}
    for patient in range(1, 31):
        for number in range(2):
            name = f"{patient:08d}_{number:03d}.png"
            first = ("No Finding", "Effusion", "Mass")[patient % 3]
            several = f"{first}|Nodule" if first == "Mass" and number else first
            rows.append([name, several, number, patient, 58, "M", "PA", 2682, 2749, 0.143, 0.143, ""])
            draw(
                folder / f"images_{1 + patient % 2:03d}" / "images" / name,
                50 + 80 * (patient % 3),
                10 * patient + number,
            )
            lists["test_list" if patient > 21 else "train_val_list"].append(name)
    write_table(folder / "Data_Entry_2017.csv", NIH, rows)
    for name, images in lists.items():
        (folder / f"{name}.txt").write_text("\n".join(images) + "\n")
    where = folder.name
    return {
        "family": "nih-cxr14",
        "root": where,
        "labels": f"{where}/Data_Entry_2017.csv",
        "train_list": f"{where}/train_val_list.txt",
        "test_list": f"{where}/test_list.txt",
        "classes": ["No Finding", "Effusion", "Mass"],
        "task": "first-label",
        "pixels": {"size": SIDE},
    }
