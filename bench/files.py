"""The files that are measured."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels.encoders.base import get_encoder


def radiograph(side: int, seed: int = 0) -> NDArray[np.uint16]:
    """Return side x side 12-bit values: a smooth scene with noise, as in a radiograph."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:side, 0:side] / side
    scene = 2048 + 1500 * np.sin(5 * rows + seed) * np.cos(4 * columns) + random.normal(0, 20, (side, side))
    return np.asarray(scene.clip(0, 4095), np.uint16)


def dataset(pixels: NDArray[Any], **attributes: object) -> Dataset:
    """Return a data set of H x W 12-bit values with a window and a slope."""
    out = Dataset()
    out.SOPClassUID, out.SOPInstanceUID = uid.SecondaryCaptureImageStorage, uid.generate_uid(entropy_srcs=["bench"])
    out.PatientID, out.Modality, out.PhotometricInterpretation = "1", "CR", "MONOCHROME2"
    out.Rows, out.Columns = pixels.shape
    out.SamplesPerPixel, out.PixelRepresentation = 1, 0
    out.BitsAllocated, out.BitsStored, out.HighBit = 16, 12, 11
    out.RescaleSlope, out.RescaleIntercept = "1", "0"
    out.WindowCenter, out.WindowWidth = "2048", "3000"
    for name, value in attributes.items():
        setattr(out, name, value)
    out.PixelData = pixels.tobytes()
    out["PixelData"].VR = "OW"
    return out


def save(source: Dataset, path: Path, syntax: uid.UID = uid.ExplicitVRLittleEndian) -> Path:
    """Write a DICOM file, compressed if the transfer syntax is."""
    source.file_meta = FileMetaDataset()
    source.file_meta.TransferSyntaxUID = syntax
    source.file_meta.MediaStorageSOPClassUID = source.SOPClassUID
    source.file_meta.MediaStorageSOPInstanceUID = source.SOPInstanceUID
    if syntax.is_encapsulated:
        source.PixelData = encapsulate([_encoded(source, syntax)])
        source["PixelData"].VR, source["PixelData"].is_undefined_length = "OB", True
    source.save_as(path, enforce_file_format=True)
    return path


def _encoded(source: Dataset, syntax: uid.UID) -> bytes:
    pixels = np.frombuffer(source.PixelData, np.uint16).reshape(source.Rows, source.Columns)
    if syntax == uid.JPEGLosslessSV1:
        import imagecodecs

        return bytes(imagecodecs.ljpeg_encode(pixels, bitspersample=12))
    options = {"rows": source.Rows, "columns": source.Columns, "number_of_frames": 1, "samples_per_pixel": 1}
    options |= {"bits_allocated": 16, "bits_stored": 12, "pixel_representation": 0}
    encoded: bytes = get_encoder(syntax).encode(pixels, photometric_interpretation="MONOCHROME2", **options)
    return encoded
