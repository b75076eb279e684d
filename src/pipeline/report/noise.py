"""Scores over the noise on a head's input."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.report import text
from pipeline.report.curves import IMAGE, Look, draw, legend, of_autoencoders, panels, span
from pipeline.report.drawing import INK, inline_svg, of_dataset, plot
from pipeline.report.further import Curve, Place, along
from pipeline.report.results import Interval, Results, Row, unique
from pipeline.report.tables import Cell, name_cell, score, table

AXIS = "noise"
INTRODUCTION = (
    "<p>One head, scored with Gaussian noise of deviation &sigma; on its input, which has a deviation of 0.5 in every "
    "space. Deviations at which half of a fall is gone are those of point estimates.</p>\n"
)
TICKS = (0.01, 0.1, 1.0, 10.0, 100.0)

Curves = Mapping[Place, Curve]


def section(results: Results, profile: pd.DataFrame) -> str:
    """Return sentences, figure and table of every head that was scored over noise; nothing without one."""
    found, parts = along(profile, AXIS), []
    metric = next(iter(results.metrics), "")
    for number, head in enumerate(results.heads):
        rows = [row for row in results.select(head, metric) if _latent(found, row)]
        if not rows:
            continue
        title = f"Head {text.html(results.label(head))}, {text.html(text.metric_name(metric))}"
        items = "".join(text.item(name, _sentence(name, rows, found)) for name in unique(row.dataset for row in rows))
        alt = f"Score of the head {head} over noise, by dataset and autoencoder; values: table below"
        caption = (
            f"<strong>Scores over noise.</strong> {title}, against the deviation &sigma; of the noise, with 95&nbsp;% "
            "intervals; at the left without noise. Dashed: on images."
        )
        svg = inline_svg(noise_figure(results, found, rows), f"noise{number}", alt)
        parts.append(
            f"<h3>{title}</h3>\n<ul>\n{items}</ul>\n{plot(svg, caption)}"
            f"<details><summary>Scores over noise</summary>\n{_table(title, rows, found)}</details>\n"
        )
    return f"<h2>What noise takes away</h2>\n{INTRODUCTION}{''.join(parts)}" if parts else ""


def _curve(found: Curves, row: Row, space: str) -> Curve:
    return found.get(Place(row.dataset, row.autoencoder, row.head, row.metric, space), [])


def _latent(found: Curves, row: Row) -> Curve:
    return [] if row.family == "identity" else _curve(found, row, "latent")


def half_gone(curve: Curve) -> float | None:
    """Return the noise at which half is gone of what the clean score has above that at the strongest noise.

    Between two measured deviations the score is taken as linear in the logarithm; before the first, nothing is known.
    None where the intervals of both ends overlap, so that no fall is shown, or where that much is gone at the first
    deviation already.
    """
    ends = curve[0][1], curve[-1][1]
    if curve[0][0] != 0 or not ends[0].low > ends[1].high:
        return None
    target = (ends[0].value + ends[1].value) / 2
    below = next((place for place, (_, value) in enumerate(curve) if value.value <= target), 0)
    if below < 2:
        return None
    (left, above), (right, under) = curve[below - 1], curve[below]
    part = (above.value - target) / (above.value - under.value)
    return float(np.exp(np.log(left) + part * (np.log(right) - np.log(left))))


def _sentence(dataset: str, rows: Sequence[Row], found: Curves) -> str:
    mine = [row for row in rows if row.dataset == dataset]
    told = [(f"on latents of <em>{text.html(row.autoencoder)}</em>", _latent(found, row)) for row in mine]
    images = _curve(found, mine[0], "image")
    clauses = "; ".join(f"{name}, {_told(curve)}" for name, curve in [("on images", images), *told] if curve)
    return f"<strong>{text.html(dataset)}</strong>: score without noise and with the strongest: {clauses}."


def _told(curve: Curve) -> str:
    half = half_gone(curve)
    fall = "half of the fall is not located" if half is None else f"half of the fall by &sigma; = {half:.2g}"
    if not curve[0][1].low > curve[-1][1].high:
        fall = "no fall shown"
    return f"{text.interval(curve[0][1])} and {text.interval(curve[-1][1])} ({fall})"


def noise_figure(results: Results, found: Curves, rows: Sequence[Row]) -> Figure:
    """Draw a panel for each dataset, a line for each autoencoder and one for the images."""
    metric, named = rows[0].metric, of_autoencoders(results, unique(row.autoencoder for row in rows))
    figure, axes = panels(unique(row.dataset for row in rows), [metric])
    curves = [curve for row in rows for curve in (_latent(found, row), _curve(found, row, "image")) if curve]
    positive = sorted({at for curve in curves for at, _ in curve if at > 0}) or [1.0]
    limits = span(value for curve in curves for _, value in curve)
    for (_, dataset), ax in axes.items():
        of_dataset(ax, dataset)
        mine = [row for row in rows if row.dataset == dataset]
        if images := _curve(found, mine[0], "image"):
            _draw(ax, images, _clean(positive[0]), IMAGE)
        for place, row in enumerate(mine, start=1):
            # Beside one another, for they would cover each other.
            clean = _clean(positive[0]) + 0.5 * place / (len(mine) + 1)
            _draw(ax, _latent(found, row), clean, named[row.autoencoder])
        ax.set(ylim=limits)
        ticks = [tick for tick in TICKS if positive[0] <= tick <= positive[-1]] or [positive[0]]
        ax.set_xticks([_clean(positive[0]) + 0.25, *np.log10(ticks)], ["none", *(f"{tick:g}" for tick in ticks)])
    figure.supxlabel("deviation of the noise (inputs have 0.5)", fontsize=8.5, color=INK)
    legend(figure, {"image": IMAGE, **named})
    return figure


def _clean(first: float) -> float:
    """Return where the half decade of no noise begins on a logarithmic axis, before the first deviation."""
    return math.log10(first) - 0.8


def _draw(ax: Axes, curve: Curve, clean: float, look: Look) -> None:
    noisy = [(math.log10(at), value) for at, value in curve if at > 0]
    draw(ax, [at for at, _ in noisy], [value for _, value in noisy], look, every=max(1, len(noisy) // 8))
    for value in (value for at, value in curve if at == 0):
        ax.vlines(clean, value.low, value.high, color=look.colour, linewidth=1.2)
        ax.plot(clean, value.value, look.marker or "_", color=look.colour, markersize=4)


def _table(title: str, rows: Sequence[Row], found: Curves) -> str:
    levels = sorted({at for row in rows for at, _ in _latent(found, row)})
    headers = ["autoencoder", "space", *(f"{at:.3g}" if at else "none" for at in levels)]
    groups = []
    for dataset in unique(row.dataset for row in rows):
        mine = [row for row in rows if row.dataset == dataset]
        lines = [(False, _line("images", "image", _curve(found, mine[0], "image"), levels))]
        for row in mine:
            for space in ("reconstruction", "latent"):
                lines.append((row.is_control, _line(row.autoencoder, space, _curve(found, row, space), levels)))
        groups.append((dataset, lines))
    return table(f"{title}: scores by the deviation of the noise", headers, groups)


def _line(name: str, space: str, curve: Curve, levels: Sequence[float]) -> list[Cell]:
    values = dict(curve)
    nothing = Interval(math.nan, math.nan, math.nan)
    return [name_cell(name), name_cell(space), *(score(values.get(at, nothing)) for at in levels)]
