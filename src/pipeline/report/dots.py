"""Several dots with intervals for each autoencoder: the figure of tables that hold differences."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from pipeline.report import text
from pipeline.report.drawing import BAND, INK, grid, key, limits, of_dataset, tip, wrapped
from pipeline.report.results import Interval, unique


class Dot(NamedTuple):
    """How one kind of dot is drawn and called."""

    label: str
    colour: str
    marker: str


class Spot(NamedTuple):
    """Which dot it is."""

    dataset: str
    autoencoder: str
    kind: str


def dots_figure(values: Mapping[Spot, Interval], kinds: Mapping[str, Dot], label: str) -> Figure:
    """Draw a panel for each dataset and a line for each autoencoder, with a dot of each kind; one scale for all.

    Args:
        values: dots, in the order of datasets and autoencoders.
        kinds: how each kind is drawn, from the top of a line to its bottom.
        label: of the horizontal axis.
    """
    datasets, names = (unique(getattr(spot, part) for spot in values) for part in ("dataset", "autoencoder"))
    tall = 0.2 + 0.13 * len(kinds)
    figure, axes = grid(len(datasets), (4, 3), width=2.15, margin=1.6, height=0.75 + tall * len(names))
    low, high = limits([end for value in values.values() for end in value])
    for ax, dataset in zip(axes, datasets, strict=True):
        ax.set_title(wrapped(dataset, 30), fontweight="bold", loc="left", color=INK)
        ax.axvline(0, color=INK, linewidth=0.9, zorder=1)
        for line, name in enumerate(names):
            found = {kind: values.get(Spot(dataset, name, kind)) for kind in kinds}
            if line % 2:
                ax.axhspan(line - 0.5, line + 0.5, color=BAND, linewidth=0, zorder=0)
            _draw(ax, line, name, [(kinds[kind], value) for kind, value in found.items()])
        ax.set(xlim=(low, high), ylim=(len(names) - 0.4, -0.6))
        ax.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        ax.tick_params(labelbottom=True)
        of_dataset(ax, dataset)
        ax.set_yticks(range(len(names)), [wrapped(name, 24) for name in names])
    figure.supxlabel(label, fontsize=8.5, color=INK)
    marks = [Line2D([], [], color=d.colour, marker=d.marker, linewidth=1.6, label=d.label) for d in kinds.values()]
    key(figure, marks)
    return figure


def _draw(ax: Axes, line: int, name: str, dots: Sequence[tuple[Dot, Interval | None]]) -> None:
    step = 0.7 / max(len(dots), 1)
    for place, (dot, value) in enumerate(dots):
        if value is None or math.isnan(value.value):
            continue
        y = line + step * (place - (len(dots) - 1) / 2)
        whisker = ax.hlines(y, value.low, value.high, color=dot.colour, linewidth=1.6, zorder=2)
        marks = ax.plot(value.value, y, dot.marker, color=dot.colour, markersize=4.4, zorder=3)
        tip([whisker, *marks], f"{name}, {dot.label}: {text.interval(value, 3)}")
