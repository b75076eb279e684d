"""What latents save: size, memory and time, where the study measured them."""

import math

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator

from pipeline.report import text
from pipeline.report.dots import Dot
from pipeline.report.drawing import INK, grid, inline_svg, key, of_dataset, plot, tip, wrapped
from pipeline.report.further import Record
from pipeline.report.results import Results, unique
from pipeline.report.tables import Cell, name_cell, number, table

RATIOS = {
    "inference_per_second_ratio": Dot("samples a second, inference", "#0072B2", "D"),
    "training_per_second_ratio": Dot("samples a second, training", "#56B4E9", "v"),
    "training_peak_bytes_ratio": Dot("memory, training", "#D55E00", "o"),
    "stored_bytes_ratio": Dot("size of a stored sample", "#009E73", "s"),
}
"""How many times better off latents are than images, by the columns of the table."""
INTRODUCTION = (
    "<p>How many times better off a head is on latents than on images: samples a second over those of images, bytes of "
    "images over those of latents. Ratios were measured in turns on one machine and are close on others of its kind; "
    "absolute speeds are not, and stand in <code>results/cost.csv</code>. Encoding an image once costs time that is "
    "not in here.</p>\n"
)


def section(results: Results, cost: pd.DataFrame) -> str:
    """Return a figure and a table for each head, the first open; nothing where costs were not measured."""
    parts: list[str] = []
    for place, head in enumerate(results.heads):
        part = cost[(cost["head"] == head) & (cost["space"] == "latent")]
        part = part[part[list(RATIOS)].notna().any(axis=1)]
        if not len(part):
            continue
        title = f"Head {text.html(results.label(head))}"
        alt = (
            f"Ratios of cost of the head {head} on latents and images, by dataset and autoencoder; values: table below"
        )
        caption = (
            f"<strong>Efficiency.</strong> {title}: how many times better off it is on latents than on images, on a "
            "logarithmic scale. At the line of 1: no difference."
        )
        body = (
            f"{plot(inline_svg(efficiency_figure(part), f'cost{place}', alt), caption)}{_table(results, title, part)}"
        )
        parts.append(f"<details{'' if parts else ' open'}><summary>{title}</summary>\n{body}</details>\n")
    return f"<h2>What latents save</h2>\n{INTRODUCTION}{_where(cost)}{''.join(parts)}" if parts else ""


def _where(cost: pd.DataFrame) -> str:
    known = cost[["device", "threads", "precision", "batch"]].drop_duplicates().to_dict("records")
    told = text.listing(
        [f"{r['device']}, {r['threads']:.0f} threads, {r['precision']}, batches of {r['batch']:.0f}" for r in known]
    )
    return f"<p>Measured on: {text.html(told)}.</p>\n"


def efficiency_figure(part: pd.DataFrame) -> Figure:
    """Draw a panel for each dataset, a line for each autoencoder and a dot for each ratio, on a logarithmic scale."""
    datasets, names = unique(part["dataset"]), unique(part["autoencoder"])
    kinds = {name: dot for name, dot in RATIOS.items() if part[name].notna().any()}
    found = {(row["dataset"], row["autoencoder"]): row for row in part.to_dict("records")}
    figure, axes = grid(len(datasets), (4, 3), width=2.15, margin=1.6, height=0.75 + 0.5 * len(names))
    ends = [float(value) for name in kinds for value in part[name].dropna()]
    for ax, dataset in zip(axes, datasets, strict=True):
        of_dataset(ax, dataset)
        ax.set_title(wrapped(dataset, 30), fontweight="bold", loc="left", color=INK)
        ax.axvline(1, color=INK, linewidth=0.9, zorder=1)
        for line, name in enumerate(names):
            for place, (column, dot) in enumerate(kinds.items()):
                value = float(found.get((dataset, name), {}).get(column, math.nan))
                y = line + 0.18 * (place - (len(kinds) - 1) / 2)
                tip(
                    ax.plot(value, y, dot.marker, color=dot.colour, markersize=4.6, zorder=3),
                    f"{dataset}, {name}, {dot.label}: {text.TIMES} {text.number(value, 2)}",
                )
        ax.set(xscale="log", xlim=(min(1, *ends) / 1.3, max(1, *ends) * 1.3), ylim=(len(names) - 0.4, -0.6))
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=6))
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        ax.minorticks_off()
        ax.tick_params(labelbottom=True)
        ax.set_yticks(range(len(names)), [wrapped(name, 24) for name in names])
    figure.supxlabel("times better off on latents than on images", fontsize=8.5, color=INK)
    key(figure, [Line2D([], [], color=d.colour, marker=d.marker, linewidth=0, label=d.label) for d in kinds.values()])
    return figure


def _table(results: Results, title: str, part: pd.DataFrame) -> str:
    headers = ["autoencoder", "shape", "parameters", "multiply-accumulates", *(dot.label for dot in RATIOS.values())]
    controls = {(row.dataset, row.autoencoder) for row in results.rows if row.is_control}
    groups = []
    for dataset in unique(part["dataset"]):
        rows = part[part["dataset"] == dataset].to_dict("records")
        groups.append((dataset, [((dataset, row["autoencoder"]) in controls, _line(row)) for row in rows]))
    return table(f"{title}: what it costs on latents; ratios to images.", headers, groups)


def _line(row: Record) -> list[Cell]:
    shape = (text.html(text.shape(str(row["shape"]))), text.html(str(row["shape"])))
    counts = [number(float(row[name])) for name in ("parameters", "multiply_accumulates")]
    return [name_cell(str(row["autoencoder"])), shape, *counts, *(number(float(row[name]), 2) for name in RATIOS)]
