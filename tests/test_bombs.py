"""Small files that ask for all memory or all time are refused quickly and cheaply, without a worker's limits."""

import gzip
import io
import itertools
import json
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.filewriter import write_file_meta_info

SECONDS = 5
MEBIBYTES = 1024

CHILD = """
import json, re, sys, time
from pathlib import Path
from pipeline.errors import Refused
from pipeline.pixels import PixelSpec, dicom, inspect, nifti, raster, read, tiff
spec, path, start, reason = PixelSpec(size=16), Path(sys.argv[1]), time.perf_counter(), None
try:
    inspect(path, spec)
    read(path, spec)
except Refused as refused:
    reason = str(refused)
seconds = time.perf_counter() - start
# Not ru_maxrss, which starts at the size of the process that this one was forked from.
peak = int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024
print(json.dumps([reason, seconds, peak]))
"""


def zeros(mebibytes: int, wbits: int) -> bytes:
    """Return a deflate stream of so many MiB of zeros: one block again and again, so that making it costs nothing."""
    block = zlib.compressobj(9, zlib.DEFLATED, -15)
    piece = block.compress(bytes(2**20)) + block.flush(zlib.Z_FULL_FLUSH)
    head = {15: b"\x78\xda", 31: b"\x1f\x8b\x08" + bytes(7), -15: b""}[wbits]
    # The checksum at the end is missing: nobody must get that far.
    return head + piece * mebibytes + b"\x03\x00"


def scan(**attributes: object) -> Dataset:
    """Return a DICOM data set of 8 x 8 pixels of 16 bits, with some attributes changed."""
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = uid.SecondaryCaptureImageStorage, "1.2.3"
    dataset.PatientID, dataset.Modality, dataset.PhotometricInterpretation = "1", "OT", "MONOCHROME2"
    dataset.Rows = dataset.Columns = 8
    dataset.SamplesPerPixel, dataset.PixelRepresentation = 1, 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 16, 15
    dataset.PixelData = bytes(128)
    for name, value in attributes.items():
        setattr(dataset, name, value)
    dataset["PixelData"].VR = "OB" if dataset["PixelData"].is_undefined_length else "OW"
    return dataset


def file_meta(syntax: str) -> FileMetaDataset:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = uid.UID(syntax)
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = uid.SecondaryCaptureImageStorage, "1.2.3"
    return meta


def written(dataset: Dataset, syntax: str = uid.ExplicitVRLittleEndian) -> bytes:
    dataset.file_meta = file_meta(syntax)
    if dataset.file_meta.TransferSyntaxUID.is_encapsulated:
        dataset["PixelData"].VR, dataset["PixelData"].is_undefined_length = "OB", True
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def spliced(inside: bytes) -> bytes:
    """Put raw data elements (explicit, little endian) before a DICOM file's pixel data."""
    whole = written(scan())
    place = whole.index(b"\xe0\x7f\x10\x00OW")
    return whole[:place] + inside + whole[place:]


def four_hundred_gib() -> bytes:
    data = written(scan(Rows=65535, Columns=65535, NumberOfFrames=100, BitsAllocated=8, BitsStored=8, HighBit=7))
    return data + bytes(7800 - len(data))


def deflated_pixels() -> bytes:
    """Inflates to 20 GiB behind the pixel data of an 8 x 8 image."""
    return _deflated(written(scan()), zeros(20 * 1024, -15))


def deflated_header() -> bytes:
    """Inflates to 20 GiB in a private tag before the pixel data."""
    element = struct.pack("<HH2sHL", 0x0029, 0x1010, b"OB", 0, 2**32 - 2)
    body = written(scan())
    return _deflated(body[: body.index(b"\xe0\x7f\x10\x00OW")] + element, zeros(20 * 1024, -15))


def _deflated(explicit: bytes, rest: bytes) -> bytes:
    dataset = pydicom.dcmread(io.BytesIO(explicit), force=True, stop_before_pixels=True)
    meta = io.BytesIO()
    meta.write(bytes(128) + b"DICM")
    write_file_meta_info(meta, file_meta(uid.DeflatedExplicitVRLittleEndian))
    first = zlib.compressobj(9, zlib.DEFLATED, -15)
    start = 132 + 12 + dataset.file_meta.FileMetaInformationGroupLength
    return meta.getvalue() + first.compress(explicit[start:]) + first.flush(zlib.Z_FULL_FLUSH) + rest


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">L", len(body)) + kind + body + struct.pack(">L", zlib.crc32(kind + body))


