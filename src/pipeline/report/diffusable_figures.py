"""Figures of diffusability: curves over noise, and penalties as bars."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from pipeline.report.curves import IMAGE, Look, legend, panels
from pipeline.report.drawing import BAND, INK, of_dataset, tip, wrapped
from pipeline.report.results import unique

NORMAL = 1.96
LEAST = 0.01
"""Of penalties: what is less is written as 0."""
PENALTIES = {
    "compression": "compression",
    "tangential_distortion": "tangential distortion",
    "fine_curvature": "curvature, fine detail",
    "latent_data_curvature": "curvature of the data",
}
"""Of `encoder_geometry.csv`, as the bars are called."""


def curves_figure(
    found: pd.DataFrame, quantities: Mapping[str, str], looks: Mapping[str, Look], baseline: str, bound: float
) -> Figure:
    """Draw a panel for each dataset and quantity, a line for each space, on logarithmic axes.

    Args:
        found: measurements with one denoiser.
        quantities: which of them are drawn, and what they are called.
        looks: of the autoencoders.
        baseline: the one that is pixels.
        bound: marks where `disagreement` is above it are hollow.
    """
    datasets = unique(found["dataset"])
    figure, axes = panels(datasets, [*quantities.values()])
    keys = ["dataset", "autoencoder", "sigma"]
    poor = set(
        found[(found["quantity"] == "disagreement") & (found["value"] > bound)][keys].itertuples(index=False, name=None)
    )
    for key, label in quantities.items():
        for dataset in datasets:
            ax, part = axes[label, dataset], found[(found["quantity"] == key) & (found["dataset"] == dataset)]
            of_dataset(ax, dataset)
            ax.set(xscale="log", yscale="log")
            for name in sorted(unique(part["autoencoder"]), key=lambda name: name == baseline):
                mine = part[part["autoencoder"] == name].sort_values("sigma")
                hollow = [(dataset, name, sigma) in poor for sigma in mine["sigma"]]
                _curve(ax, mine, hollow, IMAGE if name == baseline else looks[name])
    _same_scale([[axes[label, dataset] for dataset in datasets] for label in quantities.values()])
    figure.supxlabel("noise, in deviations of the space", fontsize=8.5, color=INK)
    legend(figure, {name: IMAGE if name == baseline else look for name, look in looks.items()})
    return figure


def _curve(ax: Axes, mine: pd.DataFrame, hollow: list[bool], look: Look) -> None:
    x, y = mine["sigma"].to_numpy(), mine["per_latent_dimension"].to_numpy(np.float64)
    # The standard error is that of the sum over dimensions.
    error = NORMAL * np.abs(mine["standard_error"].to_numpy(np.float64) * y / mine["value"].to_numpy(np.float64))
    ax.fill_between(x, np.maximum(y - error, y / 100), y + error, color=look.colour, alpha=0.13, linewidth=0)
    ax.plot(x, y, look.style, color=look.colour, linewidth=1.4)
    marker = look.marker or "o"
    for chosen, face in ((~np.array(hollow), look.colour), (np.array(hollow), "white")):
        ax.plot(x[chosen], y[chosen], marker, color=look.colour, markerfacecolor=face, markersize=4.2)


def powers(axis: Axis) -> None:
    """Label a drawn logarithmic axis, at few powers of ten or between them, in numbers without formulas."""
    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(10, subs=(1.0,) if high > 50 * low else (1.0, 2.0, 5.0), numticks=6))
    axis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.set_minor_formatter(NullFormatter())


def _same_scale(rows: list[list[Axes]]) -> None:
    for row in rows:
        low, high = (end(ax.get_ylim()[place] for ax in row) for place, end in enumerate((min, max)))
        for ax in row:
            ax.set_ylim(low, high)
            powers(ax.xaxis)
            powers(ax.yaxis)


def penalties_figure(geometry: pd.DataFrame, looks: Mapping[str, Look]) -> Figure:
    """Draw a line of panels for each dataset, one for each penalty, with a bar for each autoencoder."""
    datasets = unique(geometry["dataset"])
    names = {dataset: unique(geometry.loc[geometry["dataset"] == dataset, "autoencoder"]) for dataset in datasets}
    heights = [0.75 + 0.21 * len(names[dataset]) for dataset in datasets]
    figure = Figure(figsize=(10.8, sum(heights) + 0.3), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(datasets), len(PENALTIES), squeeze=False, height_ratios=heights)
    cells = zip(geometry["dataset"], geometry["autoencoder"], geometry["quantity"], strict=True)
    known = dict(zip(cells, zip(geometry["value"], geometry["standard_error"], strict=True), strict=True))
    for line, dataset in zip(axes, datasets, strict=True):
        for ax, (key, label) in zip(line, PENALTIES.items(), strict=True):
            found = [known[dataset, name, key] for name in names[dataset]]
            _bars(ax, names[dataset], found, looks)
            ax.set_title(wrapped(f"{dataset}: {label}", 34), fontweight="bold", loc="left", color=INK)
            of_dataset(ax, dataset)
            if ax is not line[0]:
                ax.tick_params(labelleft=False)
        # Of the images: the same whatever the autoencoder.
        bent, _ = known[dataset, names[dataset][0], "data_curvature"]
        line[-1].axvline(bent, color=INK, linestyle="--", linewidth=1.1)
    for column in axes.T:
        _same_reach(column)
    return figure


def _same_reach(column: Sequence[Axes]) -> None:
    """Give the panels of a penalty one axis, with room for the longest bar's number."""
    longest = max((ax.dataLim.x1 for ax in column), default=0.0)
    for ax in column:
        # Of an isometry there is rounding alone, and that is not to be magnified.
        ax.set_xlim(0, max(1.28 * longest, 10 * LEAST))
        ax.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
        ax.tick_params(labelbottom=True)


def _written(value: float) -> str:
    if value < LEAST:
        return "0"
    return f"{value:.2g}" if value < 99.5 else f"{value:,.0f}"


def _bars(ax: Axes, names: list[str], found: list[tuple[float, float]], looks: Mapping[str, Look]) -> None:
    for place, (name, (value, error)) in enumerate(zip(names, found, strict=True)):
        if place % 2:
            ax.axhspan(place - 0.5, place + 0.5, color=BAND, linewidth=0, zorder=0)
        if math.isnan(value):
            continue
        bar = ax.barh(place, value, height=0.62, color=looks[name].colour, zorder=2)
        reach = 0.0 if math.isnan(error) else 2 * error
        if reach > 0:
            ax.hlines(place, value - reach, value + reach, color=INK, linewidth=1, zorder=3)
        ax.annotate(
            _written(value),
            (value + reach, place),
            (3, 0),
            textcoords="offset points",
            va="center",
            color=INK,
        )
        tip(list(bar), f"{name}: {value:.3g}" + (f", standard error {error:.2g}" if reach > 0 else ""))
    ax.set(ylim=(len(names) - 0.4, -0.6))
    ax.set_yticks(range(len(names)), [wrapped(name, 24) for name in names])
