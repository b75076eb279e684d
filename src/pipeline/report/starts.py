"""What of the published difference comes of pretraining, and what of the space."""

import pandas as pd

from pipeline.report import text
from pipeline.report.dots import Dot, Spot, dots_figure
from pipeline.report.drawing import inline_svg, plot
from pipeline.report.further import interval
from pipeline.report.results import Interval, Results, unique
from pipeline.report.tables import change, name_cell, table

KINDS = {
    "gain_pretrained_image": Dot("pretraining, in images", "#E69F00", "s"),
    "gain_pretrained_latent": Dot("pretraining, in latents", "#009E73", "^"),
    "scratch_total": Dot("image less latent: both from scratch", "#0072B2", "D"),
    "pretrained_total": Dot("image less latent: both pretrained", "#56B4E9", "v"),
    "mixed_total": Dot("image less latent: published mix", "#D55E00", "o"),
    "gain_published_image": Dot("published weights, in images", "#8C510A", "P"),
    "gain_published_latent": Dot("published weights, in latents", "#5F5F5F", "X"),
    "published_total": Dot("image less latent: published head", "#CC79A7", "*"),
}
"""What is drawn, by the quantities of the table."""
WORDS = {
    "mixed_total": "published mix",
    "gain_pretrained_image": "of which pretraining in images",
    "scratch_total": "and latents from scratch",
    "pretrained_total": "both pretrained",
}
INTRODUCTION = (
    "<p>By the study&rsquo;s <em>initialisation</em> these heads differ in how their weights begin, and in nothing "
    "else. The published comparison sets classifiers of images that start from pretrained weights against classifiers "
    "of latents that do not: that difference is what pretraining gives in images plus what latents cost at equal "
    "terms, from scratch. All differences are paired.</p>\n"
)


def section(results: Results, initialisation: pd.DataFrame) -> str:
    """Return sentences, figure and table of the split by initialisation; nothing where it was not asked for."""
    metric = next(iter(results.metrics), "")
    part = initialisation[initialisation["metric"] == metric]
    if not len(part):
        return ""
    values = {
        Spot(str(row["dataset"]), str(row["autoencoder"]), str(row["quantity"])): interval(row)
        for row in part.to_dict("records")
    }
    kinds = {name: dot for name, dot in KINDS.items() if any(spot.kind == name for spot in values)}
    drawn = {spot: value for spot, value in values.items() if spot.kind in kinds}
    name = text.metric_name(metric)
    items = "".join(
        text.item(dataset, _sentence(values, dataset)) for dataset in unique(spot.dataset for spot in values)
    )
    heads = ", ".join(text.html(head) for head in unique([*part["head"], *part["other_head"]]))
    caption = (
        f"<strong>Pretraining and space.</strong> Differences in {text.html(name)} between the heads {heads}, with "
        "95&nbsp;% intervals. All panels have one scale; right of zero: more with pretraining, or from "
        "images. Published mix: images with pretrained weights, latents from scratch."
    )
    alt = f"What pretraining gives and what latents cost in {name}, by dataset and autoencoder; values: table below"
    figure = dots_figure(drawn, kinds, f"difference in {name}") if drawn else None
    shown = plot(inline_svg(figure, "starts", alt), caption) if figure else ""
    return (
        f"<h2>What comes of pretraining</h2>\n{INTRODUCTION}<p>In {text.html(name)}:</p>\n<ul>\n{items}</ul>\n{shown}"
        f"<details><summary>All differences by initialisation</summary>\n{_table(part, name)}</details>\n"
    )


def _sentence(values: dict[Spot, Interval], dataset: str) -> str:
    clauses = []
    for name in unique(spot.autoencoder for spot in values if spot.dataset == dataset):
        told = [
            f"{words} {text.interval(values[spot], 3)}"
            for kind, words in WORDS.items()
            if (spot := Spot(dataset, name, kind)) in values
        ]
        verdict = _verdict(values.get(Spot(dataset, name, "scratch_total")))
        clauses.append(f"<em>{text.html(name)}</em>, {', '.join(told)}{verdict}")
    return f"<strong>{text.html(dataset)}</strong>: {'; '.join(clauses)}."


def _verdict(scratch: Interval | None) -> str:
    """Return what the difference at equal terms says, in brackets."""
    if scratch is None or scratch.side is None:
        return ""
    said = {
        1: "from scratch latents score lower",
        0: "from scratch no difference is shown",
        -1: "from scratch latents score higher",
    }
    return f" ({said[scratch.side]})"


def _table(part: pd.DataFrame, metric: str) -> str:
    headers = ["autoencoder", "quantity", "what", "less what", f"difference in {text.html(metric)}"]
    groups = []
    for dataset in unique(part["dataset"]):
        lines = [
            (
                False,
                [
                    name_cell(row["autoencoder"]),
                    name_cell(row["quantity"].replace("_", " ")),
                    name_cell(f"{row['head']} on {row['space']}"),
                    name_cell(f"{row['other_head']} on {row['other_space']}"),
                    change(interval(row)),
                ],
            )
            for row in part[part["dataset"] == dataset].to_dict("records")
        ]
        groups.append((dataset, lines))
    return table("Differences between heads and spaces. Bold: the interval excludes zero.", headers, groups)
