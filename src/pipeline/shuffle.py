"""The order in which a training sees its rows: shuffled altogether, or as far as a store can be read in that order.

Which of the two is a matter of the data set and of the head's settings: never of the machine, and never of the space,
so that a head sees its samples in the same order in every space, and results are those of any machine.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.heads import Space

RUN = 16
"""Rows that follow one another in a store and are read together: a whole number of its chunks, whatever the space."""
PIXEL_BYTES = 3 * 4
"""Of a pixel of a colour image, as float32: what every space of a data set is counted as, so that they all agree."""
BUFFERS = 8
"""So many buffers of shuffled rows are as large as what fits in memory."""


@dataclass(frozen=True)
class Shuffle:
    """How rows are shuffled.

    Attributes:
        buffer: rows that are shuffled among themselves where not all are; whole batches, and at least two runs.
        whole: whether all are.
    """

    buffer: int
    whole: bool

    @classmethod
    def of(cls, rows: int, pixels: int, in_memory_bytes: int, batch: int) -> "Shuffle":
        """Return the shuffle for a data set.

        Args:
            rows: its samples, counted once more for each view.
            pixels: of one image.
            in_memory_bytes: of all images, as colour images in float32, at most where all rows are shuffled.
            batch: rows of a step.
        """
        image = PIXEL_BYTES * pixels
        fitting = in_memory_bytes // BUFFERS // image // batch * batch
        return cls(max(fitting, -(-2 * RUN // batch) * batch), rows * image <= in_memory_bytes)

    def places(self, rows: NDArray[np.int64], random: np.random.Generator) -> NDArray[np.int64]:
        """Return the order of an epoch, as n places of n row numbers.

        Runs of rows are put in a random order, and the rows of each buffer then shuffled, as in CorgiPile (Xu et al.,
        SIGMOD 2022, doi:10.1145/3514221.3526150): what lies far apart in the store may come together, and what lies
        together comes in the same buffer.
        """
        if self.whole:
            return random.permutation(len(rows))
        _, runs = np.unique(rows // RUN, return_inverse=True)
        rank = random.permutation(int(runs.max()) + 1)
        places = np.argsort(rank[runs], kind="stable")
        for start in range(0, len(places), self.buffer):
            random.shuffle(places[start : start + self.buffer])
        return places


def shuffled(space: Space, in_memory_bytes: int, batch: int) -> Shuffle:
    """Return how the rows of a space are shuffled, as it is stored: the same in all spaces of a data set."""
    _, _, h, w = space.values.shape
    samples = len(space.values) * (1 + len(space.views))
    return Shuffle.of(samples, h * w * space.stride**2, in_memory_bytes, batch)
