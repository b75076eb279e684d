"""Miniature CT: CT-RATE's NIfTI volumes, and a tree of DICOM series."""

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from numpy.typing import NDArray

from tests.layouts.dicom import uid, write_slice
from tests.layouts.drawing import SIDE, write_table

ABNORMALITIES = [
    *("Medical material", "Arterial wall calcification", "Cardiomegaly", "Pericardial effusion"),
    *("Coronary artery wall calcification", "Hiatal hernia", "Lymphadenopathy", "Emphysema", "Atelectasis"),
    *("Lung nodule", "Lung opacity", "Pulmonary fibrotic sequela", "Pleural effusion", "Mosaic attenuation pattern"),
    *("Peribronchial thickening", "Consolidation", "Bronchiectasis", "Interlobular septal thickening"),
]
"""The columns of CT-RATE's label tables, in their order."""


def body(levels: tuple[int, int], seed: int, slices: int) -> NDArray[np.int16]:
    """Return slices x rows x columns in Hounsfield units: air, soft tissue, and two organs of these levels."""
    volume = np.full((slices, SIDE, SIDE), -1000, np.int16)
    volume[:, 2:14, 2:14] = 40
    volume[:, 4:12, 3:7] = levels[0]
    volume[:, 4:12, 9:13] = levels[1]
    noise = np.random.default_rng(seed).normal(0, 12, volume.shape)
    return (volume + noise).astype(np.int16)


def ct_rate(folder: Path, samples: str = "slices") -> dict[str, Any]:
    """Write CT-RATE: eighteen abnormalities, two of which show; train and valid; two reconstructions of some scans."""
    root, tables = folder / "dataset", folder / "dataset" / "multi_abnormality_labels"
    names: dict[str, list[list[object]]] = {"train": [], "valid": []}
    for part, patients in (("train", 16), ("valid", 8)):
        for patient in range(1, patients + 1):
            effusion, opacity = patient % 2, (patient // 2) % 2
            for scan, number in (("a", 1), ("a", 2)) if patient < 3 else (("a", 1),):
                name = f"{part}_{patient}_{scan}_{number}.nii.gz"
                seed = 1000 * patient + number + (part == "valid") * 100_000
                volume = body((300 if effusion else -600, 300 if opacity else -600), seed, 5)
                path = root / f"{part}_fixed" / f"{part}_{patient}" / f"{part}_{patient}_{scan}" / name
                path.parent.mkdir(parents=True, exist_ok=True)
                image = nibabel.Nifti1Image(volume.transpose(2, 1, 0), np.diag([-1.0, -1.0, 1.0, 1.0]))
                nibabel.save(image, path)
                row = {"Pleural effusion": effusion, "Lung opacity": opacity}
                names[part].append([name, *(row.get(column, 0) for column in ABNORMALITIES)])
    for part, rows in names.items():
        write_table(tables / f"{part}_predicted_labels.csv", ["VolumeName", *ABNORMALITIES], rows)
    (root / "metadata").mkdir()
    (root / "metadata" / "no_chest_train.txt").write_text("train/train_16/train_16_a/train_16_a_1.nii.gz\n")
    where = f"{folder.name}/dataset"
    return {
        "family": "ct-rate",
        "root": where,
        "labels": [f"{where}/multi_abnormality_labels/{part}_predicted_labels.csv" for part in names],
        "exclude": [f"{where}/metadata/no_chest_train.txt"],
        "classes": ["Lung opacity", "Pleural effusion"],
        "task": "multi-label",
        "samples": samples,
        "unit": "series" if samples == "volumes" else "image",
        "frames": 3,
        "pixels": {"size": SIDE, "intensity": "window", "window": [-1000, 400], "hounsfield": True},
    }


def dicom_series(folder: Path) -> dict[str, Any]:
    """Write DICOM series in folders that say nothing, their slices numbered backwards; labels by series."""
    rows = []
    for patient in range(18):
        study, series = uid("study", patient), uid("series", patient)
        label = "opacity" if patient % 2 else "clear"
        volume = body((300 if patient % 2 else -600, -600), patient, 4)
        for place, plane in enumerate(volume):
            names = (f"PAT{patient:03d}", study, series, uid("instance", patient, place))
            path = folder / "data" / f"disc{patient % 3}" / f"{patient:02d}" / f"IM{(place * 7 + patient) % 11:04d}"
            write_slice(path, plane, names, (0, 0, 2.5 * place), number=4 - place)
        rows.append([series, label])
    write_table(folder / "labels.csv", ["SeriesInstanceUID", "label"], rows)
    return {
        "family": "dicom-series",
        "root": f"{folder.name}/data",
        "labels": f"{folder.name}/labels.csv",
        "classes": ["clear", "opacity"],
        "unit": "series",
        "slices": 2,
        "folds": 3,
        "pixels": {"size": SIDE, "intensity": "window", "window": [-1000, 400], "hounsfield": True},
    }
