"""How many labels a space needs, where the answer has a closed form."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.complexity import (
    COLUMNS,
    EXACT,
    FEWER,
    MORE,
    UNKNOWN,
    at_share,
    code_length,
    first_reached,
    ratios,
    surplus,
    table,
)

SIZES = np.array([50.0, 100.0, 200.0, 400.0, 800.0])


def learned(sizes: np.ndarray, needs: float = 1.0) -> np.ndarray:
    """Scores that grow with the logarithm of the labels, of a space that needs so many times as many for the same."""
    return (0.5 + 0.05 * np.log(sizes / needs))[:, None]


@given(st.floats(0.55, 1.8), st.sampled_from([1.0, 0.5, 0.25]))
@settings(deadline=None)
def test_a_space_that_needs_so_many_times_as_many_labels_is_found_to_need_them(needs: float, share: float) -> None:
    # Linear in log n, so interpolation is exact where both reach the score between the smallest and the largest part.
    target = at_share(SIZES, learned(SIZES), share)
    assert target is not None
    (ratio,), (bound,) = ratios(SIZES, learned(SIZES), learned(SIZES, needs), target)
    if share * needs <= 1:
        assert (ratio, bound) == (pytest.approx(needs, rel=1e-9), EXACT)
    else:
        assert (ratio, bound) == (pytest.approx(1 / share), MORE)


def test_the_first_size_that_reaches_a_score_is_found_on_a_curve_that_falls_again() -> None:
    scores = np.array([0.5, 0.7, 0.6, 0.8, 0.75])[:, None].repeat(5, axis=1)
    found = first_reached(SIZES, scores, np.array([0.5, 0.6, 0.7, 0.75, 0.9]))
    expected = [50, math.sqrt(50 * 100), 100, 200 * 2**0.75, math.inf]
    np.testing.assert_allclose(found.size, expected)
    np.testing.assert_array_equal(found.few, [True, False, False, False, False])


def test_what_lies_beyond_the_curves_is_a_bound_and_never_a_number() -> None:
    rising, flat, low = learned(SIZES), np.full((5, 1), 0.9), np.full((5, 1), 0.1)
    target = rising[-1]
    assert ratios(SIZES, rising, low, target) == (pytest.approx([1.0]), [MORE])
    assert ratios(SIZES, rising, flat, target) == (pytest.approx([50 / 800]), [FEWER])
    # The first space reaches it with the smallest part already: it may need fewer, and the ratio be larger.
    assert ratios(SIZES, flat, rising, target) == (pytest.approx([800 / 50]), [MORE])
    value, bound = ratios(SIZES, flat, flat, target)
    assert bound == [UNKNOWN]
    assert np.isnan(value).all()
    # The score of the second space is beyond what the first ever reaches.
    value, bound = ratios(SIZES, rising, rising + 0.01, target + 0.01)
    assert bound == [FEWER]
    broken = rising.copy()
    broken[2] = np.nan
    value, bound = ratios(SIZES, rising, broken, target)
    assert bound == [UNKNOWN]
    assert np.isnan(value).all()


def test_a_share_below_the_smallest_part_is_not_extrapolated() -> None:
    assert at_share(SIZES, learned(SIZES), 0.05) is None
    np.testing.assert_array_equal(at_share(SIZES, learned(SIZES), 1.0), learned(SIZES)[-1])
    np.testing.assert_allclose(at_share(SIZES, learned(SIZES), 0.3), 0.5 + 0.05 * np.log(240))


def test_the_surplus_of_a_power_law_is_its_integral_above_the_tolerance() -> None:
    sizes = np.geomspace(10, 1000, 20_000)
    epsilon, scale = 0.05, 20.0
    # The loss scale / n crosses epsilon at 400: the integral of what is above it.
    expected = scale * math.log(400 / 10) - epsilon * (400 - 10)
    assert surplus(sizes, (scale / sizes)[:, None], epsilon) == pytest.approx([expected], rel=1e-3)
    assert code_length(sizes, (scale / sizes)[:, None]) == pytest.approx([scale * math.log(100)], rel=1e-3)


def test_labels_are_told_in_blocks_by_the_head_that_was_trained_before() -> None:
    losses = np.array([1.0, 0.6, 0.3])[:, None]
    assert surplus(np.array([10.0, 20.0, 60.0]), losses, 0.5) == pytest.approx([10 * 0.5 + 40 * 0.1])
    assert code_length(np.array([10.0, 20.0, 60.0]), losses) == pytest.approx([10 * 1.0 + 40 * 0.6])


def cell(needs: float) -> pd.DataFrame:
    """The table of a cell whose latents need so many times as many labels, with noise in the replicates."""
    random = np.random.default_rng(0)
    noise = np.concatenate([np.zeros((5, 1)), random.normal(0, 0.002, (5, 400))], axis=1)
    scores = {"image": learned(SIZES) + noise, "reconstruction": learned(SIZES) + noise}
    scores["latent"] = learned(SIZES, needs) + noise
    losses = {space: np.exp(-2 * values) for space, values in scores.items()}
    return table(SIZES, {"auroc": scores, "log_loss": losses})


def test_a_cells_table_has_ratios_with_intervals_and_description_lengths() -> None:
    made = cell(1.5)
    assert list(made.columns) == COLUMNS
    keys = ["measure", "quantity", "metric", "reference", "share"]
    assert not made.duplicated(keys).any()
    row = made.set_index(keys).loc[("labels_ratio", "total", "auroc", "image", 0.5)]
    assert row["value"] == pytest.approx(1.5)
    assert row["low"] < 1.5 < row["high"]
    assert (row["from_labels"], row["to_labels"], row["bound"]) == (50, 800, EXACT)
    # From the other side: the images reach with fewer labels what the latents reach with all.
    row = made.set_index(keys).loc[("labels_ratio", "total", "auroc", "latent", 1.0)]
    assert (row["value"], row["bound"]) == (pytest.approx(1.5), EXACT)
    row = made.set_index(keys).loc[("labels_ratio", "total", "auroc", "image", 1.0)]
    assert (row["value"], row["bound"], row["high"]) == (pytest.approx(1), MORE, math.inf)
    # A bound is a lower end, too: the images reach it nowhere earlier in most of the replicates.
    assert 0.5 < row["low"] <= 1 + 1e-9
    # Nothing was lost in reconstructing.
    same = made[(made["quantity"] == "information_loss") & (made["measure"] == "labels_ratio")]
    assert (same.loc[same["bound"] == EXACT, ["value", "low", "high"]] == 1).all(axis=None)


def test_description_lengths_are_those_of_the_curves_and_their_differences_positive_where_latents_cost_more() -> None:
    made = cell(1.5)
    losses = {"image": np.exp(-2 * learned(SIZES))[:, 0], "latent": np.exp(-2 * learned(SIZES, 1.5))[:, 0]}
    epsilon, steps = losses["image"][-1], np.diff(SIZES)
    by = made[made["measure"] == "surplus_description_length"].set_index("quantity")
    expected = {space: float(steps @ (values[:-1] - epsilon)) for space, values in losses.items()}
    for space, value in expected.items():
        assert by.loc[space, "value"] == pytest.approx(value)
    assert (by.loc["image", "bound"], by.loc["latent", "bound"]) == (EXACT, MORE)
    assert (by.loc["total", "value"], by.loc["total", "bound"]) == (
        pytest.approx(expected["latent"] - expected["image"]),
        MORE,
    )
    assert (by["epsilon"] == epsilon).all()
    apart = made[made["measure"] == "code_length_difference"].set_index("quantity")
    assert apart.loc["total", "value"] == pytest.approx(float(steps @ (losses["latent"] - losses["image"])[:-1]))
    assert apart.loc["total", "low"] > 0


def test_without_a_curve_there_is_nothing_to_tell() -> None:
    assert table(np.empty(0), {}).columns.tolist() == COLUMNS
    assert table(np.array([800.0]), {"auroc": {"image": np.ones((1, 3)), "latent": np.ones((1, 3))}}).empty


def test_a_space_without_a_curve_is_compared_with_nothing() -> None:
    made = table(SIZES, {"auroc": {"latent": learned(SIZES).repeat(3, axis=1)}})
    assert made.empty
