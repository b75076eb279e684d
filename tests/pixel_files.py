"""Small image files that tests of pixels write, and what they ask for."""

import struct
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian

from pipeline.errors import Refused
from pipeline.pixels import Frames, PixelSpec, inspect, read

STORED = PixelSpec(size=8)
COLOUR = PixelSpec(size=8, channels="rgb")
VOI = PixelSpec(size=8, intensity="voi")


def window(low: float, high: float, **options: Any) -> PixelSpec:  # noqa: ANN401 - any other option
    return PixelSpec(size=8, intensity="window", window=(low, high), **options)


def pixels(path: Path, spec: PixelSpec = STORED) -> Frames:
    return read(path, spec).frames


def write_dicom(
    folder: Path, values: NDArray[Any] | bytes, syntax: str = ExplicitVRLittleEndian, **changes: object
) -> Path:
    """Write a DICOM file around an array of stored values; keywords replace or (None) remove attributes."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = UID(syntax)
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7", "1.2.3"
    dataset.PatientID, dataset.Modality = "patient-17", "OT"
    dataset.BurnedInAnnotation = "NO"
    if isinstance(values, np.ndarray):
        dataset.Rows, dataset.Columns = values.shape[:2]
        dataset.BitsAllocated = dataset.BitsStored = values.dtype.itemsize * 8
        dataset.PixelRepresentation = int(values.dtype.kind == "i")
        dataset.SamplesPerPixel = 3 if values.ndim == 3 else 1
        values = values.astype(values.dtype.newbyteorder(">" if syntax == ExplicitVRBigEndian else "<")).tobytes()
    dataset.PhotometricInterpretation = "MONOCHROME2"
    if changes.get("SamplesPerPixel", dataset.get("SamplesPerPixel")) == 3:
        dataset.PlanarConfiguration = 0
    dataset.PixelData = values + b"\0" * (len(values) % 2)
    for keyword, value in changes.items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    if "HighBit" not in changes:
        dataset.HighBit = dataset.BitsStored - 1
    if "PixelData" in dataset:
        dataset["PixelData"].VR = "OB" if dataset.BitsAllocated <= 8 else "OW"
    path = folder / "made.dcm"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset.save_as(path, enforce_file_format=True)
    return path


def lut(first: int, entries: list[int], bits: int, signed: bool = False) -> Dataset:
    item = Dataset()
    item.add_new("LUTDescriptor", "SS" if signed else "US", [len(entries), first, bits])
    item.add_new("LUTData", "US", entries)
    return item


def reason(path: Path, spec: PixelSpec = STORED) -> str:
    """Return why a file is refused."""
    with pytest.raises(Refused) as refused:
        read(path, spec)
    assert "patient-17" not in str(refused.value)
    assert str(path.parent) not in str(refused.value)
    return str(refused.value)


def early_reason(path: Path, spec: PixelSpec = STORED) -> str:
    """Return why a file is refused by its header alone; reading it must say the same."""
    with pytest.raises(Refused) as refused:
        inspect(path, spec)
    assert reason(path, spec) == str(refused.value)
    return str(refused.value)


def save(path: Path, image: Image.Image, **options: Any) -> Path:  # noqa: ANN401 - Pillow's own options
    image.save(path, **options)
    return path


def write_png(path: Path, samples: NDArray[np.uint16], *chunks: tuple[bytes, bytes], after: bool = False) -> Path:
    """Write a 16-bit PNG by hand (Pillow cannot), with more chunks before or after the pixels."""
    height, width, channels = np.atleast_3d(samples).shape
    lines = np.atleast_3d(samples).astype(">u2").reshape(height, -1).view(np.uint8)
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    header = (b"IHDR", struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0))
    body = (b"IDAT", zlib.compress(np.pad(lines, ((0, 0), (1, 0))).tobytes()))
    every = [header, *([] if after else chunks), body, *(chunks if after else []), (b"IEND", b"")]
    written = (struct.pack(">I", len(b)) + k + b + struct.pack(">I", zlib.crc32(k + b)) for k, b in every)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(written))
    return path
