"""The section on diffusability: what it says follows from its tables, and doubt is marked where it is."""

import re

import pandas as pd
import pytest

from pipeline.report import Further, diffusable, diffusable_gap, informed
from pipeline.report.curves import Look
from pipeline.report.diffusable_figures import PENALTIES, curves_figure, penalties_figure
from pipeline.report.results import Results
from tests.report_diffusability import DATASETS, LEVELS, SPACES, correlations, diffusability, geometry, information
from tests.report_further import FURTHER, GAPS
from tests.report_rows import cells, parsed
from tests.test_report_further import words

RESULTS = Results.read(GAPS)
LOOKS = {name: Look(f"#00000{place}", "o") for place, name in enumerate(SPACES)}
SHOWN = {"fisher_score": "FI", "mmse_rate": "rate"}


@pytest.fixture(scope="module")
def section() -> str:
    return diffusable.section(RESULTS, FURTHER)


def test_doubt_is_said_where_the_three_estimates_are_apart(section: str) -> None:
    said = words(section)
    assert "Not to be trusted: taesd at &sigma; = 0.1 (up to 28&nbsp;% apart)." in said
    assert "skin: MMSE rate by that of pixels: sd-vae \u00d7&nbsp;1.20, taesd" in said
    assert "The three estimates agree everywhere." in said
    assert "taesd everywhere (up to 28&nbsp;% apart)" in said


def test_ratios_stand_beside_their_quality_and_what_is_above_the_bound_is_bold(section: str) -> None:
    lines = [line for line in cells(section) if line[0] == "taesd" and len(line) == 7]
    assert lines[0][1:] == ["2.00", "2.00", "0.50", "0.50", "0.28 (above 0.1)", "0.001"]
    assert lines[1][5] == "0.02"
    assert section.count("(above 0.1)") == 1 + len(DATASETS) * len(SPACES)


def test_hollow_marks_are_the_levels_above_the_bound() -> None:
    found = diffusability()
    figure = curves_figure(found[found["denoiser"] == "gaussian"], SHOWN, LOOKS, "identity", diffusable.BOUND)
    assert len(figure.axes) == len(SHOWN) * len(DATASETS)
    for ax in figure.axes:
        assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
        hollow = [x for line in ax.lines if line.get_markerfacecolor() == "white" for x in line.get_xdata()]
        assert hollow == ([0.1] if ax.get_title("left") == "chest" else [])
        # Pixels are drawn last, dashed, so that an isometry does not hide them.
        assert [line.get_linestyle() for line in ax.lines if len(line.get_xdata()) == len(LEVELS)].count("--") == 1
    assert len({ax.get_ylim() for ax in figure.axes}) == len(SHOWN)


def test_every_encoder_has_a_bar_for_each_penalty_that_was_measured() -> None:
    figure = penalties_figure(geometry(), LOOKS)
    assert len(figure.axes) == len(DATASETS) * len(PENALTIES)
    assert sum(len(ax.patches) for ax in figure.axes if "fine" in ax.get_title("left")) == sum(
        len(ax.patches) - 1 for ax in figure.axes if "tangential" in ax.get_title("left")
    )
    bars = [bar.get_width() for bar in figure.axes[0].patches if bar.get_height() < 0.7]
    assert bars == [12.0] * len(SPACES)


def test_gap_and_loss_are_correlated_with_every_diagnostic() -> None:
    found = diffusable_gap.section(RESULTS, pd.DataFrame(correlations()))
    parsed(found)
    lines = [line for line in cells(found) if line[0] == "MMSE rate, to pixels"]
    assert lines == [["MMSE rate, to pixels", "0.50 [\u22120.20, 0.90]", "0.200", "1.00", "6"]] * 2
    assert found.count("<svg") == 2
    assert 'class="caution"' not in found
    few = pd.DataFrame(correlations()).assign(caution="too few", low=float("nan"), high=float("nan"))
    assert "too few" in diffusable_gap.section(RESULTS, few).partition("</div>")[0]
    assert [line[1] for line in cells(diffusable_gap.section(RESULTS, few)) if len(line) == 5][1:] == ["0.50"] * 16


def test_both_estimates_of_the_class_information_are_shown_with_their_intervals(section: str) -> None:
    lines = [line for line in cells(section) if line[:2] == ["taesd", "own"]]
    assert lines == [["taesd", "own", "0.45 [0.42, 0.49]", "0.33 [0.29, 0.37]", "0.17 [0.13, 0.21]"]]
    assert "read neither as the information" in words(section)
    assert "read neither" not in words(diffusable.section(RESULTS, _without("class_information")))
    assert informed.around(information().query("autoencoder == 'taesd' and quantity == 'information'"), 0.5).value == (
        pytest.approx(0.5 / 1.5)
    )


def test_an_integral_that_is_no_information_does_not_hide_the_heads_own_estimates() -> None:
    found = information()
    wild = found.assign(value=found["value"].where(found["quantity"] == "information", 300.0))
    (ax,) = informed.information_figure(wild, LOOKS, "identity").axes
    low, high = ax.get_ylim()
    assert low < 0
    assert found["value"].min() < high < 1


def test_the_longest_bar_of_any_data_set_fits_its_panel() -> None:
    longer = geometry()
    longer.loc[longer["dataset"] == DATASETS[-1], "value"] *= 100
    figure = penalties_figure(longer, LOOKS)
    for ax in figure.axes:
        assert max(bar.get_width() for bar in ax.patches if isinstance(bar.get_width(), float)) < ax.get_xlim()[1]
    assert len({ax.get_xlim() for ax in figure.axes}) == len(PENALTIES)
    assert {"1,200", "140", "0.5"} <= {note.get_text() for ax in figure.axes for note in ax.texts}


def test_rounding_is_no_penalty() -> None:
    tiny = geometry().assign(value=7e-7, standard_error=1e-8)
    for ax in penalties_figure(tiny, LOOKS).axes:
        assert {note.get_text() for note in ax.texts} == {"0"}
        assert ax.get_xlim()[1] >= 0.1


def test_the_section_can_be_filtered_by_data_set(section: str) -> None:
    for name in DATASETS:
        assert f'<li data-dataset="{name}">' in section
        assert f'<tbody data-dataset="{name}">' in section
        assert len(re.findall(f'<g data-dataset="{name}"', section)) >= 2 * 3 + len(PENALTIES)


def test_a_study_without_labels_has_curves_and_penalties(section: str) -> None:
    bare = diffusable.section(RESULTS, _without("correlations", "class_information"))
    assert "<h3>Penalties</h3>" in bare
    assert "<h3>Denoiser gaussian</h3>" in section
    assert "Does the gap go along with it?" not in bare


def _without(*names: str) -> Further:
    tables = {name: getattr(FURTHER, name) for name in Further.__dataclass_fields__}
    return Further(**(tables | {name: tables[name].iloc[:0] for name in names}))
