"""Ways to damage a file: blindly, and with knowledge of its format, so that the damage comes far."""

import gzip
import struct
import zlib
from random import Random

from tests.fuzz.blind import BLIND, Mutator, number, overwrite_number
from tests.fuzz.dicom_damage import damage_dicom
from tests.fuzz.dicom_files import CANARY


def damage_png(data: bytes, random: Random) -> bytes:
    """Change chunks and make their checksums right again."""
    chunks, at = [], 8
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">L", data, at)
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    chosen = random.randrange(len(chunks))
    kind, body = chunks[chosen]
    action = random.randrange(5)
    if action == 0:
        chunks[0] = (b"IHDR", overwrite_number(chunks[0][1], random))
    elif action == 1:
        chunks[chosen] = (kind, random.choice(BLIND)(body or b"\0", random))
    elif action == 2:
        chunks.insert(random.randrange(len(chunks) + 1), chunks.pop(chosen))
    elif action == 3:
        extra = random.choice(
            (b"tRNS", b"PLTE", b"gAMA", b"iCCP", b"acTL", b"fcTL", b"eXIf", b"tEXt", b"zTXt", b"sBIT", b"IDAT", b"IEND")
        )
        content = random.choice(
            (
                b"",
                CANARY.encode(),
                b"name\0\0" + zlib.compress(bytes(2**20)),
                random.randbytes(6),
                random.randbytes(768),
            )
        )
        chunks.insert(random.randrange(1, len(chunks) + 1), (extra, content))
    else:
        pixels = zlib.decompress(b"".join(body for kind, body in chunks if kind == b"IDAT"))
        again = zlib.compress(random.choice(BLIND)(pixels, random), 1)
        chunks = [chunk for chunk in chunks if chunk[0] not in (b"IDAT", b"IEND")] + [(b"IDAT", again), (b"IEND", b"")]
    packed = (
        struct.pack(">L", len(body)) + kind + body + struct.pack(">L", zlib.crc32(kind + body)) for kind, body in chunks
    )
    return data[:8] + b"".join(packed)


def damage_jpeg(data: bytes, random: Random) -> bytes:
    """Change segments before the first scan."""
    segments, at = [], 2
    while at + 4 <= len(data) and data[at + 1] != 0xDA:
        (length,) = struct.unpack_from(">H", data, at + 2)
        segments.append((data[at + 1], data[at + 4 : at + 2 + length]))
        at += 2 + length
    chosen = random.randrange(len(segments))
    marker, body = segments[chosen]
    action = random.randrange(4)
    if action == 0:
        frames = [index for index, (kind, _) in enumerate(segments) if kind in (0xC0, 0xC1, 0xC2)]
        segments[frames[0]] = (
            random.choice((segments[frames[0]][0], 0xC0, 0xC3, 0xC9)),
            overwrite_number(segments[frames[0]][1], random),
        )
    elif action == 1:
        segments[chosen] = (marker, random.choice(BLIND)(body or b"\0", random))
    elif action == 2:
        segments.insert(random.randrange(len(segments) + 1), segments.pop(chosen))
    else:
        adobe = b"Adobe\0\x64\0\0\0\0" + bytes([random.randrange(4)])
        turned = (
            b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0" + bytes([random.randrange(12), 0, 0, 0]) + bytes(4)
        )
        extra = random.choice(
            (
                (0xEE, adobe),
                (0xE1, turned),
                (0xDD, random.randbytes(2)),
                (0xFE, CANARY.encode()),
                (0xE2, b"MPF\0" + bytes(20)),
            )
        )
        segments.insert(random.randrange(len(segments) + 1), extra)
    packed = (bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body for marker, body in segments)
    return data[:2] + b"".join(packed) + data[at:]


def damage_tiff(data: bytes, random: Random) -> bytes:
    """Change one entry of the first directory, or where the next directory is."""
    order = "<" if data[:2] == b"II" else ">"
    if struct.unpack_from(f"{order}H", data, 2)[0] != 42:
        return random.choice(BLIND)(data, random)
    (start,) = struct.unpack_from(f"{order}L", data, 4)
    (count,) = struct.unpack_from(f"{order}H", data, start)
    out = bytearray(data)
    entry = start + 2 + 12 * random.randrange(count + 1)
    field, form = random.choice(((0, "H"), (2, "H"), (4, "L"), (8, "H"), (8, "L"), (8, "H"), (8, "L")))
    value = random.choice(
        (
            start,
            number(random, 32),
            number(random, 8),
            random.choice((256, 257, 258, 259, 262, 266, 274, 277, 317, 322)),
        )
    )
    form = "L" if entry == start + 2 + 12 * count else form
    field = 0 if entry == start + 2 + 12 * count else field
    struct.pack_into(order + form, out, entry + field, value % 2 ** (8 * struct.calcsize(form)))
    return bytes(out)


NIFTI_FIELDS = (
    (0, "l"),
    (40, "8h"),
    (70, "h"),
    (72, "h"),
    (76, "8f"),
    (108, "f"),
    (112, "2f"),
    (123, "B"),
    (252, "2h"),
    (280, "12f"),
    (344, "4s"),
)


def damage_nifti(data: bytes, random: Random) -> bytes:
    """Change a field of the header; inside the compression, if there is one."""
    zipped = data[:2] == b"\x1f\x8b"
    out = bytearray(gzip.decompress(data) if zipped else data)
    start, form = random.choice(NIFTI_FIELDS)
    width = struct.calcsize("<" + form[-1])
    at = start + width * random.randrange(struct.calcsize("<" + form) // width)
    if form[-1] == "f":
        struct.pack_into(
            "<f", out, at, random.choice((0.0, -1.0, float("nan"), float("inf"), 1e38, 1e-38, 352.5, 2.0**31, -352.0))
        )
    else:
        out[at : at + width] = number(random, 8 * width).to_bytes(width, "little")
    return gzip.compress(bytes(out), 1, mtime=0) if zipped or random.random() < 0.1 else bytes(out)


INFORMED: dict[str, Mutator] = {
    "dicom": damage_dicom,
    "png": damage_png,
    "jpeg": damage_jpeg,
    "tiff": damage_tiff,
    "nifti": damage_nifti,
}


def damaged(data: bytes, kind: str, random: Random) -> bytes:
    """Return a damaged file: with knowledge of its format, or blindly, or both in this order."""
    way = random.random()
    if way < 0.65:
        data = INFORMED[kind](data, random)
    if way > 0.55:
        for _ in range(random.choice((1, 1, 2, 3))):
            data = random.choice(BLIND)(data, random) if data else data
    return data
