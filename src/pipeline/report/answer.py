"""The answer, first on the page: which autoencoder to use on each data set, and how sure that is."""

import math
import re
from collections.abc import Mapping, Sequence

from pipeline.report import text
from pipeline.report.preference import Choice, Comparison, deciding, together
from pipeline.report.results import Results
from pipeline.report.tables import Cell, change, name_cell, number, score, table

HEADING = "Which autoencoder to use"
LOSSLESS = ("pixel-unshuffle", "orthogonal")
"""Families of controls that only arrange values in another way."""
ABOUT = (
    "<p>An autoencoder is only called the best where the head&rsquo;s score on its latents differs from that on each "
    "of the others&rsquo;: paired over the same draws of patients, p adjusted by Holm&rsquo;s method, below 0.05. "
    "The draws hold the trained heads fixed: how much another training run would move a score is not in them, so with "
    "few seeds a small lead is less sure than it looks. Controls are never chosen, nor is what has no decoder, and a "
    "head that is not shown to be above chance decides nothing.</p>\n"
)


def section(results: Results, choices: Sequence[Choice]) -> str:
    """Return the paragraph, a sentence for each data set and a table of every matched head; nothing without choices."""
    if not choices:
        return ""
    chosen = deciding(choices)
    items = "".join(
        text.item(name, f"<strong>{text.html(name)}</strong>: {_sentence(choice, choices)}")
        for name, choice in chosen.items()
    )
    return (
        f'<h2>{HEADING}</h2>\n<p class="answer">{paragraph(results, choices)}</p>\n<ul>\n{items}</ul>\n'
        f"{_undecodable(results)}{ABOUT}"
        f"<details><summary>The choice by every matched head</summary>\n{_table(results, choices)}</details>\n"
    )


def winners(choices: Sequence[Choice], dataset: str) -> dict[str, list[str]]:
    """Return the autoencoders that some head tells apart from all others on a data set, each with these heads."""
    found: dict[str, list[str]] = {}
    for choice in choices:
        comparison = choice.comparison
        if choice.dataset == dataset and comparison and comparison.behind and not comparison.rivals:
            found.setdefault(comparison.best, []).append(choice.head)
    return found


def _by_head(found: Mapping[str, Sequence[str]]) -> str:
    return "; ".join(
        f"{_name(name)} with {text.listing([_name(head) for head in heads])}" for name, heads in found.items()
    )


def paragraph(results: Results, choices: Sequence[Choice]) -> str:
    """Return the answer as HTML: what to use where, by which head, at which price, and whether one does for all.

    Nothing is simply recommended that another head is shown to be worse with.
    """
    sure: dict[str, list[str]] = {}
    clauses: list[str] = []
    chosen = deciding(choices)
    for dataset, choice in chosen.items():
        found, on = choice.comparison, f"on {text.html(dataset)},"
        if found is None:
            clauses.append(
                f"{on} <strong>nothing can be recommended</strong>: head {_name(choice.head)} {choice.why_not}"
            )
        elif not found.behind:
            only = f"<strong>{_name(found.best)}</strong> is the only candidate"
            clauses.append(f"{on} {only}, so there is nothing to choose")
        elif len(said := winners(choices, dataset)) > 1:
            clauses.append(f"{on} <strong>it depends on the head</strong> ({_by_head(said)})")
        elif found.rivals:
            some = "some others" if len(found.rivals) > 3 else text.listing([_name(name) for name in found.rivals])
            clauses.append(
                f"{on} <strong>{_name(found.best)}</strong> scores highest and cannot be told apart from {some}"
                + (f", though others are shown to be worse than {_by_head(said)}" if said else "")
            )
        else:
            sure.setdefault(found.best, []).append(text.html(dataset))
    uses = [f"<strong>use {_name(name)}</strong> on {text.listing(where)}" for name, where in sure.items()]
    if not any(winners(choices, name) for name in chosen) and any(
        c.comparison and c.comparison.rivals for c in choices
    ):
        clauses.insert(0, "<strong>no autoencoder is shown to be the best</strong> on any data set")
    # The first letter, which may stand behind a tag.
    first = re.sub(
        r"\A(<strong>)?([a-z])", lambda found: f"{found[1] or ''}{found[2].upper()}", "; ".join([*uses, *clauses])
    )
    return " ".join([f"{first}.", *_basis(results, chosen)])


def _basis(results: Results, chosen: Mapping[str, Choice]) -> list[str]:
    """Return the sentences behind the answer: heads and metric, the price, and what holds for all data sets."""
    decided = [choice for choice in chosen.values() if choice.comparison]
    if not decided:
        return []
    heads = text.listing([_name(head) for head in dict.fromkeys(choice.head for choice in decided)])
    spread = less([choice.rows[0].total.value for choice in decided])
    name = text.html(text.metric_name(results.metrics[0]))
    return [
        f"This rests on the head {heads} (protocol matched) and {name}, where no other is named.",
        f"From the best latents it scores {spread} than from the images themselves.",
        *_arrangement(results, decided),
        *_for_all(decided),
    ]


