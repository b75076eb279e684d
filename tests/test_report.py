"""The report: what it says follows from the table, what users typed stays text, and equal input gives equal bytes."""

import base64
import dataclasses
import io
import math
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from pipeline.errors import StudyError
from pipeline.illustrate import read_fidelity
from pipeline.report import Strip, claims, figure_png, headline, render, tables, text
from pipeline.report.drawing import wrapped
from pipeline.report.figures import reading_order
from pipeline.report.results import ENDS, INTERVALS, NUMBERS, TEXTS, Interval, Results
from pipeline.report.strips import AMPLIFICATION, SIDES, difference, latent_colours, png, section

VOID = {"meta", "img", "br", "hr", "input", "link"}


def row(dataset: str = "chest", autoencoder: str = "taesd", family: str = "taesd", **changes: object) -> dict[str, Any]:
    """One row of a gap table; a number given for an interval gets an interval of 0.02 to each side."""
    values: dict[str, Any] = {
        **{"dataset": dataset, "autoencoder": autoencoder, "family": family, "head": "cnn", "protocol": "matched"},
        **{"metric": "balanced_accuracy", "latent_shape": "4x16x16", "folds": 5, "seeds": 2, "patients": 90},
        **{"units": 110, "samples": 120, "compression_ratio": 12.0, "stored_bytes": 491520},
        **{"psnr": 31.5, "ssim": 0.91, "ms_ssim": 0.953, "ms_ssim_scales": 3},
        **{"lpips": math.nan, "rfid": math.nan, "rfid_samples": math.nan},
        **{"coded_bytes": math.nan, "float32_retries": 0},
        **{"image": 0.86, "reconstruction": 0.84, "latent": 0.76},
        **{"information_loss": 0.02, "learnability_gap": 0.08, "total": 0.10},
    }
    values |= changes
    for name in INTERVALS:
        values.setdefault(f"{name}_low", values[name] - 0.02)
        values.setdefault(f"{name}_high", values[name] + 0.02)
    return values


def identity(dataset: str = "chest", **changes: object) -> dict[str, Any]:
    exact = {"reconstruction": 0.86, "latent": 0.86, "psnr": math.inf, "ssim": 1.0}
    nothing = {
        name + end: 0.0 for name in ("information_loss", "learnability_gap", "total") for end in ("", "_low", "_high")
    }
    return row(dataset, "identity", "identity", **{**exact, **nothing, **changes})


def unscored(dataset: str = "scans", autoencoder: str = "taesd") -> dict[str, Any]:
    """What the table holds for a dataset that was only reconstructed."""
    empty: dict[str, object] = dict.fromkeys(
        [name + end for name in INTERVALS for end in ("", "_low", "_high")], math.nan
    )
    empty |= {"head": None, "metric": None, "protocol": None, "folds": math.nan, "seeds": math.nan}
    return row(dataset, autoencoder, "taesd", **empty)


