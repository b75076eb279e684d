"""The tables of the report: the ranking, every score, and the autoencoders themselves."""

import math
from collections.abc import Sequence

from pipeline.report import text
from pipeline.report.headline import READINGS
from pipeline.report.results import Interval, Results, Row, unique

Cell = tuple[str, str]
"""Content as HTML, and the value that it is sorted by (a number, or text; empty: last)."""


LEARNED = {
    "lpips": (
        "LPIPS",
        "LPIPS (AlexNet): distance of features that follows human judgement; lower is more faithful.",
        3,
    ),
    "rfid": (
        "rFID",
        "rFID: Fréchet distance between the features of images and of reconstructions; the fewer samples, the larger, "
        "so compare it within a dataset only.",
        2,
    ),
}
"""Measures that are only there where a network for them is configured: header, explanation and digits."""


def name_cell(value: str) -> Cell:
    """Return a cell with a user's text."""
    return text.html(value), text.html(value)


def number(value: float, digits: int = 0) -> Cell:
    """Return a cell with a rounded number."""
    return text.number(value, digits), "" if math.isnan(value) else repr(value)


def score(value: Interval) -> Cell:
    """Return a cell with a score and its interval."""
    return text.interval(value, 2), number(value.value)[1]


def change(value: Interval) -> Cell:
    """Return a cell with a difference, bold where its interval excludes zero."""
    content = text.interval(value, 3)
    return f"<b>{content}</b>" if value.side else content, number(value.value)[1]


def table(
    caption: str,
    headers: Sequence[str],
    groups: Sequence[tuple[str, Sequence[tuple[bool, list[Cell]]]]],
    datasets: Sequence[str] | None = None,
) -> str:
    """Return a table with a body for each group, its name above it; headers sort within the bodies.

    Args:
        caption: HTML.
        headers: HTML, one a column.
        groups: names as text, with their rows: whether it is a control's, and the cells, the first of which names it.
        datasets: which data set each group is of, by which the page can be filtered; None: the one that it is named
            by, empty: groups are not of data sets.
    """
    head = "".join(f'<th scope="col"><button type="button">{header}</button></th>' for header in headers)
    bodies = []
    named = [name for name, _ in groups] if datasets is None else datasets
    marks = [text.of(name) for name in named] or [""] * len(groups)
    for (name, rows), mark in zip(groups, marks, strict=True):
        title = f'<tr class="group"><th colspan="{len(headers)}" scope="rowgroup">{text.html(name)}</th></tr>'
        bodies.append(f"<tbody{mark}>{title}\n{''.join(_line(control, cells) for control, cells in rows)}</tbody>\n")
    return (
        f'<div class="scroll" tabindex="0"><table><caption>{caption}</caption>\n<thead><tr>{head}</tr></thead>\n'
        f"{''.join(bodies)}</table></div>\n"
    )


def _line(control: bool, cells: Sequence[Cell]) -> str:
    (name, key), *others = cells
    mark = " <small>control</small>" if control else ""
    first = f'<th scope="row" data-key="{key}">{name}{mark}</th>'
    rest = "".join(f'<td data-key="{key}">{content}</td>' for content, key in others)
    style = ' class="control"' if control else ""
    return f"<tr{style}>{first}{rest}</tr>\n"


def ranking(results: Results, head: str, metric: str) -> str:
    """Return the candidates of each dataset by falling latent score, with what their gap interval says."""
    headers = ["autoencoder", "latent score", "information loss", "learnability gap", "latents against reconstructions"]
    groups = []
    for dataset in results.datasets:
        rows = [row for row in results.ranked(head, metric, dataset) if not row.is_control]
        if rows:
            groups.append((dataset, [(False, _ranked(row)) for row in rows]))
    caption = (
        f"Which autoencoder&rsquo;s latents can the head {text.html(head)} learn from? By falling latent score "
        f"({text.html(text.metric_name(metric))}) in each dataset."
    )
    return table(caption, headers, groups)


