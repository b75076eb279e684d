"""Labels from what a data set states to the index and back."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import labels
from pipeline.errors import StudyError

CLASSES = ["a", "b", "c"]


@pytest.mark.parametrize(
    ("stated", "task", "expected"),
    [
        ({"b": True}, "single-label", [0, 1, 0]),
        ({"a": False, "b": False, "c": True}, "single-label", [0, 0, 1]),
        ({}, "single-label", [-1, -1, -1]),
        ({}, "multi-label", [-1, -1, -1]),
        ({"a": True, "c": False}, "multi-label", [1, -1, 0]),
        ({"a": False, "b": False, "c": False}, "multi-label", [0, 0, 0]),
        ({"z": True, "a": True}, "multi-label", [1, -1, -1]),
        ({"c": True, "a": True}, "first-label", [0, 0, 1]),
    ],
)
def test_what_is_stated_becomes_a_row(stated: dict[str, bool], task: labels.Task, expected: list[int]) -> None:
    assert labels.row(stated, CLASSES, task) == expected


@pytest.mark.parametrize(
    ("stated", "task", "reason"),
    [
        ({"a": True, "b": True}, "single-label", "has the labels 'a' and 'b'; set 'task' to multi-label"),
        ({"a": False, "b": False}, "single-label", "said to have none of the classes"),
        ({"a": False}, "first-label", "said to have none of the classes"),
        ({"z": True}, "single-label", "a label that is neither among the declared classes"),
        ({"z": True, "a": True}, "first-label", "a label that is neither"),
    ],
)
def test_what_does_not_fit_the_task_stops_the_study(stated: dict[str, bool], task: labels.Task, reason: str) -> None:
    with pytest.raises(StudyError, match=reason):
        labels.row(stated, CLASSES, task)


def test_a_table_gives_back_its_labels_and_refuses_other_classes() -> None:
    table = pd.DataFrame([[1, 0], [-1, 1]], columns=labels.columns(["a", "b"]), dtype=np.int8).assign(other=3)
    np.testing.assert_array_equal(labels.of(table, ["a", "b"]), [[1, 0], [-1, 1]])
    for classes in (["a"], ["b", "a"], ["a", "b", "c"]):
        with pytest.raises(StudyError, match="do not have the same classes"):
            labels.of(table, classes)


@given(st.lists(st.lists(st.sampled_from([-1, 0, 1]), min_size=3, max_size=3), min_size=1, max_size=20))
def test_each_sample_is_in_the_stratum_of_its_rarest_class(rows: list[list[int]]) -> None:
    held = np.array(rows, np.int8)
    counts = (held == 1).sum(axis=0)
    for row, stratum in zip(held, labels.strata(held), strict=True):
        has = np.flatnonzero(row == 1)
        if len(has):
            assert counts[stratum] == counts[has].min()
            assert stratum in has
        else:
            assert stratum == (3 if (row != -1).any() else 4)
    np.testing.assert_array_equal(labels.known(held), (held != -1).any(axis=1))


def test_single_labels_have_class_numbers_and_unlabelled_samples_none() -> None:
    assert labels.numbers(np.array([[0, 1], [1, 0], [-1, -1]], np.int8)).tolist() == [1, 0, labels.NO_CLASS]
