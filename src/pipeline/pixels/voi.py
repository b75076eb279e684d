"""A file's own values of interest: the VOI look-up tables and windows of PS3.3 C.11.2, with an output of [0, 1]."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from pipeline.pixels.contract import refusing, require
from pipeline.pixels.tables import look_up, read_table

Values = NDArray[np.float64]


def number_of_views(source: Dataset) -> int:
    """Return how many VOI tables there are, or windows if there is no table."""
    return len(source.get("VOILUTSequence") or _several(source.get("WindowCenter")))


def view(source: Dataset, index: int, signed: bool, big_endian: bool) -> Callable[[Values], Values]:
    """Return modality units to [0, 1] by one of the file's VOI tables, or of its windows if it has no table.

    Args:
        source: What holds the attributes.
        index: Which one, counted from 0.
        signed: Whether a table's first input is a signed number.
        big_endian: How a table's words are written.
    """
    tables = source.get("VOILUTSequence")
    if tables:
        require(index < len(tables), f"the file has no VOI table {index}, counted from 0")
        first, bits, entries = read_table(tables[index], big_endian)
        start = (first + 0x8000) % 0x10000 - 0x8000 if signed else first % 0x10000
        return lambda values: look_up(values, start, entries) / (2**bits - 1)
    centres, widths = (_several(source.get(keyword)) for keyword in ("WindowCenter", "WindowWidth"))
    require(len(centres) > 0 and len(widths) > 0, "no window in the file, and intensity is voi")
    require(len(centres) == len(widths), "the file has not as many window widths as centres")
    require(index < len(centres), f"the file has no window {index}, counted from 0")
    with refusing("the window in the file is not a number"):
        c, w = float(centres[index]), float(widths[index])
    require(math.isfinite(c) and math.isfinite(w), "the window in the file is not finite")
    return _window(str(source.get("VOILUTFunction") or "LINEAR").strip().upper(), c, w)


def _window(function: str, centre: float, width: float) -> Callable[[Values], Values]:
    """Return PS3.3 C.11.2.1.2 (LINEAR) or C.11.2.1.3 (SIGMOID, LINEAR_EXACT) with an output of [0, 1]."""
    require(function in ("LINEAR", "LINEAR_EXACT", "SIGMOID"), "the VOI LUT function is unknown")
    require(width >= 1 if function == "LINEAR" else width > 0, f"a window of width {width:g} in the file")
    if function == "SIGMOID":
        # The exponent is clipped only where the result is 0 or 1 to the last bit of float32.
        return lambda values: 1 / (1 + np.exp((-4 * (values - centre) / width).clip(-600, 600)))
    if function == "LINEAR":
        centre, width = centre - 0.5, width - 1
    if width == 0:
        return lambda values: (values > centre).astype(np.float64)
    return lambda values: ((values - centre) / width + 0.5).clip(0, 1)


def _several(value: Any) -> list[Any]:  # noqa: ANN401 - one value, several or none
    if value is None or value == "":
        return []
    return list(value) if isinstance(value, list | tuple) or hasattr(value, "insert") else [value]
