"""Files that give no more than they have: what a header claims is never allocated on its word."""

import zlib
from io import BytesIO
from typing import BinaryIO

from pipeline.pixels.contract import require

BLOCK = 2**20
"""Bytes that are inflated at once."""


class Bounded:
    """A file whose `read` allocates what there is, and not what is asked for: a damaged length can ask for 4 GiB."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        at = file.tell()
        self._size = file.seek(0, 2)
        file.seek(at)

    def read(self, count: int = -1) -> bytes:
        """Return at most so many bytes."""
        left = max(0, self._size - self._file.tell())
        return self._file.read(left if count < 0 else min(count, left))

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move, as files do."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Return where the next byte comes from."""
        return self._file.tell()

    def size(self) -> int:
        """Return the length of the whole file."""
        return self._size


class Inflating:
    """What a deflated stream holds, inflated only as far as it is read, and never beyond a limit."""

    def __init__(self, file: BinaryIO, limit: int) -> None:
        self._file, self.limit = file, limit
        self._inflate, self._held, self._at = zlib.decompressobj(-zlib.MAX_WBITS), BytesIO(), 0

    def read(self, count: int = -1) -> bytes:
        """Return at most so many bytes; Refused where they lie beyond the limit."""
        end = self.limit + 1 if count < 0 else self._at + count
        self._reach(end)
        self._held.seek(self._at)
        found = self._held.read(min(count, self._held.getbuffer().nbytes) if count >= 0 else -1)
        self._at += len(found)
        return found

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move, as files do; the end of a stream is not known before it is reached."""
        require(whence in (0, 1), "the deflated file cannot be read from its end")
        self._at = offset if whence == 0 else self._at + offset
        return self._at

    def tell(self) -> int:
        """Return where the next byte comes from."""
        return self._at

    def size(self) -> int:
        """Return the most that the stream may hold: that it holds less is seen where it ends."""
        return self.limit

    def _reach(self, end: int) -> None:
        """Inflate until the stream's byte `end`, or the stream's own end."""
        length = self._held.seek(0, 2)
        while length < end and not self._inflate.eof:
            block = self._inflate.unconsumed_tail or self._file.read(BLOCK)
            require(bool(block), "the deflated file is truncated")
            require(length <= self.limit, "the deflated file is larger than its header says")
            length += self._held.write(self._inflate.decompress(block, BLOCK))
