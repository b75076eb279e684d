"""The definitions of the method name tests that exist, and the tables of numbers."""

import re
from pathlib import Path

import pytest

from pipeline import correlate, profiles

ROOT = Path(__file__).parent.parent
METHOD = (ROOT / "docs/method.md").read_text()
TESTS = {path.name: path.read_text() for path in (ROOT / "tests").rglob("*.py")}


def test_every_test_that_is_named_exists() -> None:
    files = set(re.findall(r"\btest_[a-z0-9_]+\.py", METHOD))
    assert len(files) > 15
    assert files <= set(TESTS)
    names = set(re.findall(r"\btest_[a-z0-9_]+\b(?!\.py)", METHOD))
    source = "\n".join(TESTS.values())
    assert [name for name in sorted(names) if f"def {name}(" not in source] == []


@pytest.mark.parametrize("table", ["gap.csv", "scores.csv", "groups.csv", "reliability.csv", "profile.csv"])
def test_every_table_of_a_cell_is_defined(table: str) -> None:
    assert f"`{table}`" in METHOD


@pytest.mark.parametrize("measure", ["labels_ratio", "surplus_description_length", "code_length_difference"])
def test_every_measure_of_labels_is_defined(measure: str) -> None:
    assert measure in METHOD


def test_axes_and_correlations_are_defined() -> None:
    assert all(axis in METHOD for axis in ("fraction", "noise", "depth"))
    assert "axis" in profiles.COLUMNS
    assert all(name in METHOD for name in ("rho_within", "p_holm"))
    assert {"rho_within", "p_holm"} <= set(correlate.COLUMNS)
