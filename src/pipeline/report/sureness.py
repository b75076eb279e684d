"""Reliability diagrams: how often a head is right where it is so sure."""

import pandas as pd
from matplotlib.figure import Figure

from pipeline.report import text
from pipeline.report.curves import IMAGE, Look, legend, of_autoencoders, panels
from pipeline.report.drawing import INK, MUTED, inline_svg, of_dataset, plot
from pipeline.report.results import Results, Row, unique
from pipeline.report.tables import name_cell, number, table

FEWEST = 10
"""Predictions in a bin that is drawn: the share of fewer is hardly more than a coin's."""
SPACES = ("image", "reconstruction", "latent")
INTRODUCTION = (
    "<p>The test predictions of all folds and seeds together, in bins by how sure the head is. The calibration error "
    "is the mean distance of the bins from the diagonal, weighted by their counts, as a share; it is larger the fewer "
    "samples there are, alike in every space, and comes without an interval. results/scores has it fold by fold.</p>\n"
)


def section(results: Results, reliability: pd.DataFrame) -> str:
    """Return sentences, a figure and a table for each head, the first open; nothing without reliability."""
    parts: list[str] = []
    for index, head in enumerate(results.heads):
        part = reliability[reliability["head"] == head]
        rows = [row for row in results.select(head, next(iter(results.metrics), "")) if len(_of(part, row, "latent"))]
        if not rows:
            continue
        title = f"Head {text.html(results.label(head))}"
        items = "".join(text.item(name, _sentence(part, rows, name)) for name in unique(row.dataset for row in rows))
        alt = f"Reliability of the head {head}, by dataset and autoencoder; values: table below"
        caption = (
            f"<strong>Reliability.</strong> {title}: how often it is right against how sure it is, each in bins; on "
            "the dotted diagonal it is as often right as it says, below it is too sure. Controls "
            f"and bins of fewer than {FEWEST} predictions are in the table alone. Dashed: on images."
        )
        svg = inline_svg(reliability_figure(results, part, rows), f"reliability{index}", alt)
        body = f"<ul>\n{items}</ul>\n{plot(svg, caption)}{_table(title, part, rows)}"
        parts.append(f"<details{'' if parts else ' open'}><summary>{title}</summary>\n{body}</details>\n")
    return f"<h2>How far the heads know what they know</h2>\n{INTRODUCTION}{''.join(parts)}" if parts else ""


def _of(part: pd.DataFrame, row: Row, space: str) -> pd.DataFrame:
    mine = (part["dataset"] == row.dataset) & (part["autoencoder"] == row.autoencoder) & (part["space"] == space)
    return part[mine].sort_values("bin")


def calibration_error(bins: pd.DataFrame) -> float:
    """Return the mean over samples of |confidence - accuracy| of their bin; NaN without bins."""
    apart = (bins["confidence"] - bins["accuracy"]).abs()
    return float((apart * bins["count"]).sum() / bins["count"].sum()) if len(bins) else float("nan")


def _sentence(part: pd.DataFrame, rows: list[Row], dataset: str) -> str:
    mine = [row for row in rows if row.dataset == dataset]
    images = calibration_error(_of(part, mine[0], "image"))
    latents = ", ".join(
        f"{text.html(row.autoencoder)} {text.number(calibration_error(_of(part, row, 'latent')), 3)}"
        for row in mine
        if row.family != "identity"
    )
    return (
        f"<strong>{text.html(dataset)}</strong>: calibration error {text.number(images, 3)} on images"
        + (f"; on latents: {latents}" if latents else "")
        + "."
    )


def reliability_figure(results: Results, part: pd.DataFrame, rows: list[Row]) -> Figure:
    """Draw a panel for each dataset, a line for the images and one for the latents of each candidate.

    Controls are in the table alone, unless there is nothing else.
    """
    learned = [row for row in rows if not row.is_control] or [row for row in rows if row.family != "identity"]
    named = of_autoencoders(results, unique(row.autoencoder for row in learned))
    # A head can be equally sure of everything: without a marker a single bin would not be seen.
    images = IMAGE._replace(marker="x")
    figure, axes = panels(unique(row.dataset for row in rows), ["how often it is right (share)"], height=2.9)
    for (_, dataset), ax in axes.items():
        of_dataset(ax, dataset)
        ax.plot([0, 1], [0, 1], ":", color=MUTED, linewidth=1)
        mine = [row for row in rows if row.dataset == dataset]
        shown: list[tuple[pd.DataFrame, Look]] = [(_of(part, mine[0], "image"), images)]
        shown += [(_of(part, row, "latent"), named[row.autoencoder]) for row in mine if row in learned]
        for bins, (colour, marker, style) in shown:
            bins = bins[bins["count"] >= FEWEST]
            x, y = bins["confidence"], bins["accuracy"]
            ax.plot(x, y, style, color=colour, marker=marker, markersize=3.5, linewidth=1.3)
        ax.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), aspect="equal")
    figure.supxlabel("how sure the head is (probability)", fontsize=8.5, color=INK)
    legend(figure, {"image": images, **named})
    return figure


def _table(title: str, part: pd.DataFrame, rows: list[Row]) -> str:
    headers = ["autoencoder", "space", "bin", "how sure", "how often right", "predictions", "calibration error"]
    groups = []
    for dataset in unique(row.dataset for row in rows):
        lines = []
        for row in (row for row in rows if row.dataset == dataset):
            for space in SPACES:
                bins = _of(part, row, space)
                error = calibration_error(bins)
                for each in bins.to_dict("records"):
                    ends = f"{each['above']:.2f} to {each['upto']:.2f}"
                    numbers = [number(each[name], 3) for name in ("confidence", "accuracy")]
                    cells = [name_cell(row.autoencoder), name_cell(space), (ends, number(each["bin"])[1])]
                    lines.append((row.is_control, [*cells, *numbers, number(each["count"]), number(error, 3)]))
        groups.append((dataset, lines))
    body = table(f"{title}: reliability by bins", headers, groups)
    return f"<details><summary>Bins</summary>\n{body}</details>\n"
