"""Sections beside the gap: what they say follows from their tables, also where there is nothing to say."""

import math
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pipeline import (
    calibration,
    class_information,
    complexity,
    correlate,
    cost,
    diffusability,
    encoder_geometry,
    groups,
    initialisation,
    penalties,
    profiles,
)
from pipeline.errors import StudyError
from pipeline.report import (
    Further,
    correlates,
    depth,
    depth_png,
    diffusable,
    efficiency,
    learning,
    noise,
    protocols,
    rarity,
    render,
    starts,
    sureness,
)
from pipeline.report.further import COLUMNS, OPTIONAL, Curve
from pipeline.report.results import Interval, Results, read_gaps
from tests.report_further import FURTHER, GAPS, around
from tests.report_rows import STUDY, cells, parsed, row, unscored

RESULTS = Results.read(GAPS)
SECTIONS = {
    "What comes of pretraining": lambda tables: starts.section(RESULTS, tables.initialisation),
    "Where the decoder restores what a head can learn": lambda tables: depth.section(RESULTS, tables.profile),
    "How many labels latents need": lambda tables: learning.section(RESULTS, tables.profile, tables.complexity),
    "What noise takes away": lambda tables: noise.section(RESULTS, tables.profile),
    "Common and rare classes": lambda tables: rarity.section(RESULTS, tables.groups),
    "How far the heads know what they know": lambda tables: sureness.section(RESULTS, tables.reliability),
    "What goes along with the gap": lambda tables: correlates.section(RESULTS, tables.correlations, tables.covariates),
    "What latents save": lambda tables: efficiency.section(RESULTS, tables.cost),
    "How diffusable the spaces are": lambda tables: diffusable.section(RESULTS, tables),
}
CHEST = GAPS[(GAPS["dataset"] == "chest") & (GAPS["head"] == "cnn")]


@pytest.fixture(scope="module")
def page() -> str:
    return render(GAPS, [], "A study", {}, None, None, FURTHER)


def part(page: str, heading: str) -> str:
    assert f"<h2>{heading}</h2>" in page
    return page.partition(f"<h2>{heading}</h2>")[2].partition("<h2>")[0]


def words(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub("<[^>]*>", "", html))


def test_every_table_with_rows_has_a_section_with_figure_and_numbers_in_a_whole_page(page: str) -> None:
    parsed(page)
    assert len(page) < 10_000_000
    assert "http" not in page
    assert not re.search(r"\bnan\b", words(page.partition("<script>")[0].partition("</style>")[2]))
    for heading in SECTIONS:
        section = part(page, heading)
        assert "<table>" in section
        assert ("<li" in section) == (heading != "What latents save")
        assert "<svg" in section


@pytest.mark.parametrize("heading", SECTIONS)
def test_a_table_without_rows_has_no_section(heading: str) -> None:
    emptied = Further(**{name: getattr(FURTHER, name).iloc[:0] for name in COLUMNS})
    assert [SECTIONS[heading](tables) for tables in (emptied, Further())] == ["", ""]


def test_a_page_without_further_tables_is_as_it_was() -> None:
    assert render(CHEST, [], "t", {}, None, None, Further()) == render(CHEST, [], "t", {})


def test_the_columns_read_are_columns_that_the_stages_write() -> None:
    cell = {"dataset", "autoencoder", "head"}
    written = {
        "profile": cell | {*profiles.COLUMNS},
        "complexity": cell | {*complexity.COLUMNS},
        "groups": cell | {*groups.COLUMNS},
        "initialisation": {*initialisation.COLUMNS},
        "correlations": {*correlate.COLUMNS},
        "covariates": {*correlate.NAMED, "value"},
        "cost": {*cost.COLUMNS},
        "diffusability": {*diffusability.COLUMNS},
        "diffusability_summary": {*penalties.CELL, *penalties.DIAGNOSTICS},
        "encoder_geometry": {*encoder_geometry.COLUMNS},
        "class_information": {*class_information.COLUMNS},
    }
    assert set(written) | {"reliability"} == set(COLUMNS)
    for name, columns in written.items():
        assert {*COLUMNS[name].texts, *COLUMNS[name].numbers} <= columns


