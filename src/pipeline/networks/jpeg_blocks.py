"""The blocks of baseline JPEG (ITU-T T.81, JFIF 1.02) between pixels and entropy coding, in NumPy.

Where the standard leaves the arithmetic open it is libjpeg's, number for number: colours in 16-bit fixed point, the
accurate integer transform ("islow"; Loeffler, Ligtenberg and Moschytz, 1989), ties of quantisation away from zero.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.networks.cosine import zigzag
from pipeline.networks.patches import shuffle, unshuffle

SIZE = 8
MIDDLE = 128
ONE = 1 << 16
HALF = ONE // 2

Numbers = NDArray[np.float64]
"""Whole numbers of less than 53 bits, in which double precision is exact."""

# Annex K, tables K.1 and K.2, row by row.
LUMINANCE = """16 11 10 16 24 40 51 61 12 12 14 19 26 58 60 55 14 13 16 24 40 57 69 56 14 17 22 29 51 87 80 62
    18 22 37 56 68 109 103 77 24 35 55 64 81 104 113 92 49 64 78 87 103 121 120 101 72 92 95 98 112 100 103 99"""
CHROMINANCE = """17 18 24 47 99 99 99 99 18 21 26 66 99 99 99 99 24 26 56 99 99 99 99 99 47 66 99 99 99 99 99 99
    99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99"""

# RGB to Y, Cb, Cr, and Cb, Cr to what is added to Y for R, G, B (JFIF 1.02), in parts of 65,536.
COLOURS = np.array([[19595, 38470, 7471], [-11058, -21710, 32768], [32768, -27439, -5329]], dtype=np.float64)
BACK = np.array([[0, 91881], [-22554, -46802], [116130, 0]], dtype=np.float64)

# What the butterflies of the integer transform multiply out to: sqrt(8) times the orthonormal basis in parts of 8,192,
# each row's first half. Rows of even frequency are symmetric, the others antisymmetric.
HALVES = np.array(
    [
        [8192, 8192, 8192, 8192],
        [11363, 9633, 6437, 2260],
        [10703, 4433, -4433, -10703],
        [9633, -2259, -11362, -6436],
        [8192, -8192, -8192, 8192],
        [6437, -11362, 2261, 9633],
        [4433, -10704, 10704, -4433],
        [2260, -6436, 9633, -11363],
    ],
    dtype=np.float64,
)
WAVES = np.hstack([HALVES, HALVES[:, ::-1] * np.array([1.0, -1.0] * 4)[:, None]])


def levels(images: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return pixels in [0, 1] as the nearest of the levels 0 to 255."""
    return np.rint(np.clip(images, 0.0, 1.0) * 255).astype(np.uint8)


def steps(quality: int, components: int) -> Numbers:
    """Return the quantisation steps, components x 64 in zigzag order, as libjpeg scales them for a quality."""
    percent = 5000 // quality if quality < 50 else 200 - 2 * quality
    tables = np.array([[int(step) for step in table.split()] for table in (LUMINANCE, CHROMINANCE)])
    scaled = np.clip((tables * percent + 50) // 100, 1, 255)
    return np.asarray(scaled[[0, 1, 1][:components]][:, zigzag(SIZE)], dtype=np.float64)


def quantised(image: NDArray[np.uint8], quality: int) -> Numbers:
    """Return 64 C x H/8 x W/8 quantised coefficients, index times step, of C x H x W levels."""
    patches = unshuffle((_components(image) - MIDDLE)[None], SIZE)
    _, values, rows, columns = patches.shape
    turned = _rounded("vj,cijhw->civhw", WAVES, patches.reshape(-1, SIZE, SIZE, rows, columns), 11)
    eightfold = _rounded("ui,civhw->cuvhw", WAVES, turned, 15).reshape(-1, SIZE**2, rows, columns)[:, zigzag(SIZE)]
    step = steps(quality, len(image))[:, :, None, None]
    indices = np.sign(eightfold) * np.floor((np.abs(eightfold) + 4 * step) / (8 * step))
    return np.asarray((indices * step).reshape(values, rows, columns), dtype=np.float64)


def restored(latent: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
    """Return the C x H x W levels of 64 C x H/8 x W/8 coefficients."""
    values, rows, columns = latent.shape
    placed = latent.astype(np.float64).reshape(-1, SIZE**2, rows, columns)[:, np.argsort(zigzag(SIZE))]
    turned = _rounded("ui,cuvhw->civhw", WAVES, placed.reshape(-1, SIZE, SIZE, rows, columns), 11)
    patches = _rounded("vj,civhw->cijhw", WAVES, turned, 18).reshape(1, values, rows, columns)
    planes = np.clip(shuffle(patches, SIZE)[0].astype(np.float64) + MIDDLE, 0, 255)
    return np.asarray(np.clip(_colours(planes), 0, 255), dtype=np.uint8)


def _rounded(sums: str, matrix: Numbers, numbers: NDArray[np.floating[Any]], bits: int) -> Numbers:
    """Return products in parts of 2^bits, rounded to whole numbers; ties go up."""
    products: Numbers = np.einsum(sums, matrix, numbers, optimize=True)
    return np.floor(products / 2.0**bits + 0.5)


def _components(image: NDArray[np.uint8]) -> Numbers:
    """Return the luminance of a grey image, Y, Cb and Cr of a colour image; ties of Cb and Cr go down as in libjpeg."""
    if len(image) == 1:
        return image.astype(np.float64)
    offsets = np.array([HALF, MIDDLE * ONE + HALF - 1, MIDDLE * ONE + HALF - 1], dtype=np.float64)
    mixed: Numbers = np.einsum("ij,jhw->ihw", COLOURS, image.astype(np.float64))
    return np.floor((mixed + offsets[:, None, None]) / ONE)


def _colours(planes: Numbers) -> Numbers:
    if len(planes) == 1:
        return planes
    added: Numbers = np.einsum("ij,jhw->ihw", BACK, planes[1:] - MIDDLE)
    return planes[:1] + np.floor((added + HALF) / ONE)
