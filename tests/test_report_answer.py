"""The answer follows from the draws: who is best, how surely, and when nothing can be said."""

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pipeline import evaluate
from pipeline.errors import StudyError
from pipeline.report import answer, render
from pipeline.report.preference import Choice, choices, compare, deciding, replicates, shares, together
from pipeline.report.results import Results
from tests.report_exhibits import CHOICES, EXHIBITS, RESULTS, choice
from tests.report_further import GAPS
from tests.report_rows import parsed, row


def normal(seed: int, means: dict[str, float], spread: float, count: int = 4000) -> dict[str, np.ndarray]:
    """Scores whose replicates are normal and independent around the means."""
    generator = np.random.default_rng(seed)
    return {
        name: np.concatenate([[mean], mean + spread * generator.normal(size=count)]) for name, mean in means.items()
    }


def test_the_share_of_draws_is_the_probability_of_the_larger_of_two_normals() -> None:
    found = compare(normal(0, {"a": 0.5, "b": 0.53}, 0.03))
    expected = stats.norm.cdf(0.03 / (0.03 * math.sqrt(2)))
    assert found.best == "b"
    assert found.shares["b"] == pytest.approx(expected, abs=0.02)
    assert sum(found.shares.values()) == pytest.approx(1)
    lead = found.behind["a"]
    half = stats.norm.ppf(0.975) * 0.03 * math.sqrt(2)
    assert lead == pytest.approx((0.03, 0.03 - half, 0.03 + half), abs=0.006)
    assert found.rivals == ["a"]


def test_what_all_candidates_share_does_not_blur_their_difference() -> None:
    common = 0.1 * np.random.default_rng(1).normal(size=1001)
    found = compare({"a": 0.5 + common, "b": 0.51 + common})
    assert found.rivals == []
    assert found.behind["a"] == pytest.approx((0.01,) * 3)
    assert found.shares == {"b": 1.0, "a": 0.0}


def test_equal_candidates_share_the_draws_and_are_not_told_apart() -> None:
    same = np.random.default_rng(2).random(101)
    found = compare({"b": same, "a": same.copy()})
    assert found.shares == {"a": 0.5, "b": 0.5}
    assert found.rivals == ["b"]


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.integers(1, 40))
def test_shares_add_up_and_ignore_draws_that_are_not_known(seed: int, candidates: int, draws: int) -> None:
    values = np.random.default_rng(seed).integers(0, 4, size=(candidates, draws)).astype(float)
    found = shares(values)
    assert sum(found) == pytest.approx(1)
    unknown = np.full((candidates, 3), 9.0)
    unknown[0] = math.nan
    assert shares(np.hstack([values, unknown])) == pytest.approx(found)
    assert all(math.isnan(share) for share in shares(unknown))


def test_a_false_winner_is_rarely_declared_among_equals() -> None:
    """With equal candidates the answer names one in at most about 5 % of studies, however many there are."""
    generator, declared = np.random.default_rng(3), 0
    for _ in range(300):
        observed = generator.normal(size=4)
        draws = observed[:, None] + generator.normal(size=(4, 400))
        found = compare({str(n): np.concatenate([[observed[n]], draws[n]]) for n in range(4)})
        declared += not found.rivals
    assert declared / 300 < 0.08


def flat(values: dict[str, float]) -> pd.DataFrame:
    rows = [
        {
            "metric": metric,
            "space": "latent",
            "fold": fold,
            "seed": 0,
            "values": np.full(11, value + 0.01 * (fold - 0.5)),
        }
        for metric, value in values.items()
        for fold in (0, 1)
    ]
    return evaluate.flatten(pd.DataFrame(rows))


def study(folder: Path, image_mcc: float = 0.5, latent_mcc: float = 0.3) -> Results:
    rows = []
    for name, family, latent in (("a", "x", 0.7), ("b", "x", 0.6), ("identity", "identity", 0.86)):
        for metric, value, image in (("balanced_accuracy", latent, 0.86), ("mcc", latent_mcc, image_mcc)):
            rows.append(row(autoencoder=name, family=family, metric=metric, latent=value, image=image))
        path = folder / "chest" / name / "cnn" / "resampled.parquet"
        path.parent.mkdir(parents=True)
        flat({"balanced_accuracy": latent, "mcc": latent_mcc}).to_parquet(path)
    return Results.read(pd.DataFrame(rows))


def test_choices_are_read_from_the_draws_that_the_gap_table_was_made_of(tmp_path: Path) -> None:
    (found,) = choices(study(tmp_path), tmp_path)
    assert found.comparison is not None
    assert list(found.comparison.latents) == ["a", "b"]
    assert found.comparison.behind["b"] == pytest.approx((0.1, 0.1, 0.1))
    other = Results.read(pd.DataFrame([row(autoencoder="a", latent=0.71)]))
    with pytest.raises(StudyError, match="chest / a / cnn are not of the scores in the gap table"):
        replicates(other.rows[0], tmp_path)


