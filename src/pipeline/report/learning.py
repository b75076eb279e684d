"""Learning curves, and how many times as many labels latents need for the same score."""

import math
from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from pipeline.report import text
from pipeline.report.curves import Look, draw, legend, panels, span
from pipeline.report.drawing import INK, MUTED, SMALLEST, inline_svg, plot, tip
from pipeline.report.further import Curve, Place, Record, along, interval
from pipeline.report.results import Interval, Results, Row, unique
from pipeline.report.tables import Cell, name_cell, number, score, table

AXIS = "fraction"
LOOKS = {
    "image": Look(INK, "s"),
    "reconstruction": Look("#D55E00", "o"),
    "latent": Look("#0072B2", "D"),
}
RATIO, LENGTH = "labels_ratio", "surplus_description_length"
UNKNOWN = "not known"
COMPARED = {"total": ("image", "latent"), "learnability_gap": ("reconstruction", "latent")}
"""The differences that tell how many labels latents need: compared with what."""
INTRODUCTION = (
    "<p>The same head is trained on nested shares of the training patients&rsquo; labels. A ratio of labels says how "
    "many times as many the latents need for a score; it is read between the measured shares and never beyond them: "
    "&gt; and &lt; mark a bound, and an end of an interval that is 0 or &infin; lies beyond what was measured.</p>\n"
)

Curves = Mapping[Place, Curve]


def section(results: Results, profile: pd.DataFrame, complexity: pd.DataFrame) -> str:
    """Return sentences, figures and tables of every head with learning curves; nothing without one."""
    found = along(profile, AXIS)
    parts: list[str] = []
    metric = next(iter(results.metrics), "")
    for number_, head in enumerate(results.heads):
        asked = complexity[(complexity["head"] == head) & (complexity["metric"] == metric)]
        rows = [row for row in results.select(head, metric) if _curves(found, row)]
        if not rows:
            continue
        items, drawn = "", ""
        for place, dataset in enumerate(unique(row.dataset for row in rows)):
            mine = [row for row in results.ranked(head, metric, dataset) if row in rows]
            shown = [row for row in mine if row.family != "identity"] or mine
            items += text.item(dataset, _sentence(dataset, shown, asked))
            state = " open" if not parts and not place else ""
            figure = _plot(found, shown, asked, f"learning{number_}-{place}")
            drawn += f"<details{state}{text.of(dataset)}><summary>{text.html(dataset)}</summary>\n{figure}</details>\n"
        title = f"Head {text.html(results.label(head))}, {text.html(text.metric_name(metric))}"
        tables = _ratios(title, rows, asked) + _lengths(title, rows, complexity) + _scores(title, rows, found)
        parts.append(
            f"<h3>{title}</h3>\n<ul>\n{items}</ul>\n{drawn}"
            f"<details><summary>Numbers behind the curves</summary>\n{tables}</details>\n"
        )
    return f"<h2>How many labels latents need</h2>\n{INTRODUCTION}{''.join(parts)}" if parts else ""


def _curves(found: Curves, row: Row) -> dict[str, Curve]:
    places = {space: Place(row.dataset, row.autoencoder, row.head, row.metric, space) for space in LOOKS}
    return {space: found[place] for space, place in places.items() if place in found}


def needed(asked: pd.DataFrame, row: Row, quantity: str = "total") -> Record | None:
    """Return the row of the complexity table about the score that latents reach with all labels; None without one."""
    part = asked[
        (asked["dataset"] == row.dataset)
        & (asked["autoencoder"] == row.autoencoder)
        & (asked["measure"] == RATIO)
        & (asked["quantity"] == quantity)
        & (asked["reference"] == "latent")
        & (asked["share"] == 1)
    ]
    found = part.to_dict("records")
    return found[0] if found else None


def ratio(row: Record | None) -> str:
    """Return a ratio with its interval, behind a sign of multiplication and that of a bound, or `not known`."""
    if row is None or row["bound"] == "?":
        return UNKNOWN
    value = interval(row)
    if math.isnan(value.value):
        return UNKNOWN
    sign = {"": "", ">": "> ", "<": "< "}[str(row["bound"])]
    return f"{sign}{text.TIMES} {text.interval(value, 2)}"


