"""docs/command-line.md shows calls that are understood, and every line that the doctor says."""

import ast
import re
import shlex
from pathlib import Path

import pytest

import pipeline
from pipeline.commands import HELPERS, parser
from pipeline.commands.doctor import examine
from tests.studies import ROOT

TEXT = (ROOT / "docs/command-line.md").read_text()
CALLS = re.findall(r"^    python -m pipeline (.+)$", TEXT, re.MULTILINE)


@pytest.mark.parametrize("call", [call for call in CALLS if call != "--help"])
def test_a_call_that_is_shown_is_understood(call: str) -> None:
    assert parser().parse_args(shlex.split(call)).helper in HELPERS


def test_every_helper_has_a_section_with_a_call() -> None:
    assert {call.split()[0] for call in CALLS} == {*HELPERS, "--help"}
    assert all(f"## `{name}`" in TEXT for name in HELPERS)


def test_every_line_of_the_doctor_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    said = {finding.about for finding in examine(Path("config/config.yaml"))}
    table = TEXT[TEXT.index("| line |") :]
    explained = set(re.findall(r"`([a-z ]+)", "\n".join(re.findall(r"^\| (.*?) \|", table, re.MULTILINE))))
    assert {about if not about.startswith("data set") else "data set " for about in said} == explained


def test_what_is_imported_in_the_notebook_is_offered() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    imports = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.ImportFrom)]
    assert {alias.name for node in imports for alias in node.names} <= set(pipeline.__all__)