@pytest.mark.parametrize(
    ("image", "latent", "why"),
    [(0.01, 0.3, "above chance from images"), (0.5, 0.01, "above chance from the latents of any autoencoder")],
)
def test_a_head_at_chance_decides_nothing(tmp_path: Path, image: float, latent: float, why: str) -> None:
    (found,) = choices(study(tmp_path, image, latent), tmp_path)
    assert found.comparison is None
    assert why in found.why_not
    assert "nothing can be recommended" in answer.section(study(tmp_path / "again", image, latent), [found])


def test_controls_and_what_has_no_decoder_are_never_chosen(tmp_path: Path) -> None:
    results = study(tmp_path)
    for found in choices(results, tmp_path):
        assert {one.autoencoder for one in found.rows} == {"a", "b"}
    nan: dict[str, Any] = {
        name + end: math.nan
        for name in ("reconstruction", "information_loss", "learnability_gap")
        for end in ("", "_low", "_high")
    }
    undecodable = pd.DataFrame([row(), row(autoencoder="features", latent=0.99, **nan)])
    page = answer.section(Results.read(undecodable), CHOICES)
    assert "Not chosen among, for want of a decoder: features." in page


def test_the_answer_rests_on_the_first_head_that_decides_and_knows_most_candidates() -> None:
    undecided = choice("chest", "cnn", why_not="is at chance")
    few = Choice("chest", "film", CHOICES[0].rows[:1], CHOICES[0].comparison, "")
    assert deciding([undecided, few])["chest"] is few
    assert deciding([undecided, few, CHOICES[0]])["chest"] is CHOICES[0]
    assert deciding([undecided])["chest"] is undecided


def test_one_for_all_is_compared_by_the_mean_over_data_sets() -> None:
    decided = [choice("chest", "cnn", 0.01), choice("skin", "cnn", 0.01)]
    found = together(decided)
    assert found is not None
    first = decided[0].comparison
    assert first is not None
    assert found.best == "flux"
    for name, values in found.latents.items():
        assert values[0] == pytest.approx(first.latents[name][0])
    assert together(decided[:1]) is None


def test_the_page_begins_with_the_answer_in_one_paragraph() -> None:
    page = render(GAPS, [], "t", {}, exhibits=EXHIBITS)
    parsed(page)
    assert page.index("Which autoencoder to use") < page.index("How to read this page")
    said = re.sub("<[^>]*>", "", re.findall('<p class="answer">(.*?)</p>', page, re.DOTALL)[0])
    assert said.startswith(
        "Use flux on chest; on skin, flux scores highest and cannot be told apart from sd-vae and taesd."
    )
    assert "This rests on the head cnn (protocol matched) and balanced accuracy" in said
    assert "If one autoencoder must do for these 2 data sets and heads: flux has the highest mean" in said
    items = re.sub("<[^>]*>", "", page)
    assert (
        "chest: use flux; head cnn scores 0.89 [0.87, 0.91] from its latents, 0.86 [0.84, 0.88] from images." in items
    )
    assert "Other heads: film decides nothing." in items


@pytest.mark.parametrize(
    ("share", "shown"), [(0.0, "0"), (0.001, "&lt; 1"), (0.5, "50"), (0.999, "&gt; 99"), (1.0, "100")]
)
def test_a_share_is_not_rounded_to_certainty(share: float, shown: str) -> None:
    assert answer.percent(share) == f"{shown}&nbsp;%"


def test_a_page_without_choices_has_no_answer() -> None:
    assert answer.section(RESULTS, []) == ""


@pytest.mark.parametrize(
    ("losses", "said"),
    [
        ([0.23, 0.131], "0.13 to 0.23 less"),
        ([0.1], "0.10 less"),
        ([-0.02, -0.3], "0.02 to 0.30 more"),
        ([-0.02, 0.05], "0.02 more to 0.05 less"),
        ([0.0], "0.00 less"),
    ],
)
def test_a_gain_is_not_called_a_loss(losses: list[float], said: str) -> None:
    assert answer.less(losses) == said


def other_way_round(found: Choice, head: str) -> Choice:
    """The same data set with a head that scores highest where the other one scores lowest."""
    assert found.comparison is not None
    names, values = list(found.comparison.latents), list(found.comparison.latents.values())
    return Choice(found.dataset, head, found.rows, compare(dict(zip(reversed(names), values, strict=True))), "")


def test_heads_that_surely_disagree_make_no_recommendation() -> None:
    first = choice("chest", "cnn", 0.001)
    other = other_way_round(first, "film")
    said = answer.paragraph(RESULTS, [first, other])
    assert "On chest, <strong>it depends on the head</strong> (flux with cnn; taesd with film)" in said
    assert "se flux" not in said
    section = answer.section(RESULTS, [first, other])
    assert "flux is best with this head" in section
    assert "film is best with taesd" in section


def test_a_head_that_is_sure_is_named_where_the_first_is_not() -> None:
    unsure = choice("chest", "cnn", 0.2)
    said = answer.paragraph(RESULTS, [unsure, choice("chest", "film", 0.001)])
    assert "cannot be told apart from sd-vae and taesd, though others are shown to be worse than flux with film" in said
    assert "No autoencoder is shown" not in said
    assert "No autoencoder is shown to be the best</strong> on any data set" in answer.paragraph(RESULTS, [unsure])
