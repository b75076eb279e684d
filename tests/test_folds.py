"""No patient on both sides of a split, every sample tested once, and label fractions that nest."""

from random import Random
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold

from pipeline.errors import StudyError
from pipeline.folds import assign, check, complete, fraction_of, splits
from pipeline.labels import Labels, columns

Case = tuple[Labels, NDArray[np.str_], int]


def one_hot(numbers: list[int], classes: int) -> Labels:
    return np.eye(classes, dtype=np.int8)[numbers]


def names(given: Labels) -> list[str]:
    return [f"class {number}" for number in range(given.shape[1])]


def table(given: Labels, patients: object, fold: object, **more: object) -> pd.DataFrame:
    labels = pd.DataFrame(given, columns=columns(names(given)))
    return pd.DataFrame({"patient": patients, "usable": True, "fold": fold, **more}).join(labels)


@st.composite
def datasets(draw: st.DrawFn) -> Case:
    """Labels and patients of one to three samples each, every class with enough patients for the folds."""
    folds = draw(st.integers(3, 5))
    counts = [draw(st.integers(folds, folds + 6)) for _ in range(draw(st.integers(2, 3)))]
    of_patients = [label for label, count in enumerate(counts) for _ in range(count)]
    rows = [(label, name) for name, label in enumerate(of_patients) for _ in range(draw(st.integers(1, 3)))]
    rows = draw(st.permutations(rows))
    return one_hot([row[0] for row in rows], len(counts)), np.array([str(row[1]) for row in rows]), folds


@given(datasets())
@settings(deadline=None, max_examples=50)
def test_no_patient_is_in_two_folds_and_every_sample_is_tested_once(case: Case) -> None:
    given, patients, folds = case
    fold = assign(given, patients, names(given), folds, 0)
    assert set(fold) == set(range(folds))
    assert pd.Series(fold).groupby(patients).nunique().eq(1).all()
    parts = splits(table(given, patients, fold))
    np.testing.assert_array_equal(np.sort(np.concatenate([part.test for part in parts])), np.arange(len(given)))
    for part in parts:
        together = np.concatenate([part.train, part.validation, part.test])
        np.testing.assert_array_equal(np.sort(together), np.arange(len(given)))
        sides = [set(patients[rows]) for rows in (part.train, part.validation, part.test)]
        assert not (sides[0] & sides[1] or sides[0] & sides[2] or sides[1] & sides[2])


@given(datasets())
@settings(deadline=None, max_examples=30)
def test_single_labels_get_the_folds_of_the_published_code(case: Case) -> None:
    given, patients, folds = case
    published = StratifiedGroupKFold(n_splits=folds, shuffle=True, random_state=0)
    expected = np.empty(len(given), np.int64)
    # Named so that the order of names is not that of columns.
    classes = names(given)[::-1]
    of_samples = np.array(classes)[given.argmax(axis=1)]
    for fold, (_, test) in enumerate(published.split(given, of_samples, pd.factorize(patients)[0])):
        expected[test] = fold
    np.testing.assert_array_equal(assign(given, patients, classes, folds, 0), expected)


@given(datasets(), st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=30)
def test_the_names_of_patients_change_nothing(case: Case, random: Random) -> None:
    given, patients, folds = case
    known = sorted(set(patients))
    renamed = dict(zip(known, random.sample([f"{number:032x}" for number in range(1000)], len(known)), strict=True))
    other = np.array([renamed[patient] for patient in patients])
    np.testing.assert_array_equal(
        assign(given, patients, names(given), folds, 3), assign(given, other, names(given), folds, 3)
    )
    whole = splits(table(given, patients, assign(given, patients, names(given), folds, 3)))[0]
    part, same = (fraction_of(whole, given, who, 0.4, 5) for who in (patients, other))
    np.testing.assert_array_equal(part.train, same.train)


def test_classes_are_spread_evenly_and_the_seed_decides_how() -> None:
    given = one_hot([0] * 10 + [1] * 90, 2)
    fold = assign(given, np.arange(100), names(given), 5, 0)
    assert np.bincount(fold[:10]).tolist() == [2] * 5
    assert np.bincount(fold[10:]).tolist() == [18] * 5
    assert not np.array_equal(fold, assign(given, np.arange(100), names(given), 5, 1))


def test_the_rarest_finding_of_a_multi_label_sample_is_what_is_spread() -> None:
    given = np.zeros((100, 2), np.int8)
    given[:60, 0] = 1
    given[:10, 1] = 1
    given[90:, :] = -1
    fold = assign(given, np.arange(100), ["common", "rare"], 5, 0)
    assert np.bincount(fold[:10]).tolist() == [2] * 5
    assert np.bincount(fold[90:]).tolist() == [2] * 5


def test_a_class_with_too_few_patients_is_named_however_many_samples_it_has() -> None:
    given = one_hot([0] * 9 + [1] * 9, 2)
    patients = np.array([*range(9), *[100, 101] * 4, 101])
    with pytest.raises(StudyError, match="class 'rare' has 2 patients, which is too few for 3 folds"):
        assign(given, patients, ["plenty", "rare"], 3, 0)


