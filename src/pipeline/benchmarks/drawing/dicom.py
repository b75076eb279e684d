"""Write valid DICOM files about invented patients, with the same bytes in every run."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from pipeline.benchmarks import identifier

DATE = "20200101"
TIME = "120000"


def unique(*parts: object) -> str:
    """Return a unique identifier that is a function of its parts."""
    return str(generate_uid(entropy_srcs=["latent-learnability", *map(str, parts)]))


def header(sop_class: str, modality: str, origin: tuple[str, int, int], study: int, instance: int) -> Dataset:
    """Return what every image has in common: the patient, study, series and instance, with no pixels.

    Args:
        sop_class: the storage SOP class (DICOM PS3.4, table B.5-1).
        modality: its defined term, such as CT.
        origin: family, seed and number of the patient, from which the identifiers derive.
        study: number of the study within the patient.
        instance: number of the image within the study.
    """
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = sop_class
    dataset.SOPInstanceUID = unique(*origin, study, instance)
    dataset.StudyDate = dataset.SeriesDate = dataset.ContentDate = DATE
    dataset.StudyTime = dataset.SeriesTime = dataset.ContentTime = TIME
    dataset.AccessionNumber = dataset.ReferringPhysicianName = ""
    dataset.Modality = modality
    dataset.Manufacturer = "Generated"
    dataset.PatientID = dataset.PatientName = identifier(origin[2])
    dataset.PatientBirthDate = dataset.PatientSex = ""
    dataset.StudyInstanceUID = unique(*origin, study, "study")
    dataset.SeriesInstanceUID = unique(*origin, study, "series")
    dataset.StudyID = dataset.SeriesNumber = str(study + 1)
    dataset.InstanceNumber = str(instance + 1)
    dataset.BurnedInAnnotation = "NO"
    return dataset


def write(
    dataset: Dataset, pixels: NDArray[Any], path: Path, *, photometric: str, bits: int, syntax: str | None = None
) -> None:
    """Add stored values (H x W, or frames x H x W) to the header and write the file.

    Args:
        dataset: the header.
        pixels: stored values of type uint8, uint16 or int16, which fit into `bits`.
        path: the file; its folder is made.
        photometric: MONOCHROME1 or MONOCHROME2.
        bits: BitsStored.
        syntax: the transfer syntax of a lossless compression, or None for explicit little endian.
    """
    dataset.set_pixel_data(np.ascontiguousarray(pixels), photometric, bits, generate_instance_uid=False)
    if syntax is not None:
        dataset.compress(syntax, generate_instance_uid=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)
