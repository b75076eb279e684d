"""Miniature dermatoscopy and ultrasound: ISIC, HAM10000, CARDIUM, and one folder a class."""

from pathlib import Path
from typing import Any

from tests.layouts.drawing import SIDE, draw, one_hot, write_table

ISIC_2018 = ["MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC"]
ISIC_2019 = ["MEL", "NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC", "UNK"]


def isic_2019(folder: Path) -> dict[str, Any]:
    """Write ISIC 2019: two images a lesion, some without one, some reduced ones, and unknown ones in the test part."""
    truth, metadata, test = [], [], []
    number = 0
    for lesion in range(18):
        kind = lesion % 2
        for _ in range(2):
            name = f"ISIC_{number:07d}" + ("_downsampled" if lesion == 3 else "")
            draw(folder / "ISIC_2019_Training_Input" / f"{name}.jpg", 70 + 90 * kind, number, channels=3)
            truth.append([name, *one_hot(kind, 9, ".0")])
            metadata.append([name, "50.0", "anterior torso", "" if lesion == 5 else f"BCN_{lesion:07d}", "male"])
            number += 1
    for number in range(100, 112):
        kind = number % 2 if number < 110 else 8
        draw(folder / "ISIC_2019_Test_Input" / f"ISIC_{number:07d}.jpg", 70 + 90 * (kind % 2), number, channels=3)
        test.append([f"ISIC_{number:07d}", *one_hot(kind, 9, ".0"), "1.0", "0.0"])
    write_table(folder / "ISIC_2019_Training_GroundTruth.csv", ["image", *ISIC_2019], truth)
    header = ["image", "age_approx", "anatom_site_general", "lesion_id", "sex"]
    write_table(folder / "ISIC_2019_Training_Metadata.csv", header, metadata)
    header = ["image", *ISIC_2019, "score_weight", "validation_weight"]
    write_table(folder / "ISIC_2019_Test_GroundTruth.csv", header, test)
    where = folder.name
    return {
        "family": "isic",
        "root": where,
        "labels": {
            "train": f"{where}/ISIC_2019_Training_GroundTruth.csv",
            "test": f"{where}/ISIC_2019_Test_GroundTruth.csv",
        },
        "lesions": [f"{where}/ISIC_2019_Training_Metadata.csv"],
        "classes": ["MEL", "NV"],
        "leave_out": ["UNK"],
        "pixels": {"size": SIDE, "channels": "rgb"},
    }


def isic_2018(folder: Path) -> dict[str, Any]:
    """Write task 3 of ISIC 2018 with its lesion groupings."""
    truth, groups = [], []
    for number in range(24):
        name, kind = f"ISIC_{24306 + number:07d}", (number // 2) % 2
        draw(folder / "ISIC2018_Task3_Training_Input" / f"{name}.jpg", 70 + 90 * kind, number, channels=3)
        truth.append([name, *one_hot(kind, 7, ".0")])
        groups.append([name, f"HAM_{number // 2:07d}", "histopathology"])
    place = folder / "ISIC2018_Task3_Training_GroundTruth" / "ISIC2018_Task3_Training_GroundTruth.csv"
    write_table(place, ["image", *ISIC_2018], truth)
    header = ["image", "lesion_id", "diagnosis_confirm_type"]
    write_table(folder / "ISIC2018_Task3_Training_LesionGroupings.csv", header, groups)
    where = folder.name
    return {
        "family": "isic",
        "root": f"{where}/ISIC2018_Task3_Training_Input",
        "labels": f"{where}/{place.parent.name}/{place.name}",
        "lesions": [f"{where}/ISIC2018_Task3_Training_LesionGroupings.csv"],
        "classes": ["MEL", "NV"],
        "folds": 3,
        "pixels": {"size": SIDE, "channels": "rgb"},
    }


def ham10000(folder: Path) -> dict[str, Any]:
    """Write HAM10000 in its two folders; ground truth and lesions stand in one table."""
    rows = []
    for number in range(24):
        name, kind = f"ISIC_{24306 + number:07d}", ("nv", "mel")[(number // 2) % 2]
        part = folder / f"HAM10000_images_part_{1 + number // 12}"
        draw(part / f"{name}.jpg", 70 + 90 * ((number // 2) % 2), number, channels=3)
        rows.append([f"HAM_{number // 2:07d}", name, kind, "histo", "80.0", "male", "scalp"])
    header = ["lesion_id", "image_id", "dx", "dx_type", "age", "sex", "localization"]
    write_table(folder / "HAM10000_metadata.csv", header, rows)
    return {
        "family": "isic",
        "root": folder.name,
        "labels": f"{folder.name}/HAM10000_metadata.csv",
        "classes": ["mel", "nv"],
        "folds": 3,
        "pixels": {"size": SIDE, "channels": "rgb"},
    }


def _patients() -> list[tuple[str, str, int]]:
    """Return class, patient and number of CARDIUM's patients."""
    return [(("CHD", "Non_CHD")[number % 2], f"aedxf{number:05d}rrfgkl0", number) for number in range(18)]


def cardium(folder: Path) -> dict[str, Any]:
    """Write CARDIUM's three official folds: each image in one test part and two train parts."""
    for label, patient, number in _patients():
        for image in range(2):
            for fold in range(3):
                part = "test" if number // 6 == fold else "train"
                path = (
                    folder / "cardium_images" / f"fold_{fold + 1}" / part / label / patient / f"{image}_{patient}.png"
                )
                draw(path, 70 + 90 * (label == "CHD"), 10 * number + image)
    root = f"{folder.name}/cardium_images"
    return {"family": "cardium", "root": root, "folds": 3, "pixels": {"size": SIDE}}


def cardium_undivided(folder: Path) -> dict[str, Any]:
    """Write CARDIUM_dataset: a folder for each class, and below it one for each patient."""
    for label, patient, number in _patients():
        for image in range(2):
            path = folder / "CARDIUM_dataset" / label / patient / f"{image}_{patient}.png"
            draw(path, 70 + 90 * (label == "CHD"), 10 * number + image)
    return {"family": "cardium", "root": f"{folder.name}/CARDIUM_dataset", "folds": 3, "pixels": {"size": SIDE}}


def folders(folder: Path) -> dict[str, Any]:
    """Write one folder a class, and below it one a patient."""
    for number in range(18):
        for image in range(2):
            label = ("dim", "bright")[number % 2]
            draw(folder / "images" / label / f"P{number}" / f"{image}.png", 70 + 90 * (number % 2), 10 * number + image)
    classes = ["dim", "bright"]
    root = f"{folder.name}/images"
    return {"family": "folders", "root": root, "classes": classes, "folds": 3, "pixels": {"size": SIDE}}
