"""Every family's official layout, in miniature, goes through the real command line to a gap table."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests import studies
from tests.layouts import computed_tomography, filelists, photographs, radiography
from tests.page_in_browser import PageInBrowser

Build = Callable[[Path], dict[str, Any]]

LAYOUTS: dict[str, Build] = {
    "filelist-mimic": filelists.mimic,
    "filelist-isic": filelists.isic,
    "filelist-ct-rate": filelists.ct_rate,
    "filelist-cardium": filelists.cardium,
    "folders": photographs.folders,
    "mimic-cxr": radiography.mimic_cxr,
    "cxr-lt": radiography.cxr_lt,
    "nih-cxr14": radiography.nih_cxr14,
    "isic-2019": photographs.isic_2019,
    "isic-2018": photographs.isic_2018,
    "ham10000": photographs.ham10000,
    "cardium": photographs.cardium,
    "cardium-undivided": photographs.cardium_undivided,
    "ct-rate": computed_tomography.ct_rate,
    "ct-rate-volumes": lambda folder: computed_tomography.ct_rate(folder, "volumes"),
    "dicom-series": computed_tomography.dicom_series,
}
SAMPLES = {
    "filelist-mimic": 48,
    "filelist-isic": 96,
    "filelist-ct-rate": 156,
    "filelist-cardium": 48,
    "mimic-cxr": 48,
    "cxr-lt": 48,
    "nih-cxr14": 60,
    "isic-2019": 46,
    "isic-2018": 24,
    "ham10000": 24,
    "cardium": 36,
    "cardium-undivided": 36,
    "ct-rate": 81,
    "ct-rate-volumes": 81,
    "dicom-series": 36,
    "folders": 36,
}
"""How many samples each layout has.

CT-RATE: 24 volumes, four second reconstructions, less one that is no chest; three slices of each.
"""

REPORTED = {
    "report.html": "which autoencoder to use on each data set",
    "gap_table.png": "What a classifier loses through each autoencoder",
    "depth.png": "Where in the frozen decoder learnability returns",
    "gap_table.csv": "The gap table: one row for",
    "fidelity.csv": "Fidelity of the reconstructions, one row for",
    "claims.csv": "What the study says as a whole",
    "initialisation.csv": "What comes of pretraining",
    "correlations.csv": "What goes along with the gap",
    "groups.csv": "groups: one of the tables beside the gap table",
    "reliability.csv": "reliability: one of the tables",
    "profile.csv": "profile: one of the tables",
    "complexity.csv": "complexity: one of the tables",
}
"""What Snakemake's own report packs, and words of its caption."""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One study of all layouts that has run once: its jobs start faster than as many calls would."""
    folder = tmp_path_factory.mktemp("layouts")
    entries = {name: build(folder / name) for name, build in LAYOUTS.items()}
    studies.checkout(folder)
    studies.configure(
        folder,
        {
            "replicates": 100,
            "datasets": entries,
            "autoencoders": {"identity": {"family": "identity"}},
            "heads": {"knn": {"family": "knn", "grid": 4, "neighbours": [3]}},
        },
    )
    studies.run(folder, "results/report.html")
    return folder


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_official_layout_becomes_a_gap_table(finished: Path, layout: str) -> None:
    table = pd.read_csv(finished / f"results/gap_table/{layout}.csv")
    assert set(table["autoencoder"]) == {"identity"}
    index = pd.read_parquet(finished / f"results/index/{layout}.parquet")
    assert len(index) == SAMPLES[layout]
    assert index["usable"].all()
    assert table["image"].between(-1, 1).all()
    assert table["image"].max() > 0.7, "levels of brightness can be told apart"
    assert (table[["information_loss", "learnability_gap"]] == 0).all(axis=None)
    assert all(map(math.isinf, table["psnr"]))


def test_the_report_of_snakemake_itself_has_page_figures_and_tables_with_captions(finished: Path) -> None:
    made = studies.call(finished, "--report", "packed.html", "--", "all")
    assert made.returncode == 0, made.stdout
    packed = (finished / "packed.html").read_text()
    for name, words in REPORTED.items():
        assert f"Adding {name}" in made.stdout
        assert words in packed, name
    for category in ("Report", "Figures", "Tables"):
        assert f'"{category}"' in packed


class TestPage(PageInBrowser):
    """The page of many data sets and no candidate."""

    @pytest.fixture
    def page(self, finished: Path) -> Path:
        return finished / "results/report.html"