def test_tables_are_read_back_as_they_are_called_and_empty_ones_of_studies_without_labels(tmp_path: Path) -> None:
    for name in COLUMNS:
        getattr(FURTHER, name).to_csv(tmp_path / f"{name}.csv", index=False)
    profile = FURTHER.profile.replace({"autoencoder": {"taesd": "NA"}, "head": {"depths": "None"}})
    profile.to_csv(tmp_path / "profile.csv", index=False)
    read = Further.read(tmp_path, OPTIONAL)
    assert len(read.diffusability) == len(FURTHER.diffusability)
    assert {"NA"} < {*read.profile["autoencoder"]}
    assert {"None"} < {*read.profile["head"]}
    assert list(read.complexity["high"]) == list(FURTHER.complexity["high"])
    (tmp_path / "profile.csv").write_text("dataset,autoencoder,head\n")
    assert Further.read(tmp_path).profile.empty
    (tmp_path / "profile.csv").write_text("dataset,autoencoder,head\na,b,c\n")
    with pytest.raises(StudyError, match=r"profile\.csv lacks the columns at, axis"):
        Further.read(tmp_path)


def test_a_gap_table_is_read_with_names_that_look_like_nothing(tmp_path: Path) -> None:
    table = pd.DataFrame([row("NA", "null", head="None", psnr=math.inf), unscored("nan")])
    table.to_csv(tmp_path / "gap_table.csv", index=False)
    read = Results.read(read_gaps(tmp_path / "gap_table.csv"))
    assert [(one.dataset, one.autoencoder, one.head) for one in read.rows] == [
        ("NA", "null", "None"),
        ("nan", "taesd", ""),
    ]
    assert read.heads == ["None"]
    assert math.isinf(read.rows[0].psnr)
    assert math.isnan(read.rows[1].latent.value)


def test_names_from_users_stay_text_everywhere() -> None:
    bad = "<script>alert('$x$ & \"y\"')</script>"
    swap = {"dataset": {"chest": bad}, "autoencoder": {"taesd": bad}, "head": {"cnn": bad, "film": bad + "1"}}
    swap |= {"covariate": {"psnr": bad}, "other_head": {"cnn": bad}, "protocol": {"paper": bad}}

    def renamed(table: pd.DataFrame) -> pd.DataFrame:
        return table.replace({name: swap[name] for name in swap if name in table.columns})

    def of_chest(table: pd.DataFrame) -> pd.DataFrame:
        return table[table["dataset"] == "chest"] if "dataset" in table.columns else table

    tables = {name: renamed(of_chest(getattr(FURTHER, name))) for name in COLUMNS}
    gaps = renamed(of_chest(GAPS[GAPS["metric"] == "balanced_accuracy"]))
    found = render(gaps, [], bad, {}, None, None, Further(**tables))
    assert found.count("<script>") == 1
    parsed(found)


# The protocol.


def test_the_headline_is_that_of_matched_rows_though_a_paper_head_comes_first(page: str) -> None:
    assert GAPS["head"].iloc[0] == "published"
    headline = words(part(page, "Which latents can a classifier learn from?"))
    assert "With the head cnn and balanced accuracy, protocol matched, 6 pairs" in headline
    assert "published" not in headline
    assert "paper" not in headline


def test_a_study_of_paper_heads_alone_has_no_headline() -> None:
    found = render(GAPS[(GAPS["protocol"] == "paper") & (GAPS["dataset"] == "chest")], [], "t", {})
    headline = words(part(found, "Which latents can a classifier learn from?"))
    assert "there is no headline" in headline
    assert "above zero" not in headline
    assert "published" in part(found, "Protocols")


