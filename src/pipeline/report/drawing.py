"""What all figures share: settings, panels, scales, and SVG that fits into a page."""

import io
import math
import re
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pipeline.report import text

INK = "#1F1F1F"
MUTED = "#5F5F5F"
BAND = "#F1F1EF"
SMALLEST = 8.5
"""Points of the smallest letters: 11 pixels on the page."""
SETTINGS: Any = {
    "font.family": "sans-serif",
    # Measured with the first, which matplotlib brings along and which is wider than the others.
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Helvetica", "Arial", "sans-serif"],
    "font.size": 8.5,
    "axes.titlesize": 9,
    "legend.fontsize": 8.5,
    "xtick.labelsize": SMALLEST,
    "ytick.labelsize": 8.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.edgecolor": MUTED,
    "axes.grid": True,
    "axes.grid.axis": "x",
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.6,
    "xtick.color": INK,
    "ytick.color": INK,
    "ytick.major.size": 0,
    "figure.dpi": 72,
    "svg.fonttype": "none",
    "svg.hashsalt": "latent-learnability",
    "text.parse_math": False,
}
"""Names come from users: a dollar sign in one starts no formula."""
TIP, PANEL = "tip of ", "panel of "
"""What identifiers begin with that are no identifiers on the page."""


@contextmanager
def settings() -> Iterator[None]:
    """Enter a context in which figures are drawn and saved alike on every machine."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(SETTINGS)
        yield


def grid(panels: int, columns: Sequence[int], width: float, margin: float, height: float) -> tuple[Figure, list[Axes]]:
    """Return a figure with so many panels on common scales; sizes in inches, `margin` for labels on the left.

    Of the numbers of columns, the first is taken that leaves the fewest places empty.
    """
    count = panels if panels <= max(columns) else min(columns, key=lambda number: -panels % number)
    lines = math.ceil(panels / count)
    # A single narrow panel still needs room for the legend and the label of the axis.
    size = (max(margin + width * count, 5.4), height * lines + 0.5)
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(lines, count, sharex=True, sharey=True, squeeze=False).ravel()
    for spare in axes[panels:]:
        spare.remove()
    return figure, list(axes[:panels])


def key(figure: Figure, marks: Sequence[Line2D]) -> None:
    """Put a legend above the panels, in as many columns as there is room for."""
    # Inches: what a mark takes, and a character of the legend's size.
    wide = 0.6 + 0.075 * max(len(str(mark.get_label())) for mark in marks)
    columns = max(1, min(len(marks), int(figure.get_figwidth() / wide)))
    figure.legend(handles=list(marks), loc="outside upper left", ncols=columns, frameon=False, labelcolor=INK)


def limits(values: Sequence[float]) -> tuple[float, float]:
    """Return common limits that hold zero and every finite value with room at both ends."""
    finite = [0.0, *(value for value in values if math.isfinite(value))]
    low, high = min(finite), max(finite)
    pad = 0.06 * (high - low) if high > low else 0.05
    return low - pad, high + pad


def clipped(name: str, length: int) -> str:
    """Return a name of at most so many characters, cut in its middle: names often differ at both ends."""
    half = (length - 1) // 2
    return name if len(name) <= length else f"{name[:half]}…{name[-half:]}"


def wrapped(name: str, width: int) -> str:
    """Return a name on at most two lines."""
    short = clipped(name, 2 * width)
    lines = textwrap.wrap(short, width)
    return "\n".join(lines if len(lines) <= 2 else (short[:width], short[width:])) or name


def of_dataset(ax: Axes, dataset: str) -> None:
    """Say which data set a panel shows, by which the page can be filtered."""
    ax.set_gid(f"{PANEL}{dataset}")


def tip(artists: Sequence[Artist], words: str) -> None:
    """Say what is read where the pointer rests on a mark of a figure."""
    for artist in artists:
        artist.set_gid(f"{TIP}{words}")


def inline_svg(figure: Figure, name: str, alt: str) -> str:
    """Return a figure as an SVG element for an HTML page.

    Args:
        figure: the figure.
        name: prefix of its identifiers, unique in the page.
        alt: what the figure shows, for those who cannot see it.
    """
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :].strip()
    # In HTML the namespaces are implied, and a style element would reach beyond its figure.
    svg = re.sub(r'\s+xmlns(:\w+)?="[^"]*"', "", svg)
    svg = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", svg, flags=re.DOTALL)
    # What stands in these was escaped when the figure was written.
    svg = re.sub(rf'<g id="{TIP}([^"]*)">', r'<g class="tip"><title>\1</title>', svg)
    svg = re.sub(rf'<g id="{PANEL}([^"]*)"', r'<g data-dataset="\1"', svg)
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = re.sub(r'href="#', f'href="#{name}-', svg)
    svg = re.sub(r"url\(#", f"url(#{name}-", svg)
    return svg.replace("<svg", f'<svg role="img" aria-label="{text.html(alt)}"', 1)


def plot(svg: str, caption: str) -> str:
    """Return a figure of the page with its caption, both HTML."""
    return (
        f'<figure class="plot">\n<div class="scroll" tabindex="0">{svg}</div>\n'
        f"<figcaption>{caption}</figcaption></figure>\n"
    )
