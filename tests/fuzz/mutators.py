"""Ways to damage a file: blindly, and with knowledge of its format, so that the damage comes far."""

import gzip
import struct
import zlib
from collections.abc import Callable
from dataclasses import replace
from random import Random

from pydicom import uid

from tests.fuzz.dicom_files import CANARY, PIXEL_DATA, SYNTAX, UNDEFINED, Element, File, written

Mutator = Callable[[bytes, Random], bytes]

NUMBERS = (0, 1, 2, 7, 8, 12, 15, 16, 17, 24, 31, 32, 33, 64, 127, 128, 255, 256, 257, 1000, 4095, 4096, 10000)
EDGES = (0x7FFF, 0x8000, 0xFFFE, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)


def number(random: Random, bits: int) -> int:
    """Return a number that is often special, and fits."""
    return random.choice((*NUMBERS, *EDGES, random.getrandbits(32))) % 2**bits


def place(data: bytes, random: Random) -> int:
    """Return a position, of which half are near the start, where headers are."""
    return random.randrange(min(len(data), 512) if random.random() < 0.5 else len(data)) if data else 0


def flip_bits(data: bytes, random: Random) -> bytes:
    out = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 4, 16, 64))):
        out[place(data, random)] ^= 1 << random.randrange(8)
    return bytes(out)


def overwrite_number(data: bytes, random: Random) -> bytes:
    width, order = random.choice("BHLQ"), random.choice("<>")
    value = number(random, 8 * struct.calcsize(width))
    at = place(data, random)
    return (data[:at] + struct.pack(order + width, value) + data[at + struct.calcsize(width) :])[: max(len(data), 1)]


def truncate(data: bytes, random: Random) -> bytes:
    return data[: place(data, random)]


def extend(data: bytes, random: Random) -> bytes:
    return data + random.choice((bytes(1), bytes(4096), random.randbytes(64), data))


def splice(data: bytes, random: Random) -> bytes:
    """Copy a piece to another place, over what is there or between it."""
    start, at = place(data, random), place(data, random)
    piece = data[start : start + random.choice((2, 8, 64, 512))]
    return data[:at] + piece + data[at + random.choice((0, len(piece))) :]


def drop(data: bytes, random: Random) -> bytes:
    at = place(data, random)
    return data[:at] + data[at + random.choice((1, 2, 8, 64, 512)) :]


def blank(data: bytes, random: Random) -> bytes:
    at, length = place(data, random), random.choice((1, 4, 32, 256))
    return data[:at] + random.choice((b"\0", b"\xff")) * min(length, len(data) - at) + data[at + length :]


BLIND: tuple[Mutator, ...] = (
    flip_bits,
    flip_bits,
    overwrite_number,
    overwrite_number,
    truncate,
    extend,
    splice,
    drop,
    blank,
)

ROWS, COLUMNS, FRAMES, SAMPLES, PHOTOMETRIC = 0x00280010, 0x00280011, 0x00280008, 0x00280002, 0x00280004
WORDS = (ROWS, COLUMNS, SAMPLES, 0x00280006, 0x00280100, 0x00280101, 0x00280102, 0x00280103, 0x00280120, 0x00280121)
NUMERIC_TEXTS = (FRAMES, 0x00281052, 0x00281053, 0x00281050, 0x00281051, 0x00200032, 0x00200037)
TEXTS = (
    b"",
    b" ",
    b"0",
    b"1",
    b"-1",
    b"2",
    b"1e400",
    b"nan",
    b"-inf",
    b"1\\2",
    b"\\",
    b"999999999999",
    b"0x10",
    b"\xff",
    b"1e-300",
    b"1_0",
    b"1." + b"0" * 40,
)
PHOTOMETRICS = (
    b"MONOCHROME1",
    b"MONOCHROME2",
    b"RGB",
    b"PALETTE COLOR",
    b"YBR_FULL",
    b"YBR_FULL_422",
    b"YBR_ICT",
    b"YBR_RCT",
    b"ARGB",
    b"",
)
SYNTAXES = (*uid.AllTransferSyntaxes, CANARY, "", "1.2.840.113619.5.2")
VRS = (b"LO", b"UI", b"US", b"SS", b"DS", b"IS", b"OB", b"OW", b"UN", b"SQ", b"UT", b"PN", b"FD", b"AT", b"??", b"\0\0")


