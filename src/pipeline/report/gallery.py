"""Pictures side by side: a table whose columns are autoencoders or samples, and whose cells are tiles."""

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.report import text
from pipeline.report.results import unique

TILE = 112
"""Width of a tile on the page in CSS pixels."""
SIDES = (160, 128, 96, 64, 48, 32)
"""Longest sides in pixels at which tiles are stored: the first with which all of them stay within the budget."""

Bytes = NDArray[np.uint8]
"""H x W (grey) or H x W x 3 (colour)."""
Values = NDArray[np.float32]
"""C x H x W in [0, 1], C is 1 or 3."""


@dataclass(frozen=True)
class Column:
    """One column: what is said above it, and a tile, or words, for each line of the gallery.

    Attributes:
        heading: lines above the column.
        cells: by the name of the line.
        shows: what its tiles are to who cannot see them, where that is not what the line is called.
    """

    heading: Sequence[str]
    cells: Mapping[str, Values | str]
    shows: str = ""


@dataclass(frozen=True)
class Gallery:
    """Tiles of one data set under a title; all of it is text and not HTML."""

    dataset: str
    title: str
    columns: Sequence[Column]


def pixels(image: Values) -> Bytes:
    """Return C x H x W in [0, 1] as bytes; what lies outside is clipped."""
    scaled = np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)
    return scaled[0] if scaled.shape[0] == 1 else np.moveaxis(scaled, 0, -1)


def png(array: Bytes, side: int) -> tuple[str, int]:
    """Return a PNG data URI of at most `side` pixels a side (area averaged), and its width in pixels."""
    picture = Image.fromarray(np.ascontiguousarray(array))
    factor = side / max(picture.size)
    if factor < 1:
        width, height = (max(1, round(length * factor)) for length in picture.size)
        picture = picture.resize((width, height), Image.Resampling.BOX)
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii"), picture.width


def fitted(draw: Callable[[int], str], budget: int) -> tuple[str, int]:
    """Return what is drawn with the largest tiles that fit into so many characters, and their longest side."""
    found, side = "", SIDES[-1]
    for side in SIDES:
        found = draw(side)
        if len(found) <= budget:
            break
    return found, side


def html(gallery: Gallery, side: int) -> str:
    """Return a gallery as a table, its tiles stored with at most so many pixels a side."""
    names = unique(name for column in gallery.columns for name in column.cells)
    heads = "".join(f'<th scope="col">{_lines(column.heading)}</th>' for column in gallery.columns)
    rows = ""
    for name in names:
        cells = "".join(f"<td>{_cell(gallery, column, name, side)}</td>" for column in gallery.columns)
        rows += f'<tr><th scope="row">{text.html(name)}</th>{cells}</tr>\n'
    return (
        f'<div class="scroll" tabindex="0"><table class="gallery"><caption>{text.html(gallery.title)}</caption>\n'
        f"<thead><tr><td></td>{heads}</tr></thead>\n<tbody>{rows}</tbody></table></div>\n"
    )


def _lines(heading: Sequence[str]) -> str:
    first, *others = (text.html(line) for line in heading)
    return f"<b>{first}</b>" + "".join(f"<br>{line}" for line in others)


def _cell(gallery: Gallery, column: Column, name: str, side: int) -> str:
    content = column.cells.get(name, "")
    if isinstance(content, str):
        return f"<small>{text.html(content)}</small>" if content else ""
    tile, width = png(pixels(content), side)
    # Blocks show the true grid of a latent; an image close to the size of its tile is only distorted by them.
    blocky = ' class="blocks"' if 2 * width <= TILE else ""
    alt = f"{gallery.dataset}, {gallery.title}, {', '.join(column.heading)}: {column.shows or name}"
    return f'<img src="{tile}" width="{TILE}" alt="{text.html(alt)}"{blocky}>'
