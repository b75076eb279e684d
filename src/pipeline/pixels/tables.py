"""Look-up tables inside a DICOM file (PS3.3 C.11.1.1, C.11.2.1.1): the words of a descriptor and its entries."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from pipeline.pixels.contract import refusing, require


def read_table(item: Dataset, big_endian: bool) -> tuple[int, int, NDArray[np.float64]]:
    """Return the first mapped value as it is written, the bits of an entry, and the entries.

    Entries of 8 bits may be packed two to a word; both layouts are told apart by the length. Anything else is Refused.
    """
    with refusing("a look-up table in the file cannot be read"):
        count, first, bits = (int(word) for word in item.LUTDescriptor)
        count = count % 0x10000 or 0x10000
        require(8 <= bits <= 16, f"a look-up table with entries of {bits} bits is not supported")
        entries = _entries(item["LUTData"].value, count, bits, big_endian)
    require(int(entries.max()) < 2**bits, f"a look-up table has entries above its {bits} bits")
    return first, bits, entries.astype(np.float64)


def look_up(values: NDArray[np.float64], first: int, entries: NDArray[np.float64]) -> NDArray[np.float64]:
    """Map values to entries; values before the first and after the last take the first and the last entry."""
    index = np.rint(values - first).clip(0, len(entries) - 1).astype(np.int64)
    return entries[index]


def _entries(data: Any, count: int, bits: int, big_endian: bool) -> NDArray[np.uint16]:  # noqa: ANN401 - VR OW or US
    order = ">" if big_endian else "<"
    if not isinstance(data, bytes):
        words = np.atleast_1d(np.asarray(data)).astype(np.int64) % 0x10000
        data = words.astype(f"{order}u2").tobytes()
    if len(data) == 2 * count:
        return np.frombuffer(data, dtype=f"{order}u2").astype(np.uint16)
    packed = bits == 8 and len(data) == count + count % 2
    require(packed, "a look-up table is not as long as its descriptor says")
    in_order = np.frombuffer(data, dtype=f"{order}u2").astype("<u2").view(np.uint8)
    return in_order[:count].astype(np.uint16)
