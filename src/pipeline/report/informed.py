"""What noise takes of the information about the class: two estimates."""

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.report import text
from pipeline.report.curves import IMAGE, Look, legend, of_autoencoders, panels
from pipeline.report.diffusable_figures import NORMAL, powers
from pipeline.report.drawing import INK, inline_svg, of_dataset, plot
from pipeline.report.results import Interval, Results, unique
from pipeline.report.tables import name_cell, score, table

INFORMATION = (
    "<p>What noise leaves of the information about the class, in nats, by a head that is told of the noise: its own "
    "estimate, which is too low where the head is not the posterior, and the integral of the squared gradient of its "
    "answer over all larger noise. Of the posterior both are the same; where they differ by more than their standard "
    "errors, read neither as the information.</p>\n"
)


def section(results: Results, found: pd.DataFrame) -> str:
    """Return a figure and a table for each head that was asked; nothing without any."""
    if not len(found):
        return ""
    parts = []
    for place, head in enumerate(unique(found["head"])):
        part = found[found["head"] == head]
        looks = of_autoencoders(results, unique(part["autoencoder"]))
        caption = (
            f"<strong>Information about the class by noise.</strong> Head {text.html(head)}. Lines with marks: its own "
            "estimate; dotted: integrated. Bands: 95&nbsp;% intervals. What leaves the panel stands in the table."
        )
        svg = inline_svg(
            information_figure(part, looks, results.pixels),
            f"information{place}",
            "Two estimates; values: table below",
        )
        body = _informed(head, part)
        parts.append(f"{plot(svg, caption)}<details><summary>Information by noise</summary>\n{body}</details>\n")
    return f"<h3>What noise takes of the class</h3>\n{INFORMATION}{''.join(parts)}"


def _informed(head: str, found: pd.DataFrame) -> str:
    sigmas = sorted(found["sigma"].unique())
    levels = sigmas[:: max(1, math.ceil(len(sigmas) / 8))]
    groups = []
    for dataset in unique(found["dataset"]):
        lines = []
        for name in unique(found.loc[found["dataset"] == dataset, "autoencoder"]):
            mine = found[(found["dataset"] == dataset) & (found["autoencoder"] == name)]
            for key, label in (("information", "own"), ("information_integrated", "integrated")):
                part = mine[mine["quantity"] == key]
                cells = [score(around(part, level)) for level in levels]
                lines.append((False, [name_cell(name), name_cell(label), *cells]))
        groups.append((dataset, lines))
    headers = ["autoencoder", "estimate", *(f"&sigma; = {level:.2g}" for level in levels)]
    return table(f"Head {text.html(head)}: nats, by the noise in deviations of the channels", headers, groups)


def around(found: pd.DataFrame, level: float) -> Interval:
    """Return the value at a noise level with its 95 % interval; NaN where it was not measured."""
    part = found[found["sigma"] == level]
    value, error = (float(part[name].sum(min_count=1)) for name in ("value", "standard_error"))
    return Interval(value, value - NORMAL * error, value + NORMAL * error)


def information_figure(found: pd.DataFrame, looks: Mapping[str, Look], baseline: str) -> Figure:
    """Draw a panel for each dataset: of each space a head's own estimate with marks, the integrated one dotted."""
    datasets = unique(found["dataset"])
    figure, axes = panels(datasets, ["nats"], height=3)
    for dataset in datasets:
        ax = axes["nats", dataset]
        of_dataset(ax, dataset)
        ax.set(xscale="log")
        ax.axhline(0, color=INK, linewidth=0.9, zorder=1)
        for name in sorted(unique(found.loc[found["dataset"] == dataset, "autoencoder"]), key=lambda n: n == baseline):
            mine = found[(found["dataset"] == dataset) & (found["autoencoder"] == name)]
            look = IMAGE if name == baseline else looks[name]
            _estimate(ax, mine[mine["quantity"] == "information"], look, look.marker or "o", "-")
            _estimate(ax, mine[mine["quantity"] == "information_integrated"], look, "", ":")
        powers(ax.xaxis)
        ax.set_ylim(_ends(found))
    figure.supxlabel("noise, in deviations of the channels", fontsize=8.5, color=INK)
    marked = {name: Look(INK, "o", "-") if name == baseline else look for name, look in looks.items()}
    legend(figure, marked)
    return figure


def _ends(found: pd.DataFrame) -> tuple[float, float]:
    """Return limits that the head's own estimates fit into; an integral of a poor head can be any number of nats."""
    own = found.loc[found["quantity"] == "information", "value"]
    high = max(math.log(2), 1.5 * float(own.max()))
    return max(min(0.0, 1.2 * float(own.min())), -high) - 0.05, high + 0.05


def _estimate(ax: Axes, found: pd.DataFrame, look: Look, marker: str, style: str) -> None:
    part = found.sort_values("sigma")
    x, y = part["sigma"].to_numpy(), part["value"].to_numpy(np.float64)
    error = NORMAL * part["standard_error"].fillna(0).to_numpy(np.float64)
    ax.fill_between(x, y - error, y + error, color=look.colour, alpha=0.1, linewidth=0)
    ax.plot(x, y, style, color=look.colour, marker=marker, markersize=3.6, linewidth=1.4)
