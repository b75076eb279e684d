"""The page on diffusability defines everything that is measured, and names tests that exist."""

import re
from pathlib import Path

import pytest

from pipeline import families, fisher, geometry
from pipeline.penalties import COMPARED

ROOT = Path(__file__).parent.parent
METHOD = (ROOT / "docs/method-diffusability.md").read_text()
INFORMATION = ("class_fisher", "class_fisher_labels", "information", "information_integrated")


def test_every_quantity_is_defined() -> None:
    ratios = [f"{name}_ratio" for name in COMPARED]
    for name in (*fisher.EXTENSIVE, *fisher.QUALITY, *geometry.QUANTITIES, *INFORMATION, *ratios, "compression"):
        assert f"`{name}`" in METHOD, name


def test_every_test_that_is_named_exists() -> None:
    source = "\n".join(path.read_text() for path in (ROOT / "tests").glob("test_*.py"))
    named = set(re.findall(r"\btest_[a-z0-9_]+\b", METHOD))
    assert len(named) > 8
    assert [name for name in sorted(named) if f"def {name}(" not in source] == []


@pytest.mark.parametrize("family", families.names("denoisers"))
def test_every_family_of_denoisers_is_defined(family: str) -> None:
    assert f"`{family}`" in METHOD.replace("**", "")
