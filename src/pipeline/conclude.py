"""Stage conclude: what the study says as a whole, from the replicates of every candidate on every data set."""

import argparse
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline import bootstrap, hierarchical, initialisation, significance
from pipeline.errors import StudyError
from pipeline.files import write_atomically
from pipeline.program import run
from pipeline.quantities import DIFFERENCES, grids

Floats = NDArray[np.float64]
Values = dict[str, Any]
Cells = dict[str, dict[str, Floats]]
"""By data set and autoencoder F x S x (1 + B): folds, seeds, and the sample itself before its replicates."""

GAP = "learnability_gap"
COLUMNS = [
    *("level", "dataset", "autoencoder", "head", "metric", "quantity", "value", "low", "high"),
    *("datasets", "cells", "replicates", "units", "p", "p_holm"),
    *("positive_cells", "sign_p_cells", "positive_datasets", "sign_p_datasets", "smallest_p_datasets", "caution"),
]
COUNTS = dict.fromkeys(("datasets", "cells", "replicates", "positive_cells", "positive_datasets"), "Int64")


@dataclass(frozen=True)
class Question:
    """What the rows of one part of the table are about."""

    head: str
    metric: str
    quantity: str


def differences(resampled: pd.DataFrame) -> dict[tuple[str, str], Floats]:
    """Return F x S x (1 + B) values by metric and quantity; none of what needs a space that does not exist.

    Args:
        resampled: `metric`, `space`, `fold`, `seed`, `r0` to `rB`, as stage `evaluate` writes it.

    Raises:
        StudyError: a fold lacks a seed, or has it twice.
    """
    found = grids(resampled)
    return {
        (metric, quantity): found[metric, a] - found[metric, b]
        for metric in dict.fromkeys(metric for metric, _ in found)
        for quantity, (a, b) in DIFFERENCES.items()
        if (metric, a) in found and (metric, b) in found
    }


def mean_of(candidates: Mapping[str, Floats]) -> Floats:
    """Return the mean over the autoencoders of one data set, replicate by replicate, so that they stay paired.

    Raises:
        StudyError: they were not evaluated in the same folds, with the same seeds and as many replicates.
    """
    if len({values.shape for values in candidates.values()}) != 1:
        raise StudyError("the autoencoders of a data set differ in folds, seeds or replicates; evaluate them again")
    return np.asarray(np.mean(list(candidates.values()), axis=0))


def estimate(units: Sequence[Floats]) -> Values:
    """Return the mean over data sets with its hierarchical interval, what was drawn, and from how many replicates."""
    count = min(values.shape[2] for values in units) - 1
    low, high = bootstrap.interval(hierarchical.replicates([values[:, :, 1:] for values in units], count))
    value = float(np.mean([values[:, :, 0].mean() for values in units]))
    return {
        **{"value": value, "low": low, "high": high, "datasets": len(units), "replicates": count},
        "units": hierarchical.described(units),
    }


def of_cell(values: Floats) -> Values:
    """Return a cell's row: the interval of the gap table, in which patients alone are drawn, and the p that fits it."""
    means = values.mean(axis=(0, 1))
    low, high = bootstrap.interval(means[1:])
    return {
        **{"value": float(means[0]), "low": low, "high": high, "datasets": 1, "cells": 1},
        **{"replicates": len(means) - 1, "units": "drawn: patients; folds and seeds as they are"},
        "p": significance.two_sided(means[1:]),
    }


def signs(cells: Cells) -> Values:
    """Return the sign tests: over cells, as published, and over data sets; a gap of exactly zero is not positive."""
    points = [value for of_set in cells.values() for values in of_set.values() if _known(value := _point(values))]
    sets = [value for of_set in cells.values() if _known(value := _point(mean_of(of_set)))]
    positive, positive_sets = (sum(value > 0 for value in values) for values in (points, sets))
    smallest = significance.sign_test(len(sets), len(sets))
    return {
        "positive_cells": positive,
        "sign_p_cells": significance.sign_test(positive, len(points)),
        "positive_datasets": positive_sets,
        "sign_p_datasets": significance.sign_test(positive_sets, len(sets)),
        "smallest_p_datasets": smallest,
        "caution": _caution(len(points), len(sets), smallest),
    }


def _caution(pairs: int, sets: int, smallest: float) -> str:
    shared = "one data set" if sets == 1 else f"{sets} data sets"
    floor = f"Over {shared} no p can be below {smallest:.4g}."
    if pairs == sets:
        return floor
    return (
        f"Pairs of data set and autoencoder are not independent: {pairs} of them share the images of {shared}, so p "
        f"over pairs is smaller than the data justify. {floor}"
    )


