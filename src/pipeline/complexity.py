"""How many labels a space needs: epsilon sample complexity and surplus description length, from learning curves.

Both are of the loss-data framework (Whitney, Song, Brandfonbrener, Altosaar and Cho 2020, arXiv 2009.07368): the first
is a slice along the axis of the labels at a given score, the second the area between the loss and a given loss. Curves
are known at P sizes of the training part. Nothing is said of what lies beyond them: what would need it is a bound.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.quantities import DIFFERENCES, stated

Floats = NDArray[np.float64]
Curves = Mapping[str, Floats]
"""By space P x R: sizes, the sample itself before its replicates."""
Values = dict[str, object]

TARGETS = (1.0, 0.5, 0.25)
"""Shares of the labels with which the reference reaches the score that is asked for."""
EXACT, MORE, FEWER, UNKNOWN = "", ">", "<", "?"
LOG_LOSS = "log_loss"
ROUNDING = 1e-12
"""A score that is so much lower than another is the same."""
COLUMNS = [
    *("measure", "quantity", "metric", "reference", "share", "epsilon", "from_labels", "to_labels"),
    *("value", "low", "high", "bound", "defined"),
]


class Reached(NamedTuple):
    """R sizes at which a score is first reached, infinite where none does; `few`: already at the smallest size."""

    size: Floats
    few: NDArray[np.bool_]


def first_reached(sizes: Floats, scores: Floats, targets: Floats) -> Reached:
    """Return the smallest training part with which each target is reached: the epsilon sample complexity.

    Between two sizes the score is taken as linear in the logarithm of the size. A curve may fall: what counts is where
    it first reaches the target.

    Args:
        sizes: P rising numbers of samples.
        scores: P x R, higher is better; NaN is no score, and then nothing is known.
        targets: R.
    """
    above = scores >= targets - ROUNDING
    first = above.argmax(axis=0)
    after, column, logs = np.maximum(first, 1), np.arange(scores.shape[1]), np.log(sizes)
    low, high = scores[after - 1, column], scores[after, column]
    inside = (first > 0) & (high > low)
    part = np.divide(targets - low, high - low, out=np.ones_like(targets), where=inside)
    found = np.exp(logs[after - 1] + np.clip(part, 0, 1) * (logs[after] - logs[after - 1]))
    found = np.where(first == 0, sizes[0], found)
    found = np.where(above.any(axis=0), found, np.inf)
    return Reached(np.where(np.isnan(scores).any(axis=0) | np.isnan(targets), np.nan, found), above[0])


def at_share(sizes: Floats, scores: Floats, share: float) -> Floats | None:
    """Return R scores with a share of the largest training part; None where that is less than the smallest."""
    wanted = np.log(share * sizes[-1])
    logs = np.log(sizes)
    if wanted < logs[0]:
        return None
    if share == 1:
        return np.asarray(scores[-1])
    after = int(np.clip(np.searchsorted(logs, wanted), 1, len(logs) - 1))
    part = (wanted - logs[after - 1]) / (logs[after] - logs[after - 1])
    return np.asarray(scores[after - 1] + part * (scores[after] - scores[after - 1]))


def ratios(sizes: Floats, first: Floats, second: Floats, targets: Floats) -> tuple[Floats, list[str]]:
    """Return R times as many labels that the second space needs as the first for the same score, and R bounds.

    The bound says that the ratio is larger (`>`) or smaller (`<`) than the number, since a space reaches the score
    beyond the largest training part, or already with the smallest; `?`: both are bounded the same way, so nothing is
    known, and the ratio is NaN.

    Args:
        sizes: P numbers of samples.
        first: P x R scores of the first space.
        second: P x R scores of the second.
        targets: R.
    """
    one, two = first_reached(sizes, first, targets), first_reached(sizes, second, targets)
    known = np.isfinite(one.size) | np.isposinf(one.size)
    more, fewer = np.isposinf(two.size) | one.few, np.isposinf(one.size) | two.few
    unclear = (more & fewer) | ~known | np.isnan(two.size)
    value = np.minimum(two.size, sizes[-1]) / np.minimum(one.size, sizes[-1])
    bounds = np.select([unclear, more, fewer], [UNKNOWN, MORE, FEWER], EXACT)
    return np.where(unclear, np.nan, value), [str(bound) for bound in bounds]


def surplus(sizes: Floats, losses: Floats, epsilon: float) -> Floats:
    """Return R surplus description lengths in nats: what the labels cost beyond `epsilon` each.

    The labels are told in blocks, each by the head that was trained on those before it (prequential code), from the
    smallest training part to the largest: the sum over successive sizes of (n' - n) max(0, loss(n) - epsilon).

    Args:
        sizes: P rising numbers of samples.
        losses: P x R, nats a sample.
        epsilon: the tolerated loss in nats a sample; minus infinity is not asked for.
    """
    return np.asarray(np.diff(sizes) @ np.maximum(losses[:-1] - epsilon, 0))


def code_length(sizes: Floats, losses: Floats) -> Floats:
    """Return R prequential code lengths in nats, of the labels after the smallest training part."""
    return np.asarray(np.diff(sizes) @ losses[:-1])


def table(sizes: Floats, curves: Mapping[str, Curves]) -> pd.DataFrame:
    """Return what one cell's learning curves say, in the columns COLUMNS.

    `measure` is `labels_ratio`, `surplus_description_length` or `code_length_difference`; the last two in nats. A
    `quantity` that is a difference compares the two spaces of that difference, the one that is subtracted last: how
    many times as many labels, or how many more nats. `defined` is the share of replicates of which a ratio is known.

    Args:
        sizes: P rising mean numbers of training samples; the last is that of the main predictions. With fewer than two
            there is nothing to tell.
        curves: by metric, P x (1 + B) by space; the metric `log_loss` is in nats and lower is better.
    """
    rows: list[Values] = []
    if len(sizes) < 2:
        return pd.DataFrame(rows, columns=COLUMNS)
    for metric, of_metric in curves.items():
        sign = -1.0 if metric == LOG_LOSS else 1.0
        rows += _ratio_rows(sizes, metric, {space: sign * values for space, values in of_metric.items()})
    if LOG_LOSS in curves:
        rows += _length_rows(sizes, curves[LOG_LOSS])
    ends = {"from_labels": float(sizes[0]), "to_labels": float(sizes[-1])}
    return pd.DataFrame([row | ends for row in rows], columns=COLUMNS)


def _ratio_rows(sizes: Floats, metric: str, curves: Curves) -> list[Values]:
    rows: list[Values] = []
    for quantity, (a, b) in DIFFERENCES.items():
        if a not in curves or b not in curves:
            continue
        for reference, share in [*((a, share) for share in TARGETS), (b, 1.0)]:
            targets = at_share(sizes, curves[reference], share)
            if targets is None:
                continue
            about = {"measure": "labels_ratio", "quantity": quantity, "metric": metric}
            row = _ratio(*ratios(sizes, curves[a], curves[b], targets))
            rows.append({**about, "reference": reference, "share": share, **row})
    return rows


def _ratio(values: Floats, bounds: list[str]) -> Values:
    """Return one row; a replicate that is a bound is that number at one end of the interval, and open at the other."""
    known = ~np.isnan(values[1:])
    more, fewer = (np.array(bounds)[1:] == bound for bound in (MORE, FEWER))
    low = _quantile(np.where(fewer, 0.0, values[1:])[known], 0.025)
    high = _quantile(np.where(more, np.inf, values[1:])[known], 0.975)
    defined = float(known.mean()) if len(known) else np.nan
    return {"value": values[0], "low": low, "high": high, "bound": bounds[0], "defined": defined}


def _quantile(values: Floats, share: float) -> float:
    # No interpolation: half of infinity is none of the replicates.
    return float(np.quantile(values, share, method="inverted_cdf")) if len(values) else np.nan


def _length_rows(sizes: Floats, losses: Curves) -> list[Values]:
    if "image" not in losses:
        return []
    # Stated, and therefore the same in every replicate: what the head on images reaches with all labels.
    epsilon = float(losses["image"][-1, 0])
    lengths = {space: surplus(sizes, values, epsilon) for space, values in losses.items()}
    beyond = {space: bool(values[-1, 0] > epsilon) for space, values in losses.items()}
    name = {"measure": "surplus_description_length", "metric": LOG_LOSS, "epsilon": epsilon, "defined": 1.0}
    rows: list[Values] = [
        {**name, "quantity": space, **stated(values), "bound": MORE if beyond[space] else EXACT}
        for space, values in lengths.items()
    ]
    for quantity, (a, b) in DIFFERENCES.items():
        if a in losses and b in losses:
            bound = {(False, True): MORE, (True, False): FEWER, (True, True): UNKNOWN}.get(
                (beyond[a], beyond[b]), EXACT
            )
            rows.append({**name, "quantity": quantity, **stated(lengths[b] - lengths[a]), "bound": bound})
            apart = code_length(sizes, losses[b]) - code_length(sizes, losses[a])
            about = {"measure": "code_length_difference", "metric": LOG_LOSS, "defined": 1.0}
            rows.append({**about, "quantity": quantity, **stated(apart), "bound": EXACT})
    return rows
