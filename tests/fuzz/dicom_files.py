"""DICOM files as lists of elements that need not make sense, and small DICOM files in every encoding."""

import io
import itertools
import struct
import zlib
from dataclasses import dataclass, replace
from typing import Any

import imagecodecs
import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels import pixel_array
from pydicom.pixels.encoders.base import get_encoder
from pydicom.sequence import Sequence as Items

LONG = (b"OB", b"OW", b"OF", b"OD", b"OL", b"SQ", b"UN", b"UT", b"UC", b"UR", b"OV", b"SV", b"UV")
UNDEFINED = 0xFFFFFFFF
PIXEL_DATA = 0x7FE00010
SYNTAX = 0x00020010
CANARY = "CANARY9f"
SIDE = 40


@dataclass(frozen=True)
class Element:
    """A data element as it stands in the file; `length` is what the file claims if that is not the truth."""

    tag: int
    vr: bytes
    value: bytes
    length: int | None = None


@dataclass(frozen=True)
class File:
    """A DICOM file: its start, its meta information, its data set, and how that is encoded."""

    start: bytes
    meta: list[Element]
    body: list[Element]
    implicit: bool = False
    order: str = "<"
    deflated: bool = False

    @classmethod
    def parse(cls, data: bytes) -> "File":
        """Take a well-formed file apart; sequences must be of known length."""
        start = data[:132] if data[128:132] == b"DICM" else b""
        meta, place = _elements(data, len(start), False, "<", group=2)
        syntax = next((e.value.rstrip(b"\0").decode() for e in meta if e.tag == SYNTAX), uid.ImplicitVRLittleEndian)
        deflated = syntax == uid.DeflatedExplicitVRLittleEndian
        rest = zlib.decompress(data[place:], -15) if deflated else data[place:]
        implicit, order = syntax == uid.ImplicitVRLittleEndian, ">" if syntax == uid.ExplicitVRBigEndian else "<"
        return cls(start, meta, _elements(rest, 0, implicit, order)[0], implicit, order, deflated)

    def render(self) -> bytes:
        """Return the file's bytes."""
        body = b"".join(written(element, self.implicit, self.order) for element in self.body)
        if self.deflated:
            squeeze = zlib.compressobj(6, zlib.DEFLATED, -15)
            body = squeeze.compress(body) + squeeze.flush()
        return self.start + b"".join(written(element, False, "<") for element in self.meta) + body

    def with_body(self, body: list[Element]) -> "File":
        """Return the file with other elements."""
        return replace(self, body=body)


def written(element: Element, implicit: bool, order: str) -> bytes:
    """Return an element's bytes."""
    length = len(element.value) if element.length is None else element.length
    head = struct.pack(f"{order}HH", element.tag >> 16, element.tag & 0xFFFF)
    if implicit:
        return head + struct.pack(f"{order}L", length) + element.value
    if element.vr in LONG:
        return head + element.vr + b"\0\0" + struct.pack(f"{order}L", length) + element.value
    return head + element.vr + struct.pack(f"{order}H", length & 0xFFFF) + element.value


def _elements(
    data: bytes, place: int, implicit: bool, order: str, group: int | None = None
) -> tuple[list[Element], int]:
    found = []
    while place + 8 <= len(data):
        high, low = struct.unpack_from(f"{order}HH", data, place)
        if group is not None and high != group:
            break
        vr = b"UN" if implicit else data[place + 4 : place + 6]
        if implicit or vr in LONG:
            place += 8 if implicit else 12
            (length,) = struct.unpack_from(f"{order}L", data, place - 4)
        else:
            place += 8
            (length,) = struct.unpack_from(f"{order}H", data, place - 2)
        end = len(data) if length == UNDEFINED else place + length
        claimed = UNDEFINED if length == UNDEFINED else None
        found.append(Element(high << 16 | low, vr, data[place:end], claimed))
        place = end
    return found, place


