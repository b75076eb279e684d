"""Did the gap change between two studies: row by row, paired where the draws of both are the same."""

import argparse
import math
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pandas as pd

from pipeline import significance
from pipeline.bootstrap import interval
from pipeline.commands.replicates import Replicates, Unpaired, draws, seed_variance
from pipeline.controls import CONTROLS
from pipeline.errors import StudyError
from pipeline.progress import progress
from pipeline.quantities import DIFFERENCES
from pipeline.tabulate import write_table

KEYS = ["dataset", "autoencoder", "head", "protocol", "metric"]
"""What makes two rows of gap tables rows about the same."""
COUNTS = ["seeds", "patients", "units"]
COLUMNS = [
    *(*KEYS, "family", "a", "b", "change", "low", "high", "p", "p_holm", "basis", "reason", "replicates", "seed_error"),
    *(f"{count}_{side}" for count in COUNTS for side in "ab"),
]
SPREAD = 2 * NormalDist().inv_cdf(0.975)
"""Standard errors that a 95 % interval of a normal distribution is wide."""


def options(parser: argparse.ArgumentParser) -> None:
    """Add the helper's options."""
    parser.add_argument(
        "a", type=Path, help="gap table of the first study, with its scores/ beside it for a paired test"
    )
    parser.add_argument("b", type=Path, help="gap table of the second; changes are B minus A")
    parser.add_argument("--quantity", choices=tuple(DIFFERENCES), default="learnability_gap")
    parser.add_argument("--metric", help="compare the rows of this metric alone")
    parser.add_argument("--csv", type=Path, help="write the table with all columns, too")


def perform(asked: argparse.Namespace) -> None:
    """Print the changes, and on what they rest."""
    a, b = (read(path, asked.metric) for path in (asked.a, asked.b))
    compared = compare(a, b, asked.a, asked.b, asked.quantity)
    if asked.csv:
        write_table(compared, asked.csv)
    print(text(compared, asked.quantity))
    print("\n".join(remarks(compared, a, b)))


def read(path: Path, metric: str | None = None) -> pd.DataFrame:
    """Read a gap table, or its rows of one metric; raise StudyError for what is none."""
    try:
        table = pd.read_csv(path, keep_default_na=False, na_values=["", "nan"], dtype=dict.fromkeys(KEYS, str))
    except FileNotFoundError:
        raise StudyError(f"there is no file {path}; make it with: snakemake results/gap_table.csv") from None
    except (ValueError, OSError) as error:
        raise StudyError(f"{path} is no table: {' '.join(str(error).split())}") from None
    numbers = [*COUNTS, *(f"{name}{end}" for name in DIFFERENCES for end in ("", "_low", "_high"))]
    if missing := [name for name in [*KEYS, "family", *numbers] if name not in table]:
        raise StudyError(f"{path} is no gap table of this version: it has no column {missing[0]}")
    if wrong := [name for name in numbers if not pd.api.types.is_numeric_dtype(table[name])]:
        raise StudyError(f"{path} is no gap table: what stands in its column {wrong[0]} is not all numbers")
    # Data sets without labels have rows about autoencoders alone.
    table = table[table["metric"].notna() if metric is None else table["metric"] == metric]
    if table.duplicated(KEYS).any():
        raise StudyError(f"{path} has two rows about the same; make it again with: snakemake results/gap_table.csv")
    return table


def compare(a: pd.DataFrame, b: pd.DataFrame, a_path: Path, b_path: Path, quantity: str) -> pd.DataFrame:
    """Return one row for each data set, autoencoder, head, protocol and metric that both tables have.

    `change` is B's value minus A's; `low`, `high` its 95 % interval and `p` two-sided. With the `basis` `paired` they
    come from the replicates of both studies, taken draw by draw, since patients, folds and labels are the same. With
    `intervals` they come from the widths of both intervals, as of independent, normally distributed estimates. `p_holm`
    is adjusted over the autoencoders of one data set, head and metric, controls left out, as in `claims.csv`.
    `seed_error` is the standard error of the change between seeds, where both studies have several.

    Args:
        a: the first study's table, as `read` returns it.
        b: the second's.
        a_path: where it stands: replicates are looked for in `scores/` beside it.
        b_path: the same of the second.
        quantity: which difference between spaces is compared.

    Raises:
        StudyError: the tables have no row in common.
    """
    both = a.merge(b, on=KEYS, suffixes=("_a", "_b"))
    both = both[both[f"{quantity}_a"].notna() | both[f"{quantity}_b"].notna()]
    if both.empty:
        raise StudyError(
            f"{a_path} and {b_path} have no row in common: none of the same data set, autoencoder, head, protocol and "
            f"metric with a value of {quantity}"
        )
    beside = Replicates(a_path, "A"), Replicates(b_path, "B")
    rows = [_row(row, *beside, quantity) for _, row in progress(both.iterrows(), len(both), "comparing", " rows")]
    table = pd.DataFrame(rows)
    candidate = ~table["family"].isin(CONTROLS)
    families = table[candidate].groupby(["dataset", "head", "protocol", "metric"])["p"]
    table["p_holm"] = families.transform(lambda p: significance.holm(p.to_numpy(np.float64)))
    return table.reindex(columns=COLUMNS)


