"""Tables that hold either one column of labels or one column of 0 and 1 for each class."""

from typing import Self

from pydantic import model_validator

from pipeline.datasets.reading.findings import Stated
from pipeline.datasets.reading.rules import TableSpec
from pipeline.datasets.reading.tables import Table
from pipeline.errors import StudyError


class ColumnSpec(TableSpec):
    """A table of labels in either form; which one is never guessed where both are possible."""

    label_column: str | None = "label"
    """The column that names each row's class. None: there is one column of 0 and 1 for each class."""

    @model_validator(mode="after")
    def _one_label_is_one_class(self) -> Self:
        if self.said("label_column") and self.label_column and self.task == "multi-label":
            raise ValueError("multi-label data have one column for each class; 'label_column' names only one label")
        return self

    def said(self, key: str) -> bool:
        """Tell whether the configuration itself has a key."""
        return key in self.model_fields_set

    def labels_of(self, table: Table, others: set[str]) -> list[Stated]:
        """Return what each row says; nothing where the data set has no classes.

        Args:
            table: the label table.
            others: its columns that are known to be no class, when there is one column for each class.
        """
        if not self.classes:
            return [{}] * len(table)
        column = self._label_column(table)
        if column is None:
            return self.findings(table, others, strict=True)
        cells = table[column]
        meaning: dict[str, Stated] = {cell: {cell: True} if cell else {} for cell in set(cells)}
        return [meaning[cell] for cell in cells]

    def _label_column(self, table: Table) -> str | None:
        """Return the column with the labels, or None where every class has its own."""
        if self.said("label_column") or self.label_column is None:
            return self.label_column
        classes = [name for name in self.classes if name in table]
        if self.label_column in table and classes:
            raise StudyError(
                f"{table.path} has both a column {self.label_column!r} and one for the class {classes[0]!r}; set "
                f"'label_column' to {self.label_column}, or to null to take the columns of the classes"
            )
        if self.label_column in table and self.task == "multi-label":
            raise StudyError(f"multi-label data have one column for each class, and {table.path} has one of labels")
        if self.label_column not in table and not classes:
            raise StudyError(f"{table.path} has no column {self.label_column!r} and none for each class", table.names())
        return self.label_column if self.label_column in table else None
