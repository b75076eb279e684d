"""How diffusable the spaces are: what is said, and the tables; the figures stand in `diffusable_figures`."""

import math
from collections.abc import Sequence

import pandas as pd

from pipeline.report import diffusable_gap, informed, text
from pipeline.report.curves import of_autoencoders
from pipeline.report.diffusable_figures import curves_figure, penalties_figure
from pipeline.report.drawing import inline_svg, plot
from pipeline.report.further import Further, Record
from pipeline.report.results import Results, unique
from pipeline.report.tables import Cell, name_cell, number, table

BOUND = 0.1
"""A `disagreement` above this is marked: more than a tenth of what is measured may be the denoiser's."""
QUANTITIES = {
    "fisher_score": "Fisher information",
    "fisher_rate": "Fisher information rate",
    "mmse_rate": "MMSE rate",
    "disagreement": "disagreement",
}
RATIOS = {
    "mmse_rate_ratio": "MMSE rate",
    "mmse_ratio": "MMSE",
    "fisher_ratio": "Fisher information",
    "fisher_rate_ratio": "its rate",
}
INTRODUCTION = (
    "<p>How hard a space is for diffusion: a denoiser is fitted to each, and noise of deviation &sigma; is measured in "
    "deviations of the space itself. The <em>MMSE rate</em> is how much of further noise becomes error, the <em>Fisher "
    "information</em> how much of the noise can be told from its surroundings, and its <em>rate</em> how fast that "
    "falls; all per dimension. Pixels are the reference (dashed); of the best denoiser a lossless rearrangement of "
    "them has the same curves.</p>\n"
)
QUALITY = (
    "<p>How far to trust it: of the best denoiser three ways to the Fisher information agree. Hollow marks stand where "
    f"they are more than {100 * BOUND:.0f}&nbsp;% apart (<em>disagreement</em>): there a curve says as much about the "
    "denoiser as about the space, and differences between spaces of that size mean nothing.</p>\n"
)
PENALTIES = (
    "<strong>What encoders do to the data.</strong> Values of an image for each of the latent; how far the encoder is "
    "from a scaled isometry along the data; how much its slope changes along fine detail; how bent the data are as "
    "latents (line: as images). Whiskers: two standard errors."
)


def section(results: Results, further: Further) -> str:
    """Return curves, penalties, what goes along with the gap, and the class information; nothing without denoisers."""
    found = further.diffusability
    if not len(found):
        return ""
    parts = [INTRODUCTION, QUALITY]
    for place, name in enumerate(unique(found["denoiser"])):
        part, summary = (each[each["denoiser"] == name] for each in (found, further.diffusability_summary))
        parts.append(_denoiser(results, name, place, part, summary))
    parts += [_penalties(results, further.encoder_geometry), diffusable_gap.section(results, further.correlations)]
    parts.append(informed.section(results, further.class_information))
    return f"<h2>How diffusable the spaces are</h2>\n{''.join(parts)}"


def _denoiser(results: Results, name: str, place: int, found: pd.DataFrame, summary: pd.DataFrame) -> str:
    datasets = unique(found["dataset"])
    others = summary[summary["autoencoder"] != results.pixels]
    items = "".join(text.item(dataset, _sentence(dataset, found, others)) for dataset in datasets)
    alt = f"Fisher information, its rate and MMSE rate by noise with the denoiser {name}; values: table below"
    caption = (
        f"<strong>Diffusability by noise.</strong> Denoiser {text.html(name)}, per dimension of each space, with "
        f"95&nbsp;% intervals given the denoiser. Dashed: pixels. Hollow: disagreement above {BOUND:g}."
    )
    looks = of_autoencoders(results, unique(found["autoencoder"]))
    shown = {key: label for key, label in QUANTITIES.items() if key != "disagreement"}
    svg = inline_svg(curves_figure(found, shown, looks, results.pixels, BOUND), f"diffusable{place}", alt)
    return (
        f"<h3>Denoiser {text.html(name)}</h3>\n<ul>\n{items}</ul>\n{plot(svg, caption)}{_summary(name, summary)}"
        f"<details><summary>Diffusability by noise</summary>\n{_levels(name, found)}</details>\n"
    )


