"""The discrete cosine transform of square blocks, in pure NumPy and double precision.

Source: Ahmed, Natarajan and Rao, "Discrete cosine transform", 1974 (DCT-II, here orthonormal); the order of the
coefficients is the zigzag of ITU-T T.81, figure A.6, for blocks of any size.
"""

import numpy as np
from numpy.typing import NDArray

from pipeline.networks.patches import Batch, shuffle, unshuffle


def basis(size: int) -> NDArray[np.float64]:
    """Return the size x size orthonormal matrix whose row k is sqrt(2 / size) cos(pi (2 i + 1) k / (2 size))."""
    frequencies, places = np.indices((size, size))
    rows = np.sqrt(2 / size) * np.cos(np.pi * (2 * places + 1) * frequencies / (2 * size))
    rows[0] = np.sqrt(1 / size)
    return np.asarray(rows, dtype=np.float64)


def zigzag(size: int) -> NDArray[np.intp]:
    """Return the row-major places of a block in the order of zigzag: diagonal by diagonal, turning at the edges."""

    def order(place: tuple[int, int]) -> tuple[int, int]:
        row, column = place
        return row + column, row if (row + column) % 2 else column

    places = sorted(((row, column) for row in range(size) for column in range(size)), key=order)
    return np.array([row * size + column for row, column in places], dtype=np.intp)


def transform(images: Batch, size: int) -> NDArray[np.float64]:
    """Return n x C x size^2 x H/size x W/size coefficients of n x C x H x W images, in zigzag order.

    Raises:
        StudyError: a side of the images is not a multiple of the block's.
    """
    count, channels, *_ = images.shape
    patches = unshuffle(images.astype(np.float64), size)
    _, _, rows, columns = patches.shape
    blocks = patches.reshape(count, channels, size, size, rows, columns)
    turned = np.einsum("ui,vj,ncijhw->ncuvhw", basis(size), basis(size), blocks, optimize=True)
    return np.asarray(turned.reshape(count, channels, size**2, rows, columns)[:, :, zigzag(size)], dtype=np.float64)


def inverse(coefficients: Batch, size: int) -> NDArray[np.float64]:
    """Undo `transform`."""
    count, channels, _, rows, columns = coefficients.shape
    placed = coefficients.astype(np.float64)[:, :, np.argsort(zigzag(size))]
    blocks = placed.reshape(count, channels, size, size, rows, columns)
    patches = np.einsum("ui,vj,ncuvhw->ncijhw", basis(size), basis(size), blocks, optimize=True)
    return np.asarray(shuffle(patches.reshape(count, channels * size**2, rows, columns), size), dtype=np.float64)
