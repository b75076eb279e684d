"""No patient on both sides of a split, every sample tested once."""

from random import Random
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import StudyError
from pipeline.folds import assign, check, splits


@st.composite
def datasets(draw: st.DrawFn) -> tuple[pd.Series, pd.Series, int]:
    """Labels and patients of one to three samples each, every class with enough patients for the folds."""
    folds = draw(st.integers(3, 5))
    classes = draw(st.integers(1, 3))
    counts = [draw(st.integers(folds, folds + 6)) for _ in range(classes)]
    labels = [label for label, count in enumerate(counts) for _ in range(count)]
    rows = [
        (f"class {label}", f"patient {patient}")
        for patient, label in enumerate(labels)
        for _ in range(draw(st.integers(1, 3)))
    ]
    rows = draw(st.permutations(rows))
    return pd.Series([row[0] for row in rows]), pd.Series([row[1] for row in rows]), folds


@given(datasets())
@settings(deadline=None, max_examples=50)
def test_no_patient_is_in_two_folds_and_every_sample_is_tested_once(case: tuple[pd.Series, pd.Series, int]) -> None:
    labels, patients, folds = case
    fold = assign(labels, patients, folds, 0)
    assert set(fold) <= set(range(folds))
    assert pd.Series(fold).groupby(patients).nunique().eq(1).all()
    index = pd.DataFrame({"label": labels, "patient": patients, "fold": fold})
    parts = splits(index, folds)
    np.testing.assert_array_equal(np.sort(np.concatenate([part.test for part in parts])), np.arange(len(labels)))
    for part in parts:
        together = np.concatenate([part.train, part.validation, part.test])
        np.testing.assert_array_equal(np.sort(together), np.arange(len(labels)))
        sides = [set(patients.iloc[rows]) for rows in (part.train, part.validation, part.test)]
        assert not (sides[0] & sides[1] or sides[0] & sides[2] or sides[1] & sides[2])


@given(datasets(), st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=30)
def test_the_names_of_patients_change_nothing(case: tuple[pd.Series, pd.Series, int], random: Random) -> None:
    labels, patients, folds = case
    names = list(patients.unique())
    renamed = dict(zip(names, random.sample([f"{number:032x}" for number in range(1000)], len(names)), strict=True))
    np.testing.assert_array_equal(assign(labels, patients, folds, 3), assign(labels, patients.map(renamed), folds, 3))


def test_classes_are_spread_evenly_and_the_seed_decides_how() -> None:
    labels, patients = pd.Series(["rare"] * 10 + ["common"] * 90), pd.Series(range(100))
    fold = assign(labels, patients, 5, 0)
    assert pd.crosstab(fold, labels).to_dict("list") == {"common": [18] * 5, "rare": [2] * 5}
    assert not np.array_equal(fold, assign(labels, patients, 5, 1))


def test_a_class_with_too_few_patients_is_named_however_many_samples_it_has() -> None:
    labels = pd.Series(["plenty"] * 9 + ["rare"] * 9)
    patients = pd.Series([*range(9), *[100, 101] * 4, 101])
    with pytest.raises(StudyError, match="class 'rare' has 2 patients, which is too few for 3 folds"):
        assign(labels, patients, 3, 0)


def test_fold_k_tests_and_fold_k_plus_1_validates() -> None:
    index = pd.DataFrame({"fold": [0, 1, 2, 3, 0, 1, 2, 3]})
    for k, part in enumerate(splits(index, 4)):
        assert part.fold == k
        assert set(index["fold"].iloc[part.test]) == {k}
        assert set(index["fold"].iloc[part.validation]) == {(k + 1) % 4}
        assert set(index["fold"].iloc[part.train]) == {(k + 2) % 4, (k + 3) % 4}


def index(**columns: list[Any]) -> pd.DataFrame:
    plain = {"label": ["a", "b"] * 3, "patient": [str(k) for k in range(6)], "fold": [0, 0, 1, 1, 2, 2]}
    return pd.DataFrame({**plain, **columns})


def test_folds_that_can_be_used_pass() -> None:
    check(index(), ["a", "b"], 3)


@pytest.mark.parametrize(
    ("changed", "classes", "folds", "reason"),
    [
        ({"patient": ["0", "1", "0", "3", "4", "5"]}, ["a", "b"], 3, "patient 0 .hashed. is in more than one fold"),
        ({}, ["a", "b", "c"], 3, "class 'c' is declared and has no sample"),
        ({"label": ["a", "a", "a", "a", "b", "b"]}, ["a", "b"], 3, "fold 0 would train without class 'a'"),
        ({}, ["a", "b"], 4, "fold 3 of 4 has no sample"),
    ],
)
def test_folds_that_cannot_be_used_stop_the_study(
    changed: dict[str, list[Any]], classes: list[str], folds: int, reason: str
) -> None:
    with pytest.raises(StudyError, match=reason):
        check(index(**changed), classes, folds)
