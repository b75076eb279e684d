"""What the figures of curves share: colours of autoencoders, panels, lines with bands."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pipeline.report import text
from pipeline.report.drawing import INK, MUTED, clipped, key, wrapped
from pipeline.report.results import Interval, Results, unique

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#882255", "#999933")
"""Okabe and Ito's without black and yellow, and Tol's wine and olive."""
MARKERS = ("D", "o", "s", "^", "v", "P", "X")
"""As many as have no common divisor with the colours: 56 pairs of both differ."""
COLUMNS = 4


class Look(NamedTuple):
    """How a line is drawn."""

    colour: str
    marker: str
    style: Literal["-", "--", ""] = "-"


IMAGE = Look(INK, "", "--")


def looks(names: Iterable[str]) -> dict[str, Look]:
    """Return a look for each name, none of which is that of the images."""
    return {
        name: Look(PALETTE[place % len(PALETTE)], MARKERS[place % len(MARKERS)]) for place, name in enumerate(names)
    }


def of_autoencoders(results: Results, names: Iterable[str]) -> dict[str, Look]:
    """Return the looks of these autoencoders, the same in every figure of the page; candidates have the first."""
    rows = sorted(results.rows, key=lambda row: row.is_control)
    every = looks(unique(row.autoencoder for row in rows))
    return {name: every[name] for name in names}


def panels(names: Sequence[str], metrics: Sequence[str], height: float = 2.5) -> tuple[Figure, dict[Any, Axes]]:
    """Return a figure with a panel for each metric and name, and the panels by (metric, name).

    The names stand side by side, the metrics below one another; of a single name the metrics stand side by side.
    """
    across = len(metrics) if len(names) == 1 else min(len(names), COLUMNS)
    blocks = 1 if len(names) == 1 else len(metrics)
    deep = math.ceil(len(names) / across)
    size = (max(0.8 + 2.75 * across, 5.4), height * deep * blocks + 0.7)
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(deep * blocks, across, squeeze=False)
    found: dict[Any, Axes] = {}
    for number, metric in enumerate(metrics):
        for place, name in enumerate(names):
            line, column = (0, number) if len(names) == 1 else (number * deep + place // across, place % across)
            ax = found[metric, name] = axes[line, column]
            ax.set_title(wrapped(name, 34), fontweight="bold", loc="left", color=INK)
            ax.grid(axis="both")
            if column == 0 or len(names) == 1:
                ax.set_ylabel(text.metric_name(metric), color=INK)
    for spare in {*axes.ravel()} - {*found.values()}:
        spare.remove()
    return figure, found


def draw(ax: Axes, x: Sequence[float], values: Sequence[Interval], look: Look, every: int = 1) -> None:
    """Draw a line with its band of 95 % intervals, and markers at every place, or every so many, that was measured."""
    colour, marker, style = look
    ax.fill_between(x, [v.low for v in values], [v.high for v in values], color=colour, alpha=0.13, linewidth=0)
    points = [v.value for v in values]
    ax.plot(x, points, style, color=colour, marker=marker, markersize=4, linewidth=1.5, markevery=every)


def level(ax: Axes, value: Interval) -> None:
    """Draw the score of the images as a line across, with its band."""
    if not math.isnan(value.low):
        ax.axhspan(value.low, value.high, color=IMAGE.colour, alpha=0.08, linewidth=0)
    ax.axhline(value.value, color=IMAGE.colour, linestyle=IMAGE.style, linewidth=1.1)


def legend(figure: Figure, named: Mapping[str, Look]) -> None:
    """Put a legend of lines above the panels."""
    marks = [
        Line2D([], [], color=look.colour, marker=look.marker, linestyle=look.style, markersize=4.5, label=label)
        for name, look in named.items()
        # Matplotlib leaves out what begins with an underscore.
        for label in [clipped(name, 28).replace("_", "\u200b_", 1) if name.startswith("_") else clipped(name, 28)]
    ]
    key(figure, marks)


def span(values: Iterable[Interval]) -> tuple[float, float]:
    """Return common limits of scores, with room at both ends."""
    ends = [end for value in values for end in value if math.isfinite(end)]
    low, high = (min(ends), max(ends)) if ends else (0.0, 1.0)
    pad = max(0.06 * (high - low), 0.01)
    return low - pad, high + pad


def nothing(message: str) -> Figure:
    """Return a figure that says why there is none."""
    figure = Figure(figsize=(6.5, 0.6))
    FigureCanvasAgg(figure)
    figure.text(0.02, 0.4, message, color=MUTED)
    return figure
