"""How many bytes an image takes as a JPEG file: baseline, optimised Huffman tables, no subsampling, no metadata."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.errors import StudyError

LOWEST, HIGHEST = 1, 100


def written(image: NDArray[np.uint8], quality: int) -> bytes:
    """Return the file of C x H x W levels, C being 1 or 3."""
    stream = io.BytesIO()
    picture = Image.fromarray(image[0] if len(image) == 1 else np.ascontiguousarray(image.transpose(1, 2, 0)))
    picture.save(stream, "JPEG", quality=quality, subsampling="4:4:4", optimize=True)
    return stream.getvalue()


def size(image: NDArray[np.uint8], quality: int) -> int:
    """Return the bytes of the file, headers included."""
    return len(written(image, quality))


def highest_quality(image: NDArray[np.uint8], bits_per_pixel: float) -> int:
    """Return the highest quality whose file takes at most so many bits for each pixel, found by bisection.

    Sizes grow with quality but for a few bytes, so a neighbour of the quality that is found may fit as well; the
    file of that which is returned does fit.

    Raises:
        StudyError: not even the file of the lowest quality fits.
    """
    _, height, width = image.shape
    most = bits_per_pixel * height * width / 8
    if (least := size(image, LOWEST)) > most:
        raise StudyError(
            f"an image of {height} x {width} pixels takes {least} bytes as JPEG of the lowest quality, and"
            f" {bits_per_pixel} bits per pixel are {most:.0f}"
        )
    fits, above = LOWEST, HIGHEST + 1
    while above - fits > 1:
        middle = (fits + above) // 2
        fits, above = (middle, above) if size(image, middle) <= most else (fits, middle)
    return fits
