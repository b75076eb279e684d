"""What is measured of a space, and whether it goes along with the learnability gap."""

import pandas as pd

from pipeline.report import text
from pipeline.report.further import Record
from pipeline.report.results import Results
from pipeline.report.tables import Cell, name_cell, number, table

INTRODUCTION = (
    "<p>Rank correlations (Spearman) of the learnability gap with what is measured of a space without any head, over "
    "pairs of dataset and autoencoder, controls aside; within datasets: what differs between datasets counts for "
    "nothing. p is by exchange within datasets, and adjusted by Holm&rsquo;s method over all covariates of the head. A "
    "correlation over a handful of autoencoders is a hint and no cause. There is no interval: so few pairs give none "
    "that could be trusted.</p>\n"
)


def section(results: Results, correlations: pd.DataFrame) -> str:
    """Return a sentence, the cautions and a table for each head; nothing where no covariate was measured."""
    metric = next(iter(results.metrics), "")
    asked = correlations[correlations["metric"] == metric]
    groups, items, cautions = [], "", dict[str, None]()
    for head in results.heads:
        part = asked[(asked["head"] == head) & (asked["rho"].notna() | asked["rho_within"].notna())]
        if len(part):
            rows = part.to_dict("records")
            items += f"<li>{_sentence(results.label(head), part)}</li>\n"
            groups.append((results.label(head), [(False, _line(row)) for row in rows]))
            cautions |= dict.fromkeys(str(row["caution"]) for row in rows if row["caution"])
    if not groups:
        return ""
    headers = ["covariate", "of", "over all pairs", "within datasets", "p", "p (Holm)", "smallest p", "pairs"]
    name = text.html(text.metric_name(metric))
    warned = "".join(f"<li>{text.html(caution)}</li>" for caution in cautions)
    box = f'<div class="caution" role="note"><ul>{warned}</ul></div>\n' if warned else ""
    body = table(f"Rank correlations with the learnability gap in {name}", [*headers, "datasets"], groups)
    return (
        f"<h2>What goes along with the gap</h2>\n{INTRODUCTION}{box}<ul>\n{items}</ul>\n"
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


def _line(row: Record) -> list[Cell]:
    first = [name_cell(row["covariate"].replace("_", " ")), name_cell(row["space"])]
    rho = [number(row[name], 2) for name in ("rho", "rho_within")]
    p = [(text.p_value(row[name]), number(row[name])[1]) for name in ("p", "p_holm", "smallest_p")]
    return [*first, *rho, *p, number(row["cells"]), number(row["datasets"])]
