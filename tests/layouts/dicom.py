"""CT slices in DICOM, written with pydicom."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def uid(*parts: object) -> str:
    """Return the same identifier for the same parts."""
    return str(generate_uid(entropy_srcs=[repr(parts)]))


def write_slice(
    path: Path,
    hounsfield: NDArray[np.int16],
    names: tuple[str, str, str, str],
    position: Sequence[float] | None,
    orientation: Sequence[float] = AXIAL,
    number: int = 1,
) -> None:
    """Write one slice.

    Args:
        path: the file.
        hounsfield: rows x columns.
        names: PatientID, StudyInstanceUID, SeriesInstanceUID and SOPInstanceUID.
        position: ImagePositionPatient in mm, or None to leave position and orientation out.
        orientation: ImageOrientationPatient.
        number: InstanceNumber.
    """
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = CTImageStorage, names[3]
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = Dataset()
    data.file_meta = meta
    data.SOPClassUID, data.SOPInstanceUID, data.Modality = CTImageStorage, names[3], "CT"
    data.PatientID, data.StudyInstanceUID, data.SeriesInstanceUID = names[0], names[1], names[2]
    data.PatientName, data.InstanceNumber, data.BurnedInAnnotation = "Doe^Jane", number, "NO"
    if position is not None:
        data.ImagePositionPatient, data.ImageOrientationPatient = list(position), list(orientation)
    data.PixelSpacing = [1.0, 1.0]
    data.Rows, data.Columns = hounsfield.shape
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 12, 11, 0
    data.RescaleSlope, data.RescaleIntercept = 1, -1024
    data.PixelData = (hounsfield + 1024).astype("<u2").tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    data.save_as(path, enforce_file_format=True)
