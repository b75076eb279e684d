"""Scores along an axis: noise on the input, the share of labels, the depth in the decoder."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.errors import StudyError
from pipeline.quantities import averages, differences, stated
from pipeline.tested import Cells, Truth, cells

Floats = NDArray[np.float64]
FRACTION = "fraction"
CLEAN = {"noise": 0.0, "depth": 0.0}
"""Where the main predictions stand on an axis; on that of fractions they stand at the head's own share of labels."""
COLUMNS = ["axis", "at", "quantity", "metric", "value", "low", "high"]


class Place(NamedTuple):
    """A place on an axis."""

    axis: str
    at: float


Points = dict[Place, dict[str, Cells]]
"""By place and space."""


def points(known: Truth, profiles: Mapping[str, pd.DataFrame], main: Mapping[str, Cells], fraction: float) -> Points:
    """Return what was tested at every place of every axis, in the order of the axes and along them.

    The main predictions are added to each axis on which a space has a profile, unless they are in it already.

    Args:
        known: the truth.
        profiles: by space `axis`, `at`, and the columns of predictions; may have no rows.
        main: by space the main predictions.
        fraction: the share of labels of the main predictions.

    Raises:
        StudyError: a place does not have the test samples of the main predictions, or a larger share of labels.
    """
    found: Points = {}
    for space, profile in profiles.items():
        for axis, at in profile[["axis", "at"]].drop_duplicates().itertuples(index=False):
            place, part = Place(axis, at), profile[(profile["axis"] == axis) & (profile["at"] == at)]
            found.setdefault(place, {})[space] = _cells(known, part, place)
        for axis in profile["axis"].unique():
            found.setdefault(Place(axis, CLEAN.get(axis, fraction)), {}).setdefault(space, main[space])
    if found and max((place.at for place in found if place.axis == FRACTION), default=fraction) > fraction:
        raise StudyError("a profile has more labels than the predictions; 'fractions' must be below 'label_fraction'")
    return dict(sorted(found.items()))


def _cells(known: Truth, part: pd.DataFrame, place: Place) -> Cells:
    try:
        return cells(known, part)
    except StudyError as error:
        raise StudyError(f"the profile at {place.axis} {place.at:g}: {error.message}") from None


def table(replicated: pd.DataFrame) -> pd.DataFrame:
    """Return one row for each place, metric and quantity, in the columns COLUMNS.

    A quantity is a space, or along the axis of fractions a difference between spaces of their scores, as in the gap
    table. Of `log_loss`, in nats, lower is better, and no difference is taken here.

    Args:
        replicated: `axis`, `at`, `metric`, `space`, `fold`, `seed`, `values`.
    """
    rows = []
    for (axis, at), part in replicated.groupby(["axis", "at"]):
        for metric, means in averages(part).items():
            apart = differences(means) if axis == FRACTION and metric != "log_loss" else {}
            for quantity, values in (means | apart).items():
                rows.append({"axis": axis, "at": at, "quantity": quantity, "metric": metric, **stated(values)})
    return pd.DataFrame(rows, columns=COLUMNS)


def curves(replicated: pd.DataFrame) -> tuple[list[float], dict[str, dict[str, Floats]]]:
    """Return the fractions of the learning curves, rising, and by metric and space P x (1 + B) scores.

    A space that does not have every fraction has no curve.

    Args:
        replicated: as `table` takes it.
    """
    part = replicated[replicated["axis"] == FRACTION]
    fractions = sorted({float(at) for at in part["at"]})
    of_place = [averages(part[part["at"] == at]) for at in fractions]
    found: dict[str, dict[str, Floats]] = {}
    for metric in _all(of_place):
        for space in _all(means.get(metric, {}) for means in of_place):
            if all(space in means.get(metric, {}) for means in of_place):
                found.setdefault(metric, {})[space] = np.stack([means[metric][space] for means in of_place])
    return fractions, found


def _all(keyed: Iterable[Mapping[str, object]]) -> list[str]:
    return list(dict.fromkeys(name for keys in keyed for name in keys))
