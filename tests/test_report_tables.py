"""The tables and sentences of the report follow from the gap table."""

import math
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import StudyError
from pipeline.illustrate import read_fidelity
from pipeline.report import headline, render, tables, text
from pipeline.report.results import INTERVALS, NUMBERS, TEXTS, Interval, Results
from tests.report_rows import STUDY, cells, identity, parsed, row

FIDELITY = pd.DataFrame(
    [
        {"dataset": "chest", "autoencoder": name, "class": label, "samples": count, "psnr": psnr, "lpips": lpips}
        for name, lpips in (("taesd", 0.25), ("sd-vae", 0.125), ("identity", 0.0), ("shuffled", 0.0))
        for label, count, psnr in (("", 120, 31.25), ("rare", 3, 21.25), ("None", 117, 32.5), ("<b>", 0, math.nan))
    ]
    + [{"dataset": "skin", "autoencoder": "taesd", "class": "", "samples": 9, "psnr": 30.0, "lpips": math.nan}]
)


def test_fidelity_is_shown_class_by_class_the_most_common_first() -> None:
    page = render(STUDY, [], "t", {}, FIDELITY)
    parsed(page)
    section = page.split("<h2>Fidelity by class</h2>")[1].split("<h2>")[0]
    lines = cells(section)
    assert lines[0] == ["autoencoder", "all samples n = 120", "None n = 117", "rare n = 3", "&lt;b&gt; n = 0"]
    assert lines[1] == ["PSNR in dB: higher is more faithful"]
    assert ["taesd", "31.25", "32.50", "21.25", "\u2013"] in lines
    assert ["taesd", "0.250", "0.250", "0.250", "0.250"] in lines
    assert ["identity control", "31.25", "32.50", "21.25", "\u2013"] in lines
    fewer = FIDELITY.assign(samples=FIDELITY["samples"].where(FIDELITY["autoencoder"] != "sd-vae", 2))
    assert ["sd-vae", "31.25 n = 2", "32.50 n = 2", "21.25 n = 2", "\u2013"] in cells(render(STUDY, [], "t", {}, fewer))
    # No class, no table: what is said of all samples stands among the autoencoders.
    assert "skin" not in section


@pytest.mark.parametrize(("classes", "columns"), [(8, [8]), (9, [5, 4]), (20, [7, 7, 6])])
def test_more_classes_than_fit_side_by_side_have_further_tables(classes: int, columns: list[int]) -> None:
    names = [f"class {place}" for place in range(classes)]
    rows = {"dataset": "chest", "autoencoder": "taesd", "class": ["", *names], "psnr": 31.25, "lpips": 0.25}
    rows["samples"] = [300, *range(200, 200 - classes, -1)]
    page = render(STUDY, [], "t", {}, pd.DataFrame(rows))
    parsed(page)
    section = page.split("<h2>Fidelity by class</h2>")[1].split("<h2>")[0]
    heads = [line[1:] for line in cells(section) if line[0] == "autoencoder"]
    assert [len(head) - 1 for head in heads] == columns
    assert {head[0] for head in heads} == {"all samples n = 300"}
    shown = [name for head in heads for name in head[1:]]
    assert shown == [f"{name} n = {200 - place}" for place, name in enumerate(names)]
    assert section.count("LPIPS: lower") == len(columns)


@pytest.mark.parametrize("names", [["", "None", "NA", "1"], ["", ""]])
def test_classes_are_read_as_they_are_called(names: list[str], tmp_path: Path) -> None:
    table = pd.DataFrame({"dataset": "d", "autoencoder": "NA", "class": names, "samples": 4, "psnr": np.inf})
    table.assign(ssim=1.0, ms_ssim=0.5, lpips=math.nan).to_csv(tmp_path / "fidelity.csv", index=False)
    read = read_fidelity(tmp_path / "fidelity.csv")
    assert list(read["class"]) == names
    assert set(read["autoencoder"]) == {"NA"}
    assert np.isinf(read["psnr"]).all()
    assert read["lpips"].isna().all()


def test_what_was_not_measured_has_no_table_and_no_column() -> None:
    page = render(STUDY, [], "t", {}, FIDELITY.assign(lpips=math.nan))
    section = page.split("<h2>Fidelity by class</h2>")[1].split("<h2>")[0]
    assert "LPIPS" not in section
    assert "PSNR" in section
    assert "LPIPS" not in page
    assert "rFID" not in page
    only = FIDELITY[FIDELITY["class"] == ""]
    for table in (only, only.iloc[:0], None):
        assert "Fidelity by class" not in render(STUDY, [], "t", {}, table)
    with pytest.raises(StudyError, match="the table of fidelity lacks the columns lpips"):
        render(STUDY, [], "t", {}, FIDELITY.drop(columns="lpips"))


def test_measures_of_networks_have_columns_where_they_are_there() -> None:
    found = tables.encodings(Results.read(pd.DataFrame([row(lpips=0.25), row("skin", rfid=3.5, rfid_samples=120)])))
    lines = cells(found)
    assert lines[0][-5:] == ["PSNR (dB)", "SSIM", "MS-SSIM", "LPIPS", "rFID"]
    assert [lines[2][0], *lines[2][-5:]] == ["taesd", "31.50", "0.910", "0.953", "0.250", "\u2013"]
    assert lines[4][-2:] == ["\u2013", "3.50"]