def _row(row: "pd.Series[float]", a: Replicates, b: Replicates, quantity: str) -> dict[str, object]:
    value_a, value_b = float(row[f"{quantity}_a"]), float(row[f"{quantity}_b"])
    found: dict[str, object] = {name: row[name] for name in KEYS}
    found |= {"family": row["family_a"], "a": value_a, "b": value_b, "change": value_b - value_a}
    found |= {f"{count}_{side}": row[f"{count}_{side}"] for count in COUNTS for side in "ab"}
    try:
        drawn_a, drawn_b = draws(row, a, b, quantity)
    except Unpaired as reason:
        return found | _from_intervals(row, quantity) | {"basis": "intervals", "reason": str(reason)}
    # The mean over folds and seeds, replicate by replicate: the draws of patients are the same in both.
    change = drawn_b.mean(axis=(0, 1)) - drawn_a.mean(axis=(0, 1))
    low, high = interval(change[1:])
    found |= {"low": low, "high": high, "p": significance.two_sided(change[1:]), "replicates": len(change) - 1}
    return found | {"basis": "paired", "seed_error": math.sqrt(seed_variance(drawn_a) + seed_variance(drawn_b))}


def _from_intervals(row: "pd.Series[float]", quantity: str) -> dict[str, float]:
    widths = [float(row[f"{quantity}_high_{side}"] - row[f"{quantity}_low_{side}"]) for side in "ab"]
    error = math.hypot(*widths) / SPREAD
    change = float(row[f"{quantity}_b"] - row[f"{quantity}_a"])
    # Two intervals without width say nothing of how sure a change is.
    p = 2 * NormalDist().cdf(-abs(change) / error) if error > 0 else math.nan
    return {"low": change - error * SPREAD / 2, "high": change + error * SPREAD / 2, "p": p}


def text(table: pd.DataFrame, quantity: str) -> str:
    """Return the changes as a table to read."""
    shown = table[["dataset", "autoencoder", "head", "metric"]].copy()
    for side in "ab":
        shown[side.upper()] = [f"{value:.3f}" for value in table[side]]
    change = zip(table["change"], table["low"], table["high"], strict=True)
    shown["change [95 %]"] = [f"{value:+.3f} [{low:+.3f}, {high:+.3f}]" for value, low, high in change]
    for column in ("p", "p_holm"):
        shown[column] = [f"{value:.3f}" if value == value else "-" for value in table[column]]
    shown["basis"] = table["basis"]
    return f"{quantity}, B minus A\n\n{shown.to_string(index=False)}\n"


def remarks(table: pd.DataFrame, a: pd.DataFrame, b: pd.DataFrame) -> list[str]:
    """Return what must be known to read the changes."""
    keys = [set(map(tuple, each[KEYS].to_numpy())) for each in (table, a, b)]
    lines = [f"{len(table)} rows compared; {len(keys[1] - keys[2])} are in A only, {len(keys[2] - keys[1])} in B only."]
    if (table["basis"] == "paired").any():
        lines.append("paired: the same patients, folds and labels, drawn alike in both studies.")
    for reason, part in table[table["basis"] == "intervals"].groupby("reason"):
        lines.append(
            f"intervals: {len(part)} rows as if the two studies were independent and their errors normal, because "
            f"{reason}. With the same patients in both that is usually too careful; it is never a paired test."
        )
    lines.append("p_holm: over the autoencoders of one data set, head and metric; controls are no part of it.")
    lines.append(
        "All of this holds the trained heads fixed: it says how sure a change is for other patients, and not how much "
        "training once more would move it."
    )
    clear = table[table["p_holm"] < 0.05]
    if len(clear):
        within = int((clear["change"].abs() < 2 * clear["seed_error"]).sum())
        unknown = int(clear["seed_error"].isna().sum())
        lines.append(
            f"Of {len(clear)} changes with p_holm < 0.05, {within} are smaller than two standard errors between seeds, "
            f"and of {unknown} that is not known, because a study has one seed or no replicates."
        )
    return lines