def _point(values: Floats) -> float:
    return float(values[:, :, 0].mean())


def _known(value: float) -> bool:
    return not math.isnan(value)


def rows(question: Question, cells: Cells) -> Iterator[Values]:
    """Yield the rows of one head, metric and quantity: the study, each autoencoder, each data set, each cell."""
    about = vars(question)
    many = sum(len(of_set) for of_set in cells.values())
    whole = {"level": "study", **about, **estimate([mean_of(of_set) for of_set in cells.values()]), "cells": many}
    yield whole | (signs(cells) if question.quantity == GAP else {})
    for name in dict.fromkeys(name for of_set in cells.values() for name in of_set):
        units = [of_set[name] for of_set in cells.values() if name in of_set]
        yield {"level": "autoencoder", "autoencoder": name, **about, **estimate(units), "cells": len(units)}
    for dataset, of_set in cells.items():
        of_all = estimate([mean_of(of_set)])
        yield {"level": "dataset", "dataset": dataset, **about, **of_all, "cells": len(of_set)}
    for dataset, of_set in cells.items():
        yield from _of_cells(dataset, about, of_set, adjusted=question.quantity == GAP)


def _of_cells(dataset: str, about: Values, candidates: Mapping[str, Floats], adjusted: bool) -> Iterator[Values]:
    found = {name: of_cell(values) for name, values in candidates.items()}
    family = significance.holm(np.array([row["p"] for row in found.values()]))
    for (name, row), p_holm in zip(found.items(), family, strict=True):
        if not adjusted:
            # The family is that of the gaps: other quantities were not asked about.
            del row["p"]
        yield {
            **{"level": "cell", "dataset": dataset, "autoencoder": name, **about, **row},
            **({"p_holm": p_holm} if adjusted else {}),
        }


def conclude(read: Mapping[str, Mapping[str, Mapping[str, Path]]]) -> pd.DataFrame:
    """Return the table of claims.

    Args:
        read: by head, data set and autoencoder: the file of replicates.
    """
    lines: list[Values] = []
    for head, of_head in read.items():
        found = {
            dataset: {name: differences(pd.read_parquet(path)) for name, path in of_set.items()}
            for dataset, of_set in of_head.items()
        }
        keys = dict.fromkeys(key for of_set in found.values() for values in of_set.values() for key in values)
        for metric, quantity in keys:
            cells = {
                dataset: {
                    name: values[metric, quantity] for name, values in of_set.items() if (metric, quantity) in values
                }
                for dataset, of_set in found.items()
            }
            known = {dataset: of_set for dataset, of_set in cells.items() if of_set}
            lines += rows(Question(head, metric, quantity), known)
    return pd.DataFrame(lines, columns=COLUMNS).astype(COUNTS)


def files(plan: Mapping[str, Mapping[str, Sequence[str]]], scores: Path) -> dict[str, dict[str, dict[str, Path]]]:
    """Return the files of replicates by head, data set and autoencoder, of a plan by data set and head."""
    return {
        head: {
            dataset: {name: scores / dataset / name / head / "resampled.parquet" for name in entry[head]}
            for dataset, entry in plan.items()
            if entry.get(head)
        }
        for head in dict.fromkeys(head for entry in plan.values() for head in entry)
    }


def main() -> None:
    """Write the table of claims, and what comes of pretraining and what of the space.

    The plan is a JSON object with one entry a data set: each of its heads, with the candidates that it is trained in.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--plan", required=True, help=main.__doc__)
    parser.add_argument("--scores", type=Path, required=True, help="the folder of stage evaluate")
    parser.add_argument("--claims", type=Path, required=True)
    parser.add_argument("--roles", required=True, help="JSON: scratch, pretrained, published to a head; {}: no split")
    parser.add_argument("--initialisation", type=Path, required=True)
    arguments = parser.parse_args()
    read = files(json.loads(arguments.plan), arguments.scores)
    _write(arguments.claims, conclude(read))
    _write(arguments.initialisation, initialisation.split(read, json.loads(arguments.roles)))


def _write(path: Path, table: pd.DataFrame) -> None:
    # Significant digits, not decimals: p values can be small.
    write_atomically(path, lambda temporary: table.to_csv(temporary, index=False, float_format="%.6g"))


if __name__ == "__main__":
    run(main)
