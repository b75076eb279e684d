"""A table that names every image's file, patient and labels: the publication's own format."""

import re
from collections import Counter
from typing import Literal, Self

from pydantic import model_validator

from pipeline.datasets import Listed, Part
from pipeline.datasets.reading.columns import ColumnSpec
from pipeline.datasets.reading.rules import parts
from pipeline.datasets.reading.tables import Table, listing, read_table
from pipeline.datasets.reading.trees import Tree, stem
from pipeline.errors import StudyError
from pipeline.notes import note

METADATA = {"index", "subject_id", "study_id", "dicom_id", "impression", "image", "Finding Labels", "FileName"}
"""Columns that the publication's code passes over, beside the path, `id`, `Split` and columns without a name."""


class Spec(ColumnSpec):
    """A CSV file with one row an image."""

    family: Literal["filelist"]
    labels: str
    """The CSV file."""
    path_column: str = "path"
    """The column with each image's file, relative to `root`."""
    patient_column: str | None = "id"
    """None takes every file as a patient of its own, which leaks if patients have several images."""
    patient_from_path: str | None = None
    """A regular expression with one group that finds the patient in the path of the file, in place of a column."""
    split_column: str | None = "Split"
    """Official parts: train, val (valid, validate, validation) and test, in any case. None passes the column over."""
    fold_column: str | None = None
    """Official folds, numbered from 0."""
    match: Literal["path", "name"] = "path"
    """`name` finds each file by its name alone, whatever its folder and ending, for lists that were made of a copy."""
    repeats: Literal["stop", "once", "first"] = "stop"
    """What happens to rows of one file: the study stops; rows that say the same count once; the first row counts."""

    @model_validator(mode="after")
    def _patients_stand_in_one_place(self) -> Self:
        if self.patient_from_path is not None:
            if self.said("patient_column"):
                raise ValueError("the patient stands in 'patient_column' or in 'patient_from_path', not in both")
            try:
                groups = re.compile(self.patient_from_path).groups
            except re.error as error:
                raise ValueError(f"'patient_from_path' is not a regular expression: {error}") from None
            if groups != 1:
                raise ValueError("'patient_from_path' must have one group, which is the patient")
        if self.fold_column and self.said("split_column") and self.split_column:
            raise ValueError("there are official folds or official parts, not both: set 'split_column' to null")
        return self

    def tested_folds(self) -> int:
        """Return how many folds are tested: official ones are tested in turn."""
        return self.folds if self.fold_column else super().tested_folds()

    def tables(self) -> list[str]:
        """Return the label file."""
        return [self.labels]

    def listed(self, files: list[str]) -> list[Listed]:
        """Take every row of the table; a row whose file is missing is refused later, with that reason."""
        table = read_table(self.labels)
        paths = self._paths(table, files)
        official, folds = self._parts(table), self._folds(table)
        labels = self.labels_of(table, self._others())
        rows = zip(paths, self._patients(table, paths), labels, official, folds, strict=True)
        entries = [Listed(path, patient, row, part, fold) for path, patient, row, part, fold in rows]
        return self.finished(self._without_repeats(entries), files)

    def _others(self) -> set[str]:
        named = (self.path_column, self.patient_column, self.split_column, self.fold_column, "id", "Split")
        return METADATA | {column for column in named if column is not None}

    def _paths(self, table: Table, files: list[str]) -> list[str]:
        cells = table[self.path_column]
        if "" in cells:
            raise StudyError(f"{self.labels} has an empty cell in column {self.path_column!r}")
        if self.match == "path":
            return cells
        tree = Tree(self.root, files)
        return [cell if cell in tree.files else tree.named(stem(cell)) or cell for cell in cells]

    def _patients(self, table: Table, paths: list[str]) -> list[str]:
        if self.patient_from_path is not None:
            return [self._patient(path, re.compile(self.patient_from_path)) for path in paths]
        if self.patient_column is None:
            return paths
        if self.patient_column not in table and not self.said("patient_column"):
            raise StudyError(
                f"{self.labels} has no column 'id' that says whose each image is; name one in 'patient_column', find "
                "the patient in the path by 'patient_from_path', or set 'patient_column' to null if no patient has two "
                "images",
                table.names(),
            )
        return table.identifiers(self.patient_column)

    def _patient(self, path: str, pattern: re.Pattern[str]) -> str:
        found = pattern.search(path)
        if not (found and found[1]):
            raise StudyError(f"'patient_from_path' finds no patient in a path of {self.labels}", path)
        return found[1]

    def _parts(self, table: Table) -> list[Part] | list[None]:
        column = self.split_column
        if column is None or self.fold_column or (column not in table and not self.said("split_column")):
            return [None] * len(table)
        return parts(table, column)

    def _folds(self, table: Table) -> list[int] | list[None]:
        if self.fold_column is None:
            return [None] * len(table)
        cells = table[self.fold_column]
        numbers = {cell: int(cell) for cell in set(cells) if cell.isascii() and cell.isdigit()}
        strange = [cell for cell in set(cells) if numbers.get(cell, self.folds) >= self.folds]
        if strange:
            raise StudyError(
                f"column {self.fold_column!r} of {self.labels} holds something else than the {self.folds} folds from 0",
                listing(sorted(map(repr, strange))),
            )
        return [numbers[cell] for cell in cells]

    def _without_repeats(self, entries: list[Listed]) -> list[Listed]:
        first: dict[str, Listed] = {}
        differing = [entry.path for entry in entries if first.setdefault(entry.path, entry) != entry]
        repeated = len(entries) - len(first)
        if not repeated:
            return entries
        if self.repeats == "stop":
            raise StudyError(
                f"{self.labels} has {repeated} rows of files that it lists already, {len(differing)} of them with "
                "other labels, patient or part; set 'repeats' to once or first",
                listing([path for path, count in Counter(entry.path for entry in entries).items() if count > 1]),
            )
        if differing and self.repeats == "once":
            raise StudyError(
                f"{self.labels} lists files twice that do not have the same labels, patient or part each time; set "
                "'repeats' to first to take the first of them",
                listing(differing),
            )
        note(f"{repeated} rows are of files that are listed already ({len(differing)} with other content); not counted")
        return list(first.values())
