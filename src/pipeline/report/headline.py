"""The answer in words, and what a reader must know before trusting it: both computed from the table."""

import math
from collections.abc import Sequence

from pipeline.report import text
from pipeline.report.results import Results, Row

Side = int | None
"""Where the interval of a learnability gap lies: `Interval.side`."""

READINGS: dict[Side, str] = {
    1: "score lower",
    0: "no difference shown",
    -1: "score higher",
    None: "not measured",
}

CLAUSES: dict[Side, str] = {1: "above zero", 0: "including zero", -1: "below zero", None: "not measured"}

TOLERANCE = 1e-9
"""The gap of `identity` compares a score with itself; more than rounding is an error of the study."""


def sentence(results: Results, head: str, metric: str, dataset: str) -> str:
    """Return one dataset's headline as HTML."""
    rows = [row for row in results.ranked(head, metric, dataset) if not row.is_control]
    scored = [row for row in rows if not math.isnan(row.latent.value)]
    start = f"<strong>{text.html(dataset)}</strong>: "
    if not scored:
        return f"{start}no autoencoder was scored with this head."
    best = scored[0]
    verb = "score highest:" if len(scored) > 1 else "score"
    lead = (
        f"{start}from images the head scores {text.interval(best.image)}; the latents of {_names([best])} {verb} "
        f"{text.interval(best.latent)}."
    )
    named = [(clause, [row for row in rows if row.learnability_gap.side == side]) for side, clause in CLAUSES.items()]
    clauses = "; ".join(f"<em>{clause}</em> for {_names(those)}" for clause, those in named if those)
    return f"{lead} Interval of the gap: {clauses}."


def _names(rows: Sequence[Row]) -> str:
    return text.listing([text.html(row.autoencoder) for row in rows])


def summary(results: Results, head: str, metric: str) -> str:
    """Return the headline paragraph: over all datasets, how many gap intervals of candidates lie where."""
    rows = [row for row in results.select(head, metric) if not row.is_control]
    if not rows:
        name = text.html(text.metric_name(metric))
        return f"With the head <strong>{text.html(head)}</strong>, only controls have a score in {name}, if any has."
    sides = [row.learnability_gap.side for row in rows]
    pairs = "pair" if len(rows) == 1 else "pairs"
    protocols = text.listing(sorted({row.protocol for row in rows if row.protocol}))
    under = f", protocol {text.html(protocols)}" if protocols else ""
    return (
        f"With the head <strong>{text.html(head)}</strong> and {text.html(text.metric_name(metric))}{under}, "
        f"{len(rows)} {pairs} of dataset and autoencoder were compared, controls aside. The interval of the "
        f"learnability gap lies above zero in {sides.count(1)} (the head scores lower on latents than on "
        f"reconstructions), includes zero in {sides.count(0)} (no gap is shown, and none is ruled out) and lies below "
        f"zero in {sides.count(-1)}" + (f"; in {sides.count(None)} there is no interval." if None in sides else ".")
    )


def cautions(results: Results) -> list[str]:
    """Return as plain text what makes rows of this table doubtful: a failed control, an image score near chance."""
    found: list[str] = []
    for row in results.rows:
        if row.float32_retries > 0:
            found.append(
                f"{row.dataset}: in reduced precision {row.autoencoder} gave values that are not finite, or too large, "
                f"for {text.number(row.float32_retries)} batches, which were encoded again in float32."
            )
        where = f"{row.dataset}, head {row.head}, {text.metric_name(row.metric)}"
        gaps = [row.information_loss.value, row.learnability_gap.value]
        if row.head and row.family == "identity" and not all(abs(gap) <= TOLERANCE for gap in gaps):
            found.append(
                f"{where}: the control {row.autoencoder} must lose nothing, but its information loss is "
                f"{text.number(gaps[0], 3)} and its learnability gap {text.number(gaps[1], 3)}. "
                "Do not use these results before this is explained."
            )
        if row.metric == "mcc" and row.image.side in (0, -1):
            found.append(
                f"{where}: the score from images, {text.interval(row.image)}, is not shown to be above chance (0), "
                "so there is little that latents could lose, and a small gap says nothing about them."
            )
    return list(dict.fromkeys(found))
