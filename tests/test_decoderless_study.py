"""Features without a decoder, and a codec with files, through a whole study to the table and the page."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.page_in_browser import PageInBrowser
from tests.studies import STUDY, plan, run, tiny

AUTOENCODERS: dict[str, dict[str, Any]] = {
    "identity": {"family": "identity"},
    "features": {"family": "timm-features", "model": "resnet10t", "weights": None, "seed": 0, "layer": 1},
    "codec": {"family": "jpeg", "quality": 60},
}
LOST = ["reconstruction", "information_loss", "learnability_gap", "psnr", "ssim", "ms_ssim"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tiny(tmp_path_factory.mktemp("study"), STUDY | {"autoencoders": AUTOENCODERS})
    jobs = plan(made, "results/report.html")
    assert (jobs["encode"], jobs["decode"], jobs["measure"]) == (6, 4, 4)
    # Three latent spaces and two reconstructions.
    assert (jobs["train"], jobs["evaluate"]) == (5, 3)
    run(made, "results/report.html")
    return made


def test_what_needs_a_reconstruction_is_empty_and_the_total_is_not(folder: Path) -> None:
    table = pd.read_csv(folder / "results/gap_table.csv").set_index(["autoencoder", "metric"])
    features = table.loc["features"]
    assert features[LOST].isna().all(axis=None)
    assert features[["image", "latent", "total", "total_low", "total_high", "latent_deviation"]].notna().all(axis=None)
    pd.testing.assert_series_equal(
        features["image"] - features["latent"], features["total"], check_names=False, atol=2e-6
    )
    assert table.loc["identity"][LOST].notna().all(axis=None)
    assert features["latent_shape"].unique() == ["64x4x4"]
    fidelity = pd.read_csv(folder / "results/fidelity.csv").set_index("autoencoder")
    assert fidelity.loc["features", ["psnr", "ssim"]].isna().all(axis=None)
    assert (fidelity.loc["features", "samples"] == 0).all()


def test_only_a_codec_has_bytes_of_files(folder: Path) -> None:
    coded = pd.read_csv(folder / "results/gap_table.csv").groupby("autoencoder")["coded_bytes"].first()
    assert coded.drop("codec").isna().all()
    # 48 images of 256 pixels: a file of JPEG is mostly its header.
    assert 48 * 256 / 8 < coded["codec"] < 48 * 1024


def test_heads_on_what_is_lossless_are_copied_and_the_gap_is_exactly_zero(folder: Path) -> None:
    log = (folder / "logs/train/blobs/identity/reconstruction/knn.log").read_text()
    assert "copied from results/heads/blobs/identity/latent/knn" in log
    table = pd.read_csv(folder / "results/gap_table.csv").set_index("autoencoder")
    assert (table.loc["identity", ["information_loss", "learnability_gap"]] == 0).all(axis=None)
    assert "copied" not in (folder / "logs/train/blobs/codec/reconstruction/knn.log").read_text()


def test_the_page_says_what_was_not_measured(folder: Path) -> None:
    page = (folder / "results/report.html").read_text()
    assert "not measured" in page
    assert "as files (MB)" in page


def test_channel_statistics_of_every_fold_lie_beside_the_latents(folder: Path) -> None:
    found = pd.read_csv(folder / "results/latents/blobs/features.statistics.csv")
    assert sorted(found["fold"].unique()) == [0, 1, 2]
    assert found.groupby("fold").size().eq(64).all()


class TestPage(PageInBrowser):
    """The page of a single data set, which has nothing to choose from."""

    @pytest.fixture
    def page(self, folder: Path) -> Path:
        return folder / "results/report.html"