def saved(dataset: Dataset, syntax: str) -> bytes:
    """Return the bytes of a data set in an uncompressed syntax, or one whose pixels are compressed already."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = uid.UID(syntax)
    meta.MediaStorageSOPClassUID = dataset.get("SOPClassUID", uid.SecondaryCaptureImageStorage)
    meta.MediaStorageSOPInstanceUID = dataset.get("SOPInstanceUID", "1.2.3")
    dataset.file_meta = meta
    if "PixelData" in dataset:
        encapsulated = meta.TransferSyntaxUID.is_encapsulated
        wide = dataset.get("BitsAllocated", 8) > 8
        dataset["PixelData"].VR = "OW" if wide and not encapsulated else "OB"
        dataset["PixelData"].is_undefined_length = encapsulated
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def picture(frames: int, samples: int, bits: int, signed: bool = False) -> NDArray[Any]:
    """Return frames x H x W (x 3) of a smooth scene with a little noise that uses all of the bits."""
    random = np.random.default_rng(bits)
    rows, columns, time = np.mgrid[0:SIDE, 0 : SIDE + 8, 0:frames].astype(float)
    scene = 0.5 + 0.4 * np.sin(rows / 5 + time) * np.cos(columns / 7) + random.normal(0, 0.02, rows.shape)
    values = (scene.clip(0, 1) * (2**bits - 1)).round() - (2 ** (bits - 1) if signed else 0)
    kind = ("i" if signed else "u") + ("1" if bits <= 8 else "2")
    grey = np.ascontiguousarray(values.transpose(2, 0, 1).astype(kind))
    return grey if samples == 1 else np.stack([grey, grey[:, ::-1], grey[:, :, ::-1]], axis=-1)


def dataset(
    pixels: NDArray[Any], photometric: str = "MONOCHROME2", bits: int | None = None, **attributes: object
) -> Dataset:
    """Return a data set for frames x H x W (x 3), with a canary in its identifiers."""
    out = Dataset()
    out.SOPClassUID, out.SOPInstanceUID = uid.SecondaryCaptureImageStorage, "1.2.826.0.1.3680043.8.498.1"
    out.StudyInstanceUID, out.SeriesInstanceUID = "1.2.826.0.1.3680043.8.498.2", "1.2.826.0.1.3680043.8.498.3"
    out.PatientName = out.PatientID = out.InstitutionName = CANARY
    out.Modality = "CT" if pixels.dtype.kind == "i" else "US"
    out.RescaleSlope, out.RescaleIntercept, out.WindowCenter, out.WindowWidth = (
        "1",
        "-24",
        ["40", "300"],
        ["400", "1500"],
    )
    out.ImagePositionPatient, out.ImageOrientationPatient = [0, 0, 1.5], [1, 0, 0, 0, 1, 0]
    out.NumberOfFrames, out.Rows, out.Columns = pixels.shape[:3]
    out.SamplesPerPixel, out.PhotometricInterpretation = pixels.shape[3] if pixels.ndim == 4 else 1, photometric
    out.BitsAllocated = 8 * pixels.dtype.itemsize
    out.BitsStored = bits or out.BitsAllocated
    out.HighBit, out.PixelRepresentation = out.BitsStored - 1, int(pixels.dtype.kind == "i")
    if pixels.ndim == 4:
        out.PlanarConfiguration = 0
    for name, value in attributes.items():
        setattr(out, name, value)
    out.PixelData = pixels.tobytes()
    return out


def compressed(source: Dataset, pixels: NDArray[Any], syntax: str) -> Dataset:
    """Put frames x H x W (x 3) into a data set as compressed frames."""
    source.PixelData = encapsulate([_frame(frame, source, syntax) for frame in pixels])
    return source


def _frame(frame: NDArray[Any], source: Dataset, syntax: str) -> bytes:
    near = {"level": 2} if syntax == uid.JPEGLSNearLossless else {}
    bits = {"bitspersample": source.BitsStored}
    # Encoders take the bit pattern of negative values, as DICOM wants it.
    plain = np.ascontiguousarray(frame).view(f"u{frame.dtype.itemsize}")
    if syntax == uid.RLELossless:
        options = {"rows": frame.shape[0], "columns": frame.shape[1], "number_of_frames": 1, "pixel_representation": 0}
        options |= {"bits_allocated": source.BitsAllocated, "bits_stored": source.BitsAllocated}
        options |= {"samples_per_pixel": source.SamplesPerPixel, "planar_configuration": 0}
        options |= {"photometric_interpretation": "RGB" if frame.ndim == 3 else "MONOCHROME2"}
        encoded: bytes = get_encoder(syntax).encode(plain, encoding_plugin="pylibjpeg", **options)
        return encoded
    if syntax in (uid.JPEGLossless, uid.JPEGLosslessSV1):
        return bytes(imagecodecs.ljpeg_encode(plain, **bits))
    if syntax in (uid.JPEGLSLossless, uid.JPEGLSNearLossless):
        return bytes(imagecodecs.jpegls_encode(plain, **near))
    if syntax in uid.JPEG2000TransferSyntaxes and syntax not in (uid.HTJ2K, uid.HTJ2KLossless):
        reversible = syntax == uid.JPEG2000Lossless
        return bytes(
            imagecodecs.jpeg2k_encode(plain, 0 if reversible else 60, codecformat="j2k", reversible=reversible)
        )
    if syntax in (uid.HTJ2K, uid.HTJ2KLossless):
        return bytes(imagecodecs.htj2k_encode(plain, reversible=True))
    if source.BitsStored > 8:
        return bytes(imagecodecs.jpeg8_encode(plain, 90, bitspersample=12))
    colour = {"colorspace": "YCBCR", "outcolorspace": "YCBCR"} if frame.ndim == 3 else {}
    return bytes(imagecodecs.jpeg8_encode(plain, 90, **colour))


def small(data: bytes) -> bytes:
    """Return a real file with all of its header, and of its pixels a piece of the middle of two frames at most."""
    source = pydicom.dcmread(io.BytesIO(data))
    syntax = source.file_meta.TransferSyntaxUID
    frames = min(int(source.get("NumberOfFrames", 1)), 2)
    if syntax == uid.JPEGExtended12Bit:
        encoded = generate_frames(source.PixelData, number_of_frames=int(source.get("NumberOfFrames", 1)))
        whole = [imagecodecs.jpeg8_decode(frame) for frame in itertools.islice(encoded, frames)]
    else:
        whole = [pixel_array(source, index=index, raw=True) for index in range(frames)]
    top, left = (source.Rows - SIDE) // 2, (source.Columns - SIDE) // 2
    pixels = np.ascontiguousarray(np.stack(whole)[:, top : top + SIDE, left : left + SIDE])
    source.Rows = source.Columns = SIDE
    if "NumberOfFrames" in source:
        source.NumberOfFrames = frames
    if pixels.ndim == 4:
        source.PlanarConfiguration = 0
    if syntax.is_encapsulated:
        return saved(_of_known_length(compressed(source, pixels, syntax)), syntax)
    subsampled = source.PhotometricInterpretation == "YBR_FULL_422"
    pixels = half_chroma(pixels) if subsampled else pixels
    source.PixelData = (
        pixels.astype(pixels.dtype.newbyteorder(">")) if syntax == uid.ExplicitVRBigEndian else pixels
    ).tobytes()
    return saved(_of_known_length(source), syntax)


def half_chroma(pixels: NDArray[Any]) -> NDArray[Any]:
    """Return YBR frames x H x W x 3 as YBR_FULL_422 is stored: two luminances, then their common chrominances."""
    pairs = pixels.reshape(*pixels.shape[:2], -1, 2, 3)
    return np.concatenate([pairs[..., 0], pairs[..., 0, 1:]], axis=-1)


def _of_known_length(source: Dataset) -> Dataset:
    for element in source:
        if element.VR == "SQ":
            element.is_undefined_length = False
            for item in element.value:
                item.is_undefined_length_sequence_item = False
                _of_known_length(item)
    return source


def per_frame(count: int) -> dict[str, object]:
    """Return the functional groups of an enhanced CT image with a slope and a window for each frame."""
    groups = []
    for number in range(count):
        group, values, window = Dataset(), Dataset(), Dataset()
        values.RescaleSlope, values.RescaleIntercept, values.RescaleType = str(number + 1), "-1024", "HU"
        window.WindowCenter, window.WindowWidth = "40", str(400 + number)
        group.PixelValueTransformationSequence, group.FrameVOILUTSequence = Items([values]), Items([window])
        groups.append(group)
    return {"PerFrameFunctionalGroupsSequence": Items(groups), "SharedFunctionalGroupsSequence": Items([Dataset()])}


def table(bits: int = 12) -> Items:
    """Return a look-up table of 256 entries."""
    item = Dataset()
    item.LUTDescriptor, item.LUTData, item.ModalityLUTType = (
        [256, 0, bits],
        (np.arange(256) * 2 ** (bits - 8)).tolist(),
        "US",
    )
    item["LUTDescriptor"].VR = item["LUTData"].VR = "US"
    return Items([item])


def palette() -> dict[str, object]:
    """Return a palette of 256 entries of 16 bits."""
    out: dict[str, object] = {}
    for number, colour in enumerate(("Red", "Green", "Blue")):
        out[f"{colour}PaletteColorLookupTableDescriptor"] = [256, 0, 16]
        entries = (np.roll(np.arange(256), 60 * number) * 257).astype("<u2")
        out[f"{colour}PaletteColorLookupTableData"] = entries.tobytes()
    return out
