"""Head, medium and tail classes: scores apart for what is common in training and what is rare."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field, model_validator

from pipeline.metrics import Metric, binary_auroc, mean_of_drawn, recalls
from pipeline.quantities import DIFFERENCES, SPACES, wide
from pipeline.spec import Spec

Floats = NDArray[np.float64]
Labels = NDArray[np.integer[Any]]
Group = Literal["head", "medium", "tail"]
NAMES: tuple[Group, ...] = get_args(Group)


COLUMNS = [
    *("group", "metric", "classes", "folds"),
    *(f"{quantity}{bound}" for quantity in (*SPACES, *DIFFERENCES) for bound in ("", "_low", "_high")),
]


class Groups(Spec):
    """Which classes are common and which are rare, by their share of the training labels."""

    head: Annotated[float, Field(gt=0, le=1)] = 0.2
    """A class that at least this share of the training samples has is a head class. [1]"""
    tail: Annotated[float, Field(ge=0, lt=1)] = 0.05
    """A class that less than this share of the training samples has is a tail class. [1]"""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.tail > self.head:
            raise ValueError("'tail' must not be larger than 'head'")
        return self

    def of(self, shares: Floats) -> dict[Group, list[int]]:
        """Return the numbers of the classes of each group, from K shares; only groups that have any."""
        group = np.where(shares >= self.head, 0, np.where(shares < self.tail, 2, 1))
        found = {name: np.flatnonzero(group == place).tolist() for place, name in enumerate(NAMES)}
        return {name: classes for name, classes in found.items() if classes}


DEFAULT = Groups()


def metrics(members: Mapping[Group, Sequence[int]], exclusive: bool) -> dict[str, Metric]:
    """Return by group the mean over its classes of the recall, or of the AUROC where classes are not exclusive.

    NaN under weights that have drawn none of the group's classes, or one side alone of each.
    """
    return {name: _mean_recall(classes) if exclusive else _mean_area(classes) for name, classes in members.items()}


def _mean_recall(classes: Sequence[int]) -> Metric:
    def metric(scores: Floats, labels: Labels, weights: Floats) -> Floats:
        return mean_of_drawn(recalls(scores, labels, weights)[:, classes])

    return metric


def _mean_area(classes: Sequence[int]) -> Metric:
    def metric(scores: Floats, labels: Labels, weights: Floats) -> Floats:
        return mean_of_drawn(np.stack([binary_auroc(scores[:, k], labels[:, k], weights) for k in classes], axis=1))

    return metric


def table(replicated: pd.DataFrame, members: Mapping[Group, Sequence[int]], exclusive: bool) -> pd.DataFrame:
    """Return one row a group: `group`, `metric`, `classes` (how many), scores and differences with their intervals.

    Folds in which none of a group's classes is tested are no part of its means; `folds` says how many are.

    Args:
        replicated: `metric` (the group), `space`, `fold`, `seed`, `values`.
        members: the numbers of each group's classes.
        exclusive: whether classes are exclusive.
    """
    tested = np.array([np.isfinite(values[0]) for values in replicated["values"]])
    held = replicated[tested]
    if not len(held):
        return pd.DataFrame(columns=COLUMNS)
    found = wide(held).rename(columns={"metric": "group"}).assign(metric="recall" if exclusive else "auroc")
    counts = held.groupby("metric")["fold"].nunique()
    found["classes"] = [len(members[name]) for name in found["group"]]
    found["folds"] = [int(counts[name]) for name in found["group"]]
    return found[COLUMNS]
