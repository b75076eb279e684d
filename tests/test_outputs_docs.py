"""docs/outputs.md names the columns that the code writes, in their order and with their types."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipeline import complexity, conclude, correlate, cost, describe, groups, initialisation, profiles, tabulate
from pipeline.commands import compare
from pipeline.evaluate import OUTPUTS, Settings, evaluate
from pipeline.folds import splits
from pipeline.heads import Fitted, Point
from pipeline.predictions import predictions, profile, training
from pipeline.tested import truth
from tests.schemas import TEXT, compared, documented, rows

CLASSES = ["dim", "bright"]


def index() -> pd.DataFrame:
    """Return an index as stage `index` writes it."""
    count = 24
    names = [f"p{number}" for number in range(count)]
    table = pd.DataFrame({"id": names, "frame": 0, "patient": names, "unit": names})
    for number, name in enumerate(CLASSES):
        table[f"label:{name}"] = (np.arange(count) % 2 == number).astype(np.int8)
    return table.assign(usable=True, fold=np.arange(count) // 2 % 3)


@pytest.fixture(scope="module")
def written() -> dict[str, pd.DataFrame]:
    """Every table that a head's training and its comparison write."""
    table, random = index(), np.random.default_rng(0)
    known, parts = truth(table, CLASSES, "single-label", "image"), splits(table)

    def scores(split: Any, part: str) -> np.ndarray:  # noqa: ANN401
        return random.normal(size=(len(getattr(split, part)), 2)).astype(np.float32)

    found: dict[str, list[pd.DataFrame]] = {"predictions.parquet": [], "profile.parquet": [], "training.parquet": []}
    for split in parts:
        along = (Point("fraction", 0.5, scores(split, "validation"), scores(split, "test")),)
        taught = scores(split, "train")[None]
        fitted = Fitted(scores(split, "validation"), scores(split, "test"), {}, training=taught, profile=along)
        found["predictions.parquet"].append(predictions(split, 0, fitted))
        found["profile.parquet"].append(profile(split, 0, fitted))
        found["training.parquet"].append(training(split, 0, fitted))
    tables = {name: pd.concat(each, ignore_index=True) for name, each in found.items()}
    spaces = ("image", "reconstruction", "latent")
    told = dict.fromkeys(spaces, tables["predictions.parquet"]), dict.fromkeys(spaces, tables["profile.parquet"])
    evaluated = evaluate(known, *told, Settings(100))
    return tables | {f"{name}.csv": evaluated[name] for name in OUTPUTS} | {"resampled.parquet": evaluated["resampled"]}


@pytest.mark.parametrize("file", ["predictions", "profile", "training", "resampled"])
def test_what_heads_and_replicates_are_written_as_is_documented(written: dict[str, pd.DataFrame], file: str) -> None:
    compared(f"{file}.parquet", written[f"{file}.parquet"])


@pytest.mark.parametrize("file", OUTPUTS)
def test_what_a_comparison_is_written_as_is_documented(
    written: dict[str, pd.DataFrame], file: str, tmp_path: Path
) -> None:
    written[f"{file}.csv"].to_csv(tmp_path / "table.csv", index=False)
    assert len(written[f"{file}.csv"])
    compared(f"{file}.csv", pd.read_csv(tmp_path / "table.csv", keep_default_na=False, na_values=[""]))


CONSTANT = {
    "results/gap_table.csv": tabulate.COLUMNS,
    "results/fidelity.csv": tabulate.CLASS_COLUMNS,
    "results/claims.csv": conclude.COLUMNS,
    "results/profile.csv": profiles.COLUMNS,
    "results/complexity.csv": complexity.COLUMNS,
    "results/groups.csv": groups.COLUMNS,
    "results/initialisation.csv": initialisation.COLUMNS,
    "results/covariates.csv": describe.COLUMNS,
    "results/correlations.csv": correlate.COLUMNS,
    "results/cost.csv": cost.COLUMNS,
}


@pytest.mark.parametrize("file", CONSTANT)
def test_the_columns_of_the_studys_tables_are_documented(file: str) -> None:
    assert [name for name, _ in documented(file)] == CONSTANT[file]


def test_the_types_of_counts_in_the_gap_table_are_documented() -> None:
    counts = {name for name, kind in documented("results/gap_table.csv") if kind == "integer"}
    assert counts == set(tabulate.COUNTS)
    assert {name for name, kind in documented("results/claims.csv") if kind == "integer"} == set(conclude.COUNTS)


def test_the_changes_between_studies_are_documented() -> None:
    assert [name for name, _ in rows(TEXT[TEXT.index("## Changes between") :])] == compare.COLUMNS