def strip(dataset: str = "chest", autoencoder: str = "taesd", channels: int = 1, size: int = 24) -> Strip:
    rng = np.random.default_rng(3)
    image = rng.random((channels, size, size)).astype(np.float32)
    latent = rng.normal(size=(4, size // 8, size // 8)).astype(np.float32)
    return Strip(dataset, autoencoder, image, np.clip(image + 0.02, 0, 1).astype(np.float32), latent)


STUDY = pd.DataFrame(
    [
        row(dataset, autoencoder, family, head=head, metric=metric, **changes)
        for dataset in ("chest", "skin")
        for autoencoder, family, changes in (
            ("taesd", "taesd", {}),
            ("sd-vae", "diffusers", {"latent": 0.83, "learnability_gap": 0.01, "total": 0.03}),
            ("shuffled", "pixel-unshuffle", {"psnr": math.inf, "information_loss": 0.0}),
        )
        for head in ("cnn", "knn")
        for metric in ("balanced_accuracy", "mcc")
    ]
    + [identity(dataset) for dataset in ("chest", "skin")]
    + [unscored()]
)
STRIPS = [strip("chest"), strip("chest", "identity"), strip("skin", channels=3), strip("skin", channels=3)]


SUMMARY: dict[str, Any] = {
    "samples": 120,
    "patients": 30,
    "files": 122,
    "refused": {"the file is missing": 2},
    "warnings": {"BurnedInAnnotation is YES": 7},
    "notes": ["5 images are of other views"],
    "duplicates": 3,
    "merged_patients": 1,
    "task": "single-label",
    "split": "folds",
    "unlabelled": 0,
    "dropped": 0,
    "positive": {"a": 60, "b": 60},
    "contradictions": 0,
}


@pytest.fixture(scope="module")
def page() -> str:
    return render(STUDY, STRIPS, "A study", {"chest": SUMMARY})


class Balanced(HTMLParser):
    """Fails on a tag that is closed out of order, and on an identifier that is used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.ids += [value or "" for name, value in attrs if name == "id"]
        if tag == "img":
            assert dict(attrs).get("alt"), "an image without a text"
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.ids += [value or "" for name, value in attrs if name == "id"]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def parsed(page: str) -> Balanced:
    parser = Balanced()
    parser.feed(page)
    parser.close()
    assert parser.open == []
    assert len(parser.ids) == len(set(parser.ids))
    return parser


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


FIDELITY = pd.DataFrame(
    [
        {"dataset": "chest", "autoencoder": name, "class": label, "samples": count, "psnr": psnr, "lpips": lpips}
        for name, lpips in (("taesd", 0.25), ("sd-vae", 0.125), ("identity", 0.0), ("shuffled", 0.0))
        for label, count, psnr in (("", 120, 31.25), ("rare", 3, 21.25), ("None", 117, 32.5), ("<b>", 0, math.nan))
    ]
    + [{"dataset": "skin", "autoencoder": "taesd", "class": "", "samples": 9, "psnr": 30.0, "lpips": math.nan}]
)


def cells(table: str) -> list[list[str]]:
    """The lines of a table as plain text."""
    lines = re.findall(r"<tr[^>]*>(.*?)</tr>", table, re.DOTALL)
    return [[re.sub("<[^>]*>", "", cell) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", line)] for line in lines]


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


CLAIMS = pd.DataFrame(
    [
        {"level": level, "dataset": dataset, "autoencoder": name, "head": "cnn", "metric": "balanced_accuracy"}
        | {"quantity": quantity, "value": 0.045, "low": low, "high": 0.08, "datasets": 4, "cells": 20, "p_holm": p_holm}
        | {"units": "drawn: 2 data sets, 5 folds, patients; a single seed", **signs}
        for quantity, low in (("information_loss", -0.01), ("learnability_gap", 0.01), ("total", 0.02))
        for level, dataset, name, p_holm, signs in (
            (
                *("study", None, None, None),
                {"positive_cells": 20, "sign_p_cells": 2**-20, "positive_datasets": 4, "sign_p_datasets": 0.0625}
                | {"caution": "Pairs are <not> independent."},
            ),
            ("autoencoder", None, "NA", None, {}),
            ("autoencoder", None, "sd-vae", None, {}),
            ("cell", "chest", "NA", 0.004, {}),
            ("cell", "chest", "sd-vae", 0.05, {}),
        )
    ]
)


def claimed(table: pd.DataFrame, folder: Path) -> str:
    table.to_csv(folder / "claims.csv", index=False)
    page = render(STUDY, [], "t", {}, None, claims.read(folder / "claims.csv"))
    parsed(page)
    return page.partition("<h2>What the study says as a whole</h2>")[2].partition("<h2>")[0]


def test_the_study_as_a_whole_is_told_in_sentences_and_a_table(tmp_path: Path) -> None:
    section = claimed(CLAIMS, tmp_path)
    assert "the mean learnability gap is 0.045 [0.010, 0.080]" in section
    assert "above zero in 20 of 20 pairs" in section
    assert "p = 9.5 \u00d7 10<sup>\u22127</sup>" in section
    assert "p = 0.0625" in section
    assert "1 of 2 gaps differ from zero" in section
    assert "<p>Pairs are &lt;not&gt; independent.</p>" in section
    lines = cells(section)
    assert [line[0] for line in lines] == ["mean over", "cnn", "all candidates", "NA", "sd-vae"]
    assert lines[2][-1] == "2 data sets, 5 folds, patients; a single seed"
    assert "<b>0.045 [0.010, 0.080]</b>" in section
    assert "<b>0.045 [\u22120.010, 0.080]</b>" not in section


def test_a_study_without_reconstructions_claims_no_gap(tmp_path: Path) -> None:
    section = claimed(CLAIMS[CLAIMS["quantity"] == "total"], tmp_path)
    assert "no candidate has reconstructions, so there is no learnability gap" in section
    assert cells(section)[2][1:4] == ["\u2013", "\u2013", "0.045 [0.020, 0.080]"]


def test_nothing_claimed_is_no_section_and_other_tables_are_refused(tmp_path: Path) -> None:
    assert claimed(CLAIMS.iloc[:0], tmp_path) == ""
    assert claimed(CLAIMS.assign(metric="auroc"), tmp_path) == ""
    with pytest.raises(StudyError, match="the table of claims lacks the columns units"):
        render(STUDY, [], "t", {}, None, CLAIMS.drop(columns="units"))


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        *((1.0, "1.00"), (0.8062, "0.806"), (0.0625, "0.0625"), (2e-4, "0.000200"), (math.nan, "\u2013")),
        (2**-20, "9.5 \u00d7 10<sup>\u22127</sup>"),
    ],
)
def test_a_p_value_keeps_its_leading_digits(value: float, shown: str) -> None:
    assert text.p_value(value) == shown


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


def test_controls_stand_apart_and_candidates_by_their_mean_gap() -> None:
    rows = [identity(), row(autoencoder="a", learnability_gap=0.2), row(autoencoder="b", learnability_gap=0.1)]
    rows += [row("skin", "a"), row("skin", "b"), row("skin", "only", learnability_gap=-0.5)]
    order = reading_order(Results.read(pd.DataFrame(rows)), "balanced_accuracy")
    assert order == (["b", "a", "only"], ["identity"])


@given(st.text(st.characters(categories=["L", "N", "P", "Zs"]), min_size=1, max_size=200))
def test_names_in_figures_take_at_most_two_lines(name: str) -> None:
    lines = wrapped(name, 24).split("\n")
    assert len(lines) <= 2
    assert max(map(len, lines)) <= 24 or not name.strip()


def test_the_difference_is_amplified_by_the_factor_that_the_page_states(page: str) -> None:
    image = np.full((1, 2, 2), 0.5, np.float32)
    assert difference(image, image - np.float32(0.03)) == pytest.approx(
        np.full((1, 2, 2), 0.03 * AMPLIFICATION), abs=1e-6
    )
    assert difference(image, image + 1).max() == 1
    assert f"The absolute difference is multiplied by {AMPLIFICATION} everywhere" in page


def decoded(uri: str) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.split(",", 1)[1]))))


def test_the_page_holds_the_very_pixels_of_a_small_image() -> None:
    shown = strip(size=24)
    uris = re.findall(r'src="([^"]*)"', section([shown], ["taesd"]))
    assert len(uris) == 4
    np.testing.assert_array_equal(decoded(uris[0]), np.rint(shown.image[0] * 255).astype(np.uint8))
    assert decoded(uris[3]).shape == (3, 3, 3)


def test_large_tiles_are_area_averages() -> None:
    checker = np.indices((64, 32)).sum(axis=0) % 2 * 200
    uri, width = png(checker.astype(np.uint8), 32)
    assert (width, decoded(uri).shape) == (16, (32, 16))
    assert (decoded(uri) == 100).all()


def test_many_noisy_samples_stay_within_the_size_of_a_page() -> None:
    rng = np.random.default_rng(0)
    noise = rng.random((3, 160, 160)).astype(np.float32)
    many = [Strip("d", f"a{i}", noise, noise[:, ::-1], noise[:, :20, :20]) for i in range(14)]
    html = section(many, [])
    assert len(html) < 4_000_000
    assert f"at most {SIDES[0]} pixels" not in html


@given(st.integers(0, 2**32 - 1), st.integers(3, 12))
def test_latent_colours_ignore_rotations_permutations_and_signs_of_channels(seed: int, channels: int) -> None:
    rng = np.random.default_rng(seed)
    # Distinct variances: directions of equal variance have no order, and so no colours.
    latent = rng.normal(size=(channels, 6, 5)) * 2.0 ** -np.arange(channels)[:, None, None]
    rotation, _ = np.linalg.qr(rng.normal(size=(channels, channels)))
    signed = latent[rng.permutation(channels)] * rng.choice([-1, 1], size=(channels, 1, 1))
    expected = latent_colours(latent.astype(np.float32))
    assert expected.shape == (3, 6, 5)
    for other in (signed, np.tensordot(rotation, latent, 1)):
        np.testing.assert_allclose(latent_colours(other.astype(np.float32)), expected, atol=2e-3)


def test_one_latent_channel_is_grey_and_keeps_its_sign() -> None:
    ramp = np.linspace(-3, 5, 101, dtype=np.float32).reshape(1, 1, 101)
    grey = latent_colours(ramp)
    assert grey.shape == ramp.shape
    assert grey[0, 0, [0, 1, 50, 99, 100]] == pytest.approx([0, 0, 0.5, 1, 1], abs=1e-5)


def test_constant_and_degenerate_latents_are_mid_grey() -> None:
    assert (latent_colours(np.full((4, 3, 3), 7, np.float32)) == 0.5).all()
    ramp = np.arange(9, dtype=np.float32).reshape(1, 3, 3)
    rank_one = latent_colours(np.concatenate([ramp, -2 * ramp]))
    assert (rank_one[1:] == 0.5).all()
    assert rank_one[0].std() > 0.2


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"latent": np.full((4, 3, 3), np.nan, np.float32)}, "not finite"),
        ({"image": np.zeros((2, 24, 24), np.float32)}, "shape"),
        ({"reconstruction": np.zeros((1, 12, 12), np.float32)}, "reconstruction"),
    ],
)
def test_a_strip_that_cannot_be_shown_truthfully_is_refused(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(StudyError, match=f"chest / taesd.*{reason}"):
        section([dataclasses.replace(strip(), **changes)], [])


def test_figure_1_is_written_as_a_png_and_is_the_same_each_time(tmp_path: Path) -> None:
    for name in ("one.png", "two.png"):
        figure_png(STUDY, "knn", tmp_path / name)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    with Image.open(tmp_path / "one.png") as picture:
        assert picture.format == "PNG"
        assert picture.width > 600
    with pytest.raises(StudyError, match="no scores of head 'mlp'; its heads: cnn and knn"):
        figure_png(STUDY, "mlp", tmp_path / "none.png")


def test_a_study_without_classes_has_a_figure_that_says_so(tmp_path: Path) -> None:
    figure_png(pd.DataFrame([unscored()]), "", tmp_path / "none.png")
    with Image.open(tmp_path / "none.png") as picture:
        assert np.asarray(picture.convert("L")).min() < 200


def test_sizes_as_files_are_shown_where_a_codec_has_them() -> None:
    plain, codec = [row()], [row(), row(autoencoder="jpeg", family="jpeg", coded_bytes=123_456)]
    assert "as files" not in tables.encodings(Results.read(pd.DataFrame(plain)))
    assert "0.12" in tables.encodings(Results.read(pd.DataFrame(codec)))


def test_batches_that_had_to_be_repeated_are_told() -> None:
    found = headline.cautions(
        Results.read(pd.DataFrame([row(float32_retries=3), row(metric="mcc", float32_retries=3)]))
    )
    assert sum("for 3 batches" in caution for caution in found) == 1


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