def test_it_is_said_on_how_many_scales_similarity_was_measured() -> None:
    one = tables.encodings(Results.read(pd.DataFrame([row(), row("skin")])))
    assert "MS-SSIM: on 3 of its five scales" in one
    two = tables.encodings(Results.read(pd.DataFrame([row(), row("skin", ms_ssim_scales=5)])))
    assert "MS-SSIM: on 3 (chest) and 5 (skin) of its five scales" in two
    none = tables.encodings(Results.read(pd.DataFrame([row(ms_ssim=math.nan, ms_ssim_scales=math.nan)])))
    assert "scales" not in none


def test_a_table_that_contradicts_itself_is_refused() -> None:
    with pytest.raises(StudyError, match="two rows for chest / taesd / cnn / balanced_accuracy"):
        render(pd.DataFrame([row(), row(latent=0.5)]), [], "t", {})
    with pytest.raises(StudyError, match="lacks the columns learnability_gap_low"):
        render(STUDY.drop(columns="learnability_gap_low"), [], "t", {})
    with pytest.raises(StudyError, match="no rows"):
        render(STUDY.iloc[:0], [], "t", {})


def test_the_columns_read_are_those_of_the_gap_table() -> None:
    assert set(STUDY.columns) == {
        *TEXTS,
        *NUMBERS,
        *(name + end for name in INTERVALS for end in ("", "_low", "_high")),
    }


@pytest.mark.parametrize(
    ("value", "digits", "expected"),
    [
        (Interval(0.74, 0.7, 0.78), 2, "0.74 [0.70, 0.78]"),
        (Interval(-0.0004, -0.0312, 0.02), 3, "0.000 [\u22120.031, 0.020]"),
        (Interval(0.5, math.nan, math.nan), 2, "0.50"),
        (Interval(math.nan, math.nan, math.nan), 2, "\u2013"),
        (Interval(math.nan, 0.1, 0.2), 2, "\u2013"),
    ],
)
def test_a_value_and_its_interval_share_a_cell(value: Interval, digits: int, expected: str) -> None:
    assert text.interval(value, digits) == expected


@settings(deadline=None)
@given(st.floats(-1e6, 1e6), st.integers(0, 4))
def test_a_formatted_number_is_the_number_rounded(value: float, digits: int) -> None:
    shown = text.number(value, digits)
    assert float(shown.replace(",", "").replace(text.MINUS, "-")) == pytest.approx(value, abs=0.5001 * 10**-digits)
    assert not re.fullmatch(r"[-\u2212]0(\.0*)?", shown)


def test_infinite_psnr_is_shown_as_such() -> None:
    assert text.number(math.inf, 2) == "∞"


def test_the_headline_says_where_intervals_lie_and_orders_by_latent_score() -> None:
    better = row(autoencoder="best", latent=0.9, learnability_gap=-0.06)
    unclear = row(autoencoder="middle", latent=0.8, learnability_gap=0.01)
    results = Results.read(pd.DataFrame([row(), unclear, better, identity()]))
    sentence = headline.sentence(results, "cnn", "balanced_accuracy", "chest")
    assert "latents of best score highest: 0.90 [0.88, 0.92]" in sentence
    for clause in ("above zero</em> for taesd", "including zero</em> for middle", "below zero</em> for best"):
        assert clause in sentence
    assert "identity" not in sentence
    ranking = tables.ranking(results, "cnn", "balanced_accuracy")
    assert ranking.index("best") < ranking.index("middle") < ranking.index("taesd")
    assert "3 pairs" in headline.summary(results, "cnn", "balanced_accuracy")


def test_an_interval_that_touches_zero_does_not_exclude_it() -> None:
    assert [Interval(0.1, 0.0, 0.2).side, Interval(0.1, 0.01, 0.2).side, Interval(-1, -2, -0.1).side] == [0, 1, -1]
    assert Interval(0.1, math.nan, 0.2).side is None


def test_a_control_that_loses_something_is_called_out() -> None:
    page = render(pd.DataFrame([row(), identity(learnability_gap=0.03)]), [], "t", {})
    assert "the control identity must lose nothing" in page
    assert "must lose nothing" not in render(pd.DataFrame([row(), identity()]), [], "t", {})


def test_a_classifier_that_learnt_nothing_from_images_is_called_out() -> None:
    results = Results.read(pd.DataFrame([row(metric="mcc", image=0.01), row("skin", metric="mcc", image=0.3)]))
    assert [caution.split(",")[0] for caution in headline.cautions(results)] == ["chest"]


def test_sizes_as_files_are_shown_where_a_codec_has_them() -> None:
    plain, codec = [row()], [row(), row(autoencoder="jpeg", family="jpeg", coded_bytes=123_456)]
    assert "as files" not in tables.encodings(Results.read(pd.DataFrame(plain)))
    assert "0.12" in tables.encodings(Results.read(pd.DataFrame(codec)))


def test_batches_that_had_to_be_repeated_are_told() -> None:
    found = headline.cautions(
        Results.read(pd.DataFrame([row(float32_retries=3), row(metric="mcc", float32_retries=3)]))
    )
    assert sum("for 3 batches" in caution for caution in found) == 1
