"""Fidelity class by class: whether an autoencoder is as faithful for the rare classes as for the common ones."""

import math
from collections.abc import Hashable, Mapping

import numpy as np
import pandas as pd

from pipeline.errors import StudyError
from pipeline.report import text
from pipeline.report.results import Results
from pipeline.report.tables import Cell, name_cell, number, table

MEASURES = {
    "psnr": ("PSNR in dB: higher is more faithful", 2),
    "lpips": ("LPIPS: lower is more faithful", 3),
}
"""What is shown, where it was measured: heading and digits."""

COLUMNS = 8
"""Classes side by side: more do not fit on a sheet of paper, and go into further tables."""

ALL = ""
"""What stands in the column `class` of the averages over all samples."""

INTRODUCTION = (
    "<p>Means over the samples of each class, the most common class first, so that what is lost for rare classes shows "
    "at the right, or in the last of several tables. A sample with several labels counts in each of them.</p>\n"
)


def section(results: Results, fidelity: pd.DataFrame) -> str:
    """Return a table for each dataset with classes, the first of them open; nothing where no dataset has any.

    Args:
        results: the gap table: which autoencoders are controls, and the order of everything.
        fidelity: one row for each dataset, autoencoder and class, as stage `tabulate` writes it.

    Raises:
        StudyError: for a table without the columns that are needed.
    """
    needed = {"dataset", "autoencoder", "class", "samples", *MEASURES}
    if missing := sorted(needed - set(fidelity.columns)):
        raise StudyError(f"the table of fidelity lacks the columns {', '.join(missing)}")
    parts: list[str] = []
    for dataset in results.datasets:
        rows = fidelity[fidelity["dataset"] == dataset]
        if (rows["class"] != ALL).any():
            state = "" if parts else " open"
            body = _by_class(results, dataset, rows)
            parts.append(
                f"<details{state}{text.of(dataset)}><summary>{text.html(dataset)}</summary>\n{body}</details>\n"
            )
    return f"<h2>Fidelity by class</h2>\n{INTRODUCTION}{''.join(parts)}" if parts else ""


def _by_class(results: Results, dataset: str, rows: pd.DataFrame) -> str:
    # One that was fine-tuned is measured on what it is tested on, which may be less; one without a decoder on nothing.
    counts = {str(name): int(count) for name, count in rows.groupby("class", sort=False)["samples"].max().items()}
    order = sorted((name for name in counts if name != ALL), key=lambda name: -counts[name])
    parts = np.array_split(np.arange(len(order)), math.ceil(len(order) / COLUMNS))
    return "".join(
        _table(results, dataset, rows, {ALL: counts[ALL]} | {order[place]: counts[order[place]] for place in part})
        for part in parts
    )


def _table(results: Results, dataset: str, rows: pd.DataFrame, counts: Mapping[str, int]) -> str:
    """Return the table of these classes, with their numbers of samples."""
    headers = [f"{text.html(name) or 'all samples'} <small>n = {count}</small>" for name, count in counts.items()]
    groups = []
    for name, (heading, digits) in MEASURES.items():
        found = rows.set_index(["autoencoder", "class"])[[name, "samples"]].dropna().to_dict("index")
        lines: list[tuple[bool, list[Cell]]] = []
        for row in results.encodings(dataset):
            cells = [_cell(found.get((row.autoencoder, key)), name, digits, count) for key, count in counts.items()]
            lines.append((row.is_control, [name_cell(row.autoencoder), *cells]))
        groups += [(heading, lines)] if found else []
    return table(f"Fidelity by class: {text.html(dataset)}", ["autoencoder", *headers], groups, datasets=())


def _cell(found: Mapping[Hashable, float] | None, name: str, digits: int, samples: int) -> Cell:
    """Return an average, with its number of samples where that is not the column's."""
    if found is None:
        return number(math.nan)
    content, key = number(found[name], digits)
    return content if found["samples"] == samples else f"{content} <small>n = {found['samples']:.0f}</small>", key
