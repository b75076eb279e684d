"""Scores class by class: which findings latents cost a head, and which they do not."""

import math
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from pipeline.report import text
from pipeline.report.curves import of_autoencoders
from pipeline.report.dots import Dot, Spot, dots_figure
from pipeline.report.drawing import INK, inline_svg, plot
from pipeline.report.results import Interval, Results, Row, unique
from pipeline.report.tables import name_cell, number, table

COLUMNS = ["dataset", "autoencoder", "space", "metric", "label", "value", "positives", "few"]
IMAGE = "image"
INTRODUCTION = (
    "<p>The recall of each class, or its AUROC where classes are not exclusive, the most common class first: means "
    "over folds and seeds, without intervals, which are too wide to tell single classes apart. So look at patterns "
    "and not at single dots. Classes with fewer than ten positives in a test fold are marked *.</p>\n"
)


def read(results: Results, scores: Path) -> pd.DataFrame:
    """Return COLUMNS of the first head: mean `value` of each class, `positives` of all folds, whether they are `few`.

    Args:
        results: the gap table.
        scores: the folder of stage `evaluate`.
    """
    tables = [pd.DataFrame(columns=COLUMNS)]
    if results.heads:
        tables += [_read(row, scores) for row in results.select(results.heads[0], results.metrics[0])]
    return pd.concat([table for table in tables if len(table)] or tables[:1], ignore_index=True)


def _read(row: Row, scores: Path) -> pd.DataFrame:
    path = scores / row.dataset / row.autoencoder / row.head / "scores.csv"
    found = pd.read_csv(path, dtype={"label": str}, keep_default_na=False, na_values={"value": [""], "positives": [""]})
    # A class may be called "None" or "NA"; what is not about a class has no positives.
    found = found[found["positives"].notna()]
    found = found[found["metric"] == next(iter(found["metric"]), "")]
    found["few"] = found["few_positives"].astype(str) == "True"
    once = found[(found["seed"] == found["seed"].min()) & (found["space"] == IMAGE)]
    positives = once.groupby("label")["positives"].sum()
    means = found.groupby(["space", "metric", "label"], sort=False).agg(value=("value", "mean"), few=("few", "any"))
    means = means.reset_index().assign(dataset=row.dataset, autoencoder=row.autoencoder)
    return means.assign(positives=means["label"].map(positives))[COLUMNS]


def section(results: Results, classwise: pd.DataFrame) -> str:
    """Return a figure and a table of each data set with classes, the first open; nothing without any."""
    parts: list[str] = []
    controls = {row.autoencoder for row in results.rows if row.is_control}
    for place, dataset in enumerate(name for name in results.datasets if (classwise["dataset"] == name).any()):
        part = classwise[classwise["dataset"] == dataset]
        order = unique(part.sort_values("positives", ascending=False, kind="stable")["label"])
        names = [name for name in unique(part["autoencoder"]) if name not in controls]
        if not names:
            # Controls alone say nothing of any class.
            continue
        values = _values(part, order, names)
        metric = text.metric_name(part["metric"].iloc[0])
        head = text.html(results.label(results.heads[0]))
        alt = f"{metric} of each class of {dataset} from images and from latents; values: table below"
        caption = (
            f"<strong>Class by class.</strong> {text.html(dataset)}, head {head}: {text.html(metric)} from images and "
            "from the latents of each candidate, the most common class above."
        )
        kinds = {IMAGE: Dot("image", INK, "x")}
        kinds |= {name: Dot(name, look.colour, look.marker) for name, look in of_autoencoders(results, names).items()}
        svg = inline_svg(dots_figure(values, kinds, metric), f"classes{place}", alt)
        body = f"{plot(svg, caption)}{_table(part, dataset, order, names)}"
        state = "" if parts else " open"
        parts.append(f"<details{state}{text.of(dataset)}><summary>{text.html(dataset)}</summary>\n{body}</details>\n")
    return f"<h2>Class by class</h2>\n{INTRODUCTION}{''.join(parts)}" if parts else ""


def _values(part: pd.DataFrame, order: list[str], names: list[str]) -> Mapping[Spot, Interval]:
    found = part.set_index(["autoencoder", "space", "label"])["value"]
    values: dict[Spot, Interval] = {}
    for label in order:
        known = part[part["label"] == label]
        called = f"{label} ({known['positives'].iloc[0]:.0f}{', *' if known['few'].any() else ''})"
        dataset = str(known["dataset"].iloc[0])
        for name in (IMAGE, *names):
            key = (names[0], IMAGE, label) if name == IMAGE else (name, "latent", label)
            values[Spot(dataset, called, name)] = Interval(float(found.get(key, math.nan)), math.nan, math.nan)
    return values


def _table(part: pd.DataFrame, dataset: str, order: list[str], names: list[str]) -> str:
    found = part.set_index(["autoencoder", "space", "label"])["value"]
    spaces = [(name, space) for name in names for space in ("reconstruction", "latent")]
    spaces = [(name, space) for name, space in spaces if (name, space) in {key[:2] for key in found.index}]
    headers = ["class", "positives", "image"]
    headers += [f"{text.html(name)}<br>{'reconstr.' if space != 'latent' else space}" for name, space in spaces]
    lines = []
    for label in order:
        count = float(part.loc[part["label"] == label, "positives"].iloc[0])
        few = "*" if part.loc[part["label"] == label, "few"].any() else ""
        scores = [found.get((*space, label), math.nan) for space in ((names[0], IMAGE), *spaces)]
        cells = [name_cell(label), (f"{count:.0f}{few}", number(count)[1])]
        lines.append((False, [*cells, *(number(float(value), 2) for value in scores)]))
    body = table(f"Scores class by class: {text.html(dataset)}", headers, [(dataset, lines)])
    return f"<details><summary>Numbers</summary>\n{body}</details>\n"
