"""Heads that give every space the same chances, and heads that do as was published, told apart."""

import pandas as pd

from pipeline.report import text
from pipeline.report.further import interval
from pipeline.report.results import MATCHED, Results, Row
from pipeline.report.tables import change, name_cell, score, table

QUANTITIES = ("information_loss", "learnability_gap", "total")
INTRODUCTION = (
    "<p><em>matched</em>: the same resolution, augmentation, kind of network, budget and tuning effort in every space; "
    "what the page says first rests on such heads alone. Any other protocol, as <em>paper</em>, which does as was "
    "published, mixes what a space costs with what else differs between its spaces, and is shown for comparison.</p>\n"
)


def section(results: Results, claims: pd.DataFrame | None) -> str:
    """Return sentences and a table that set the headline's head beside the heads of other protocols.

    Nothing where all heads are matched.
    """
    others = [head for head in results.heads if not results.is_matched(head)]
    metric = next(iter(results.metrics), "")
    first = [head for head in results.heads if results.is_matched(head)][:1]
    rows = {head: _candidates(results, head, metric) for head in [*first, *others]}
    if not others:
        return ""
    items = "".join(f"<li>{_sentence(results, head, of_head, claims)}</li>\n" for head, of_head in rows.items())
    groups = []
    for dataset in results.datasets:
        lines = [(False, _line(row)) for of_head in rows.values() for row in of_head if row.dataset == dataset]
        # Beside each other: the heads of one autoencoder.
        order = list(dict.fromkeys(cells[0] for _, cells in lines))
        groups += [(dataset, sorted(lines, key=lambda line: order.index(line[1][0])))] if lines else []
    name = text.html(text.metric_name(metric))
    headers = ["autoencoder", "protocol", "head", "image", "latent", *(each.replace("_", " ") for each in QUANTITIES)]
    body = table(f"Protocols side by side, in {name}. Bold: the interval excludes zero.", headers, groups)
    return f"<h2>Protocols</h2>\n{INTRODUCTION}<p>In {name}:</p>\n<ul>\n{items}</ul>\n{body if groups else ''}"


def _candidates(results: Results, head: str, metric: str) -> list[Row]:
    return [row for row in results.select(head, metric) if not row.is_control]


def _line(row: Row) -> list[tuple[str, str]]:
    changes = [change(getattr(row, quantity)) for quantity in QUANTITIES]
    first = [name_cell(row.autoencoder), name_cell(row.protocol), name_cell(row.head)]
    return [*first, score(row.image), score(row.latent), *changes]


def _sentence(results: Results, head: str, rows: list[Row], claims: pd.DataFrame | None) -> str:
    kind = MATCHED if results.is_matched(head) else ", ".join(sorted({row.protocol for row in rows})) or "other"
    start = f"<strong>{text.html(kind)}</strong>, head {text.html(head)}: "
    if not rows:
        return f"{start}no candidate has a score."
    parts = []
    for quantity, words in (("total", "image less latent"), ("learnability_gap", "the learnability gap")):
        sides = [getattr(row, quantity).side for row in rows]
        mean = _mean(head, rows[0].metric, quantity, claims)
        parts.append(
            f"{words} is{mean} above zero in {sides.count(1)}, not told from zero in {sides.count(0)} and below zero "
            f"in {sides.count(-1)} of {len(rows)} pairs of dataset and autoencoder"
        )
    return f"{start}{'; '.join(parts)}."


def _mean(head: str, metric: str, quantity: str, claims: pd.DataFrame | None) -> str:
    if claims is None:
        return ""
    asked = {"level": "study", "head": head, "metric": metric, "quantity": quantity}
    found = claims[(claims[list(asked)] == pd.Series(asked)).all(axis=1)].to_dict("records")
    return f" {text.interval(interval(found[0]), 3)} in the mean;" if found else ""
