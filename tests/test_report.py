"""The report: what it says follows from the table, what users typed stays text, and equal input gives equal bytes."""

import io
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipeline.report import Strip, figure_png, render
from pipeline.report.results import ENDS
from tests.report_rows import STRIPS, STUDY, SUMMARY, identity, parsed, row, strip, unscored


@pytest.fixture(scope="module")
def page() -> str:
    return render(STUDY, STRIPS, "A study", {"chest": SUMMARY})


def test_the_page_is_well_formed_and_ids_are_unique(page: str) -> None:
    assert parsed(page).ids


def test_the_page_is_the_same_byte_for_byte(page: str) -> None:
    assert render(STUDY.copy(), list(STRIPS), "A study", {"chest": SUMMARY}) == page


def test_the_page_needs_nothing_from_outside(page: str) -> None:
    assert "http" not in page
    assert "@import" not in page
    links = re.findall(r'(?:src|href)\s*=\s*"([^"]*)"|url\(([^)]*)\)', page)
    assert links
    assert all((a or b).startswith(("data:image/png;base64,", "#")) for a, b in links)


def test_every_reference_inside_a_figure_has_its_target(page: str) -> None:
    ids = set(parsed(page).ids)
    targets = re.findall(r'href="#([^"]*)"', page) + re.findall(r"url\(#([^)]*)\)", page)
    assert targets
    assert set(targets) <= ids


def test_the_page_names_every_dataset_autoencoder_head_metric_and_remark(page: str) -> None:
    words = " ".join(parsed(page).words)
    for name in (
        "chest",
        "skin",
        "scans (reconstruction only)",
        "taesd",
        "sd-vae",
        "shuffled",
        "identity",
        "knn",
        "MCC",
    ):
        assert name in words
    assert "120 samples of 30 patients; 2 of 122 files refused." in words
    assert "Refused (2): the file is missing." in words
    assert "7 files: BurnedInAnnotation is YES." in words


def test_figures_carry_a_description_for_readers_who_cannot_see_them(page: str) -> None:
    figures = re.findall(r"<svg[^>]*>", page)
    assert len(figures) == 4
    assert all('role="img" aria-label="' in figure for figure in figures)


def test_names_from_users_stay_text() -> None:
    bad = "<script>alert('$x$ & \"y\"')</script>"
    table = pd.DataFrame([row(bad, bad, head=bad, protocol=bad), identity(bad, head=bad)])
    page = render(table, [strip(bad, bad)], bad, {bad: SUMMARY | {"refused": {bad: 2}}})
    assert page.count("<script>") == 1
    assert bad in " ".join(parsed(page).words)


@pytest.mark.parametrize(
    "rows",
    [
        [row()],
        [identity()],
        [unscored()],
        [row(psnr=math.nan)],
        [row(latent=math.nan, learnability_gap=math.nan, total=math.nan), identity()],
        [row(learnability_gap_low=math.nan, learnability_gap_high=math.nan)],
        [row(metric="auroc"), row("skin")],
        [row(), row("skin", head="knn")],
        [row(f"dataset {d}", f"autoencoder {a}") for d in range(7) for a in range(2)],
    ],
    ids=[
        "one",
        "control",
        "reconstruction-only",
        "no-psnr",
        "nan",
        "no-interval",
        "other-metric",
        "other-head",
        "seven",
    ],
)
def test_unusual_tables_give_a_whole_page(rows: list[dict[str, Any]]) -> None:
    words = " ".join(parsed(render(pd.DataFrame(rows), [], "t", {})).words)
    assert all(one["dataset"] in words and one["autoencoder"] in words for one in rows)
    assert not re.search(r"\bnan\b", words)


def test_a_table_read_back_from_csv_gives_the_same_page(page: str) -> None:
    again = pd.read_csv(io.StringIO(STUDY.to_csv(index=False)))
    assert render(again, STRIPS, "A study", {"chest": SUMMARY}) == page


def test_an_autoencoder_without_a_decoder_has_a_whole_page(tmp_path: Path) -> None:
    empty = {
        name + end: math.nan for name in ("reconstruction", "information_loss", "learnability_gap") for end in ENDS
    }
    empty |= dict.fromkeys(("psnr", "ssim", "ms_ssim", "ms_ssim_scales"), math.nan)
    table = pd.DataFrame([identity(), row(), row(autoencoder="lite0", family="timm-features", **empty)])
    latent = np.random.default_rng(0).normal(size=(4, 3, 3)).astype(np.float32)
    shown = Strip("chest", "lite0", np.zeros((1, 24, 24), np.float32), None, latent)
    page = render(table, [strip(), shown], "title", {})
    assert "lite0" in page
    assert "not measured" in page
    figure_png(table, "cnn", tmp_path / "one.png")
