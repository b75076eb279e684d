"""Figure 1 (what is lost, and where) and Figure 2 (fidelity against learnability)."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from pipeline.controls import CONTROLS
from pipeline.errors import StudyError
from pipeline.report import text
from pipeline.report.drawing import (
    BAND,
    INK,
    MUTED,
    SMALLEST,
    clipped,
    grid,
    limits,
    of_dataset,
    settings,
    tip,
    wrapped,
)
from pipeline.report.labels import Point, label_points
from pipeline.report.results import Interval, Results, Row, unique

# Okabe and Ito's palette: told apart with any colour vision, and by their markers in print without colour.
LOSS = ("information_loss", "information loss", "#D55E00", "o")
GAP = ("learnability_gap", "learnability gap", "#0072B2", "D")
CONTROL_COLOUR = "#6B6B6B"
MEASURES = {"psnr": "PSNR of the reconstruction (dB)", "lpips": "LPIPS of the reconstruction (0: lossless)"}
"""What Figure 2 can show, and how its axis is called."""


def figure_png(table: pd.DataFrame, head: str, path: Path) -> None:
    """Write Figure 1 of one head, for balanced accuracy, as a PNG; raise StudyError for a head without rows.

    Where no data set has classes there is no head, and the figure says so.
    """
    results = Results.read(table)
    if not results.heads:
        figure = Figure(figsize=(6.5, 0.6))
        figure.text(0.02, 0.4, "No data set of this study has classes, so nothing was scored.", color=MUTED)
        figure.savefig(path, format="png", dpi=160, metadata={"Software": None})
        return
    if not head or not results.select(head, results.metrics[0] if results.metrics else ""):
        raise StudyError(f"the gap table has no scores of head '{head}'; its heads: {text.listing(results.heads)}")
    with settings():
        figure = gap_figure(results, head, results.metrics[0])
        figure.savefig(path, format="png", dpi=160, metadata={"Software": None})


def reading_order(results: Results, metric: str) -> tuple[list[str], list[str]]:
    """Return the candidates by rising mean gap of the first head, and the controls in their usual order.

    Means over unlike datasets cannot be compared: candidates without a gap in each of them come last.
    """
    first = results.select(results.heads[0], metric)

    def mean_gap(name: str) -> float:
        gaps = {row.dataset: row.learnability_gap.value for row in first if row.autoencoder == name}
        mean = sum(gaps.values()) / max(len(gaps), 1)
        return math.inf if math.isnan(mean) or len(gaps) < len({row.dataset for row in first}) else mean

    families = {row.autoencoder: row.family for row in results.rows if row.head and row.metric == metric}
    learned = unique(name for name, family in families.items() if family not in CONTROLS)
    controls = unique(name for name, family in families.items() if family in CONTROLS)
    return sorted(learned, key=mean_gap), sorted(controls, key=lambda name: CONTROLS.index(families[name]))


def gap_figure(results: Results, head: str, metric: str) -> Figure:
    """Draw Figure 1: a panel per dataset, a line per autoencoder, dots with 95 % intervals.

    The scale is that of the metric over all heads, so panels and the figures of other heads can be compared.
    """
    rows = results.select(head, metric)
    present = {row.autoencoder for row in rows}
    learned, controls = ([name for name in group if name in present] for group in reading_order(results, metric))
    places, ticks, split = _lines(learned, controls)
    datasets = unique(row.dataset for row in rows)
    figure, axes = grid(len(datasets), (4, 3), width=2.15, margin=1.6, height=0.75 + 0.3 * len(ticks))
    drawn = [row for row in results.rows if row.head and row.metric == metric]
    low, high = limits([end for row in drawn for end in (*row.information_loss, *row.learnability_gap)])
    for ax, dataset in zip(axes, datasets, strict=True):
        ax.set_title(wrapped(dataset, 30), fontweight="bold", loc="left", color=INK)
        ax.axvline(0, color=INK, linewidth=0.9, zorder=1)
        if split is not None:
            ax.axhspan(split, len(ticks) - 0.4, color=BAND, linewidth=0, zorder=0)
        _draw_dots(ax, {row.autoencoder: row for row in rows if row.dataset == dataset}, places)
        ax.set(xlim=(low, high), ylim=(len(ticks) - 0.4, -0.6))
        ax.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        ax.tick_params(labelbottom=True)
        of_dataset(ax, dataset)
        ax.set_yticks(range(len(ticks)), ticks)
        # Panels inside the grid have no labels of their own.
        for label, name in zip(ax.get_yticklabels(), ticks, strict=False):
            heading = name in _HEADINGS and name not in places
            label.set(fontstyle="italic" if heading else "normal", color=MUTED if heading else INK)
    figure.supxlabel(f"score lost in {text.metric_name(metric)} (left of zero: gained)", fontsize=8.5, color=INK)
    marks = [
        Line2D([], [], color=colour, marker=marker, linewidth=1.8, label=name)
        for _, name, colour, marker in (LOSS, GAP)
    ]
    figure.legend(handles=marks, loc="outside upper left", ncols=2, frameon=False)
    return figure


_HEADINGS = ("autoencoders ", "controls ")
"""Headings among the tick labels; the space at their end keeps them apart from an autoencoder of that name."""


def _lines(learned: list[str], controls: list[str]) -> tuple[dict[str, int], list[str], float | None]:
    """Return the line of each autoencoder, the labels of all lines, and where the controls begin."""
    names: list[str] = []
    split: float | None = None
    for heading, group in zip(_HEADINGS, (learned, controls), strict=True):
        if group and group is controls:
            split = len(names) - 0.4
        names += [heading, *group] if group else []
    places = {name: line for line, name in enumerate(names) if name in learned or name in controls}
    return places, [name if name in _HEADINGS else wrapped(name, 24) for name in names], split


def _draw_dots(ax: Axes, rows: dict[str, Row], places: dict[str, int]) -> None:
    for name, line in places.items():
        row = rows.get(name)
        if row is None or (math.isnan(row.information_loss.value) and math.isnan(row.learnability_gap.value)):
            ax.text(0, line, " not measured", color=MUTED, fontsize=SMALLEST, va="center", clip_on=True)
            continue
        for (field, called, colour, marker), shift in ((LOSS, -0.17), (GAP, 0.17)):
            value: Interval = getattr(row, field)
            whisker = ax.hlines(line + shift, value.low, value.high, color=colour, linewidth=1.8, zorder=2)
            ends = [value.low, value.high]
            ax.plot(ends, [line + shift] * 2, "|", color=colour, markersize=4.5, markeredgewidth=1.2, zorder=2)
            marks = ax.plot(value.value, line + shift, marker, color=colour, markersize=4.6, zorder=3)
            tip([whisker, *marks], f"{row.dataset}, {name}: {called} {text.interval(value, 3)}")


def fidelity_figure(results: Results, head: str, metric: str, measure: str = "psnr") -> Figure | None:
    """Draw Figure 2: fidelity against the learnability gap, a panel per dataset; None where nothing has both.

    Args:
        results: the gap table.
        head: whose gaps.
        metric: of the gaps.
        measure: `psnr`, whose lossless autoencoders stand in a band of their own, or `lpips`.
    """
    rows = [row for row in results.select(head, metric) if _has_both(row, measure)]
    if not rows:
        return None
    datasets = unique(row.dataset for row in rows)
    figure, axes = grid(len(datasets), (2,), width=4.7, margin=0.7, height=3.5)
    low, high = limits([end for row in rows for end in row.learnability_gap])
    place, ends = _psnr_scale(rows) if measure == "psnr" else _lpips_scale(rows)
    points: list[list[Point]] = []
    for ax, dataset in zip(axes, datasets, strict=True):
        ax.set_title(wrapped(dataset, 60), fontweight="bold", loc="left", color=INK)
        ax.set(ylim=(low, high))
        ax.axhline(0, color=INK, linewidth=0.9, zorder=1)
        _draw_measure_axis(ax, ends, infinite=measure == "psnr")
        of_dataset(ax, dataset)
        mine = sorted((row for row in rows if row.dataset == dataset), key=_control_order)
        lossless = [row for row in mine if math.isinf(getattr(row, measure))]
        spots = [
            place(getattr(row, measure), lossless.index(row) if row in lossless else 0, len(lossless)) for row in mine
        ]
        _draw_points(ax, mine, spots)
        points.append(
            [Point(clipped(r.autoencoder, 28), x, r.learnability_gap) for r, x in zip(mine, spots, strict=True)]
        )
    figure.supxlabel(MEASURES[measure], fontsize=8.5, color=INK)
    figure.supylabel(f"learnability gap in {text.metric_name(metric)}", fontsize=8.5, color=INK)
    figure.draw_without_rendering()
    for ax, named in zip(axes, points, strict=True):
        label_points(ax, named, INK)
    return figure


def _control_order(row: Row) -> int:
    return CONTROLS.index(row.family) if row.is_control else -1


def _has_both(row: Row, measure: str) -> bool:
    return not math.isnan(getattr(row, measure)) and not math.isnan(row.learnability_gap.value)


def unplotted(results: Results, head: str, metric: str, measure: str = "psnr") -> list[str]:
    """Return `dataset / autoencoder` of what Figure 2 cannot show."""
    return [f"{row.dataset} / {row.autoencoder}" for row in results.select(head, metric) if not _has_both(row, measure)]


def _psnr_scale(rows: Sequence[Row]) -> tuple[Callable[[float, int, int], float], tuple[float, float, float]]:
    """Return where a PSNR lies on the axis, and the axis: left end, start of the lossless band, right end."""
    finite = [row.psnr for row in rows if math.isfinite(row.psnr)]
    low, high = (min(finite), max(finite)) if finite else (0.0, 1.0)
    pad = 0.12 * max(high - low, 5.0) if finite else 0.0
    left, edge = (low - pad, high + pad) if finite else (0.0, 0.0)
    infinite = any(math.isinf(row.psnr) for row in rows)
    band = (0.4 * (edge - left) if finite else 1.0) if infinite else 0.0

    def place(psnr: float, position: int, count: int) -> float:
        # Lossless autoencoders would lie on one another: they are spread over the band.
        return psnr if math.isfinite(psnr) else edge + band * (position + 1) / (count + 1)

    return place, (left, edge, edge + band)


def _lpips_scale(rows: Sequence[Row]) -> tuple[Callable[[float, int, int], float], tuple[float, float, float]]:
    """Return where an LPIPS lies on the axis, and the axis: its ends, and no band, since 0 is lossless."""
    high = max(row.lpips for row in rows) or 1.0
    return lambda lpips, position, count: lpips, (-0.06 * high, 1.12 * high, 1.12 * high)


def _draw_measure_axis(ax: Axes, ends: tuple[float, float, float], infinite: bool) -> None:
    left, edge, right = ends
    ticks = (
        [
            t
            for t in MaxNLocator(6, steps=[1, 2, 5, 10]).tick_values(left, edge)
            if (left if infinite else 0.0) <= t <= edge
        ]
        if edge > left
        else []
    )
    labels = [f"{tick:g}" for tick in ticks]
    if right > edge:
        ax.axvspan(edge, right, color=BAND, linewidth=0, zorder=0)
        ticks, labels = [*ticks, (edge + right) / 2], [*labels, "lossless"]
    ax.set_xticks(ticks, labels)
    ax.set_xlim(left, right)
    ax.tick_params(labelbottom=True, labelleft=True)


def _draw_points(ax: Axes, rows: Sequence[Row], spots: Sequence[float]) -> None:
    for row, spot in zip(rows, spots, strict=True):
        colour = CONTROL_COLOUR if row.is_control else GAP[2]
        gap = row.learnability_gap
        whisker = ax.vlines(spot, gap.low, gap.high, color=colour, linewidth=1.2, zorder=2)
        face = "white" if row.is_control else colour
        marks = ax.plot(spot, gap.value, "D", color=colour, markerfacecolor=face, markersize=5, zorder=3)
        fidelity = f"PSNR {text.number(row.psnr, 1)} dB" + ("" if math.isnan(row.lpips) else f", LPIPS {row.lpips:.3f}")
        tip([whisker, *marks], f"{row.autoencoder}: gap {text.interval(gap, 3)}; {fidelity}")
