"""Part of stage conclude: whether what is measured of a space goes along with its gap, and with its loss."""

import argparse
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline import significance
from pipeline.controls import CONTROLS
from pipeline.errors import StudyError
from pipeline.files import write_atomically
from pipeline.program import run

Floats = NDArray[np.float64]
QUANTITIES = ("learnability_gap", "information_loss")
FIDELITY = ("psnr", "ssim", "lpips")
DIFFUSABILITY = (
    *("mmse_ratio", "fisher_ratio", "fisher_rate_ratio", "mmse_rate_ratio"),
    *("compression_ratio", "tangential_distortion", "fine_curvature", "latent_data_curvature"),
)
"""Of the gap table: four ratios to pixels, and the four penalties."""
TABULATED = (*FIDELITY, *DIFFUSABILITY)
NAMED = ("dataset", "autoencoder", "space", "covariate")
TABLE = ("dataset", "autoencoder", "family", "head", "metric")
COLUMNS = [
    *("head", "metric", "quantity", "covariate", "space", "rho", "rho_within", "low", "high"),
    *("p", "p_holm", "smallest_p", "cells", "datasets", "caution"),
]
SEED = 20260517
PERMUTATIONS = 9_999
FEW = 8
"""Cells below which a rank correlation says hardly anything, and has no interval."""
NORMAL = 1.959964


def candidates(table: pd.DataFrame, quantity: str) -> pd.DataFrame:
    """Return the rows of the gap table that are about scores of autoencoders, controls aside, and have the quantity."""
    return table[(table["head"] != "") & ~table["family"].isin(CONTROLS) & table[quantity].notna()]


def measured(covariates: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """Return the covariates with those of the gap table among them (of no space): NAMED and `value`.

    Raises:
        StudyError: a covariate of a space stands there twice.
    """
    known = table.drop_duplicates(["dataset", "autoencoder"])
    tabulated = known.melt(["dataset", "autoencoder"], [*TABULATED], "covariate", "value").assign(space="")
    found = pd.concat([covariates, tabulated], ignore_index=True)[[*NAMED, "value"]]
    if found.duplicated([*NAMED]).any():
        raise StudyError("the table of covariates has a covariate of a space twice; remove it and describe again")
    return found[found["value"].notna()]


def spearman(x: Floats, y: Floats) -> float:
    """Return Spearman's rank correlation of n pairs, ties sharing their mean rank; NaN where one side is constant."""
    return _correlation(_centred(x, np.zeros(len(x), np.int64)), _centred(y, np.zeros(len(y), np.int64)))


def within(x: Floats, y: Floats, datasets: NDArray[np.int64]) -> tuple[float, float]:
    """Return the rank correlation within data sets of n pairs, and its p by permutation within data sets.

    Ranks are taken within each data set and their means removed, so that differences between data sets count for
    nothing. Under the null hypothesis the values of a data set's autoencoders can be exchanged. p is two-sided: the
    share of 9,999 random permutations and the one at hand with a correlation as far from 0. Both are NaN where x or y
    varies in no data set.

    Args:
        x: n values; those that are permuted.
        y: n values.
        datasets: n numbers from 0.
    """
    one, two = _centred(x, datasets), _centred(y, datasets)
    found = _correlation(one, two)
    if math.isnan(found):
        return math.nan, math.nan
    sums = np.zeros(PERMUTATIONS)
    for number in np.unique(datasets):
        generator, inside = np.random.default_rng([SEED, int(number)]), datasets == number
        tried = generator.permuted(np.tile(one[inside], (PERMUTATIONS, 1)), axis=1)
        sums += tried @ two[inside]
    as_far = np.abs(sums) >= abs(float(one @ two)) - 1e-9
    return found, (1 + int(as_far.sum())) / (1 + PERMUTATIONS)


def interval(rho: float, cells: int, datasets: int) -> tuple[float, float]:
    """Return the 95 % interval of a rank correlation within data sets (Bonett and Wright 2000), by Fisher's z.

    Each data set's mean rank takes a degree of freedom. NaN of fewer than FEW cells, and of a correlation of 1 or -1,
    of which the formula knows no error.
    """
    freedom = cells - datasets - 2
    if cells < FEW or freedom < 1 or not abs(rho) < 1 - 1e-9:
        return math.nan, math.nan
    reach = NORMAL * math.sqrt((1 + rho**2 / 2) / freedom)
    return math.tanh(math.atanh(rho) - reach), math.tanh(math.atanh(rho) + reach)


def _centred(values: Floats, datasets: NDArray[np.int64]) -> Floats:
    ranks = pd.Series(values).groupby(datasets).rank()
    return (ranks - ranks.groupby(datasets).transform("mean")).to_numpy(np.float64)


def _correlation(x: Floats, y: Floats) -> float:
    spread = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y) / spread if spread > 0 else math.nan