def doubtful(found: pd.DataFrame) -> dict[str, list[tuple[float, float]]]:
    """Return for each autoencoder of one data set the noise levels with a disagreement above the bound, and that."""
    over = found[(found["quantity"] == "disagreement") & (found["value"] > BOUND)].sort_values("sigma")
    return {
        str(name): list(zip(part["sigma"], part["value"], strict=True))
        for name, part in over.groupby("autoencoder", sort=False)
    }


def _sentence(dataset: str, found: pd.DataFrame, others: pd.DataFrame) -> str:
    mine = others[others["dataset"] == dataset].sort_values("mmse_rate_ratio", kind="stable")
    ratios = zip(mine["autoencoder"], mine["mmse_rate_ratio"], strict=True)
    told = text.listing([f"<em>{text.html(name)}</em> {text.TIMES}&nbsp;{ratio:.2f}" for name, ratio in ratios])
    over = doubtful(found[found["dataset"] == dataset])
    levels = found["sigma"].nunique()
    clauses = [f"<em>{text.html(name)}</em> {_at(places, levels)}" for name, places in over.items()]
    doubt = f"Not to be trusted: {text.listing(clauses)}." if clauses else "The three estimates agree everywhere."
    return f"<strong>{text.html(dataset)}</strong>: MMSE rate by that of pixels: {told}. {doubt}"


def _at(places: Sequence[tuple[float, float]], levels: int) -> str:
    most = max(value for _, value in places)
    where = "everywhere" if len(places) == levels else f"at &sigma; = {', '.join(f'{at:g}' for at, _ in places)}"
    return f"{where} (up to {100 * most:.0f}&nbsp;% apart)"


def _summary(name: str, summary: pd.DataFrame) -> str:
    headers = ["autoencoder", *RATIOS.values(), "largest disagreement", "asymmetry"]
    groups = []
    for dataset in unique(summary["dataset"]):
        rows = summary[summary["dataset"] == dataset].to_dict("records")
        groups.append((dataset, [(False, _summarised(row)) for row in rows]))
    caption = (
        f"By that of pixels, denoiser {text.html(name)}: geometric means over the noise, per dimension; 1: as pixels. "
        "Asymmetry: the share of the denoiser&rsquo;s gradient that no distribution has, at most."
    )
    return table(caption, headers, groups)


def _summarised(row: Record) -> list[Cell]:
    values = {key: float(row[key]) for key in (*RATIOS, "disagreement", "asymmetry")}
    quality = number(values["disagreement"], 2)
    if values["disagreement"] > BOUND:
        quality = f"<b>{quality[0]}</b> (above {BOUND:g})", quality[1]
    ratios = [number(values[key], 2) for key in RATIOS]
    return [name_cell(str(row["autoencoder"])), *ratios, quality, number(values["asymmetry"], 3)]


def _levels(name: str, found: pd.DataFrame) -> str:
    levels = sorted(found["sigma"].unique())
    asked = found[found["quantity"].isin(QUANTITIES)]
    values = asked["per_latent_dimension"].fillna(asked["value"])
    known = dict(
        zip(
            zip(asked["dataset"], asked["autoencoder"], asked["quantity"], asked["sigma"], strict=True),
            values,
            strict=True,
        )
    )
    groups = []
    for dataset in unique(found["dataset"]):
        names = unique(found.loc[found["dataset"] == dataset, "autoencoder"])
        lines = []
        for autoencoder in names:
            for key, label in QUANTITIES.items():
                cells = [_digits(known.get((dataset, autoencoder, key, level), math.nan)) for level in levels]
                lines.append((False, [name_cell(autoencoder), name_cell(label), *cells]))
        groups.append((dataset, lines))
    headers = ["autoencoder", "per dimension", *(f"&sigma; = {level:g}" for level in levels)]
    return table(f"Denoiser {text.html(name)}: by the noise, in deviations of the space", headers, groups)


def _digits(value: float) -> Cell:
    return (text.MISSING, "") if math.isnan(value) else (f"{value:.3g}", repr(float(value)))


def _penalties(results: Results, geometry: pd.DataFrame) -> str:
    if not len(geometry):
        return ""
    looks = of_autoencoders(results, unique(geometry["autoencoder"]))
    svg = inline_svg(penalties_figure(geometry, looks), "penalties", "The four penalties of every encoder, by dataset")
    return f"<h3>Penalties</h3>\n{plot(svg, PENALTIES)}"