def _sentence(dataset: str, rows: Sequence[Row], asked: pd.DataFrame) -> str:
    clauses = []
    for row in rows:
        clauses.append(f"<em>{text.html(row.autoencoder)}</em>, {reading(needed(asked, row))}")
    return (
        f"<strong>{text.html(dataset)}</strong>: labels that latents need as a multiple of those that images need, "
        f"for the score that latents reach with all labels: {'; '.join(clauses)}."
    )


def reading(row: Record | None) -> str:
    """Return as HTML a ratio of labels, what its interval says, and where it rests on a part of the replicates."""
    found = ratio(row)
    if row is None or found == UNKNOWN:
        return "not known"
    side = int(row["low"] > 1) - int(row["high"] < 1)
    said = "no interval" if math.isnan(row["low"]) else {1: "more", 0: "no difference shown", -1: "fewer"}[side]
    # An interval of the replicates that know the ratio says too much where many do not.
    part = f"; known in {100 * row['defined']:.0f}&nbsp;% of the replicates" if row["defined"] < 0.95 else ""
    return f"{text.html(found)} ({said}{part})"


def _plot(found: Curves, rows: Sequence[Row], asked: pd.DataFrame, name: str) -> str:
    dataset, metric = rows[0].dataset, text.metric_name(rows[0].metric)
    alt = f"Learning curves of {dataset} in {metric}, by autoencoder and space; values: table below"
    caption = (
        f"<strong>Learning curves.</strong> {text.html(dataset)}, head {text.html(rows[0].head)}: {text.html(metric)} "
        "against the share of the training patients&rsquo; labels, with 95&nbsp;% intervals. Dotted: what latents "
        "score with all labels; open circle: the share of labels with which images reach it. Below: how many times as "
        "many labels latents need for it."
    )
    return plot(inline_svg(learning_figure(found, rows, asked), name, alt), caption)


def learning_figure(found: Curves, rows: Sequence[Row], asked: pd.DataFrame) -> Figure:
    """Draw a panel for each autoencoder of one dataset, a line for each space."""
    curves = {row.autoencoder: _curves(found, row) for row in rows}
    figure, axes = panels(list(curves), [rows[0].metric])
    limits = span(value for each in curves.values() for curve in each.values() for _, value in curve)
    shares = sorted({at for each in curves.values() for curve in each.values() for at, _ in curve})
    for row in rows:
        ax = axes[row.metric, row.autoencoder]
        for space, curve in curves[row.autoencoder].items():
            draw(ax, [at for at, _ in curve], [value for _, value in curve], LOOKS[space])
        ax.set(ylim=limits)
        _share_axis(ax, shares)
        if "latent" in curves[row.autoencoder]:
            ax.axhline(row.latent.value, color=MUTED, linestyle=":", linewidth=1.1)
            record = needed(asked, row)
            _draw_needed(ax, record, row.latent.value, limits[0])
            told = ratio(record)
            ax.text(0.98, 0.03, f"labels: {told}", transform=ax.transAxes, ha="right", fontsize=SMALLEST, color=INK)
    figure.supxlabel("share of the training labels", fontsize=8.5, color=INK)
    there = [space for space in LOOKS if any(space in each for each in curves.values())]
    legend(figure, {space: LOOKS[space] for space in there})
    return figure


def _draw_needed(ax: Axes, record: Record | None, score: float, bottom: float) -> None:
    """Mark the share of labels with which images reach what latents score with all, where it was measured."""
    if record is None or record["bound"] or not record["value"] > 0:
        return
    share = 1 / float(record["value"])
    ax.vlines(share, bottom, score, color=MUTED, linestyle=":", linewidth=1.1)
    marks = ax.plot(share, score, "o", color=INK, markerfacecolor="white", markersize=6, zorder=4)
    tip(marks, f"images reach {text.number(score, 2)} with {100 * share:.0f} % of the labels")


