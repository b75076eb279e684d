"""A contact sheet: samples of a store side by side, all on one scale."""

import io
import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from pipeline.files import write_atomically

Floats = NDArray[np.float32]
TILE = 96
"""Pixels that the side of a sample has at least."""
LABEL = 14
"""Pixels of the line below each that says which row it is."""
CLIPPED = (1.0, 99.0)
"""Percentiles of the latents shown that become black and white."""


def draw(values: Floats, rows: list[int], path: Path, *, pixels: bool) -> None:
    """Write a PNG of samples.

    Args:
        values: n x C x H x W.
        rows: n, written below each.
        path: of the file.
        pixels: whether the values are pixels in [0, 1], shown as they are. Of latents the first three principal
            components over the cells of these samples are shown as red, green and blue, on one scale for all of them.
    """
    shown = pixel_colours(values) if pixels else latent_colours(values)
    write_atomically(path, lambda temporary: temporary.write_bytes(_png(shown, rows)))


def pixel_colours(values: Floats) -> NDArray[np.uint8]:
    """Return n x H x W x 3 colours of pixels, n x 1 or 3 x H x W in [0, 1]."""
    colours = np.repeat(values, 3, axis=1) if values.shape[1] == 1 else values[:, :3]
    return _bytes(colours.transpose(0, 2, 3, 1))


def latent_colours(values: Floats) -> NDArray[np.uint8]:
    """Return n x h x w x 3 colours of latents, n x c x h x w: principal components, or grey for a single channel."""
    cells = values.transpose(0, 2, 3, 1).reshape(-1, values.shape[1]).astype(np.float64)
    cells = cells - cells.mean(axis=0)
    _, axes = np.linalg.eigh(cells.T @ cells)
    # Eigenvalues rise; an axis points to where its largest entry is positive, so that colours do not flip.
    axes = axes[:, ::-1][:, : 3 if values.shape[1] > 1 else 1]
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])])
    parts = cells @ axes
    low, high = np.percentile(parts, CLIPPED, axis=0)
    scaled = (parts - low) / np.where(high > low, high - low, 1)
    grid = scaled.reshape(len(values), *values.shape[2:], -1)
    missing = 3 - grid.shape[-1]
    filled = np.repeat(grid, 3, axis=-1) if grid.shape[-1] == 1 else np.pad(grid, [(0, 0)] * 3 + [(0, missing)])
    return _bytes(filled)


def _bytes(colours: NDArray[np.floating]) -> NDArray[np.uint8]:
    shown: NDArray[np.uint8] = np.rint(np.clip(colours, 0, 1) * 255).astype(np.uint8)
    return shown


def _png(shown: NDArray[np.uint8], rows: list[int]) -> bytes:
    times = max(1, math.ceil(TILE / max(shown.shape[1:3])))
    tiles = shown.repeat(times, axis=1).repeat(times, axis=2)
    height, width = tiles.shape[1:3]
    across = math.ceil(math.sqrt(len(tiles)))
    sheet = Image.new("RGB", (across * (width + 2), math.ceil(len(tiles) / across) * (height + LABEL)), "white")
    pen = ImageDraw.Draw(sheet)
    for number, (tile, row) in enumerate(zip(tiles, rows, strict=True)):
        x, y = number % across * (width + 2), number // across * (height + LABEL)
        sheet.paste(Image.fromarray(tile), (x, y))
        pen.text((x + 2, y + height), str(row), fill="black")
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG")
    return buffer.getvalue()
