"""Put the report together."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from pipeline.report import (
    answer,
    classes,
    correlates,
    depth,
    diffusable,
    efficiency,
    learning,
    noise,
    origin,
    perclass,
    protocols,
    rarity,
    remarkable,
    starts,
    strips,
    sureness,
    tables,
    text,
)
from pipeline.report import claims as overall
from pipeline.report.drawing import settings
from pipeline.report.further import Further
from pipeline.report.origin import Origin
from pipeline.report.overview import cautions, fidelity_figures, gap_figures, ranking
from pipeline.report.preference import Choice
from pipeline.report.remarkable import Remark
from pipeline.report.results import Results
from pipeline.report.script import SCRIPT
from pipeline.report.strips import Strip
from pipeline.report.style import PAGE, STYLE
from pipeline.summary import sentences

HOW_TO_READ = (
    "<h2>How to read this page</h2>\n<p>A head (a classifier) is trained on images, on their reconstructions "
    "and on their latents, and scored by a metric m on the same held-out samples: <em>information "
    "loss</em> = m(image)&nbsp;&minus; "
    "m(reconstruction) is what the autoencoder threw away, <em>learnability gap</em> "
    "= m(reconstruction)&nbsp;&minus; m(latent) is "
    "what is still there but this head did not learn from the latents, and brackets hold the 95&nbsp;% interval of a "
    "paired bootstrap that resamples patients. The controls calibrate the instrument: pixel-unshuffle and orthogonal "
    "lose nothing, so a gap like theirs is what the arrangement of the values alone costs this head.</p>\n"
)
NO_HEADS = "<p>No head was trained in this study: there are reconstructions to compare, and no gaps.</p>\n"


@dataclass(frozen=True)
class Exhibits:
    """What the page shows beside tables.

    Attributes:
        choices: what every matched head says of every data set; none: the page begins without an answer.
        remarks: the worst reconstructions, and the surest errors.
        classwise: scores class by class, see `perclass.read`.
        origin: where the study comes from.
    """

    choices: Sequence[Choice] = ()
    remarks: Sequence[Remark] = ()
    classwise: pd.DataFrame | None = None
    origin: Origin | None = None


def render(
    table: pd.DataFrame,
    strips: Sequence[Strip],
    title: str,
    data: Mapping[str, Mapping[str, Any]],
    fidelity: pd.DataFrame | None = None,
    claims: pd.DataFrame | None = None,
    further: Further | None = None,
    exhibits: Exhibits | None = None,
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
        exhibits: what is shown beside tables; without it there is no answer and nothing to look at but the strips.

    Raises:
        StudyError: for a table that is empty, lacks columns or holds a row twice, and for a strip that cannot be shown.
    """
    results, shown, more = Results.read(table), exhibits or Exhibits(), further or Further()
    with settings():
        parts = [
            cautions(results),
            HOW_TO_READ,
            ranking(results) if results.heads else NO_HEADS,
            "" if claims is None else overall.section(results, claims),
            protocols.section(results, claims),
            *([gap_figures(results), fidelity_figures(results)] if results.heads else []),
            *_further(results, more, shown),
        ]
        first = answer.section(results, shown.choices)
    parts += ["" if fidelity is None else classes.section(results, fidelity)]
    parts += [_samples(results, strips), remarkable.section(shown.remarks)]
    parts += [_data(results, data), origin.section(shown.origin), _tables(results)]
    body = f"{first}{_contents(parts)}{_filter(results)}{''.join(map(_anchored, parts))}"
    return PAGE.substitute(title=text.html(title), style=STYLE, script=SCRIPT, body=body)


def _further(results: Results, further: Further, shown: Exhibits) -> list[str]:
    """Return the sections of what is known beyond one number, each empty where its table has no rows."""
    return [
        starts.section(results, further.initialisation),
        depth.section(results, further.profile),
        learning.section(results, further.profile, further.complexity),
        noise.section(results, further.profile),
        "" if shown.classwise is None else perclass.section(results, shown.classwise),
        rarity.section(results, further.groups),
        sureness.section(results, further.reliability),
        diffusable.section(results, further),
        correlates.section(results, further.correlations, further.covariates),
        efficiency.section(results, further.cost),
    ]


HEADING = re.compile(r"\A<h2>([^<]*)</h2>")


def _anchor(heading: str) -> str:
    return re.sub("[^a-z]+", "-", heading.lower()).strip("-")


def _anchored(part: str) -> str:
    """Return a part of the page as a section that can be linked to; what has no heading stays as it is."""
    found = HEADING.match(part)
    return f'<section id="{_anchor(found[1])}">\n{part}</section>\n' if found else part


def _contents(parts: Sequence[str]) -> str:
    headings = [found[1] for part in parts if (found := HEADING.match(part))]
    items = "".join(f'<li><a href="#{_anchor(heading)}">{heading}</a></li>\n' for heading in headings)
    return (
        f'<nav aria-label="Contents"><ul>\n{items}</ul>'
        '<button type="button" id="unfold" hidden>Open or close all details</button></nav>\n'
    )


def _filter(results: Results) -> str:
    """Return the form that the script shows and listens to; nothing for a single data set."""
    if len(results.datasets) < 2:
        return ""
    boxes = "".join(
        f'<label><input type="checkbox" value="{text.html(name)}" checked>{text.html(name)}</label>\n'
        for name in results.datasets
    )
    return (
        f'<form id="filter" aria-label="Data sets to show" hidden>\n<strong>Show</strong>\n{boxes}'
        '<button type="reset">all</button>\n<output></output></form>\n'
    )


def _samples(results: Results, shown: Sequence[Strip]) -> str:
    order = dict.fromkeys(row.autoencoder for name in results.datasets for row in results.encodings(name))
    return f"<h2>Samples</h2>\n{strips.section(shown, list(order))}" if shown else ""


def _data(results: Results, data: Mapping[str, Mapping[str, Any]]) -> str:
    parts = []
    for name in results.datasets:
        if name in data:
            first, *others = (text.html(sentence) for sentence in sentences(data[name]))
            items = "".join(f"<li>{sentence}</li>\n" for sentence in others)
            body = f"<h3>{text.html(name)}</h3>\n<p>{first}</p>\n<ul>\n{items}</ul>\n"
            parts.append(f"<div{text.of(name)}>{body}</div>\n")
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
