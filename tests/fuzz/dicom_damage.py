"""Ways to damage a DICOM file with knowledge of its format, so that the damage comes far."""

import struct
from collections.abc import Callable
from dataclasses import replace
from random import Random

from pydicom import uid

from tests.fuzz.blind import BLIND, number
from tests.fuzz.dicom_files import CANARY, PIXEL_DATA, SYNTAX, UNDEFINED, Element, File, written

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