def edit_word(file: File, random: Random) -> File:
    """Give one of the numbers that lay out the pixels another value."""
    tag, value = random.choice(WORDS), number(random, 16)
    return put(file, Element(tag, b"US", struct.pack(f"{file.order}H", value)))


def edit_related_words(file: File, random: Random) -> File:
    """Change several of them at once, since one alone is found easily."""
    for _ in range(random.randrange(2, 5)):
        file = edit_word(file, random)
    return file


def edit_text(file: File, random: Random) -> File:
    vrs = {FRAMES: b"IS"}
    tag = random.choice(NUMERIC_TEXTS)
    return put(file, Element(tag, vrs.get(tag, b"DS"), even(random.choice((*TEXTS, str(number(random, 32)).encode())))))


def edit_photometric(file: File, random: Random) -> File:
    return put(file, Element(PHOTOMETRIC, b"CS", even(random.choice(PHOTOMETRICS))))


def swap_syntax(file: File, random: Random) -> File:
    """Claim another transfer syntax; sometimes the data set is really encoded so."""
    syntax = str(random.choice(SYNTAXES))
    meta = [
        replace(element, value=even(syntax.encode(), b"\0")) if element.tag == SYNTAX else element
        for element in file.meta
    ]
    honest = random.random() < 0.3
    implicit = honest and syntax == uid.ImplicitVRLittleEndian
    order = ">" if honest and syntax == uid.ExplicitVRBigEndian else file.order
    return replace(file, meta=meta, implicit=implicit or file.implicit, order=order)


def insert_element(file: File, random: Random) -> File:
    """Put in an element of any kind, in order or not, some with a length that is not true."""
    tag = random.choice(
        (random.getrandbits(32), 0x00080005, 0x00280030, 0x60003000, 0x7FE00008, 0x7FE00009, 0x7FE00001)
    )
    value = random.choice(
        (b"", even(CANARY.encode()), random.randbytes(8), bytes(1024), b"ISO 2022 IR 87\\" + random.randbytes(1))
    )
    length = random.choice((None, None, 0, UNDEFINED, 0xFFFE, len(value) + 2, number(random, 32)))
    at = random.randrange(len(file.body) + 1) if random.random() < 0.3 else position(file, tag)
    element = Element(tag, random.choice(VRS), value, length)
    return file.with_body([*file.body[:at], element, *file.body[at:]])


def nest(file: File, random: Random) -> File:
    """Put in sequences inside each other, of known or unknown length, closed or not."""
    depth, known = int(10 ** random.uniform(0, 3.5)), random.random() < 0.3
    head = struct.pack(f"{file.order}HH", 0x0008, 0x1140) + (b"" if file.implicit else b"SQ\0\0")
    item = struct.pack(f"{file.order}HH", 0xFFFE, 0xE000)
    inside = b""
    if known:
        for _ in range(min(depth, 300)):
            inside = item + struct.pack(f"{file.order}L", len(inside)) + inside
            inside = head + struct.pack(f"{file.order}L", len(inside)) + inside
        inside = item + struct.pack(f"{file.order}L", len(inside)) + inside
        return put(file, Element(0x00081140, b"SQ", inside))
    unknown = struct.pack(f"{file.order}L", UNDEFINED)
    inside = (item + unknown + head + unknown) * depth
    close = b"".join(struct.pack(f"{file.order}HHL", 0xFFFE, end, 0) for end in (0xE0DD, 0xE00D))
    return put(file, Element(0x00081140, b"SQ", inside + close * random.choice((0, depth, depth + 1)), UNDEFINED))


def move_elements(file: File, random: Random) -> File:
    """Drop, double or displace an element."""
    body = list(file.body)
    if not body:
        return file
    element = body.pop(random.randrange(len(body)))
    for _ in range(random.choice((0, 1, 2))):
        body.insert(random.randrange(len(body) + 1), element)
    return file.with_body(body)


