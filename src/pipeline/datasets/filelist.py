"""A table that names every image's file, patient and label."""

import warnings
from pathlib import Path
from typing import Literal

import pandas as pd

from pipeline.datasets import DatasetSpec, Listed, checked
from pipeline.errors import StudyError


class Spec(DatasetSpec):
    """A CSV file with one row an image."""

    family: Literal["filelist"]
    labels: str
    """The CSV file."""
    path_column: str = "path"
    label_column: str = "label"
    patient_column: str | None = "id"
    """None takes every file as a patient of its own, which leaks if patients have several images."""
    fold_column: str | None = None
    """Official folds, numbered from 0."""

    def tables(self) -> list[str]:
        """Return the label file."""
        return [self.labels]

    def listed(self, files: list[str]) -> list[Listed]:
        """Take every row of the table; a row whose file is missing is refused later, with that reason."""
        table = self._table()
        duplicated = table[self.path_column][table[self.path_column].duplicated()]
        if len(duplicated):
            raise StudyError(f"{self.labels} lists the path {duplicated.iloc[0]!r} twice")
        rows = table.to_dict(orient="records")
        return checked((self._entry({str(key): value for key, value in row.items()}) for row in rows), self)

    def _table(self) -> pd.DataFrame:
        if not Path(self.labels).is_file():
            raise StudyError(f"the label file {self.labels} is missing")
        table = self._parsed()
        wanted = [self.path_column, self.patient_column, self.fold_column]
        wanted += [self.label_column] if self.classes else []
        for column in wanted:
            if column is not None and column not in table.columns:
                raise StudyError(f"{self.labels} has no column {column!r}; it has {', '.join(table.columns)}")
        return table.sort_values(self.path_column, kind="stable")

    def _parsed(self) -> pd.DataFrame:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            try:
                # Without `index_col` a row with a field too many would move every column by one.
                return pd.read_csv(self.labels, dtype=str, keep_default_na=False, index_col=False)
            except (ValueError, pd.errors.ParserWarning) as error:
                reason = str(error).strip()
                raise StudyError(f"the label file {self.labels} is not a CSV file in UTF-8: {reason}") from None

    def _entry(self, row: dict[str, str]) -> Listed:
        path = row[self.path_column]
        patient = path if self.patient_column is None else row[self.patient_column]
        if not patient.strip():
            raise StudyError(f"{self.labels} names no patient for {path!r} in column {self.patient_column!r}")
        if patient != patient.strip() and self.patient_column is not None:
            # Taken as it is, it could be one patient under two names.
            raise StudyError(f"{self.labels} has spaces around the patient {patient!r} of {path!r}; remove them")
        return Listed(path, patient, row[self.label_column] if self.classes else None, self._fold(row))

    def _fold(self, row: dict[str, str]) -> int | None:
        if self.fold_column is None:
            return None
        text = row[self.fold_column]
        if not (text.isascii() and text.isdigit()) or int(text) >= self.folds:
            raise StudyError(f"{self.labels} has the fold {text!r}, and {self.folds} folds from 0 are declared")
        return int(text)
