"""docs/datasets.md holds configurations that are read, and every reason for which a file is refused."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline import families
from pipeline.datasets import DatasetSpec

ROOT = Path(__file__).parent.parent
DOCUMENT = ROOT / "docs" / "datasets.md"
REFUSING = {"require": 1, "Refused": 0, "refusing": 0}
"""Functions and which of their arguments is a reason."""
MODULES = [*(ROOT / "src/pipeline/pixels").glob("*.py"), *(ROOT / "src/pipeline/datasets").rglob("*.py")]
MODULES += [ROOT / "src/pipeline" / name for name in ("headers.py", "inspect.py", "quarantine.py", "normalize.py")]


def entries() -> Iterator[tuple[str, dict[str, Any]]]:
    for block in re.findall(r"```yaml\n(.*?)```", DOCUMENT.read_text(), re.DOTALL):
        yield from yaml.safe_load(block)["datasets"].items()


ENTRIES = dict(entries())


@pytest.mark.parametrize("name", ENTRIES)
def test_every_configuration_in_the_document_is_read(name: str) -> None:
    spec = families.spec("datasets", ENTRIES[name])
    assert isinstance(spec, DatasetSpec)
    assert spec.classes


def test_the_document_has_a_configuration_of_every_family() -> None:
    assert {entry["family"] for entry in ENTRIES.values()} == set(families.names("datasets"))


def reasons(path: Path) -> Iterator[list[str]]:
    """Yield the fixed pieces of every reason that a module states: the texts between what is filled in."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in REFUSING:
            arguments = node.args[REFUSING[node.func.id] :]
            if arguments and isinstance(arguments[0], ast.Constant):
                yield [str(arguments[0].value)]
            elif arguments and isinstance(arguments[0], ast.JoinedStr):
                pieces = [str(part.value).strip() for part in arguments[0].values if isinstance(part, ast.Constant)]
                yield [piece for piece in pieces if any(map(str.isalpha, piece))]


def test_every_refusal_is_explained() -> None:
    rows = [line for line in DOCUMENT.read_text().splitlines() if line.startswith("| `")]
    told = [reason for row in rows for reason in re.findall(r"`([^`]+)`", row.split(" | ")[0])]
    stated = [pieces for path in MODULES for pieces in reasons(path)]
    absent = [pieces for pieces in stated if not any(all(piece in reason for piece in pieces) for reason in told)]
    assert not absent, f"docs/datasets.md does not explain these: {absent}"
    assert len(stated) > 50