def _arrangement(results: Results, decided: Sequence[Choice]) -> list[str]:
    """Return what the same heads lose on lossless controls: nothing is missing there but the order of the values."""
    asked = {(choice.dataset, choice.head, results.metrics[0]) for choice in decided}
    rows = [row for row in results.rows if (row.dataset, row.head, row.metric) in asked and row.family in LOSSLESS]
    parts = []
    for name in dict.fromkeys(row.autoencoder for row in rows):
        found = [row.total.value for row in rows if row.autoencoder == name and not math.isnan(row.total.value)]
        parts += [f"{less(found)} on {_name(name)}"] if found else []
    said = f"On controls, which lose nothing but the arrangement of values, it scores {text.listing(parts)}."
    return [said] if parts else []


def less(values: Sequence[float]) -> str:
    """Return how much less, or more, is scored than from images."""
    low, high = min(values), max(values)
    if low < 0 < high:
        return f"{text.number(-low, 2)} more to {text.number(high, 2)} less"
    ends = sorted(text.number(abs(end), 2) for end in (low, high))
    return f"{' to '.join(dict.fromkeys(ends))} {'less' if high > 0 or low == high == 0 else 'more'}"


def _for_all(decided: Sequence[Choice]) -> list[str]:
    found = together(decided)
    if found is None:
        return []
    start = f"If one autoencoder must do for these {len(decided)} data sets and heads:"
    return [f"{start} {_name(found.best)} has the highest mean ({_lead(found)})."]


def _lead(found: Comparison) -> str:
    """Return how far the best leads the next, how often it is the best, and whom it cannot be told apart from."""
    if not found.behind:
        return "the only one that was scored"
    (following, lead), *_ = found.behind.items()
    parts = [f"{text.interval(lead, 3)} ahead of {_name(following)}", f"highest in {_share(found)} of the draws"]
    if found.rivals:
        parts.append(f"not told apart from {text.listing([_name(name) for name in found.rivals])}")
    return ", ".join(parts)


def _share(found: Comparison) -> str:
    return percent(found.shares[found.best])


def percent(share: float) -> str:
    """Return a share of draws in percent; what is near to none or all of them is not rounded to it."""
    if math.isnan(share):
        return text.MISSING
    shown = f"{100 * share:.0f}"
    ends = {"0": "0" if share == 0 else "&lt; 1", "100": "100" if share == 1 else "&gt; 99"}
    return f"{ends.get(shown, shown)}&nbsp;%"


def _sentence(choice: Choice, choices: Sequence[Choice]) -> str:
    found, first = choice.comparison, choice.rows[0]
    if found is None:
        return f"head {_name(choice.head)} {choice.why_not}, so its differences say nothing about autoencoders."
    verdict = f"{_name(found.best)} scores highest"
    if not found.rivals:
        alone = len(winners(choices, choice.dataset)) == 1
        verdict = (
            f"use <strong>{_name(found.best)}</strong>" if alone else f"{_name(found.best)} is best with this head"
        )
    scores = (
        f"head {_name(choice.head)} scores {text.interval(first.latent)} from its latents, "
        f"{text.interval(first.image)} from images"
    )
    return f"{verdict}; {scores}. It is {_lead(found)}.{_others(choice, choices)}"


def _others(choice: Choice, choices: Sequence[Choice]) -> str:
    """Return what the other matched heads say of the same data set, as far as they compare several candidates."""
    parts = []
    for other in choices:
        if other.dataset != choice.dataset or other is choice or len(other.rows) < 2:
            continue
        if other.comparison is None:
            parts.append(f"{_name(other.head)} decides nothing")
        else:
            unsure = " (not told apart)" if other.comparison.rivals else ""
            parts.append(f"{_name(other.head)} is best with {_name(other.comparison.best)}{unsure}")
    return f" Other heads: {'; '.join(parts)}." if parts else ""


def _undecodable(results: Results) -> str:
    rows = [row for row in results.rows if row.head and not row.is_control and math.isnan(row.reconstruction.value)]
    names = text.listing([_name(name) for name in dict.fromkeys(row.autoencoder for row in rows)])
    return f"<p>Not chosen among, for want of a decoder: {names}.</p>\n" if names else ""


def _table(results: Results, choices: Sequence[Choice]) -> str:
    headers = ["autoencoder", "head", "latent score", "less than the best", "p (Holm)", "highest in", "verdict"]
    groups = []
    for dataset in dict.fromkeys(choice.dataset for choice in choices):
        mine = [choice for choice in choices if choice.dataset == dataset]
        groups.append((dataset, [(False, line) for choice in mine for line in _lines(choice)]))
    name = text.html(text.metric_name(results.metrics[0]))
    caption = (
        f"Candidates by falling score from latents, in {name}, for each matched head; differences are paired. Bold: "
        "the interval excludes zero."
    )
    return table(caption, headers, groups)


def _lines(choice: Choice) -> list[list[Cell]]:
    found, lines = choice.comparison, []
    for row in choice.rows:
        name, first = row.autoencoder, [name_cell(row.autoencoder), name_cell(choice.head), score(row.latent)]
        if found is None:
            lines.append([*first, *[number(math.nan)] * 3, name_cell("decides nothing")])
            continue
        share = (percent(found.shares[name]), number(found.shares[name])[1])
        if name == found.best:
            verdict = "best" if not found.rivals and found.behind else "highest" if found.behind else "the only one"
            lines.append([*first, number(math.nan), number(math.nan), share, name_cell(verdict)])
        else:
            p = (text.p_value(found.p[name]), number(found.p[name])[1])
            verdict = "not told apart" if name in found.rivals else "lower"
            lines.append([*first, change(found.behind[name]), p, share, name_cell(verdict)])
    return lines


def _name(name: str) -> str:
    return text.html(name)