def test_protocols_stand_side_by_side_and_are_named_wherever_heads_are(page: str) -> None:
    section = part(page, "Protocols")
    assert [line[:3] for line in cells(section)[2:4]] == [["taesd", "matched", "cnn"], ["taesd", "paper", "published"]]
    assert "paper, head published: image less latent is above zero in 6" in words(section)
    assert "matched, head cnn: image less latent is above zero in 4" in words(section)
    assert "Head published (protocol: paper)" in words(part(page, "Where the score is lost"))
    assert protocols.section(Results.read(STUDY), None) == ""


# Along the decoder.


@pytest.mark.parametrize(
    ("gap", "said"),
    [
        (0.08, "half of that is first reached at stage 1 of 3, all of it at stage 3 of 3"),
        (0.0, "no difference shown between reconstruction and latent: 0.000"),
        (-0.05, "the latent scores higher than the reconstruction"),
        (math.nan, "not measured"),
    ],
)
def test_where_learnability_returns_is_said_plainly(gap: float, said: str) -> None:
    (one,) = Results.read(pd.DataFrame([row(latent=0.84 - gap, learnability_gap=gap)])).rows
    curve: Curve = [(at, Interval(0.84 - gap * (1 - at / 3) ** 2, 0, 1)) for at in range(4)]
    assert said in depth.reading(one, curve)


def test_what_no_stage_restores_is_said_to_be_in_the_reconstruction_alone() -> None:
    (one,) = Results.read(pd.DataFrame([row()])).rows
    assert "all of it at the reconstruction alone" in depth.reading(one, [(0, Interval(0.76, 0.7, 0.8))] * 3)


def test_the_table_of_depths_ends_with_reconstruction_and_image(page: str) -> None:
    lines = cells(part(page, "Where the decoder restores what a head can learn"))
    assert lines[0][-3:] == ["reconstruction", "image", "reconstruction &minus; latent"]
    taesd = next(line for line in lines if line[0] == "taesd")
    # Three of the five stages that another decoder has.
    assert taesd[1] == "0.76 [0.74, 0.78]"
    assert taesd[4:7] == ["0.84 [0.82, 0.86]", "\u2013", "\u2013"]


def test_the_figure_of_depths_is_a_png_the_same_each_time_and_says_where_there_is_none(tmp_path: Path) -> None:
    for name in ("one.png", "two.png"):
        depth_png(GAPS, FURTHER.profile, tmp_path / name)
    depth_png(GAPS, FURTHER.profile.iloc[:0], tmp_path / "none.png")
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    with Image.open(tmp_path / "one.png") as picture, Image.open(tmp_path / "none.png") as empty:
        assert picture.height > 3 * empty.height
        assert np.asarray(empty.convert("L")).min() < 200


# Labels.


@pytest.mark.parametrize(
    ("changes", "shown", "said"),
    [
        ({}, "\u00d7 2.30 [1.50, 4.00]", "(more)"),
        ({"low": 0.8, "high": math.inf}, "\u00d7 2.30 [0.80, \u221e]", "(no difference shown)"),
        ({"value": 0.5, "low": 0.0, "high": 0.9}, "\u00d7 0.50 [0.00, 0.90]", "(fewer)"),
        ({"bound": ">"}, "> \u00d7 2.30 [1.50, 4.00]", "(more)"),
        ({"bound": "?", "value": math.nan}, "not known", "not known"),
        ({"defined": 0.6}, "\u00d7 2.30 [1.50, 4.00]", "(more; known in 60&nbsp;% of the replicates)"),
    ],
)
def test_a_ratio_of_labels_says_what_is_a_bound_and_what_is_not_known(
    changes: dict[str, object], shown: str, said: str
) -> None:
    record = {"value": 2.3, "low": 1.5, "high": 4.0, "bound": "", "defined": 1.0} | changes
    assert learning.ratio(record) == shown
    assert learning.reading(record).endswith(said)


def test_learning_curves_carry_the_ratio_of_the_complexity_table(page: str) -> None:
    section = part(page, "How many labels latents need")
    gaps = 2.0 ** (0.10 / 0.07)
    assert f"\u00d7 {gaps:.2f} [{0.8 * gaps:.2f}, \u221e]" in section.partition("<svg")[2].partition("</svg>")[0]
    assert "&gt; \u00d7 1.00" in section
    assert any(line[:3] == ["taesd", "0.400", "10.0 [8.0, 12.0]"] for line in cells(section))


