"""The gap table as typed rows, in the orders in which the report shows them."""

import math
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

import pandas as pd

from pipeline.controls import CONTROLS
from pipeline.errors import StudyError

HEADLINE_METRIC = "balanced_accuracy"
MATCHED = "matched"
"""The protocol of the headline; rows of any other, as published ones, are shown beside it and never enter it."""

ENDS = ("", "_low", "_high")
INTERVALS = ("image", "reconstruction", "latent", "information_loss", "learnability_gap", "total")
NUMBERS = (
    *("folds", "seeds", "patients", "units", "samples"),
    *("psnr", "ssim", "ms_ssim", "ms_ssim_scales", "lpips", "rfid", "rfid_samples"),
    *("compression_ratio", "stored_bytes", "coded_bytes", "float32_retries"),
    *("mmse_ratio", "fisher_ratio", "fisher_rate_ratio", "mmse_rate_ratio"),
    *("tangential_distortion", "fine_curvature", "latent_data_curvature"),
)
TEXTS = ("dataset", "autoencoder", "family", "head", "protocol", "metric", "latent_shape")


_EMPTY = {name: [""] for name in (*NUMBERS, *(name + end for name in INTERVALS for end in ENDS))}


class Interval(NamedTuple):
    """A point estimate with its 95 % interval; NaN where it was not measured."""

    value: float
    low: float
    high: float

    @property
    def side(self) -> int | None:
        """Return 1 or -1 where the whole interval lies above or below zero, 0 where it does not, None without one."""
        if math.isnan(self.low) or math.isnan(self.high):
            return None
        return int(self.low > 0) - int(self.high < 0)


@dataclass(frozen=True)
class Row:
    """One row of the gap table. Scores are fractions, `psnr` is in dB (inf: lossless), `stored_bytes` in bytes."""

    dataset: str
    autoencoder: str
    family: str
    head: str
    protocol: str
    metric: str
    latent_shape: str
    image: Interval
    reconstruction: Interval
    latent: Interval
    information_loss: Interval
    learnability_gap: Interval
    total: Interval
    folds: float
    seeds: float
    patients: float
    units: float
    samples: float
    psnr: float
    ssim: float
    ms_ssim: float
    ms_ssim_scales: float
    lpips: float
    rfid: float
    rfid_samples: float
    compression_ratio: float
    stored_bytes: float
    coded_bytes: float
    float32_retries: float
    mmse_ratio: float
    fisher_ratio: float
    fisher_rate_ratio: float
    mmse_rate_ratio: float
    tangential_distortion: float
    fine_curvature: float
    latent_data_curvature: float

    @property
    def is_control(self) -> bool:
        """Return whether the autoencoder is a control and not a candidate."""
        return self.family in CONTROLS


def _row(record: dict[Hashable, Any]) -> Row:
    values: dict[str, Any] = {name: "" if pd.isna(record[name]) else str(record[name]) for name in TEXTS}
    values |= {name: Interval(*(float(record[name + end]) for end in ENDS)) for name in INTERVALS}
    values |= {name: float(record[name]) for name in NUMBERS}
    return Row(**values)


def _rank(row: Row) -> tuple[int, int, float, str]:
    control = CONTROLS.index(row.family) if row.is_control else -1
    unscored = math.isnan(row.latent.value)
    return control, int(unscored), 0.0 if unscored else -row.latent.value, row.autoencoder


@dataclass(frozen=True)
class Results:
    """The rows of a gap table, in the order of the table."""

    rows: tuple[Row, ...]

    @classmethod
    def read(cls, table: pd.DataFrame) -> Self:
        """Read a gap table; raise StudyError for one that is empty, lacks columns or says one thing twice."""
        needed = [*TEXTS, *NUMBERS, *(name + end for name in INTERVALS for end in ENDS)]
        if missing := sorted(set(needed) - set(table.columns)):
            raise StudyError(f"the gap table lacks the columns {', '.join(missing)}")
        if table.empty:
            raise StudyError("the gap table has no rows, so there is nothing to report")
        rows = tuple(_row(record) for record in table.to_dict(orient="records"))
        seen: set[tuple[str, ...]] = set()
        for row in rows:
            key = (row.dataset, row.autoencoder, row.head, row.metric)
            if key in seen:
                raise StudyError(f"the gap table has two rows for {' / '.join(key)}")
            seen.add(key)
        return cls(rows)

    @property
    def pixels(self) -> str:
        """Return the name of the autoencoder that is the pixels; empty without one."""
        return next((row.autoencoder for row in self.rows if row.family == "identity"), "")

    @property
    def datasets(self) -> list[str]:
        """Return the datasets in the order of the table."""
        return unique(row.dataset for row in self.rows)

    @property
    def heads(self) -> list[str]:
        """Return the heads, those of the matched protocol first, then in the order of the table.

        Reconstruction-only datasets have an empty one, which is left out.
        """
        return sorted(unique(row.head for row in self.rows if row.head), key=lambda head: not self.is_matched(head))

    def is_matched(self, head: str) -> bool:
        """Return whether a head gives every space the same chances: no other head is a headline."""
        return all(row.protocol == MATCHED for row in self.rows if row.head == head)

    def label(self, head: str) -> str:
        """Return what a head is called where heads are shown together: with its protocol, unless that is `matched`."""
        protocols = unique(row.protocol for row in self.rows if row.head == head and row.protocol != MATCHED)
        return f"{head} (protocol: {', '.join(protocols)})" if protocols else head

    @property
    def metrics(self) -> list[str]:
        """Return the metrics, balanced accuracy first, then in the order of the table."""
        metrics = unique(row.metric for row in self.rows if row.head)
        return sorted(metrics, key=lambda metric: metric != HEADLINE_METRIC)

    def select(self, head: str, metric: str) -> list[Row]:
        """Return the rows of one head and metric in the order of the table."""
        return [row for row in self.rows if (row.head, row.metric) == (head, metric)]

    def ranked(self, head: str, metric: str, dataset: str) -> list[Row]:
        """Return one dataset's rows: candidates by falling latent score, then the controls."""
        return sorted((row for row in self.select(head, metric) if row.dataset == dataset), key=_rank)

    def encodings(self, dataset: str) -> list[Row]:
        """Return the first row of each autoencoder, for what depends on neither head nor metric; controls last."""
        first: dict[str, Row] = {}
        for row in self.rows:
            if row.dataset == dataset:
                first.setdefault(row.autoencoder, row)
        return sorted(first.values(), key=lambda row: row.is_control)


def read_gaps(path: Path) -> pd.DataFrame:
    """Read a gap table; a head, a data set or an autoencoder may be called "None" or "NA"."""
    table = pd.read_csv(path, dtype=dict.fromkeys(TEXTS, str), keep_default_na=False, na_values=_EMPTY)
    return table.astype({name: "float64" for name in _EMPTY if name in table.columns})


def unique(values: Iterable[str]) -> list[str]:
    """Return each value once, in the order of its first appearance."""
    return list(dict.fromkeys(values))
