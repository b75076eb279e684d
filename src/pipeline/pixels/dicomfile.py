"""A DICOM file opened at its pixel data: everything before it parsed, nothing of it read."""

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import pydicom
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filereader import _at_pixel_data, _read_file_meta_info, read_dataset

from pipeline.pixels.contract import quiet, refusing, require
from pipeline.pixels.streams import Bounded, Inflating

PIXEL_DATA = (0x7FE0, 0x0010)
UNDEFINED = 0xFFFFFFFF
HEADER_LIMIT = 2**26
"""Bytes that a deflated header may have: 64 MiB, for the sake of look-up tables and functional groups."""
DEFLATED: str = uid.DeflatedExplicitVRLittleEndian


@dataclass(frozen=True)
class Opened:
    """Where the pixels are.

    Attributes:
        dataset: Every attribute that stands before the pixel data, and the file's meta information.
        stream: The file, or what it inflates to.
        start: Where in the stream the value of PixelData starts.
        length: Bytes of that value; None for compressed frames, which end with a delimiter.
        available: Bytes that the stream has from there on, as far as that is known before they are inflated.
        words: Whether the value is made of 16-bit words (VR OW), which matters in big endian.
    """

    dataset: Dataset
    stream: Bounded | Inflating
    start: int
    length: int | None
    available: int
    words: bool

    @property
    def syntax(self) -> uid.UID:
        """The transfer syntax."""
        syntax: uid.UID = self.dataset.file_meta.TransferSyntaxUID
        return syntax

    @property
    def big_endian(self) -> bool:
        """Whether numbers of several bytes start with the highest."""
        return bool(self.syntax == uid.ExplicitVRBigEndian)

    def bytes_at(self, offset: int, count: int) -> bytes:
        """Return so many bytes of the pixel data's value; Refused where they are not there."""
        self.stream.seek(self.start + offset)
        found = self.stream.read(count)
        require(len(found) == count, "the pixel data is truncated")
        return found


@contextmanager
def opened(path: Path) -> Iterator[Opened]:
    """Open a DICOM file and parse its header; close it afterwards."""
    with path.open("rb") as file:
        with quiet(), refusing("the DICOM header cannot be read"):
            found = _at_pixels(file)
        yield found


def _at_pixels(file: BinaryIO) -> Opened:
    dataset, stream = _inflated(file) or _plain(file)
    implicit, little_endian = dataset.original_encoding
    words, length, start = _element(stream, "<" if little_endian else ">")
    if isinstance(stream, Inflating):
        stream.limit = start + (length or 0)
    available = stream.size() - start
    if dataset.file_meta.get("TransferSyntaxUID") is None:
        native = bool(little_endian) and length is not None
        require(native, "the file does not say how its pixels are encoded, or has none")
        dataset.file_meta.TransferSyntaxUID = uid.ImplicitVRLittleEndian if implicit else uid.ExplicitVRLittleEndian
    return Opened(dataset, stream, start, length, available, words)


def _plain(file: BinaryIO) -> tuple[Dataset, Bounded]:
    stream = Bounded(file)
    return pydicom.dcmread(stream, force=True, stop_before_pixels=True), stream


def _element(stream: Bounded | Inflating, order: str) -> tuple[bool, int | None, int]:
    """Read the head of the element PixelData: whether its VR is OW, the length of its value, and where that starts.

    Whether there is a VR is seen here, because some files say otherwise of themselves: taken for a length, every VR
    would be odd, which a length never is.
    """
    head = stream.read(8)
    require(len(head) == 8 and struct.unpack_from(f"{order}HH", head) == PIXEL_DATA, "the file has no PixelData")
    explicit = head[4:6] in (b"OB", b"OW", b"UN")
    (length,) = struct.unpack(f"{order}L", stream.read(4) if explicit else head[4:])
    return head[4:6] == b"OW", None if length == UNDEFINED else length, stream.tell()


def _inflated(file: BinaryIO) -> tuple[Dataset, Inflating] | None:
    """Return the parsed header and the stream of a deflated file, and None for all other kinds.

    pydicom would inflate all of it at once, whatever its size. The transfer syntax is among a file's first elements.
    """
    start = file.read(512)
    prefixed = start[128:132] == b"DICM"
    file.seek(132 if prefixed else 0)
    meta = _read_file_meta_info(file) if DEFLATED.encode() in start else FileMetaDataset()
    if meta.get("TransferSyntaxUID") != DEFLATED:
        file.seek(0)
        return None
    stream = Inflating(file, HEADER_LIMIT)
    dataset = read_dataset(cast(BinaryIO, stream), False, True, stop_when=_at_pixel_data)
    dataset.file_meta = meta
    dataset.set_original_encoding(False, True, dataset._character_set)
    return dataset, stream
