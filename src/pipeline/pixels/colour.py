"""Colour samples, and palettes, into red, green and blue in [0, 1]."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_color_lut

from pipeline.pixels.contract import Frames, refusing, require
from pipeline.pixels.header import Header


class Colour:
    """Scales samples that are red, green and blue already."""

    channels = 3

    def __init__(self, header: Header) -> None:
        self.highest = np.float32(header.highest)

    def __call__(self, stored: NDArray[Any], _frame: int, out: Frames) -> None:
        """Write H x W x 3 stored values to 3 x H x W."""
        np.divide(stored.transpose(2, 0, 1), self.highest, out=out, dtype=np.float32)

    def require_defined(self) -> None:
        """Samples that are colours already need nothing more, and a palette was read when it was made."""

    def examine(self, stored: NDArray[Any], frame: int) -> None:
        """Colour has no units to examine."""


class Palette(Colour):
    """Looks stored values up in the file's palette (PS3.3 C.7.6.3.1.5)."""

    def __init__(self, dataset: Dataset, header: Header, big_endian: bool) -> None:
        require(not big_endian, "a palette in big endian is not supported")
        self.table = _table(dataset, header)

    def __call__(self, stored: NDArray[Any], _frame: int, out: Frames) -> None:
        """Write the colours of H x W stored values to 3 x H x W."""
        for channel, colours in zip(out, self.table, strict=True):
            np.take(colours, stored, out=channel, mode="wrap")


def _table(dataset: Dataset, header: Header) -> Frames:
    """Return 3 x 2^BitsStored: the colour of every stored value, rolled so that negative ones count from the end."""
    with refusing("the palette cannot be read"):
        count, first, bits = (int(word) for word in dataset.RedPaletteColorLookupTableDescriptor)
        count = count % 0x10000 or 0x10000
        # pydicom looks up in the entries' own data type, in which larger indices would wrap around.
        require(bits == 16 or count <= 256, "a palette of more than 256 entries of 8 bits is not supported")
        values = header.stored_values().astype(np.int32).clip(first, first + count - 1)
        colours = apply_color_lut(values, dataset)
    require(colours.shape[-1] == 3, "a palette with transparency is not supported")
    wide = bits == 16 or int(colours.max()) > 255
    table = colours.T.astype(np.float32) / np.float32(65535 if wide else 255)
    return np.ascontiguousarray(np.roll(table, header.lowest, axis=1))
