"""The report in a real browser: a page with every section, and finished pages of whole studies where there are some."""

import os
from pathlib import Path

import pandas as pd
import pytest

from pipeline.report import render
from tests.page_in_browser import PageInBrowser
from tests.report_exhibits import EXHIBITS
from tests.report_further import FURTHER, GAPS
from tests.report_rows import FINDINGS, STRIPS, SUMMARY
from tests.studies import ROOT

NAMED = os.environ.get("LEARNABILITY_PAGES", "")
"""Pages of other checkouts, as paths with colons between them: `make browser PAGES=...`."""
FINISHED = [*sorted((ROOT / "results").glob("**/report.html")), *map(Path, filter(None, NAMED.split(":")))]

FIDELITY = pd.DataFrame(
    {"dataset": "chest", "autoencoder": name, "class": label, "samples": 22_000 // place, "psnr": 31.25, "lpips": 0.25}
    for name in sorted(set(GAPS["autoencoder"]))
    for place, label in enumerate(["", *FINDINGS], 1)
)
"""Of more classes than fit side by side on a sheet of paper."""


@pytest.fixture(scope="module")
def made_up(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    data = {"chest": SUMMARY, "skin": SUMMARY}
    page = render(GAPS, STRIPS, "A study", data, FIDELITY, None, FURTHER, EXHIBITS)
    path.write_text(page, encoding="utf-8")
    return path


class TestMadeUp(PageInBrowser):
    """A page with every section there is."""

    @pytest.fixture
    def page(self, made_up: Path) -> Path:
        return made_up


@pytest.mark.skipif(not FINISHED, reason="no study is finished here: no results/report.html, and no LEARNABILITY_PAGES")
class TestFinished(PageInBrowser):
    """Every page of a whole study in this checkout, and those that are named."""

    @pytest.fixture(params=FINISHED, ids=str)
    def page(self, request: pytest.FixtureRequest) -> Path:
        path: Path = request.param
        assert path.is_file(), f"LEARNABILITY_PAGES names {path}, which is not there"
        return path
