"""What is measured of a space, and whether it goes along with the learnability gap."""

import math
from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure

from pipeline.report import text
from pipeline.report.curves import legend, looks
from pipeline.report.drawing import INK, inline_svg, plot, tip
from pipeline.report.further import Record
from pipeline.report.results import NUMBERS, Interval, Results, Row, unique
from pipeline.report.tables import Cell, name_cell, number, score, table

GAP = "learnability_gap"
SHOWN = 4
"""So many covariates are drawn."""
INTRODUCTION = (
    "<p>Rank correlations (Spearman) of the learnability gap with what is measured of a space without any head, over "
    "pairs of dataset and autoencoder, controls aside; within datasets: what differs between datasets counts for "
    "nothing. p is by exchange within datasets, and adjusted by Holm&rsquo;s method over all covariates of the head. A "
    "correlation over a handful of autoencoders is a hint and no cause. There is an interval (Bonett and Wright 2000) "
    "from eight pairs on.</p>\n"
)


def section(results: Results, correlations: pd.DataFrame, covariates: pd.DataFrame | None = None) -> str:
    """Return a sentence, the cautions and a table for each head, and a figure of the first; nothing without any.

    Args:
        results: the gap table.
        correlations: of each head, metric and covariate.
        covariates: what was measured of each space; without it there is no figure.
    """
    metric = next(iter(results.metrics), "")
    asked = correlations[(correlations["metric"] == metric) & (correlations["quantity"] == GAP)]
    groups, items, drawn, cautions = [], "", "", dict[str, None]()
    for head in results.heads:
        part = asked[(asked["head"] == head) & (asked["rho"].notna() | asked["rho_within"].notna())]
        if len(part):
            rows = part.to_dict("records")
            drawn = drawn or _plot(results, head, metric, part, covariates)
            items += f"<li>{_sentence(results.label(head), part)}</li>\n"
            groups.append((results.label(head), [(False, _line(row)) for row in rows]))
            cautions |= dict.fromkeys(str(row["caution"]) for row in rows if row["caution"])
    if not groups:
        return ""
    headers = [
        "covariate",
        "of",
        "over all pairs",
        "within datasets [95&nbsp;%]",
        "p",
        "p (Holm)",
        "smallest p",
        "pairs",
    ]
    name = text.html(text.metric_name(metric))
    warned = "".join(f"<li>{text.html(caution)}</li>" for caution in cautions)
    box = f'<div class="caution" role="note"><ul>{warned}</ul></div>\n' if warned else ""
    body = table(f"Rank correlations with the learnability gap in {name}", [*headers, "datasets"], groups, datasets=())
    return (
        f"<h2>What goes along with the gap</h2>\n{INTRODUCTION}{box}<ul>\n{items}</ul>\n{drawn}"
        f"<details><summary>All covariates</summary>\n{body}</details>\n"
    )


def _sentence(head: str, part: pd.DataFrame) -> str:
    start = f"Head <strong>{text.html(head)}</strong>: "
    known = part[part["rho_within"].notna()]
    if not len(known):
        return f"{start}within datasets nothing could be compared."
    first = max(known.to_dict("records"), key=lambda row: abs(row["rho_within"]))
    shown = int((known["p_holm"] < 0.05).sum())
    count = f"{shown} of {len(known)} covariates" if shown else f"none of {len(known)} covariates"
    of = f" of {text.html(first['space'])}s" if first["space"] else ""
    return (
        f"{start}{count} {'is' if shown < 2 else 'are'} shown to go along with the gap (adjusted p below 0.05). "
        f"The strongest within datasets: {text.html(first['covariate'].replace('_', ' '))}{of}, "
        f"{text.number(first['rho_within'], 2)} (p = {text.p_value(first['p'])}, adjusted "
        f"{text.p_value(first['p_holm'])}; {first['cells']:.0f} pairs)."
    )


