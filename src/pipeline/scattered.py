"""Some images of a store, read in any order and never any others."""

import numpy as np
from numpy.typing import NDArray

from pipeline.autoencoders import Pixels
from pipeline.errors import StudyError
from pipeline.store import ROWS_PER_CHUNK, Rows, from_grid, to_grid

HELD_BYTES = 2**30
"""Images are kept in memory, two bytes a value, while all of them take no more than this."""


class Scattered:
    """The images that a job may see.

    Images that are too many for the memory are read when they are asked for, together with those that lie in the same
    chunk of the store; of these nothing is kept.
    """

    def __init__(self, rows: Rows, allowed: NDArray[np.int64], held_bytes: int = HELD_BYTES) -> None:
        self._rows, self._allowed, self.shape = rows, np.unique(allowed), rows.shape
        self._held: NDArray[np.uint16] | None = None
        if len(self._allowed) * int(np.prod(self.shape)) * 2 <= held_bytes:
            parts = np.array_split(self._allowed, len(self._allowed) // ROWS_PER_CHUNK + 1)
            self._held = np.concatenate([to_grid(self._fetch(part)) for part in parts])

    def read(self, wanted: NDArray[np.int64]) -> Pixels:
        """Return n x C x H x W pixels in [0, 1] in the order that is asked for; raise StudyError for other rows."""
        if (strange := np.setdiff1d(wanted, self._allowed)).size:
            raise StudyError(f"row {strange[0]} is not among the images that may be seen here")
        if self._held is None:
            return self._fetch(wanted)
        return from_grid(self._held[np.searchsorted(self._allowed, wanted)])

    def _fetch(self, wanted: NDArray[np.int64]) -> Pixels:
        images = np.empty((len(wanted), *self.shape), np.float32)
        chunks = wanted // ROWS_PER_CHUNK
        for chunk in np.unique(chunks):
            places = np.flatnonzero(chunks == chunk)
            first, last = int(wanted[places].min()), int(wanted[places].max())
            images[places] = self._rows.read(first, last + 1)[wanted[places] - first]
        return images
