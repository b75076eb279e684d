"""What figures say beside lines: marks with values, looks that stay the same, and which data set a panel is of."""

import re

import pandas as pd
import pytest

from pipeline.report import learning, render
from pipeline.report.curves import PALETTE, of_autoencoders
from pipeline.report.results import Results
from tests.report_further import FURTHER, GAPS
from tests.report_rows import identity, row

RESULTS = Results.read(GAPS)


@pytest.fixture(scope="module")
def page() -> str:
    return render(GAPS, [], "A study", {}, None, None, FURTHER)


def test_learning_curves_mark_where_images_reach_the_score_of_latents() -> None:
    section = learning.section(RESULTS, FURTHER.profile, FURTHER.complexity)
    # The made-up image curve is 0.86 + 0.07 log2(share), and the latents of taesd score 0.76.
    share = 2 ** ((0.76 - 0.86) / 0.07)
    assert f"images reach 0.76 with {100 * share:.0f} % of the labels" in section
    bound = FURTHER.complexity.assign(bound=">")
    assert "images reach 0" not in learning.section(RESULTS, FURTHER.profile, bound)


def test_an_autoencoder_looks_the_same_in_every_figure() -> None:
    rows = pd.DataFrame([identity(), row(autoencoder="b"), row(autoencoder="a"), row("skin", "c")])
    every = of_autoencoders(Results.read(rows), ["identity", "a", "b", "c"])
    assert len({(look.colour, look.marker) for look in every.values()}) == 4
    assert of_autoencoders(Results.read(rows), ["c"]) == {"c": every["c"]}
    assert every["b"].colour == PALETTE[0]


def test_marks_of_figures_say_their_value_where_the_pointer_rests(page: str) -> None:
    tips = re.findall(r'<g class="tip"><title>(.*?)</title>', page)
    assert "chest, taesd: learnability gap 0.080 [0.060, 0.100]" in tips
    assert "chest, taesd, samples a second, inference: \u00d7 12.30" in tips


def test_panels_lists_and_tables_say_which_data_set_they_are_about(page: str) -> None:
    for element in ("<g", "<li", "<tbody", "<details"):
        assert {*re.findall(rf'{element}[^>]* data-dataset="([^"]*)"', page)} == {"chest", "skin"}
    # Those of heads are not about a data set, whatever they are called.
    assert "<tbody>" in page.partition("<h2>What goes along with the gap</h2>")[2].partition("<h2>")[0]