def _png(width: int, height: int, *chunks: bytes, data: bytes = b"") -> bytes:
    header = _chunk(b"IHDR", struct.pack(">LLBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")


def png_of_black() -> bytes:
    return _png(60000, 60000, data=zeros(3600, 15))


def png_of_nothing() -> bytes:
    return _png(2**31 - 1, 2**31 - 1, data=zlib.compress(b""))


def png_text() -> bytes:
    return _png(8, 8, _chunk(b"zTXt", b"Comment\0\0" + zeros(4096, 15)), data=zlib.compress(b""))


def png_profile() -> bytes:
    return _png(8, 8, _chunk(b"iCCP", b"icc\0\0" + zeros(4096, 15)), data=zlib.compress(b""))


def png_data_of_a_small_image() -> bytes:
    """Inflates to 4 GiB where 8 x 8 pixels are declared; the end of the stream is missing, as is its checksum."""
    return _png(8, 8, data=zeros(4096, 15))


def _nifti(*shape: int) -> bytes:
    header = nib.Nifti1Header()
    header.set_data_dtype(np.int16)
    header.set_data_shape(shape)
    header["vox_offset"], header["magic"] = 352, b"n+1"
    header.set_sform(np.eye(4), code=1)
    return bytes(header.binaryblock) + bytes(4)


def nifti_dimensions() -> bytes:
    return _nifti(32767, 32767, 32767)


def nifti_dimensions_zipped() -> bytes:
    return gzip.compress(_nifti(32767, 32767, 32767))


def nifti_tail() -> bytes:
    """Unpacks to 20 GiB behind a volume of 4 x 4 x 4."""
    return _gzip(_nifti(4, 4, 4))


def nifti_not() -> bytes:
    return _gzip(b"")


def nifti_extensions() -> bytes:
    """Unpacks to 20 GiB in a header extension, after which the volume is said to start."""
    header = bytearray(_nifti(4, 4, 4))
    header[348:352] = b"\1\0\0\0"
    header[108:112] = struct.pack("<f", 2.0**34)
    return _gzip(bytes(header) + struct.pack("<LL", 2**31 - 16, 4))


def _gzip(start: bytes) -> bytes:
    first = zlib.compressobj(9, zlib.DEFLATED, 31)
    return first.compress(start) + first.flush(zlib.Z_FULL_FLUSH) + zeros(20 * 1024, -15)


def _tiff(width: int, height: int, data: bytes, compression: int = 1, following: int = 0, pages: int = 1) -> bytes:
    """Return a grey TIFF of 8 bits in one strip, little endian."""
    entries = [(256, 4, width), (257, 4, height), (258, 3, 8), (259, 3, compression), (262, 3, 1)]
    entries += [(273, 4, 8), (277, 3, 1), (278, 4, height), (279, 4, len(data))]
    out = struct.pack("<2sHL", b"II", 42, 8 + len(data)) + data
    for page in range(pages):
        directory = b"".join(struct.pack("<HHLL", tag, kind, 1, value) for tag, kind, value in entries)
        next_one = len(out) + 2 + len(directory) + 4 if page < pages - 1 else following
        out += struct.pack("<H", len(entries)) + directory + struct.pack("<L", next_one)
    return out


def tiff_dimensions() -> bytes:
    return _tiff(2**32 - 1, 2**32 - 1, bytes(64))


def tiff_of_black() -> bytes:
    return _tiff(60000, 60000, zeros(3600, 15), compression=8)


def tiff_strip_of_a_small_image() -> bytes:
    return _tiff(8, 8, zeros(4096, 15), compression=8)


def tiff_that_bites_its_tail() -> bytes:
    return _tiff(8, 8, bytes(64), following=8 + 64)


def tiff_of_many_pages() -> bytes:
    return _tiff(4096, 4096, zeros(16, 15), compression=8, pages=5000)


def tiff_of_many_strips() -> bytes:
    """Two entries say that there are 2^30 strips."""
    data = bytearray(_tiff(8, 8, bytes(64)))
    for tag in (273, 279):
        place = data.index(struct.pack("<HHL", tag, 4, 1))
        data[place + 4 : place + 8] = struct.pack("<L", 2**30)
    return bytes(data)


def jpeg_dimensions() -> bytes:
    stream = io.BytesIO()
    Image.new("L", (16, 16)).save(stream, "jpeg")
    data = bytearray(stream.getvalue())
    place = data.index(b"\xff\xc0") + 5
    data[place : place + 4] = b"\xff\xff\xff\xff"
    return bytes(data)


def rle_of_a_large_image() -> bytes:
    """Has the 3.4 GiB of float32 pixels that are allowed at most in its header, and two bytes of them in its frame."""
    frame = struct.pack("<16L", 2, 64, 66, *[0] * 13) + b"\x81\0" * 2
    return written(scan(Rows=30000, Columns=30000, PixelData=encapsulate([frame])), uid.RLELossless)


def rle_of_a_small_image() -> bytes:
    """Unpacks to 1.2 GiB where 8 x 8 pixels of 16 bits are declared."""
    segment = b"\x81\0" * (5 * 2**20)
    frame = struct.pack("<16L", 2, 64, 64 + len(segment), *[0] * 13) + segment * 2
    return written(scan(PixelData=encapsulate([frame])), uid.RLELossless)


def jpeg_2000_of_a_large_image() -> bytes:
    size = struct.pack(">HHH8LH3B", 0xFF51, 41, 0, 30000, 30000, 0, 0, 30000, 30000, 0, 0, 1, 15, 1, 1)
    frame = b"\xff\x4f" + size + b"\xff\xd9"
    return written(scan(Rows=30000, Columns=30000, PixelData=encapsulate([frame])), uid.JPEG2000Lossless)


def fragments() -> bytes:
    """Has its frame in a million fragments."""
    eight_bit = scan(PixelData=encapsulate([bytes(64)]), BitsAllocated=8, BitsStored=8, HighBit=7)
    data = written(eight_bit, uid.JPEGBaseline8Bit)
    place = data.rindex(b"\xfe\xff\xdd\xe0")
    return data[:place] + b"\xfe\xff\x00\xe0\x02\0\0\0\0\0" * 1_000_000 + data[place:]


def frames_without_end() -> bytes:
    return written(scan(NumberOfFrames=2**31 - 1, PixelData=encapsulate([bytes(64)])), uid.JPEG2000Lossless)


OPEN = b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
CLOSE = b"\xfe\xff\x0d\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0"


def nesting() -> bytes:
    return spliced(OPEN * 100_000 + CLOSE * 100_000)


def nesting_without_end() -> bytes:
    return spliced(OPEN * 100_000)


def nesting_of_known_length() -> bytes:
    depth = 20_000
    lengths = [20 * (depth - level) for level in range(depth)]
    heads = (struct.pack("<HH2sHLHHL", 8, 0x1140, b"SQ", 0, n - 12, 0xFFFE, 0xE000, n - 20) for n in lengths)
    return spliced(b"".join(heads))


def many_elements() -> bytes:
    """Has a hundred thousand private elements before its pixel data."""
    places = ((group, element) for group in range(9, 61, 2) for element in range(0x1000, 0xFFFF))
    heads = (struct.pack("<HH2sH", *place, b"LO", 0) for place in itertools.islice(places, 10**5))
    return spliced(b"".join(heads))


def many_items() -> bytes:
    return spliced(OPEN[:12] + b"\xfe\xff\x00\xe0\0\0\0\0" * 20_000 + CLOSE[8:])


def long_table() -> bytes:
    """Says that its palette has 2^32 - 2 bytes."""
    return spliced(struct.pack("<HH2sHL", 0x0028, 0x1201, b"OW", 0, 2**32 - 2))


BOMBS: list[Callable[[], bytes]] = [
    four_hundred_gib,
    deflated_header,
    png_of_black,
    png_of_nothing,
    png_text,
    png_profile,
    nifti_dimensions,
    nifti_dimensions_zipped,
    nifti_tail,
    nifti_not,
    nifti_extensions,
    tiff_dimensions,
    tiff_of_black,
    tiff_strip_of_a_small_image,
    tiff_that_bites_its_tail,
    tiff_of_many_pages,
    tiff_of_many_strips,
    jpeg_dimensions,
    rle_of_a_large_image,
    rle_of_a_small_image,
    jpeg_2000_of_a_large_image,
    fragments,
    frames_without_end,
    nesting,
    nesting_without_end,
    long_table,
]

HARMLESS: list[Callable[[], bytes]] = [
    deflated_pixels,
    png_data_of_a_small_image,
    nesting_of_known_length,
    many_elements,
    many_items,
]
"""What is too much stands where it need not be read."""


def looked_at(bomb: Callable[[], bytes], folder: Path) -> str | None:
    """Inspect and read a file in a process of its own; return the reason of a refusal. Fail if that cost too much."""
    path = folder / "file"
    path.write_bytes(bomb())
    assert path.stat().st_size < 60 * 2**20
    finished = subprocess.run([sys.executable, "-c", CHILD, str(path)], capture_output=True, text=True, timeout=60)
    assert finished.returncode == 0, finished.stderr[-2000:]
    reason, seconds, peak = json.loads(finished.stdout)
    print(f"{bomb.__name__}: {seconds:.2f} s, {peak:.0f} MiB: {reason}")  # for a person, with --capture=no
    assert seconds < SECONDS
    assert peak < MEBIBYTES
    found: str | None = reason
    return found


linux = pytest.mark.skipif(sys.platform != "linux", reason="the peak of memory is read from /proc")


@linux
@pytest.mark.parametrize("bomb", BOMBS, ids=lambda bomb: bomb.__name__)
def test_a_bomb_is_refused_quickly_and_cheaply(bomb: Callable[[], bytes], tmp_path: Path) -> None:
    assert looked_at(bomb, tmp_path)


@linux
@pytest.mark.parametrize("bomb", HARMLESS, ids=lambda bomb: bomb.__name__)
def test_what_need_not_be_read_costs_nothing(bomb: Callable[[], bytes], tmp_path: Path) -> None:
    looked_at(bomb, tmp_path)


def test_an_ordinary_file_made_the_same_way_is_read(tmp_path: Path) -> None:
    from pipeline.pixels import PixelSpec, read

    for number, data in enumerate((written(scan()), spliced((OPEN + CLOSE) * 3), _tiff(8, 8, bytes(64)))):
        (tmp_path / str(number)).write_bytes(data)
        assert read(tmp_path / str(number), PixelSpec(size=16)).frames.shape == (1, 1, 8, 8)