def _ranked(row: Row) -> list[Cell]:
    gap = row.learnability_gap
    changes = [change(row.information_loss), change(gap)]
    return [name_cell(row.autoencoder), score(row.latent), *changes, name_cell(READINGS[gap.side])]


def scores(results: Results, head: str, metric: str) -> str:
    """Return every row of one head and metric, grouped by dataset."""
    headers = ["autoencoder", "image", "reconstruction", "latent", "information loss", "learnability gap", "total"]
    headers += ["folds &times; seeds", "patients", "scored", "samples"]
    groups = []
    for dataset in results.datasets:
        if rows := results.ranked(head, metric, dataset):
            groups.append((dataset, [(row.is_control, _scored(row)) for row in rows]))
    protocols = text.listing(sorted({row.protocol for row in results.select(head, metric) if row.protocol}))
    return table(
        f"{text.html(head)}, {text.html(text.metric_name(metric))}; protocol: {text.html(protocols)}", headers, groups
    )


def _scored(row: Row) -> list[Cell]:
    spaces = [score(value) for value in (row.image, row.reconstruction, row.latent)]
    changes = [change(value) for value in (row.information_loss, row.learnability_gap, row.total)]
    runs = (f"{text.number(row.folds)} {text.TIMES} {text.number(row.seeds)}", number(row.folds * row.seeds)[1])
    counts = [runs, number(row.patients), number(row.units), number(row.samples)]
    return [name_cell(row.autoencoder), *spaces, *changes, *counts]


def encodings(results: Results) -> str:
    """Return what depends on neither head nor metric: every dataset and autoencoder, scored by a head or not."""
    coded = any(not math.isnan(row.coded_bytes) for row in results.rows)
    headers = ["autoencoder", "family", "latent shape", "compression", "stored size (MB)"]
    headers += ["as files (MB)"] if coded else []
    headers += ["PSNR (dB)", "SSIM", "MS-SSIM"]
    learned = [name for name in LEARNED if any(not math.isnan(getattr(row, name)) for row in results.rows)]
    groups = []
    for dataset in results.datasets:
        rows = results.encodings(dataset)
        name = (
            dataset
            if any(row.head for row in results.rows if row.dataset == dataset)
            else f"{dataset} (reconstruction only)"
        )
        groups.append((name, [(row.is_control, [*_encoded(row, coded), *_learned(row, learned)]) for row in rows]))
    caption = f"Autoencoders: latents and fidelity of the reconstructions. {_scales(results)}"
    caption += "".join(f" {LEARNED[name][1]}" for name in learned)
    headers += [LEARNED[name][0] for name in learned]
    return table(caption, headers, groups, datasets=results.datasets)


def _scales(results: Results) -> str:
    """Return on how many of its scales MS-SSIM was measured: numbers over unlike scales cannot be compared."""
    found = {row.dataset: int(row.ms_ssim_scales) for row in results.rows if not math.isnan(row.ms_ssim_scales)}
    counts = unique(str(count) for count in found.values())
    if not counts:
        return ""
    each = text.listing([f"{count} ({text.html(name)})" for name, count in found.items()])
    where = counts[0] if len(counts) == 1 else each
    return f"MS-SSIM: on {where} of its five scales, as many as the size of the images allows."


def _learned(row: Row, names: Sequence[str]) -> list[Cell]:
    return [number(getattr(row, name), LEARNED[name][2]) for name in names]


def _encoded(row: Row, coded: bool) -> list[Cell]:
    sizes = [row.stored_bytes, row.coded_bytes] if coded else [row.stored_bytes]
    ratio = ("" if math.isnan(row.compression_ratio) else f"{text.TIMES} ") + text.number(row.compression_ratio, 1)
    shape = (text.html(text.shape(row.latent_shape)), text.html(row.latent_shape))
    numbers = [(ratio, number(row.compression_ratio)[1])]
    numbers += [(number(size / 1e6, 2)[0], number(size)[1]) for size in sizes]
    numbers += [number(row.psnr, 2), *(number(value, 3) for value in (row.ssim, row.ms_ssim))]
    return [name_cell(row.autoencoder), name_cell(row.family), shape, *numbers]
