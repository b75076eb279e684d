"""What docs/outputs.md says of the columns of every table."""

import re

import pandas as pd

from tests.studies import ROOT

TEXT = (ROOT / "docs/outputs.md").read_text()
KINDS = {
    "text": lambda values: pd.api.types.is_string_dtype(values) or pd.api.types.is_object_dtype(values),
    "integer": pd.api.types.is_integer_dtype,
    "number": pd.api.types.is_float_dtype,
    "boolean": pd.api.types.is_bool_dtype,
}


FILLED = {
    "score_<k>": [("<k>", "0"), ("<k>", "1")],
    "logit_<k>": [("<k>", "0"), ("<k>", "1")],
    "r<k>": [("<k>", str(number)) for number in range(101)],
    "label:<class>": [("<class>", name) for name in ("dim", "bright")],
}
"""Columns whose number depends on the study: two classes, a hundred replicates."""


def documented(file: str) -> list[tuple[str, str]]:
    """Return the columns and types of the section about a file; `<k>` and `<class>` stand for two of each."""
    section = re.search(rf"^## `[^`]*{re.escape(file)}`\n(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL)
    assert section, f"docs/outputs.md has no section about {file}"
    return rows(section[1])


def rows(section: str) -> list[tuple[str, str]]:
    found = []
    for names, kind in re.findall(r"^\| (`.*?) \| (\w+) \|", section, re.MULTILINE):
        for name in re.findall(r"`([^`]+)`", names):
            found += [(name.replace(part, given), kind) for part, given in FILLED.get(name, [("", "")])]
    return found


def compared(file: str, table: pd.DataFrame) -> None:
    assert [name for name, _ in documented(file)] == list(table.columns)
    for name, kind in documented(file):
        values = table[name].dropna()
        # A column that is empty here says nothing of its type, and whole numbers may be written with a point.
        whole = kind == "integer" and pd.api.types.is_float_dtype(values) and (values == values.round()).all()
        boolean = kind == "boolean" and values.isin([True, False]).all()
        assert not len(values) or whole or boolean or KINDS[kind](values), f"{file}: {name} is no {kind}"
