"""Put the report together."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from pipeline.report import claims as overall
from pipeline.report import (
    classes,
    correlates,
    depth,
    headline,
    learning,
    noise,
    protocols,
    rarity,
    starts,
    strips,
    sureness,
    tables,
    text,
)
from pipeline.report.drawing import inline_svg, plot, settings
from pipeline.report.figures import fidelity_figure, gap_figure, unplotted
from pipeline.report.further import Further
from pipeline.report.results import Results
from pipeline.report.strips import Strip
from pipeline.report.style import PAGE, SCRIPT, STYLE
from pipeline.summary import sentences

HOW_TO_READ = (
    "<p><strong>How to read this page.</strong> A head (a classifier) is trained on images, on their reconstructions "
    "and on their latents, and scored by a metric m on the same held-out samples: <em>information "
    "loss</em> = m(image)&nbsp;&minus; "
    "m(reconstruction) is what the autoencoder threw away, <em>learnability gap</em> "
    "= m(reconstruction)&nbsp;&minus; m(latent) is "
    "what is still there but this head did not learn from the latents, and brackets hold the 95&nbsp;% interval of a "
    "paired bootstrap that resamples patients. The controls calibrate the instrument: pixel-unshuffle and orthogonal "
    "lose nothing, so a gap like theirs is what the arrangement of the values alone costs this head.</p>\n"
)

NO_HEADLINE = (
    "<h2>Which latents can a classifier learn from?</h2>\n<p>No head of this study gives every space the same chances "
    "(protocol <em>matched</em>), so there is no headline. What the other heads score stands below.</p>\n"
)
NO_HEADS = "<p>No head was trained in this study: there are reconstructions to compare, and no gaps.</p>\n"


def render(
    table: pd.DataFrame,
    strips: Sequence[Strip],
    title: str,
    data: Mapping[str, Mapping[str, Any]],
    fidelity: pd.DataFrame | None = None,
    claims: pd.DataFrame | None = None,
    further: Further | None = None,
) -> str:
    """Return the whole report as one HTML page that needs nothing else.

    Args:
        table: the gap table, one row per dataset, autoencoder, head and metric.
        strips: samples to show; may be empty.
        title: heading of the page, plain text.
        data: what is to be said of each dataset, by its name: the summary of stage `index`.
        fidelity: the table of fidelity by class; without it there is no such section.
        claims: the table of claims about the whole study; without it there is no such section.
        further: the other tables; of one that has no rows there is no section.

    Raises:
        StudyError: for a table that is empty, lacks columns or holds a row twice, and for a strip that cannot be shown.
    """
    results = Results.read(table)
    parts = [HOW_TO_READ, _cautions(results)]
    with settings():
        parts += [_answer(results)] if results.heads else [NO_HEADS]
        parts += [] if claims is None else [overall.section(results, claims)]
        parts += [protocols.section(results, claims)]
        parts += [_gap_figures(results)] if results.heads else []
        parts += [] if further is None else _further(results, further)
        parts += [_fidelity_figures(results)] if results.heads else []
    parts += [] if fidelity is None else [classes.section(results, fidelity)]
    parts += [_samples(results, strips), _data(results, data), _tables(results)]
    return PAGE.substitute(title=text.html(title), style=STYLE, script=SCRIPT, body="".join(parts))


def _further(results: Results, further: Further) -> list[str]:
    """Return the sections of what is known beyond one number, each empty where its table has no rows."""
    return [
        starts.section(results, further.initialisation),
        depth.section(results, further.profile),
        learning.section(results, further.profile, further.complexity),
        noise.section(results, further.profile),
        rarity.section(results, further.groups),
        sureness.section(results, further.reliability),
        correlates.section(results, further.correlations),
    ]


def _cautions(results: Results) -> str:
    found = "".join(f"<li>{text.html(caution)}</li>" for caution in headline.cautions(results))
    return f'<div class="caution" role="note"><ul>{found}</ul></div>\n' if found else ""


def _answer(results: Results) -> str:
    head, metric = results.heads[0], results.metrics[0]
    if not results.is_matched(head):
        return NO_HEADLINE
    summary = f"<h2>Which latents can a classifier learn from?</h2>\n<p>{headline.summary(results, head, metric)}</p>\n"
    candidates = {row.dataset for row in results.select(head, metric) if not row.is_control}
    if not candidates:
        return summary
    datasets = [dataset for dataset in results.datasets if dataset in candidates]
    sentences = "".join(f"<li>{headline.sentence(results, head, metric, name)}</li>\n" for name in datasets)
    return (
        f"{summary}<ul>\n{sentences}</ul>\n{tables.ranking(results, head, metric)}"
        "<p>Bold: the interval excludes zero. The order is that of point estimates; neighbours with overlapping "
        "intervals are not shown to differ, and intervals are not adjusted for the number of comparisons.</p>\n"
    )


def _gap_figures(results: Results) -> str:
    metric = results.metrics[0]
    name = text.metric_name(metric)
    parts = ["<h2>Where the score is lost</h2>\n"]
    for index, head in enumerate(head for head in results.heads if results.select(head, metric)):
        alt = f"Information loss and learnability gap in {name} with head {head}, by dataset; values: tables below"
        caption = (
            f"<strong>Figure 1{_letter(results, index)}.</strong> Head {text.html(results.label(head))}: information "
            f"loss and learnability gap in {text.html(name)}, point estimates with 95&nbsp;% intervals. All panels and "
            "heads have one scale. Autoencoders stand in the order of their mean gap with the first head; controls, "
            "with a known answer, on grey."
        )
        parts.append(plot(inline_svg(gap_figure(results, head, metric), f"gap{index}", alt), caption))
    return "".join(parts)


def _letter(results: Results, index: int) -> str:
    return "" if len(results.heads) == 1 else "abcdefghijklmnopqrstuvwxyz"[index] if index < 26 else f" ({index + 1})"


def _fidelity_figures(results: Results) -> str:
    metric = results.metrics[0]
    name = text.metric_name(metric)
    parts: list[str] = []
    for index, head in enumerate(results.heads):
        figure = fidelity_figure(results, head, metric)
        if figure is None:
            continue
        alt = f"PSNR against the learnability gap in {name} with head {head}, by dataset; values: tables below"
        left_out = text.listing(unplotted(results, head, metric))
        caption = (
            f"<strong>Figure 2{_letter(results, index)}.</strong> Head {text.html(results.label(head))}: fidelity of "
            f"the reconstructions against the learnability gap in {text.html(name)}, with 95&nbsp;% intervals. "
            "Open grey: controls. Positions inside the lossless band (infinite PSNR) only keep points apart."
            + (f" Not drawn for want of a PSNR or a gap: {text.html(left_out)}." if left_out else "")
        )
        drawn = plot(inline_svg(figure, f"fidelity{index}", alt), caption)
        parts.append(
            drawn
            if not parts
            else f"<details><summary>Head {text.html(results.label(head))}</summary>\n{drawn}</details>\n"
        )
    return "<h2>Fidelity and learnability</h2>\n" + "".join(parts) if parts else ""


def _samples(results: Results, shown: Sequence[Strip]) -> str:
    order = dict.fromkeys(row.autoencoder for name in results.datasets for row in results.encodings(name))
    return f"<h2>Samples</h2>\n{strips.section(shown, list(order))}" if shown else ""


def _data(results: Results, data: Mapping[str, Mapping[str, Any]]) -> str:
    parts = []
    for name in results.datasets:
        if name in data:
            first, *others = (text.html(sentence) for sentence in sentences(data[name]))
            items = "".join(f"<li>{sentence}</li>\n" for sentence in others)
            parts.append(f"<h3>{text.html(name)}</h3>\n<p>{first}</p>\n<ul>\n{items}</ul>\n")
    return "<h2>Data</h2>\n" + "".join(parts) if parts else ""


def _tables(results: Results) -> str:
    parts = [
        "<h2>All results</h2>\n<p>Scores with 95&nbsp;% intervals; bold: the interval of a difference excludes "
        "zero. Headers sort the rows within each dataset.</p>\n"
    ]
    for head in results.heads:
        for metric in (metric for metric in results.metrics if results.select(head, metric)):
            state = "" if len(parts) > 1 else " open"
            summary = f"{text.html(results.label(head))}, {text.html(text.metric_name(metric))}"
            body = tables.scores(results, head, metric)
            parts.append(f"<details{state}><summary>{summary}</summary>\n{body}</details>\n")
    state = "" if results.heads else " open"
    parts.append(f"<details{state}><summary>Autoencoders</summary>\n{tables.encodings(results)}</details>\n")
    return "".join(parts)
