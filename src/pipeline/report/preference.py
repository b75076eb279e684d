"""Which autoencoder's latents a head scores highest on, and how sure that is, from shared draws of patients."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline import bootstrap, significance
from pipeline.errors import StudyError
from pipeline.quantities import grids
from pipeline.report.results import Interval, Results, Row

Floats = NDArray[np.float64]
"""1 + B scores: of the sample itself, then of its replicates."""

LEVEL = 0.05
"""Adjusted p below which two autoencoders are told apart."""
ROUNDED = 2e-6
"""The gap table has six decimals."""
NOTHING = Interval(math.nan, math.nan, math.nan)


@dataclass(frozen=True)
class Comparison:
    """Candidates with one head on one data set, or on the mean of several.

    Attributes:
        latents: 1 + B scores of each candidate, by falling score of the sample itself.
        shares: in which share of the replicates each scores highest; a tie counts in parts.
        behind: what each of the others scores less than the best, with the interval of the paired difference.
        p: of these differences, two-sided, adjusted by Holm's method over the others.
    """

    latents: Mapping[str, Floats]
    shares: Mapping[str, float]
    behind: Mapping[str, Interval]
    p: Mapping[str, float]

    @property
    def best(self) -> str:
        """Return the candidate that scores highest."""
        return next(iter(self.latents))

    @property
    def rivals(self) -> list[str]:
        """Return those that cannot be told apart from the best."""
        return [name for name, p in self.p.items() if not p < LEVEL]


@dataclass(frozen=True)
class Choice:
    """A comparison on one data set, and whether it decides anything.

    Attributes:
        rows: the candidates' rows of the gap table, by falling latent score.
        comparison: None where the head decides nothing.
        why_not: in words, as the end of a sentence; empty where it decides.
    """

    dataset: str
    head: str
    rows: tuple[Row, ...]
    comparison: Comparison | None
    why_not: str


def compare(latents: Mapping[str, Floats]) -> Comparison:
    """Compare candidates by 1 + B paired scores each; raise StudyError for unlike numbers of replicates."""
    if len({len(values) for values in latents.values()}) != 1:
        raise StudyError("the autoencoders of a data set differ in their numbers of replicates; evaluate them again")
    ordered = dict(sorted(latents.items(), key=lambda item: (-item[1][0], item[0])))
    best, *others = ordered
    behind = {name: ordered[best] - ordered[name] for name in others}
    adjusted = significance.holm(np.array([significance.two_sided(values[1:]) for values in behind.values()]))
    return Comparison(
        ordered,
        dict(zip(ordered, shares(np.stack(list(ordered.values()))[:, 1:]), strict=True)),
        {name: Interval(float(values[0]), *bootstrap.interval(values[1:])) for name, values in behind.items()},
        dict(zip(others, map(float, adjusted), strict=True)),
    )


def shares(replicates: Floats) -> list[float]:
    """Return for each of K candidates the share of the B replicates, K x B, in which it is highest; ties in parts.

    Replicates in which a score is NaN are left out, as they are from intervals; NaN where none is left.
    """
    whole = replicates[:, np.isfinite(replicates).all(axis=0)]
    if not whole.shape[1]:
        return [math.nan] * len(replicates)
    highest = whole == whole.max(axis=0)
    return [float(value) for value in (highest / highest.sum(axis=0)).mean(axis=1)]


def choices(results: Results, scores: Path) -> list[Choice]:
    """Return what every matched head says of every data set, the heads in the order of the page.

    Args:
        results: the gap table.
        scores: the folder of stage `evaluate`, which keeps the replicates that the gap table was made of.

    Raises:
        StudyError: replicates and gap table are not of the same scores.
    """
    return list(_choices(results, scores))


def _choices(results: Results, scores: Path) -> Iterator[Choice]:
    for dataset in results.datasets:
        for head in (head for head in results.heads if results.is_matched(head)):
            rows = candidates(results, head, dataset)
            if not rows:
                continue
            why_not = undecided(results, rows)
            read = {row.autoencoder: replicates(row, scores) for row in rows} if not why_not else {}
            yield Choice(dataset, head, tuple(rows), compare(read) if read else None, why_not)


def candidates(results: Results, head: str, dataset: str) -> list[Row]:
    """Return the rows that a choice is among, by falling latent score: no control, and nothing without a decoder."""
    rows = results.ranked(head, results.metrics[0], dataset)
    scored = [row for row in rows if not row.is_control and not math.isnan(row.latent.value)]
    return [row for row in scored if not math.isnan(row.reconstruction.value)]


def undecided(results: Results, rows: Sequence[Row]) -> str:
    """Return why a head decides nothing on a data set: it is not shown to be above chance from images, or latents."""
    first = rows[0]
    chance = {"mcc": 0.0, "auroc": 0.5}
    known = [row for row in results.rows if (row.dataset, row.head) == (first.dataset, first.head)]
    for metric, level in chance.items():
        asked = {row.autoencoder: row for row in known if row.metric == metric}
        if not asked:
            continue
        if not next(iter(asked.values())).image.low > level:
            return "is not shown to be above chance from images"
        if not any(asked[row.autoencoder].latent.low > level for row in rows if row.autoencoder in asked):
            return "is not shown to be above chance from the latents of any autoencoder"
        return ""
    return "has no metric of which the level of chance is known"


def replicates(row: Row, scores: Path) -> Floats:
    """Return 1 + B latent scores of a row, means over folds and seeds; raise StudyError where they contradict it."""
    path = scores / row.dataset / row.autoencoder / row.head / "resampled.parquet"
    found = grids(pd.read_parquet(path, filters=[("metric", "==", row.metric), ("space", "==", "latent")]))
    values: Floats = found[row.metric, "latent"].mean(axis=(0, 1))
    if not abs(values[0] - row.latent.value) < ROUNDED:
        raise StudyError(
            f"the replicates of {row.dataset} / {row.autoencoder} / {row.head} are not of the scores in the gap table; "
            "make both again"
        )
    return values


def deciding(choices: Sequence[Choice]) -> dict[str, Choice]:
    """Return the choice that the answer rests on for each data set; of one where no head decides anything, the first.

    It is that of the first head which decides, among those that were trained on the most candidates.
    """
    found: dict[str, Choice] = {}
    for dataset in dict.fromkeys(choice.dataset for choice in choices):
        mine = [choice for choice in choices if choice.dataset == dataset]
        found[dataset] = max(mine, key=lambda choice: (choice.comparison is not None, len(choice.rows)))
    return found


def together(choices: Sequence[Choice]) -> Comparison | None:
    """Compare by the mean over data sets, each counted equally; None for fewer than two that have common candidates.

    Draws of different data sets are independent, so replicates are put together in their order.
    """
    known = [choice.comparison.latents for choice in choices if choice.comparison]
    common = [name for name in (known[0] if known else {}) if all(name in latents for latents in known)]
    if len(known) < 2 or len(common) < 2:
        return None
    count = min(len(latents[name]) for latents in known for name in common)
    return compare({name: np.mean([latents[name][:count] for latents in known], axis=0) for name in common})