def _share_axis(ax: Axes, shares: Sequence[float]) -> None:
    ax.set_xscale("log")
    ax.set_xlim(shares[0] / 1.12, shares[-1] * 1.12)
    ax.xaxis.set_minor_locator(NullLocator())
    kept: list[float] = []
    for share in reversed(shares):
        # Labels of shares that are nearer would lie on one another.
        if not kept or kept[-1] / share > (shares[-1] / shares[0]) ** 0.13:
            kept.append(share)
    ax.set_xticks(kept, [f"{100 * share:.3g} %" for share in kept])


def _ratios(title: str, rows: Sequence[Row], asked: pd.DataFrame) -> str:
    headers = ["autoencoder", "compared with", "for what is reached by", "with a share of", "ratio of labels"]
    headers += ["replicates that know it"]
    known = asked[(asked["measure"] == RATIO) & asked["quantity"].isin(list(COMPARED))]
    groups = []
    for dataset in unique(row.dataset for row in rows):
        lines = [
            (row.is_control, _ratio_line(row, record))
            for row in rows
            if row.dataset == dataset
            for record in known[(known["dataset"] == dataset) & (known["autoencoder"] == row.autoencoder)].to_dict(
                "records"
            )
        ]
        groups += [(dataset, lines)] if lines else []
    return table(f"{title}: times as many labels as latents need", headers, groups) if groups else ""


def _ratio_line(row: Row, record: Record) -> list[Cell]:
    return [
        name_cell(row.autoencoder),
        *(name_cell(name) for name in (COMPARED[record["quantity"]][0], record["reference"])),
        number(record["share"], 2),
        (text.html(ratio(record)), number(record["value"])[1]),
        number(record["defined"], 2),
    ]


def _lengths(title: str, rows: Sequence[Row], complexity: pd.DataFrame) -> str:
    headers = ["autoencoder", "epsilon (nats)", "image (nats)", "reconstruction (nats)", "latent (nats)"]
    headers += ["latent &minus; image (nats)"]
    known = complexity[(complexity["measure"] == LENGTH) & (complexity["head"] == rows[0].head)]
    groups = []
    for dataset in unique(row.dataset for row in rows):
        lines = []
        for row in rows:
            part = known[(known["dataset"] == dataset) & (known["autoencoder"] == row.autoencoder)]
            if row.dataset == dataset and len(part):
                lines.append((row.is_control, _length_line(row, part.to_dict("records"))))
        groups += [(dataset, lines)] if lines else []
    caption = (
        f"{title}: surplus description length, what the labels cost beyond epsilon each, the log loss of the head on "
        "images with all labels. &gt;: the space does not come down to it."
    )
    return table(caption, headers, groups) if groups else ""


def _length_line(row: Row, records: Sequence[Record]) -> list[Cell]:
    found = {record["quantity"]: record for record in records}
    epsilon = records[0]["epsilon"]
    cells = [_length(found.get(name)) for name in (*LOOKS, "total")]
    return [name_cell(row.autoencoder), number(epsilon, 3), *cells]


def _length(record: Record | None) -> Cell:
    if record is None:
        return text.MISSING, ""
    if record["bound"] == "?":
        return "not known", ""
    value = interval(record)
    content, key = text.interval(value, 1), number(value.value)[1]
    sign = text.html(str(record["bound"]))
    return f"{sign} {content}" if sign else content, key


def _scores(title: str, rows: Sequence[Row], found: Curves) -> str:
    shares = sorted({at for row in rows for curve in _curves(found, row).values() for at, _ in curve})
    headers = ["autoencoder", "space", *(f"{100 * share:.3g}&nbsp;%" for share in shares)]
    groups = []
    for dataset in unique(row.dataset for row in rows):
        lines = []
        for row in (row for row in rows if row.dataset == dataset):
            for space, curve in _curves(found, row).items():
                values, nothing = dict(curve), Interval(math.nan, math.nan, math.nan)
                cells = [score(values.get(share, nothing)) for share in shares]
                lines.append((row.is_control, [name_cell(row.autoencoder), name_cell(space), *cells]))
        groups.append((dataset, lines))
    return table(f"{title}: scores by the share of labels", headers, groups)