# Noise.


def test_the_noise_at_which_half_is_gone_is_found_between_levels() -> None:
    levels = [0.1, 1.0, 10.0, 100.0]
    scores = [0.9, 0.8, 0.6, 0.5]
    curve: Curve = [(0.0, Interval(0.9, 0.88, 0.92))]
    curve += [(at, Interval(value, value - 0.02, value + 0.02)) for at, value in zip(levels, scores, strict=True)]
    # Half lies at 0.7, in the middle of 1 and 10 on a logarithmic axis.
    assert noise.half_gone(curve) == pytest.approx(10**0.5)
    flat: Curve = [(at, Interval(0.5, 0.45, 0.55)) for at in (0.0, *levels)]
    assert noise.half_gone(flat) is None
    early: Curve = [(0.0, Interval(0.9, 0.88, 0.92)), *[(at, Interval(0.5, 0.48, 0.52)) for at in levels]]
    assert noise.half_gone(early) is None


def test_scores_over_noise_are_told_with_their_ends(page: str) -> None:
    section = words(part(page, "What noise takes away"))
    # The fixture's scores on images are halfway down at a deviation of 0.5; levels lie a factor of 2.6 apart.
    assert "on images, 0.86 [0.84, 0.88] and 0.50 [0.48, 0.52] (half of the fall by &sigma; = 0.49)" in section


# The others.


def test_what_pretraining_gives_is_told_beside_the_gap_from_scratch(page: str) -> None:
    section = words(part(page, "What comes of pretraining"))
    assert (
        "taesd, published mix 0.130 [0.110, 0.150], of which pretraining in images 0.050 [0.030, 0.070], and latents "
        "from scratch 0.080 [0.060, 0.100], both pretrained 0.100 [0.080, 0.120] (from scratch latents score lower)"
    ) in section
    assert "(from scratch no difference is shown)" in section


def test_groups_of_classes_are_told_with_how_many_they_are(page: str) -> None:
    section = words(part(page, "Common and rare classes"))
    assert "tail (3 classes): taesd 0.140 [0.120, 0.160]" in section
    assert "medium (1 class): taesd" in section
    assert rarity.section(RESULTS, FURTHER.groups[FURTHER.groups["group"] == "head"]) == ""


@settings(deadline=None)
@given(st.integers(1, 400), st.integers(0, 2**32 - 1))
def test_the_calibration_error_of_the_bins_is_that_of_the_samples(count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(count, 3))
    labels = rng.integers(0, 3, count)
    (pair,) = calibration.judged(scores, labels)
    expected = calibration.calibration_error(scores, labels)
    assert sureness.calibration_error(calibration.binned(*pair)) == pytest.approx(expected, abs=1e-12)


def test_correlations_are_shown_with_their_caution(page: str) -> None:
    section = part(page, "What goes along with the gap")
    assert "too few for a rank correlation to be trusted" in section.partition("</div>")[0]
    assert "1 of 2 covariates is shown to go along with the gap" in words(section)
    weak = FURTHER.correlations.assign(p_holm=0.2)
    assert "none of 2 covariates is shown to go along" in words(correlates.section(RESULTS, weak))


def test_a_study_of_many_cells_stays_within_the_size_of_a_page() -> None:
    names = [f"autoencoder {number}" for number in range(8)]
    gaps = pd.DataFrame([row(f"data {d}", name, "diffusers", head="depths") for d in range(6) for name in names])
    profile = pd.DataFrame(
        [
            {"dataset": f"data {d}", "autoencoder": name, "head": "depths", "axis": "depth", "at": at}
            | {"quantity": "latent", "metric": "balanced_accuracy", **around(0.7 + 0.02 * at)}
            for d in range(6)
            for name in names
            for at in range(6)
        ]
    )
    found = depth.section(Results.read(gaps), profile)
    parsed(found)
    assert len(found) < 1_000_000
