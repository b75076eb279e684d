"""Every family's official layout, in miniature, goes through the real command line to a gap table."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests import studies
from tests.layouts import computed_tomography, filelists, photographs, radiography

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
CALLED = {
    "filelist-mimic": 48,
    "mimic-cxr": 48,
    "nih-cxr14": 60,
    "isic-2019": 46,
    "cardium": 36,
    "ct-rate": 81,
    "ct-rate-volumes": 81,
    "dicom-series": 36,
    "folders": 36,
}
"""The layouts that are run, one for each family, and the number of samples: the others are listed only, to save time.

CT-RATE: 24 volumes, four second reconstructions, less one that is no chest; three slices of each.
"""


def study(entry: dict[str, Any]) -> dict[str, Any]:
    return {
        "replicates": 100,
        "datasets": {"d": entry},
        "autoencoders": {"identity": {"family": "identity"}, "shuffle": {"family": "pixel-unshuffle", "stride": 4}},
        "heads": {"knn": {"family": "knn", "grid": 4, "neighbours": [3]}},
    }


@pytest.mark.parametrize("layout", CALLED)
def test_an_official_layout_becomes_a_gap_table(layout: str, tmp_path: Path) -> None:
    entry = LAYOUTS[layout](tmp_path / "raw")
    studies.checkout(tmp_path)
    studies.configure(tmp_path, study(entry))
    studies.run(tmp_path)
    table = pd.read_csv(tmp_path / "results" / "gap_table.csv")
    assert set(table["autoencoder"]) == {"identity", "shuffle"}
    index = pd.read_parquet(tmp_path / "results" / "index" / "d.parquet")
    assert len(index) == CALLED[layout]
    assert index["usable"].all()
    measured = table[table["image"].notna()]
    assert len(measured) and measured["image"].between(-1, 1).all()
    assert measured["image"].max() > 0.7, "levels of brightness can be told apart"
    assert (measured[measured["autoencoder"] == "identity"][["information_loss", "learnability_gap"]] == 0).all(
        axis=None
    )
    assert (measured["information_loss"].abs() < 1e-12).all()
    assert all(map(math.isinf, table["psnr"]))
