"""What a compressed frame says of itself, read before a decoder that would trust it.

A DICOM header may ask for 64 x 64 pixels while the JPEG inside asks for 65535 x 65535, or ends in the middle. JPEG:
ITU-T T.81 annex B; JPEG-LS: T.87; JPEG 2000: T.800 annex A.

Damage inside the compressed data is the decoders' to find. JPEG-LS finds nearly all of it, JPEG, JPEG 2000 and RLE
little, because these formats hold no checksum.
"""

import struct

from pipeline.pixels.contract import refusing, require

END = b"\xff\xd9"
SOF = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}
SOS, ADOBE = 0xDA, 0xEE


def require_sound(frame: bytes, rows: int, columns: int) -> None:
    """Refuse a JPEG, JPEG-LS or JPEG 2000 frame that is cut short or of another size than the DICOM header's."""
    with refusing("the header of a compressed frame cannot be read"):
        start = _codestream(frame)
        size = _jpeg_2000_size(frame, start) if start is not None else jpeg_size(frame)
    require(size == (rows, columns), "a compressed frame is not of the size that the DICOM header says")
    # The markers cannot occur inside compressed data; up to 16 bytes of padding after them are tolerated.
    require(END in frame[-18:], "a compressed frame is truncated")


def adobe_transform(frame: bytes) -> int | None:
    """Return the colour transform of a JPEG's Adobe marker: 0 for RGB, 1 for YBR; None where there is no marker."""
    with refusing("the header of a compressed frame cannot be read"):
        for marker, body in _segments(frame):
            if marker == ADOBE and body.startswith(b"Adobe"):
                return body[11]
    return None


def jpeg_precision(frame: bytes) -> int | None:
    """Return the bits of a sample that a JPEG's frame header states."""
    with refusing("the header of a compressed frame cannot be read"):
        return next((body[0] for marker, body in _segments(frame) if marker in SOF), None)


def _codestream(frame: bytes) -> int | None:
    """Return where a JPEG 2000 codestream starts, whether bare or inside a JP2 file; None for another format."""
    if frame.startswith(b"\xff\x4f\xff\x51"):
        return 0
    return frame.index(b"\xff\x4f\xff\x51") if frame.startswith(b"\x00\x00\x00\x0cjP  ") else None


def _jpeg_2000_size(frame: bytes, start: int) -> tuple[int, int]:
    right, bottom, left, top = struct.unpack_from(">4I", frame, start + 8)
    return bottom - top, right - left


def jpeg_size(frame: bytes) -> tuple[int, int]:
    """Return the rows and columns that a JPEG's frame header states."""
    for marker, body in _segments(frame):
        if marker in SOF:
            rows, columns = struct.unpack_from(">HH", body, 1)
            return rows, columns
    raise ValueError("no frame header")


def _segments(frame: bytes) -> list[tuple[int, bytes]]:
    """Return marker and body of each segment before the first scan."""
    require(frame.startswith(b"\xff\xd8"), "a compressed frame is not a JPEG")
    found: list[tuple[int, bytes]] = []
    position = 2
    while not found or found[-1][0] != SOS:
        while frame[position + 1] == 0xFF:
            position += 1
        fill, marker, length = struct.unpack_from(">BBH", frame, position)
        require(fill == 0xFF, "the header of a compressed frame is damaged")
        found.append((marker, frame[position + 4 : position + 2 + length]))
        position += 2 + length
    return found