def rows(gaps: pd.DataFrame, quantity: str, values: pd.DataFrame) -> Iterator[dict[str, object]]:
    """Yield a row for each covariate and space, of one head, metric and quantity; `p_holm` is adjusted over all."""
    cells = gaps[["dataset", "autoencoder", quantity]].rename(columns={quantity: "gap"})
    found = [
        {"covariate": name, "space": space, **_row(cells.merge(part, on=["dataset", "autoencoder"]))}
        for (name, space), part in values.groupby(["covariate", "space"], sort=False)
    ]
    adjusted = significance.holm(np.array([row["p"] for row in found], np.float64))
    for row, p_holm in zip(found, adjusted, strict=True):
        yield row | {"p_holm": p_holm}


def _row(cells: pd.DataFrame) -> dict[str, object]:
    x, y = (cells[name].to_numpy(np.float64) for name in ("value", "gap"))
    datasets = pd.factorize(cells["dataset"])[0].astype(np.int64)
    inside, p = within(x, y, datasets) if len(cells) else (math.nan, math.nan)
    smallest = 1 / math.prod(math.factorial(count) for count in np.bincount(datasets))
    counts = {"cells": len(cells), "datasets": cells["dataset"].nunique()}
    text = (
        f"{len(cells)} pairs of data set and autoencoder are too few for a rank correlation to be trusted; no p below "
        f"{smallest:.2g} is possible."
    )
    caution = text if len(cells) < FEW else ""
    low, high = interval(inside, len(cells), cells["dataset"].nunique())
    found = {"rho": spearman(x, y) if len(cells) else math.nan, "rho_within": inside, "low": low, "high": high}
    return {**found, "p": p, "smallest_p": smallest, **counts, "caution": caution}


def correlate(table: pd.DataFrame, covariates: pd.DataFrame) -> pd.DataFrame:
    """Return how each covariate goes along with the gap and with the loss, for each head and metric.

    Args:
        table: the gap table.
        covariates: NAMED and `value`.
    """
    values, lines = measured(covariates, table), []
    for quantity in QUANTITIES:
        for (head, metric), part in candidates(table, quantity).groupby(["head", "metric"], sort=False):
            named = {"head": head, "metric": metric, "quantity": quantity}
            lines += [{**named, **row} for row in rows(part, quantity, values)]
    return pd.DataFrame(lines, columns=COLUMNS)


def main() -> None:
    """Correlate the study's covariates with its gaps."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--table", type=Path, required=True, help="the gap table")
    parser.add_argument("--covariates", type=Path, required=True)
    parser.add_argument("--correlations", type=Path, required=True)
    asked = parser.parse_args()
    table = _read(asked.table, TABLE, (*TABULATED, *QUANTITIES))
    covariates = _read(asked.covariates, NAMED, ("value",))
    made = correlate(table, covariates)
    write_atomically(asked.correlations, lambda path: made.to_csv(path, index=False, float_format="%.6g"))


def _read(path: Path, texts: tuple[str, ...], numbers: tuple[str, ...]) -> pd.DataFrame:
    """Read these columns of a table; a head or a data set may be called "None" or "NA"."""
    kinds, empty = dict.fromkeys(texts, str), {name: [""] for name in numbers}
    table = pd.read_csv(path, usecols=[*texts, *numbers], dtype=kinds, keep_default_na=False, na_values=empty)
    return table.astype(dict.fromkeys(numbers, "float64"))


if __name__ == "__main__":
    run(main)
