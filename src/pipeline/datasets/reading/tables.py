"""Label tables: CSV files, plain or compressed, whose every cell is text until a family says what it means."""

import csv
import gzip
import zlib
from collections.abc import Iterator

from pipeline.errors import StudyError

SHOWN = 20
"""How many culprits an error's private detail lists."""


class Table:
    """The columns of a CSV file.

    Attributes:
        path: the file, as the configuration names it.
        columns: column name to its cells, in the order of the file. A column without a name is `Unnamed: <number>`.
    """

    def __init__(self, path: str, columns: dict[str, list[str]]) -> None:
        self.path, self.columns = path, columns

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def __contains__(self, column: str) -> bool:
        return column in self.columns

    def __getitem__(self, column: str) -> list[str]:
        """Return a column's cells; raise StudyError where there is no such column."""
        if column not in self.columns:
            raise StudyError(f"{self.path} has no column {column!r}", self.names())
        return self.columns[column]

    def names(self) -> str:
        """Return the columns' names for an error's private detail: without a header they are somebody's data."""
        return f"its columns are {', '.join(map(repr, self.columns))}"

    def first(self, *candidates: str) -> str | None:
        """Return the first of some columns that the table has, or None."""
        return next((name for name in candidates if name in self.columns), None)

    def keyed(self, column: str) -> dict[str, int]:
        """Return each cell of a key column with its row; raise StudyError for an empty one or one that repeats."""
        cells = self[column]
        rows = {cell: row for row, cell in enumerate(cells)}
        if "" in rows:
            raise StudyError(f"{self.path} has an empty cell in column {column!r}", _at(rows[""]))
        if len(rows) < len(cells):
            twice = next(cell for row, cell in enumerate(cells) if rows[cell] != row)
            raise StudyError(f"{self.path} has a value twice in column {column!r}", f"{column} {twice!r}")
        return rows

    def identifiers(self, column: str) -> list[str]:
        """Return a column of identifiers.

        Raises:
            StudyError: one is empty, or could be another one under a second spelling.
        """
        cells = self[column]
        different = set(cells)
        for cell in different:
            if not cell.strip():
                raise StudyError(f"{self.path} has an empty cell in column {column!r}", _at(cells.index(cell)))
            if cell != cell.strip():
                raise StudyError(f"{self.path} has spaces around a value of column {column!r}; remove them", repr(cell))
            if cell.endswith(".0") and cell[:-2] in different:
                raise StudyError(f"{self.path} has a number once with and once without '.0' in {column!r}", repr(cell))
        return cells


def read_table(path: str) -> Table:
    """Read a CSV file in UTF-8, with or without gzip; a name on `.tab` or `.tsv` says that tabs separate its cells.

    Blank lines are passed over; every other row must have as many fields as the header.

    Raises:
        StudyError: the file is missing, is not UTF-8, or is not a table.
    """
    try:
        rows = list(_rows(path))
    except FileNotFoundError:
        raise StudyError(f"the label file {path} is missing") from None
    except UnicodeDecodeError:
        raise StudyError(f"the label file {path} is not a CSV file in UTF-8") from None
    except (csv.Error, OSError, EOFError, zlib.error) as error:
        raise StudyError(f"the label file {path} is not a CSV file ({type(error).__name__})", str(error)) from None
    if not rows:
        raise StudyError(f"the label file {path} is not a CSV file: it is empty")
    names = [name or f"Unnamed: {number}" for number, name in enumerate(rows.pop(0))]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise StudyError(f"the label file {path} has two columns of one name", repr(twice))
    for number, row in enumerate(rows):
        if len(row) != len(names):
            detail = f"{_at(number)}: {len(row)} fields, {len(names)} columns: {row}"
            raise StudyError(
                f"the label file {path} is not a CSV file: a row has more or fewer fields than the header", detail
            )
    if not rows:
        raise StudyError(f"the label file {path} has no rows")
    return Table(path, {name: list(cells) for name, cells in zip(names, zip(*rows, strict=True), strict=True)})


def read_lines(path: str) -> list[str]:
    """Return the lines of a text file that are not blank, without the spaces around them."""
    try:
        with open(path, encoding="utf-8-sig") as handle:  # noqa: PTH123 - the path is the configuration's own text
            return [line.strip() for line in handle if line.strip()]
    except OSError:
        raise StudyError(f"the list {path} is missing") from None
    except UnicodeDecodeError:
        raise StudyError(f"the list {path} is not a text file in UTF-8") from None


def _rows(path: str) -> Iterator[list[str]]:
    opener = gzip.open if path.endswith(".gz") else open
    tabbed = path.removesuffix(".gz").endswith((".tab", ".tsv"))
    with opener(path, "rt", encoding="utf-8-sig", newline="") as handle:
        reader = csv.reader(handle, strict=True, delimiter="\t" if tabbed else ",")
        yield from (row for row in reader if row)


def _at(row: int) -> str:
    return f"row {row + 1} below the header"


def listing(culprits: list[str]) -> str:
    """Return the first of many culprits, one a line, for an error's private detail."""
    more = [f"and {len(culprits) - SHOWN} more"] if len(culprits) > SHOWN else []
    return "\n".join([*culprits[:SHOWN], *more])
