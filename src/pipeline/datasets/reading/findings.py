"""Columns of 0 and 1 into labels."""

from collections.abc import Mapping
from typing import Literal

from pipeline.datasets.reading.tables import Table
from pipeline.errors import StudyError

Uncertain = Literal["missing", "positive", "negative"]
Unmentioned = Literal["missing", "negative"]
Stated = Mapping[str, bool]

CELLS: dict[str, bool | None] = {"1": True, "1.0": True, "0": False, "0.0": False}
UNCERTAIN = ("-1", "-1.0")
MEANING: dict[Uncertain, bool | None] = {"missing": None, "positive": True, "negative": False}


def stated(
    table: Table, names: list[str], uncertain: Uncertain | None = None, unmentioned: Unmentioned = "missing"
) -> list[Stated]:
    """Return what each row says of some classes; a missing value is left out.

    Rows that say the same share one mapping, so that a table of 400,000 rows costs little more than its text.

    Args:
        table: the label table.
        names: columns, in the order in which the labels are to come.
        uncertain: what -1 means; None stops at the first.
        unmentioned: what an empty cell means.

    Raises:
        StudyError: a column is missing, or a cell is neither 0, 1, nor empty.
    """
    meaning = CELLS | {"": MEANING[unmentioned]} | (dict.fromkeys(UNCERTAIN, MEANING[uncertain]) if uncertain else {})
    columns = [_parsed(table, name, meaning) for name in names]
    if not columns:
        return [{}] * len(table)
    known: dict[tuple[bool | None, ...], Stated] = {}
    rows: list[Stated] = []
    for row in zip(*columns, strict=True):
        if row not in known:
            known[row] = {name: has for name, has in zip(names, row, strict=True) if has is not None}
        rows.append(known[row])
    return rows


def _parsed(table: Table, name: str, meaning: dict[str, bool | None]) -> list[bool | None]:
    cells = table[name]
    try:
        return [meaning[cell] for cell in cells]
    except KeyError as error:
        cell = str(error.args[0])
    if cell in UNCERTAIN:
        raise StudyError(
            f"column {name!r} of {table.path} holds -1 (uncertain); set 'uncertain' to missing, positive or negative"
        )
    raise StudyError(
        f"column {name!r} of {table.path} holds something else than 0, 1 and empty cells",
        f"row {cells.index(cell) + 1} below the header: {cell!r}",
    )
