"""The keys that families with label tables share, and the rules that hold for all of them."""

import re
from collections import Counter
from typing import Literal

from pipeline.datasets import DatasetSpec, Listed, Part, checked
from pipeline.datasets.reading.findings import Stated, Uncertain, Unmentioned, stated
from pipeline.datasets.reading.tables import Table, listing
from pipeline.datasets.reading.trees import has_image_ending
from pipeline.errors import StudyError
from pipeline.notes import note

NAMELESS = re.compile(r"Unnamed: \d+(_level_\d+)?")
PARTS: dict[str, Part] = {
    "train": "train",
    "val": "validation",
    "valid": "validation",
    "validate": "validation",
    "validation": "validation",
    "test": "test",
}


class TableSpec(DatasetSpec):
    """A data set whose labels stand in tables."""

    uncertain: Uncertain | None = None
    """What -1 in a label column means (CheXpert's labels write it for uncertain findings). None stops at the first."""
    unmentioned: Unmentioned = "missing"
    """What an empty cell in a label column means. In CheXpert's labels it stands for a finding that the report does not
    mention; `negative` takes it for absent, as is often done."""
    ignore_columns: list[str] = []
    """Columns that are no part of the study."""
    unlabelled: Literal["stop", "keep", "drop"] = "stop"
    """What happens to images without any label: the study stops, keeps them unlabelled, or does without them."""
    partial: bool = False
    """Whether the folder holds only a part of what the tables list. Otherwise a study stops if more than half of the
    listed files are missing, since then `root` is probably wrong. Missing files are among the refused ones."""

    def finished(self, entries: list[Listed], files: list[str]) -> list[Listed]:
        """Apply the rules that hold for every family and return the entries to keep, sorted by path."""
        require_once([entry.path for entry in entries], self.root)
        if self.classes:
            entries = self.labelled(entries)
            require_mentioned([entry.labels for entry in entries], self.classes)
        listed = {entry.path for entry in entries}
        require_found([entry.path for entry in entries], files, self.root, self.partial)
        if others := sum(has_image_ending(path) and path not in listed for path in files):
            note(f"{others} images below the root are in no table, or are left out by the configuration")
        return checked(sorted(entries, key=lambda entry: entry.path), self)

    def labelled(self, entries: list[Listed]) -> list[Listed]:
        """Do with unlabelled entries what the configuration says."""
        without = [entry.path for entry in entries if not entry.labels]
        if not without or self.unlabelled == "keep":
            return entries
        if self.unlabelled == "stop":
            raise StudyError(
                f"{self.root}: {len(without)} of {len(entries)} images have no label; set 'unlabelled' to keep or drop",
                listing(without),
            )
        note(f"{len(without)} images have no label and are left out")
        return [entry for entry in entries if entry.labels]

    def findings(self, table: Table, others: set[str], strict: bool = False) -> list[Stated]:
        """Return what each row of a table with one column a class says.

        Args:
            table: the label table.
            others: its columns that are known to be no class.
            strict: whether an unknown column stops the study. Otherwise it is passed over under `multi-label`, and else
                taken for a class, so that a sample that has it cannot be taken for one that has nothing.
        """
        absent = [name for name in [*self.classes, *self.leave_out] if name not in table]
        if absent:
            raise StudyError(f"{table.path} has no column {absent[0]!r}, which is a declared class", table.names())
        declared = {*self.classes, *self.leave_out}
        passed = others | set(self.ignore_columns)
        unknown = [c for c in table.columns if c not in declared | passed and not NAMELESS.fullmatch(c)]
        if strict and unknown:
            raise StudyError(
                f"{table.path} has columns that are neither declared classes nor known: "
                f"{', '.join(map(repr, unknown))}; declare them in 'classes' or pass them over with 'ignore_columns'"
            )
        names = [c for c in table.columns if c in declared or (c in unknown and self.task != "multi-label")]
        # The first label is the first in alphabetical order: the publication's code sorts the columns.
        return stated(table, sorted(names) if self.task == "first-label" else names, self.uncertain, self.unmentioned)


def parts(table: Table, column: str) -> list[Part]:
    """Return a column that names the official part of each row, in any of the usual spellings."""
    cells = table[column]
    meaning = {cell: PARTS.get(cell.lower()) for cell in set(cells)}
    strange = [cell for cell, part in meaning.items() if part is None]
    if strange:
        raise StudyError(
            f"column {column!r} of {table.path} holds something else than train, val (valid, validate, validation) and "
            "test",
            listing(sorted(map(repr, strange))),
        )
    return [part for cell in cells if (part := meaning[cell]) is not None]


def require_once(paths: list[str], root: str) -> None:
    """Raise StudyError for a path that is listed twice."""
    if len(set(paths)) < len(paths):
        twice = [path for path, count in Counter(paths).items() if count > 1]
        raise StudyError(f"{root}: {len(twice)} files are listed more than once", listing(twice))


def require_mentioned(labels: list[Stated], classes: list[str]) -> None:
    """Raise StudyError for a declared class of which no sample says anything."""
    different = {id(row): row for row in labels}
    mentioned = {name for row in different.values() for name in row}
    absent = [name for name in classes if name not in mentioned]
    if absent:
        # What is mentioned stays private: the wrong column, or folder, would name patients.
        raise StudyError(
            f"the class {absent[0]!r} is declared, and no sample mentions it",
            f"mentioned are {listing(sorted(map(repr, mentioned)))}",
        )


def require_found(paths: list[str], files: list[str], root: str, partial: bool) -> None:
    """Raise StudyError if so many of the listed files are missing that the root is probably wrong."""
    present = set(files)
    missing = [path for path in paths if path not in present]
    if missing and (len(missing) == len(paths) or (2 * len(missing) > len(paths) and not partial)):
        hint = "" if len(missing) == len(paths) else "; if this is only a part of the data, set 'partial' to true"
        raise StudyError(
            f"{len(missing)} of the {len(paths)} listed files are not below {root}; 'root' is probably wrong{hint}",
            listing(missing),
        )
