"""A safetensors file that is filled a few rows at a time, so that it need not fit into memory."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

TYPES = {"float16": "F16", "float32": "F32", "float64": "F64", "int64": "I64"}
ALIGNMENT = 8


class TensorFile:
    """Tensors whose first axis is rows, each row written once.

    The format is eight bytes with the header's length, the header as JSON, and the tensors one after the other
    (safetensors 0.4 and later); any reader of safetensors reads it.
    """

    def __init__(self, path: Path, tensors: Mapping[str, tuple[str, tuple[int, ...]]]) -> None:
        """Lay out tensors, each with its type and shape; rows that are never written are zero."""
        header, end = {}, 0
        self.places: dict[str, tuple[int, np.dtype[Any], int]] = {}
        # Wide types first: then each tensor begins at a multiple of the size of its values.
        for name, (dtype, shape) in sorted(tensors.items(), key=lambda item: -np.dtype(item[1][0]).itemsize):
            row = math.prod(shape[1:]) * np.dtype(dtype).itemsize
            header[name] = {"dtype": TYPES[dtype], "shape": list(shape), "data_offsets": [end, end + row * shape[0]]}
            self.places[name] = end, np.dtype(dtype), row
            end += row * shape[0]
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % ALIGNMENT)
        self.file = path.open("wb")
        self.file.write(len(text).to_bytes(8, "little") + text)
        self.start = self.file.tell()
        self.file.truncate(self.start + end)

    def write(self, name: str, row: int, values: NDArray[Any]) -> None:
        """Write rows of one tensor, the first of them at `row`."""
        offset, dtype, size = self.places[name]
        self.file.seek(self.start + offset + row * size)
        self.file.write(np.ascontiguousarray(values, dtype).tobytes())

    def close(self) -> None:
        """Hand everything to the operating system."""
        self.file.close()