def test_fold_k_tests_and_fold_k_plus_1_validates() -> None:
    index = table(one_hot([0, 1] * 4, 2), range(8), [0, 1, 2, 3, 0, 1, 2, 3])
    for k, part in enumerate(splits(index)):
        assert part.fold == k
        assert set(index["fold"].iloc[part.test]) == {k}
        assert set(index["fold"].iloc[part.validation]) == {(k + 1) % 4}
        assert set(index["fold"].iloc[part.train]) == {(k + 2) % 4, (k + 3) % 4}


def test_an_official_split_is_used_once() -> None:
    parts = ["train", "test", "validation", "train"]
    index = table(one_hot([0, 1, 0, 1], 2), range(4), [2, 0, 1, 2], part=parts)
    (only,) = splits(index)
    assert [only.train.tolist(), only.validation.tolist(), only.test.tolist()] == [[0, 3], [2], [1]]


def test_unlabelled_unusable_and_unused_samples_are_in_no_part() -> None:
    given = one_hot([0, 1] * 6, 2)
    given[0] = -1
    index = table(given, range(12), [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, -1])
    index.loc[4, "usable"] = False
    for part in splits(index):
        together = np.concatenate([part.train, part.validation, part.test])
        assert sorted(together) == [1, 2, 3, 5, 6, 7, 8, 9, 10]


def test_an_official_split_without_validation_gives_up_training_patients_for_it() -> None:
    given = one_hot([0, 1] * 20, 2)
    patients = np.repeat(np.arange(20), 2)
    parts = pd.Series(["train"] * 30 + ["test"] * 10)
    completed = complete(parts, given, patients, 5, 0)
    assert completed.value_counts().to_dict() == {"train": 24, "test": 10, "validation": 6}
    assert pd.Series(completed).groupby(patients).nunique().eq(1).all()
    pd.testing.assert_series_equal(complete(completed, given, patients, 5, 1), completed)


@pytest.mark.parametrize("part", ["train", "test"])
def test_an_official_split_without_a_part_stops_the_study(part: str) -> None:
    with pytest.raises(StudyError, match=f"no {part} part"):
        others = pd.Series(["validation", {"train": "test", "test": "train"}[part]])
        complete(others, one_hot([0, 1], 2), np.arange(2), 5, 0)


@given(datasets(), st.floats(0.01, 1), st.floats(0.01, 1), st.integers(0, 9))
@settings(deadline=None, max_examples=50)
def test_a_smaller_label_fraction_is_a_part_of_a_larger_one(case: Case, a: float, b: float, seed: int) -> None:
    given, patients, folds = case
    whole = splits(table(given, patients, assign(given, patients, names(given), folds, 0)))[0]
    small, large = (fraction_of(whole, given, patients, fraction, seed) for fraction in sorted((a, b)))
    assert set(small.train) <= set(large.train) <= set(whole.train)
    assert set(given[small.train].argmax(axis=1)) == set(given[whole.train].argmax(axis=1))
    # Patients are taken whole.
    assert set(small.train) == {row for row in whole.train if patients[row] in set(patients[small.train])}
    np.testing.assert_array_equal(small.test, whole.test)
    np.testing.assert_array_equal(small.validation, whole.validation)


def test_a_label_fraction_counts_patients_and_follows_its_seed() -> None:
    given = np.repeat(one_hot([0] * 60 + [1] * 40, 2), 3, axis=0)
    patients = np.repeat(np.arange(100), 3)
    whole = splits(table(given, patients, np.repeat(np.arange(100) % 5, 3)))[0]
    tenth = fraction_of(whole, given, patients, 0.1, 0)
    assert np.bincount(given[tenth.train].argmax(axis=1)).tolist() == [4 * 3, 3 * 3]
    assert not np.array_equal(tenth.train, fraction_of(whole, given, patients, 0.1, 1).train)
    np.testing.assert_array_equal(fraction_of(whole, given, patients, 1.0, 0).train, whole.train)


def index(**columns: object) -> pd.DataFrame:
    return table(one_hot([0, 1] * 3, 2), [str(k) for k in range(6)], [0, 0, 1, 1, 2, 2]).assign(**columns)


def test_folds_that_can_be_used_pass() -> None:
    check(index(), ["class 0", "class 1"])


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"patient": ["0", "1", "0", "3", "4", "5"]}, "patient 0 .hashed. is in more than one fold"),
        ({"label:class 1": 0}, "class 'class 1' is declared and has no sample"),
        ({"label:class 1": [1, 1, 0, 1, 1, 1]}, "fold 0 would train without a negative sample of class 'class 1'"),
        ({"label:class 1": [1, 0, 1, 1, 1, -1]}, "fold 0 would train without a negative sample of class 'class 1'"),
        ({"label:class 1": [0, 1, 0, 1, 0, 0]}, "fold 0 would train without a positive sample of class 'class 1'"),
        ({"fold": [0, 0, 2, 2, 2, 2]}, "fold 0 has no sample to validate on"),
    ],
)
def test_folds_that_cannot_be_used_stop_the_study(changed: dict[str, Any], reason: str) -> None:
    with pytest.raises(StudyError, match=reason):
        check(index(**changed), ["class 0", "class 1"])
