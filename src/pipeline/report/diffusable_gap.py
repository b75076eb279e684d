"""Gap and loss beside the diagnostics of diffusability."""

import pandas as pd

from pipeline.correlate import DIFFUSABILITY
from pipeline.report import text
from pipeline.report.correlates import GAP, covariates_figure, measured, within
from pipeline.report.drawing import inline_svg, plot
from pipeline.report.further import Record
from pipeline.report.results import Results, Row, unique
from pipeline.report.tables import Cell, name_cell, number, score, table

LOSS = "information_loss"
NAMES = {
    "mmse_ratio": "MMSE, to pixels",
    "fisher_ratio": "Fisher information, to pixels",
    "fisher_rate_ratio": "Fisher information rate, to pixels",
    "mmse_rate_ratio": "MMSE rate, to pixels",
    "compression_ratio": "dimensional compression",
    "tangential_distortion": "tangential distortion",
    "fine_curvature": "curvature along fine detail",
    "latent_data_curvature": "curvature of the data, as latents",
}
"""What goes into the correlations, as the page calls it."""


def section(results: Results, correlations: pd.DataFrame) -> str:
    """Return gap and loss of the first head that has both beside the diagnostics, with their rank correlations."""
    metric = next(iter(results.metrics), "")
    known = correlations[correlations["covariate"].isin(DIFFUSABILITY) & (correlations["space"] == "")]
    asked = known[known["metric"] == metric]
    head = next((head for head in results.heads if (asked["head"] == head).any()), None)
    if head is None:
        return ""
    asked = asked[asked["head"] == head]
    rows = [row for row in results.select(head, metric) if not row.is_control]
    figures = "".join(_drawn(rows, asked[asked["quantity"] == quantity], quantity) for quantity in (GAP, LOSS))
    cautions = "".join(f"<li>{text.html(caution)}</li>" for caution in unique(asked["caution"]) if caution)
    box = f'<div class="caution" role="note"><ul>{cautions}</ul></div>\n' if cautions else ""
    title = f"Head {text.html(results.label(head))}, {text.html(text.metric_name(metric))}"
    return (
        f"<h3>Does the gap go along with it?</h3>\n<p>{title}: rank correlations (Spearman) over pairs of dataset and "
        "autoencoder, controls aside, within datasets; intervals (Bonett and Wright 2000) from eight pairs on, p "
        f"adjusted over all covariates of this page.</p>\n{box}{_correlations(title, asked)}{figures}"
    )


def _correlations(title: str, asked: pd.DataFrame) -> str:
    groups = []
    for quantity in (GAP, LOSS):
        rows = asked[asked["quantity"] == quantity].to_dict("records")
        groups.append((quantity.replace("_", " "), [(False, _correlated(row)) for row in rows]))
    headers = ["diagnostic", "rank correlation [95&nbsp;%]", "p", "p (Holm)", "pairs"]
    return table(f"{title}: diagnostics and what is lost", headers, groups, datasets=())


def _correlated(row: Record) -> list[Cell]:
    p = [(text.p_value(row[key]), number(row[key])[1]) for key in ("p", "p_holm")]
    return [name_cell(NAMES[row["covariate"]]), score(within(row)), *p, number(row["cells"])]


def _drawn(rows: list[Row], asked: pd.DataFrame, quantity: str) -> str:
    panels = {}
    for record in asked.to_dict("records"):
        name = str(record["covariate"])
        if found := measured(rows, None, name, "", quantity):
            panels[f"{NAMES[name]}: {text.interval(within(record))}"] = found
    if not panels:
        return ""
    called = quantity.replace("_", " ")
    svg = inline_svg(
        covariates_figure(panels, rows[0].metric, quantity), f"diffusable-{quantity}", f"{called} by diagnostic"
    )
    shown = plot(
        svg, f"<strong>{called.capitalize()} against the diagnostics.</strong> Above each: its rank correlation."
    )
    return shown if quantity == GAP else f"<details><summary>{called.capitalize()}</summary>\n{shown}</details>\n"
