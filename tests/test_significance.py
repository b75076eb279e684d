"""p values against scipy and against the definitions."""

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from pipeline.significance import holm, sign_test, two_sided

P = st.floats(0, 1)


@given(st.integers(1, 60), st.data())
def test_the_sign_test_is_scipys(compared: int, data: st.DataObject) -> None:
    positive = data.draw(st.integers(0, compared))
    expected = binomtest(positive, compared, alternative="greater").pvalue
    assert sign_test(positive, compared) == pytest.approx(expected, rel=1e-12)


def test_the_sign_test_has_the_published_value_and_needs_signs_that_are_there() -> None:
    assert sign_test(20, 20) == 2**-20
    assert sign_test(4, 4) == 0.0625
    assert sign_test(0, 0) == 1
    for positive, compared in ((-1, 3), (4, 3)):
        with pytest.raises(ValueError, match="cannot be positive"):
            sign_test(positive, compared)


@given(st.lists(P, min_size=1, max_size=6))
def test_holm_is_the_closed_test_of_bonferronis(p: list[float]) -> None:
    members = range(len(p))
    families = [family for size in members for family in combinations(members, size + 1)]
    expected = [
        max(min(1, len(family) * min(p[j] for j in family)) for family in families if member in family)
        for member in members
    ]
    np.testing.assert_allclose(holm(np.array(p)), expected, rtol=1e-12)


def test_holm_of_a_textbooks_family() -> None:
    np.testing.assert_allclose(holm(np.array([0.01, 0.04, 0.03, 0.005])), [0.03, 0.06, 0.06, 0.02])


@given(st.lists(P, max_size=30), st.randoms(use_true_random=False))
def test_adjusted_values_are_larger_in_the_same_order_and_know_no_places(p: list[float], random: object) -> None:
    values = np.array(p)
    adjusted = holm(values)
    assert ((adjusted >= values) & (adjusted <= 1)).all()
    assert (np.diff(adjusted[np.argsort(values, kind="stable")]) >= 0).all()
    order = np.random.default_rng(random.randrange(1 << 30)).permutation(len(p))  # type: ignore[attr-defined]
    np.testing.assert_array_equal(holm(values[order]), adjusted[order])


@given(st.lists(P, min_size=1, max_size=10), P)
def test_another_member_lowers_no_adjusted_value(p: list[float], other: float) -> None:
    assert (holm(np.array([*p, other]))[:-1] >= holm(np.array(p)) - 1e-15).all()


def test_what_has_no_p_is_no_member_of_the_family() -> None:
    np.testing.assert_array_equal(holm(np.array([0.01, np.nan, 0.02])), [0.02, np.nan, 0.02])
    assert np.isnan(holm(np.array([np.nan]))).all()
    assert len(holm(np.array([]))) == 0


def test_a_bootstraps_p_counts_the_rarer_side_and_is_never_zero() -> None:
    assert two_sided(np.arange(1.0, 100.0)) == 2 / 100
    assert two_sided(-np.arange(1.0, 100.0)) == 2 / 100
    assert two_sided(np.array([-1.0] * 3 + [1.0] * 96)) == 8 / 100
    assert two_sided(np.array([0.0] * 9)) == 1
    assert two_sided(np.array([np.nan, 1.0])) == 1
    assert math.isnan(two_sided(np.array([np.nan])))


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=50))
def test_a_bootstraps_p_is_the_same_for_both_signs(values: list[float]) -> None:
    assert two_sided(np.array(values)) == two_sided(-np.array(values))
    assert 0 < two_sided(np.array(values)) <= 1
