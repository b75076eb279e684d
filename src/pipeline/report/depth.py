"""Where on the way back to the image learnability returns: the same probe at every depth of the frozen decoder."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from pipeline.report import text
from pipeline.report.curves import IMAGE, draw, legend, level, nothing, of_autoencoders, panels, span
from pipeline.report.drawing import INK, inline_svg, of_dataset, plot, settings
from pipeline.report.further import Curve, Place, along
from pipeline.report.results import HEADLINE_METRIC, Interval, Results, Row, unique
from pipeline.report.tables import Cell, change, name_cell, score, table

AXIS = "depth"
METRICS = (HEADLINE_METRIC, "auroc")
INTRODUCTION = (
    "<p>The same probe, with the same number of features, is trained on the latent (depth 0), on what each stage of "
    "the frozen decoder makes of it, and on the reconstruction. What rises on the way was in the latent all along, and "
    "the decoder made it readable. Each score has its own 95&nbsp;% interval, and stages are told by point "
    "estimates; the difference of the ends is "
    "paired.</p>\n"
)

Curves = Mapping[Place, Curve]


def section(results: Results, profile: pd.DataFrame) -> str:
    """Return the sentences, the figure and the table of every head that looks at decoders; nothing without one."""
    found, parts = _of_latents(profile), []
    for number, head in enumerate(heads(results, found)):
        metrics = _metrics(results, found, head)
        rows = _rows(results, found, head, metrics[0])
        datasets = unique(row.dataset for row, _ in rows)
        items = "".join(text.item(name, _sentence(name, rows)) for name in datasets)
        alt = f"Score of the head {head} at every depth of the decoder, by dataset and autoencoder; values: table below"
        caption = (
            f"<strong>Where learnability returns.</strong> Head {text.html(results.label(head))}: score at every "
            "depth of the frozen decoder, from the latent through its stages to the reconstruction, with 95&nbsp;% "
            "intervals; dashed: the image. A marker is a "
            "stage, the open one the reconstruction."
        )
        svg = inline_svg(depth_figure(results, found, head), f"depth{number}", alt)
        held = "".join(_table(results, found, head, metric) for metric in metrics)
        name = text.html(text.metric_name(metrics[0]))
        parts.append(f"<p>Head {text.html(results.label(head))}, in {name}:</p>\n<ul>\n{items}</ul>\n")
        parts.append(f"{plot(svg, caption)}<details><summary>Scores at every depth</summary>\n{held}</details>\n")
    return f"<h2>Where the decoder restores what a head can learn</h2>\n{INTRODUCTION}{''.join(parts)}" if parts else ""


def depth_png(gaps: pd.DataFrame, profile: pd.DataFrame, path: Path) -> None:
    """Write the figure of the first head that looks at decoders as a PNG; without one it says so."""
    results, found = Results.read(gaps), _of_latents(profile)
    with settings():
        named = heads(results, found)
        message = "No head of this study looks at the stages of a decoder (family decoder-features)."
        figure = depth_figure(results, found, named[0]) if named else nothing(message)
        figure.savefig(path, format="png", dpi=200, metadata={"Software": None})


def heads(results: Results, found: Curves) -> list[str]:
    """Return the heads that look at decoders."""
    return [head for head in results.heads if any(_rows(results, found, head, metric) for metric in results.metrics)]


def _of_latents(profile: pd.DataFrame) -> dict[Place, Curve]:
    return {place: curve for place, curve in along(profile, AXIS).items() if place.quantity == "latent"}


def _metrics(results: Results, found: Curves, head: str) -> list[str]:
    there = [metric for metric in results.metrics if _rows(results, found, head, metric)]
    return [metric for metric in METRICS if metric in there] or there[:1]


def _rows(results: Results, found: Curves, head: str, metric: str) -> list[tuple[Row, Curve]]:
    rows = [(row, Place(row.dataset, row.autoencoder, head, metric, "latent")) for row in results.select(head, metric)]
    return [(row, found[place]) for row, place in rows if place in found]


def depth_figure(results: Results, found: Curves, head: str) -> Figure:
    """Draw a panel for each metric and dataset, a line for each autoencoder.

    Decoders of unlike numbers of stages share the axis from latent to reconstruction, and markers are their stages.
    """
    metrics = _metrics(results, found, head)
    rows = {metric: _rows(results, found, head, metric) for metric in metrics}
    datasets = unique(row.dataset for row, _ in rows[metrics[0]])
    named = of_autoencoders(results, unique(row.autoencoder for row, _ in rows[metrics[0]]))
    counts = {len(curve) for _, curve in rows[metrics[0]]}
    figure, axes = panels(datasets, metrics)
    for (metric, dataset), ax in axes.items():
        mine = [(row, curve) for row, curve in rows[metric] if row.dataset == dataset]
        for row, curve in mine:
            values = _whole(row, curve)
            look = named[row.autoencoder]
            draw(ax, [place / len(curve) for place in range(len(values))], values, look)
            if len(values) > len(curve):
                ax.plot(1, values[-1].value, look.marker, color=look.colour, markerfacecolor="white", markersize=5)
        if mine:
            level(ax, mine[0][0].image)
        limits = span(v for row, curve in rows[metric] for v in (*_whole(row, curve), row.image))
        ax.set(xlim=(-0.04, 1.04), ylim=limits)
        ax.set_xticks(*_ticks(counts))
        of_dataset(ax, dataset)
    figure.supxlabel("depth in the frozen decoder", fontsize=8.5, color=INK)
    legend(figure, {"image": IMAGE, **named})
    return figure


def _whole(row: Row, curve: Curve) -> list[Interval]:
    """Return the scores of all depths with that of the reconstruction behind them, where there is one."""
    last = [] if math.isnan(row.reconstruction.value) else [row.reconstruction]
    return [value for _, value in curve] + last


def _ticks(counts: set[int]) -> tuple[list[float], list[str]]:
    """Return where stages lie between latent (0) and reconstruction (1), numbered where all decoders have as many."""
    if len(counts) > 1:
        return [0, 0.5, 1], ["latent", "half of the stages", "reconstr."]
    (count,) = counts
    step = math.ceil(count / 6)
    stages = range(step, count, step)
    return [0, *(stage / count for stage in stages), 1], ["latent", *(str(stage) for stage in stages), "reconstr."]


def _sentence(dataset: str, rows: Sequence[tuple[Row, Curve]]) -> str:
    mine = [(row, curve) for row, curve in rows if row.dataset == dataset]
    clauses = "; ".join(f"<em>{text.html(row.autoencoder)}</em>, {reading(row, curve)}" for row, curve in mine)
    return f"<strong>{text.html(dataset)}</strong>: {clauses}."


def reading(row: Row, curve: Curve) -> str:
    """Return as HTML what the curve of one autoencoder says; stages are those of the point estimates."""
    gap, stages = row.learnability_gap, len(curve) - 1
    shown = text.interval(gap, 3)
    if gap.side is None:
        return "not measured for want of a reconstruction"
    if gap.side == 0:
        return f"no difference shown between reconstruction and latent: {shown}"
    if gap.side == -1:
        return f"the latent scores higher than the reconstruction: reconstruction less latent is {shown}"
    half, whole = (_reached(curve, row.latent.value + share * gap.value) for share in (0.5, 1.0))
    return (
        f"the reconstruction scores {shown} higher than the latent; half of that is first reached at "
        f"{_stage(half, stages)}, all of it at {_stage(whole, stages)}"
    )


def _reached(curve: Curve, target: float) -> int | None:
    return next((place for place, (_, value) in enumerate(curve) if value.value >= target), None)


def _stage(number: int | None, stages: int) -> str:
    return "the reconstruction alone" if number is None else f"stage {number} of {stages}"


def _table(results: Results, found: Curves, head: str, metric: str) -> str:
    rows = _rows(results, found, head, metric)
    stages = max((len(curve) for _, curve in rows), default=1) - 1
    numbered: Sequence[str] = [f"stage {stage}" for stage in range(1, stages + 1)]
    headers = ["autoencoder", "latent", *numbered, "reconstruction", "image", "reconstruction &minus; latent"]
    groups = []
    for dataset in unique(row.dataset for row, _ in rows):
        lines = [(row.is_control, _line(row, curve, stages)) for row, curve in rows if row.dataset == dataset]
        groups.append((dataset, lines))
    name = f"{text.html(results.label(head))}, {text.html(text.metric_name(metric))}"
    return table(f"Scores along the decoder: {name}. Decoders have unlike numbers of stages.", headers, groups)


def _line(row: Row, curve: Curve, stages: int) -> list[Cell]:
    nothing_there = [Interval(math.nan, math.nan, math.nan)] * (stages + 1 - len(curve))
    values = [value for _, value in curve] + nothing_there + [row.reconstruction, row.image]
    return [name_cell(row.autoencoder), *map(score, values), change(row.learnability_gap)]
