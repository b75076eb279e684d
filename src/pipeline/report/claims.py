"""What the study says as a whole: means over data sets, and how sure they are."""

import math
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.errors import StudyError
from pipeline.report import text
from pipeline.report.results import Interval, Results
from pipeline.report.tables import Cell, change, name_cell, number, table

TEXTS = ("level", "dataset", "autoencoder", "head", "metric", "quantity", "units", "caution")
NUMBERS = (
    *("value", "low", "high", "datasets", "cells", "p_holm"),
    *("positive_cells", "sign_p_cells", "positive_datasets", "sign_p_datasets"),
)
QUANTITIES = ("information_loss", "learnability_gap", "total")
GAP = "learnability_gap"

INTRODUCTION = (
    "<p>Means over the datasets, each counted equally, controls aside. The intervals hold 95&nbsp;% of means over "
    "datasets, folds, seeds and patients that were drawn again; the last column says which of these there were several "
    "of to draw from. Over few datasets they are too narrow: with four they held the true mean in 92&nbsp;% of "
    "simulated studies, with ten in 95&nbsp;%.</p>\n"
)

Record = Mapping[Hashable, Any]


def read(path: Path) -> pd.DataFrame:
    """Read the table of claims; a head or a data set may be called "None" or "NA"."""
    table = pd.read_csv(
        path, dtype=dict.fromkeys(TEXTS, str), keep_default_na=False, na_values={n: [""] for n in NUMBERS}
    )
    return table.astype(dict.fromkeys(NUMBERS, "float64"))


def section(results: Results, claims: pd.DataFrame) -> str:
    """Return sentences and a table for the first metric of the page; nothing where there are no claims.

    Args:
        results: the gap table: its heads, datasets and metrics, and their order.
        claims: the table of stage `conclude`.

    Raises:
        StudyError: for a table without the columns that are needed.
    """
    if missing := sorted({*TEXTS, *NUMBERS} - set(claims.columns)):
        raise StudyError(f"the table of claims lacks the columns {', '.join(missing)}")
    metric = next(iter(results.metrics), "")
    found = {head: claims[(claims["head"] == head) & (claims["metric"] == metric)] for head in results.heads}
    found = {head: part for head, part in found.items() if len(part)}
    if not found:
        return ""
    labelled = {results.label(head): part for head, part in found.items()}
    sentences = "".join(f"<li>{_sentence(head, part)}</li>\n" for head, part in labelled.items())
    cautions = dict.fromkeys(caution for part in found.values() for caution in part["caution"] if caution)
    body = _table(metric, labelled)
    name = text.html(text.metric_name(metric))
    return (
        f"<h2>What the study says as a whole</h2>\n{INTRODUCTION}<p>In {name}:</p>\n<ul>\n{sentences}</ul>\n"
        f"{''.join(f'<p>{text.html(caution)}</p>' for caution in cautions)}\n{body}"
    )


def _sentence(head: str, part: pd.DataFrame) -> str:
    gaps = part[part["quantity"] == GAP]
    start = f"Head <strong>{text.html(head)}</strong>: "
    if not (gaps["level"] == "study").any():
        return f"{start}no candidate has reconstructions, so there is no learnability gap."
    whole = gaps[gaps["level"] == "study"].to_dict("records")[0]
    adjusted = gaps.loc[gaps["level"] == "cell", "p_holm"].dropna()
    return (
        f"{start}the mean learnability gap is {text.interval(_interval(whole), 3)}. It is above zero in "
        f"{whole['positive_cells']:.0f} of {whole['cells']:.0f} pairs of dataset and autoencoder (sign test: "
        f"p = {text.p_value(whole['sign_p_cells'])}) and, averaged over autoencoders, in "
        f"{whole['positive_datasets']:.0f} of {whole['datasets']:.0f} datasets (over datasets: "
        f"p = {text.p_value(whole['sign_p_datasets'])}). Taken one by one, with the p values of a dataset adjusted by "
        f"Holm&rsquo;s method, {(adjusted < 0.05).sum()} of {len(adjusted)} gaps differ from zero (p below 0.05)."
    )


def _interval(record: Record) -> Interval:
    return Interval(*(float(record[name]) for name in ("value", "low", "high")))


def _table(metric: str, found: Mapping[str, pd.DataFrame]) -> str:
    headers = [
        "mean over",
        *(quantity.replace("_", " ") for quantity in QUANTITIES),
        "datasets",
        "pairs",
        "drawn again",
    ]
    groups = []
    for head, part in found.items():
        shown = part[part["level"].isin(["study", "autoencoder"])]
        lines = shown.groupby("autoencoder", sort=False)
        groups.append((head, [(False, _line(str(name), of_name)) for name, of_name in lines]))
    caption = (
        f"What the study says as a whole, in {text.html(text.metric_name(metric))}, for each head. Bold: the interval "
        "excludes zero."
    )
    return table(caption, headers, groups, datasets=())


def _line(autoencoder: str, part: pd.DataFrame) -> list[Cell]:
    records = {record["quantity"]: record for record in part.to_dict("records")}
    nothing = Interval(math.nan, math.nan, math.nan)
    changes = [change(_interval(records[name]) if name in records else nothing) for name in QUANTITIES]
    # What was drawn is the same for all three, unless some of the autoencoders have no decoder: then it is the gap's.
    about = records.get(GAP, next(iter(records.values())))
    drawn = name_cell(str(about["units"]).removeprefix("drawn: "))
    return [
        name_cell(autoencoder or "all candidates"),
        *changes,
        number(about["datasets"]),
        number(about["cells"]),
        drawn,
    ]
