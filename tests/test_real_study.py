"""The real study, cut down: real radiographs and real DICOM files through real pretrained weights."""

import copy
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from pipeline.files import sha256
from tests.page_in_browser import PageInBrowser
from tests.studies import ROOT, checkout, configure, run

ROWS = 12
"""Images of each class and fold."""


@pytest.fixture(scope="module")
def folder(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few radiographs and the DICOM files, with the real study's own configuration, up to the page."""
    folder = checkout(tmp_path_factory.mktemp("real"))
    configure(folder, cut_down(folder, shared))
    run(folder, "results/report.html")
    return folder


@pytest.fixture(scope="module")
def table(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "results/gap_table.csv")


def cut_down(folder: Path, shared: Path) -> dict[str, Any]:
    """Return the real study with fewer images, autoencoders and heads, at a smaller size."""
    written = (ROOT / "config/real.yaml").read_text().replace("${LEARNABILITY_SHARED:-../shared}", str(shared))
    study: dict[str, Any] = copy.deepcopy(yaml.safe_load(written))
    labels = pd.read_csv(shared / "data/chest-xray/labels.csv", dtype=str)
    few = labels.groupby(["label", "fold5"]).head(ROWS)
    few.to_csv(folder / "few.csv", index=False)
    study["datasets"] = {name: study["datasets"][name] for name in ("chest-xray", "lung-ct", "ultrasound-dicom")}
    study["datasets"]["chest-xray"] |= {"labels": "few.csv", "shards": 1}
    study["datasets"]["ultrasound-dicom"]["frames"] = 2
    for dataset in study["datasets"].values():
        dataset["pixels"]["size"] = 64
    study["autoencoders"] = {name: study["autoencoders"][name] for name in ("identity", "taef2")}
    study["heads"] = {"linear": study["heads"]["linear"]}
    return study | {"replicates": 200}


def test_real_radiographs_are_told_apart_well_above_chance(table: pd.DataFrame) -> None:
    row = table.query("dataset == 'chest-xray' and autoencoder == 'identity' and metric == 'balanced_accuracy'").iloc[0]
    assert row["samples"] == 3 * 5 * ROWS
    assert row["image_low"] > 1 / 3
    assert (row["information_loss"], row["learnability_gap"]) == (0, 0)


def test_pretrained_weights_reconstruct_real_images(table: pd.DataFrame) -> None:
    taef2 = table[table["autoencoder"] == "taef2"].drop_duplicates("dataset").set_index("dataset")
    assert set(taef2.index) == {"chest-xray", "lung-ct", "ultrasound-dicom"}
    assert (taef2["psnr"] > 24).all()
    assert (taef2["latent_shape"] == "32x8x8").all()


def test_a_data_set_without_labels_has_rows_without_scores(table: pd.DataFrame) -> None:
    scans = table[table["dataset"] == "lung-ct"]
    assert len(scans) == 2
    assert scans["head"].isna().all()
    assert scans["image"].isna().all()
    assert scans["ssim"].notna().all()


class TestPage(PageInBrowser):
    """The page of real images."""

    @pytest.fixture
    def page(self, folder: Path) -> Path:
        return folder / "results/report.html"


def test_a_scan_of_a_single_patient_is_on_the_page_and_the_real_weights_are_named(folder: Path, shared: Path) -> None:
    covariates = pd.read_csv(folder / "results/covariates.csv").set_index(["dataset", "autoencoder", "covariate"])
    scans = covariates.loc[("lung-ct", "taef2"), "value"]
    assert scans["dimension_likeliest"].isna().all()
    assert scans["spectral_exponent"].notna().all()
    page = (folder / "results/report.html").read_text()
    assert 'alt="lung-ct, ' in page
    assert sha256(shared / "weights/taef2/taef2.safetensors") in page
