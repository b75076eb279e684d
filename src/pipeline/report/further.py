"""The study's tables beside the gap table, as the report reads them."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, NamedTuple, Self

import pandas as pd

from pipeline.errors import StudyError
from pipeline.report.results import INTERVALS, Interval


class Columns(NamedTuple):
    """The columns that the report needs of a table."""

    texts: tuple[str, ...]
    numbers: tuple[str, ...]


CELL = ("dataset", "autoencoder", "head")
VALUE = ("value", "low", "high")
COLUMNS = {
    "profile": Columns((*CELL, "axis", "quantity", "metric"), ("at", *VALUE)),
    "complexity": Columns(
        (*CELL, "measure", "quantity", "metric", "reference", "bound"),
        ("share", "epsilon", "from_labels", "to_labels", *VALUE, "defined"),
    ),
    "groups": Columns(
        (*CELL, "group", "metric"),
        ("classes", "folds", *(name + end for name in INTERVALS for end in ("", "_low", "_high"))),
    ),
    "reliability": Columns((*CELL, "space"), ("bin", "above", "upto", "confidence", "accuracy", "count")),
    "initialisation": Columns(
        ("dataset", "autoencoder", "metric", "quantity", "head", "space", "other_head", "other_space"), VALUE
    ),
    "correlations": Columns(
        ("head", "metric", "quantity", "covariate", "space", "caution"),
        ("rho", "rho_within", "low", "high", "p", "p_holm", "smallest_p", "cells", "datasets"),
    ),
    "covariates": Columns(("dataset", "autoencoder", "space", "covariate"), ("value",)),
    "cost": Columns(
        (*CELL, "space", "shape", "device", "precision"),
        (
            *("threads", "batch", "parameters", "multiply_accumulates", "inference_per_second_ratio"),
            *("training_per_second_ratio", "training_peak_bytes_ratio", "stored_bytes_ratio"),
        ),
    ),
    "diffusability": Columns(
        ("dataset", "autoencoder", "denoiser", "quantity"), ("sigma", "value", "standard_error", "per_latent_dimension")
    ),
    "diffusability_summary": Columns(
        ("dataset", "autoencoder", "denoiser"),
        ("mmse_ratio", "fisher_ratio", "fisher_rate_ratio", "mmse_rate_ratio", "disagreement", "asymmetry"),
    ),
    "encoder_geometry": Columns(("dataset", "autoencoder", "quantity"), ("value", "standard_error")),
    "class_information": Columns((*CELL, "quantity"), ("sigma", "value", "standard_error")),
}
"""By the name of the table, which is that of its file."""
OPTIONAL = ("cost", "diffusability", "diffusability_summary", "encoder_geometry", "class_information")
"""Tables that not every study has."""


def _empty(name: str) -> pd.DataFrame:
    return pd.DataFrame(columns=[*COLUMNS[name].texts, *COLUMNS[name].numbers])


@dataclass(frozen=True)
class Further:
    """The tables beside the gap table; each may have no rows, and then the report has no such section."""

    profile: pd.DataFrame = field(default_factory=lambda: _empty("profile"))
    complexity: pd.DataFrame = field(default_factory=lambda: _empty("complexity"))
    groups: pd.DataFrame = field(default_factory=lambda: _empty("groups"))
    reliability: pd.DataFrame = field(default_factory=lambda: _empty("reliability"))
    initialisation: pd.DataFrame = field(default_factory=lambda: _empty("initialisation"))
    correlations: pd.DataFrame = field(default_factory=lambda: _empty("correlations"))
    covariates: pd.DataFrame = field(default_factory=lambda: _empty("covariates"))
    cost: pd.DataFrame = field(default_factory=lambda: _empty("cost"))
    diffusability: pd.DataFrame = field(default_factory=lambda: _empty("diffusability"))
    diffusability_summary: pd.DataFrame = field(default_factory=lambda: _empty("diffusability_summary"))
    encoder_geometry: pd.DataFrame = field(default_factory=lambda: _empty("encoder_geometry"))
    class_information: pd.DataFrame = field(default_factory=lambda: _empty("class_information"))

    def __post_init__(self) -> None:
        """Raise StudyError for a table with rows that lacks columns."""
        for each in fields(self):
            checked(getattr(self, each.name), each.name)

    @classmethod
    def read(cls, folder: Path, optional: Collection[str] = ()) -> Self:
        """Read the tables from `<name>.csv` in the results folder; raise StudyError for one that lacks columns.

        Args:
            folder: of all results.
            optional: which of the tables that not every study has belong to it; one that was made by hand does not.
        """
        names = [name for name in COLUMNS if name in optional or name not in OPTIONAL]
        return cls(**{name: read(folder / f"{name}.csv", name) for name in names})


def read(path: Path, name: str) -> pd.DataFrame:
    """Read one of the tables; a head or a data set may be called "None" or "NA".

    Raises:
        StudyError: it has rows, but not the columns that are needed.
    """
    texts, numbers = COLUMNS[name]
    kinds, empty = dict.fromkeys(texts, str), {number: [""] for number in numbers}
    table = pd.read_csv(path, dtype=kinds, keep_default_na=False, na_values=empty)
    checked(table, name)
    # A study without labels has tables without these columns, and without rows.
    return table.astype(dict.fromkeys(numbers, "float64")) if len(table) else _empty(name)


def checked(table: pd.DataFrame, name: str) -> None:
    """Raise StudyError for a table that has rows, but not the columns that are needed."""
    texts, numbers = COLUMNS[name]
    if len(table) and (missing := sorted({*texts, *numbers} - set(table.columns))):
        raise StudyError(f"the table {name}.csv lacks the columns {', '.join(missing)}; make it again")


class Place(NamedTuple):
    """Whose curve it is, and in what."""

    dataset: str
    autoencoder: str
    head: str
    metric: str
    quantity: str


Record = Mapping[Any, Any]
"""One row of a table, by its columns."""

Curve = list[tuple[float, Interval]]
"""Places on an axis, rising, with scores."""


def along(profile: pd.DataFrame, axis: str) -> dict[Place, Curve]:
    """Return the curves along an axis, in the order of the table."""
    found: dict[Place, Curve] = {}
    part = profile[profile["axis"] == axis].sort_values("at", kind="stable")
    # Sorted along the axis, found in the order of the table.
    for key in profile.loc[profile["axis"] == axis, list(Place._fields)].drop_duplicates().itertuples(index=False):
        found[Place(*key)] = []
    for row in part.to_dict("records"):
        place = Place(*(row[name] for name in Place._fields))
        found[place].append((float(row["at"]), interval(row)))
    return found


def interval(row: Record, name: str = "") -> Interval:
    """Return the point with its interval of a row: `value`, `low`, `high`, or those of a column by this name."""
    keys = (name, f"{name}_low", f"{name}_high") if name else VALUE
    return Interval(*(float(row[key]) for key in keys))
