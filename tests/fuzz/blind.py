"""Ways to damage any file, without knowledge of its format."""

import struct
from collections.abc import Callable
from random import Random

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
