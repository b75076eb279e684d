"""docs/autoencoders.md has every family, with the numbers of what is published, and configurations that are read."""

import re
from typing import Any

import pytest
import yaml

from pipeline import families
from pipeline.study import Study
from pipeline.weights import Table
from tests.autoencoder_entries import ROOT
from tests.published import PUBLISHED

DOCUMENT = (ROOT / "docs" / "autoencoders.md").read_text()
DATASETS = {"images": {"family": "folders", "root": "images", "pixels": {"size": 64}, "classes": ["a", "b"]}}
STUDIES = re.findall(r"```yaml\n(.*?)```", DOCUMENT, re.DOTALL)


def rows(text: str, heading: str) -> dict[str, list[str]]:
    """Return the cells of the table that begins with this heading, by what its first cell names."""
    table = text[text.index(f"| {heading} |") :].split("\n\n")[0].splitlines()[2:]
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in table]
    return {name: row for row in cells for name in re.findall(r"`([a-z0-9.-]+)`", row[0])}


def test_the_table_has_one_row_for_each_family_and_no_empty_cell() -> None:
    table = rows(DOCUMENT, "family")
    assert set(table) == set(families.names("autoencoders"))
    assert all(len(row) == 8 and all(row) for row in table.values())


@pytest.mark.parametrize("repository", PUBLISHED)
def test_channels_stride_and_compression_are_those_of_what_is_published(repository: str) -> None:
    family, (channels, side, _), _ = PUBLISHED[repository]
    row = rows(DOCUMENT, "family")[family]
    stride = 64 // side
    for cell, number in zip(row[1:4], (channels, stride, 3 * stride**2 // channels), strict=True):
        assert re.search(rf"\b{number}\b", cell), f"{number} is not in {cell!r}"


@pytest.mark.parametrize("text", STUDIES)
def test_every_configuration_in_the_document_is_read(text: str) -> None:
    study: dict[str, Any] = {"datasets": DATASETS, "heads": {"knn": {"family": "knn"}}, **yaml.safe_load(text)}
    assert len(Study(study).autoencoders) >= 2
    assert len(STUDIES) >= 2


def test_the_weights_are_those_of_the_table_of_weights() -> None:
    named = rows(DOCUMENT, "name")
    entries = Table.read(ROOT / "resources" / "weights.yaml").root
    assert set(named) == set(entries)
    for name, entry in entries.items():
        _, family, place, licence, gated, _ = named[name]
        assert family == f"`{entry.family}`"
        assert place == (entry.repository or entry.source or "shipped")
        assert licence == entry.licence
        assert gated == ("yes" if entry.gated else "")