def edit_value(file: File, random: Random) -> File:
    """Damage the inside of any element, its kind, or what it claims of its length."""
    if not file.body:
        return file
    at = random.randrange(len(file.body))
    element = file.body[at]
    changed = random.choice(
        (
            lambda: replace(element, value=random.choice(BLIND)(element.value or b"\0\0", random)),
            lambda: replace(element, vr=random.choice(VRS)),
            lambda: replace(element, length=number(random, 32)),
        )
    )()
    return file.with_body([*file.body[:at], changed, *file.body[at + 1 :]])


def edit_pixels(file: File, random: Random) -> File:
    """Damage nothing but the pixel data: its bytes, its fragments, or whether it is encapsulated."""
    found = next((element for element in file.body if element.tag == PIXEL_DATA), None)
    if found is None:
        return file
    if random.random() < 0.2:
        length = None if found.length == UNDEFINED else UNDEFINED
        return put(file, replace(found, length=length))
    value = random.choice(BLIND)(found.value, random)
    return put(file, replace(found, value=value))


def insert_table(file: File, random: Random) -> File:
    """Put in a look-up table or functional groups whose parts may contradict each other."""
    order, short = file.order, struct.Struct(f"{file.order}H")
    descriptor = b"".join(
        short.pack(random.choice((0, 1, 8, 16, 256, number(random, 16)))) for _ in range(random.choice((2, 3, 3, 3, 4)))
    )
    entries = random.randbytes(random.choice((0, 1, 2, 256, 512, 510)))
    if random.random() < 0.4:
        colours = random.sample(range(3), random.choice((2, 3, 3)))
        for colour in colours:
            file = put(file, Element(0x00281101 + colour, b"US", descriptor))
            file = put(file, Element(0x00281201 + colour, b"OW", entries))
        return file
    table = [Element(0x00283002, b"US", descriptor), Element(0x00283006, random.choice((b"US", b"OW")), entries)]
    window = [
        Element(0x00281050, b"DS", even(random.choice(TEXTS))),
        Element(0x00281051, b"DS", even(random.choice(TEXTS))),
    ]
    slope = [
        Element(0x00281052, b"DS", even(random.choice(TEXTS))),
        Element(0x00281053, b"DS", even(random.choice(TEXTS))),
    ]
    if random.random() < 0.5:
        return put(
            file,
            sequence(random.choice((0x00283000, 0x00283010)), [table] * random.choice((0, 1, 2)), file.implicit, order),
        )
    groups = [
        [sequence(0x00289132, [window], file.implicit, order), sequence(0x00289145, [slope], file.implicit, order)]
        for _ in range(random.choice((0, 1, 2, 3)))
    ]
    return put(file, sequence(random.choice((0x52009229, 0x52009230)), groups, file.implicit, order))


STRUCTURAL: tuple[Callable[[File, Random], File], ...] = (
    edit_word,
    edit_word,
    edit_related_words,
    edit_text,
    edit_photometric,
    swap_syntax,
    insert_element,
    nest,
    move_elements,
    edit_value,
    edit_pixels,
    edit_pixels,
    insert_table,
)


def damage_dicom(data: bytes, random: Random) -> bytes:
    file = File.parse(data)
    for _ in range(random.choice((1, 1, 2))):
        file = random.choice(STRUCTURAL)(file, random)
    return file.render()


def even(value: bytes, padding: bytes = b" ") -> bytes:
    return value + padding * (len(value) % 2)


def position(file: File, tag: int) -> int:
    """Return where a tag belongs."""
    return sum(element.tag < tag for element in file.body)


def put(file: File, element: Element) -> File:
    """Put an element where it belongs, in place of the one that is there."""
    body = [other for other in file.body if other.tag != element.tag]
    at = sum(other.tag < element.tag for other in body)
    return file.with_body([*body[:at], element, *body[at:]])


def sequence(tag: int, items: list[list[Element]], implicit: bool, order: str) -> Element:
    """Return a sequence of known length."""
    value = b""
    for item in items:
        inside = b"".join(written(element, implicit, order) for element in item)
        value += struct.pack(f"{order}HHL", 0xFFFE, 0xE000, len(inside)) + inside
    return Element(tag, b"SQ", value)


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