def _plot(results: Results, head: str, metric: str, part: pd.DataFrame, covariates: pd.DataFrame | None) -> str:
    """Return the figure of the covariates that go along with the gap most within data sets; nothing without values."""
    known = part[part["rho_within"].notna()]
    strongest = known.loc[known["rho_within"].abs().sort_values(ascending=False, kind="stable").index[:SHOWN]]
    rows = [row for row in results.select(head, metric) if not row.is_control]
    panels = {}
    for record in strongest.to_dict("records"):
        found = measured(rows, covariates, str(record["covariate"]), str(record["space"]))
        if found:
            panels[_called(record)] = found
    if not panels:
        return ""
    alt = f"Learnability gap of the head {head} against the covariates that go along with it most; values: tables below"
    caption = (
        f"<strong>Covariates against the gap.</strong> Head {text.html(results.label(head))}: the {len(panels)} that "
        "go along with it most within datasets, chosen by that: such pictures look stronger than they are."
    )
    return plot(inline_svg(covariates_figure(panels, metric), "covariates", alt), caption)


def _called(record: Record) -> str:
    of = f" of {record['space']}s" if record["space"] else ""
    return f"{str(record['covariate']).replace('_', ' ')}{of} (rank correlation {text.interval(within(record))})"


def within(record: Record) -> Interval:
    """Return the rank correlation within data sets of a row of the table, with its interval where there is one."""
    return Interval(*(float(record[name]) for name in ("rho_within", "low", "high")))


def measured(
    rows: list[Row], covariates: pd.DataFrame | None, name: str, space: str, quantity: str = GAP
) -> list[tuple[Row, float]]:
    """Return candidates with the value of a covariate; what is of no space stands in the gap table."""
    if not space:
        values = [(row, float(getattr(row, name))) for row in rows if name in NUMBERS]
    elif covariates is None:
        return []
    else:
        part = covariates[(covariates["covariate"] == name) & (covariates["space"] == space)]
        found = part.set_index(["dataset", "autoencoder"])["value"]
        values = [(row, float(found.get((row.dataset, row.autoencoder), math.nan))) for row in rows]
    return [(row, value) for row, value in values if math.isfinite(value + getattr(row, quantity).value)]


def covariates_figure(panels: Mapping[str, list[tuple[Row, float]]], metric: str, quantity: str = GAP) -> Figure:
    """Draw a panel for each covariate, a mark for each candidate on each dataset; datasets differ in marks."""
    named = looks(unique(row.dataset for found in panels.values() for row, _ in found))
    figure = Figure(figsize=(10.6, 3.4 * math.ceil(len(panels) / 2) + 0.5), layout="constrained")
    axes = figure.subplots(math.ceil(len(panels) / 2), 2, squeeze=False, sharey=True).ravel()
    for ax, (name, found) in zip(axes, panels.items(), strict=False):
        ax.set_title(name, fontweight="bold", loc="left", color=INK)
        ax.grid(axis="both")
        ax.axhline(0, color=INK, linewidth=0.9, zorder=1)
        ax.tick_params(labelleft=True)
        for row, value in found:
            gap: Interval = getattr(row, quantity)
            colour, marker, _ = named[row.dataset]
            whisker = ax.vlines(value, gap.low, gap.high, color=colour, linewidth=1, alpha=0.6)
            marks = ax.plot(value, gap.value, marker, color=colour, markersize=5.5)
            tip(
                [whisker, *marks],
                f"{row.dataset}, {row.autoencoder}: {value:.3g}; {quantity.split('_')[1]} {text.interval(gap, 3)}",
            )
    for spare in axes[len(panels) :]:
        spare.remove()
    figure.supylabel(f"{quantity.replace('_', ' ')} in {text.metric_name(metric)}", fontsize=8.5, color=INK)
    legend(figure, {name: look._replace(style="") for name, look in named.items()})
    return figure


def _line(row: Record) -> list[Cell]:
    first = [name_cell(row["covariate"].replace("_", " ")), name_cell(row["space"])]
    rho = [number(row["rho"], 2), score(within(row))]
    p = [(text.p_value(row[name]), number(row[name])[1]) for name in ("p", "p_holm", "smallest_p")]
    return [*first, *rho, *p, number(row["cells"]), number(row["datasets"])]
