"""Head, medium and tail classes: whether rare classes lose more than common ones."""

import pandas as pd

from pipeline.report import text
from pipeline.report.dots import Dot, Spot, dots_figure
from pipeline.report.drawing import inline_svg, plot
from pipeline.report.further import interval
from pipeline.report.results import Interval, Results, unique
from pipeline.report.tables import change, name_cell, number, score, table

KINDS = {
    "head": Dot("head classes (common)", "#0072B2", "D"),
    "medium": Dot("medium classes", "#009E73", "s"),
    "tail": Dot("tail classes (rare)", "#D55E00", "o"),
}
SCORES = ("image", "reconstruction", "latent")
CHANGES = ("information_loss", "learnability_gap", "total")
INTRODUCTION = (
    "<p>Classes in groups by their share of the training samples; a group&rsquo;s score is the mean over its classes "
    "of the recall, or of the AUROC where classes are not exclusive. Each group has its own interval, so no difference "
    "between groups is shown by one interval that excludes zero and another that does not.</p>\n"
)


def section(results: Results, groups: pd.DataFrame) -> str:
    """Return sentences, figure and table of the first head, and tables of the others; nothing of a single group."""
    if groups["group"].nunique() < 2:
        return ""
    candidates = {(row.dataset, row.autoencoder) for row in results.rows if not row.is_control}
    parts: list[str] = []
    for head in results.heads:
        part = groups[groups["head"] == head]
        part = part[[pair in candidates for pair in zip(part["dataset"], part["autoencoder"], strict=True)]]
        if not len(part):
            continue
        title = f"Head {text.html(results.label(head))}"
        if parts:
            parts.append(f"<details><summary>{title}</summary>\n{_table(title, part)}</details>\n")
            continue
        values = {Spot(*key): value for key, value in _gaps(part).items()}
        items = "".join(text.item(dataset, _sentence(part, dataset)) for dataset in unique(part["dataset"]))
        alt = f"Learnability gap of the head {head} by group of classes, dataset and autoencoder; values: table below"
        caption = (
            f"<strong>Common and rare classes.</strong> {title}: learnability gap in each group&rsquo;s score, with "
            "95&nbsp;% intervals."
        )
        scored = " or ".join(text.metric_name(metric) for metric in unique(part["metric"]))
        figure = dots_figure(values, KINDS, f"learnability gap in {scored} (left of zero: gained)")
        shown = plot(inline_svg(figure, "rarity", alt), caption)
        body = f"<details><summary>{title}: numbers</summary>\n{_table(title, part)}</details>\n"
        parts.append(f"<p>{title}, learnability gap:</p>\n<ul>\n{items}</ul>\n{shown}{body}")
    return f"<h2>Common and rare classes</h2>\n{INTRODUCTION}{''.join(parts)}" if parts else ""


def _gaps(part: pd.DataFrame) -> dict[tuple[str, str, str], Interval]:
    return {
        (row["dataset"], row["autoencoder"], row["group"]): interval(row, "learnability_gap")
        for row in part.to_dict("records")
    }


def _sentence(part: pd.DataFrame, dataset: str) -> str:
    mine = part[part["dataset"] == dataset]
    clauses = []
    for group in (name for name in KINDS if name in set(mine["group"])):
        rows = mine[mine["group"] == group].to_dict("records")
        count = f"{rows[0]['classes']:.0f} {'class' if rows[0]['classes'] == 1 else 'classes'}"
        each = ", ".join(
            f"{text.html(row['autoencoder'])} {text.interval(interval(row, 'learnability_gap'), 3)}" for row in rows
        )
        clauses.append(f"<em>{group}</em> ({count}): {each}")
    return f"<strong>{text.html(dataset)}</strong>: {'; '.join(clauses)}."


def _table(title: str, part: pd.DataFrame) -> str:
    headers = ["autoencoder", "group", "classes", "folds", "score", *SCORES]
    headers += [name.replace("_", " ") for name in CHANGES]
    groups = []
    for dataset in unique(part["dataset"]):
        lines = []
        for row in part[part["dataset"] == dataset].to_dict("records"):
            first = [name_cell(row["autoencoder"]), name_cell(row["group"])]
            counts = [number(row["classes"]), number(row["folds"]), name_cell(text.metric_name(row["metric"]))]
            scores = [score(interval(row, name)) for name in SCORES]
            lines.append((False, [*first, *counts, *scores, *(change(interval(row, name)) for name in CHANGES)]))
        groups.append((dataset, lines))
    return table(f"{title}: groups of classes. Bold: the interval excludes zero.", headers, groups)
