"""What a student learns from: a teacher of the same fold, that has seen no patient who is tested."""

import numpy as np
import pandas as pd
import pytest

from pipeline.errors import StudyError
from pipeline.folds import Split, splits
from pipeline.heads import Fitted
from pipeline.predictions import taught, training
from tests.recording import INDEX

PARTS = splits(INDEX)


def fitted(split: Split, views: int = 0) -> Fitted:
    """A teacher whose logit of a row is the row's number, and in each view a thousand more."""
    logits = split.train[None, :, None] + 1000.0 * np.arange(1 + views)[:, None, None] + np.array([0, 0.5])
    scores = np.zeros((len(split.test), 2), np.float32)
    return Fitted(np.zeros((len(split.validation), 2), np.float32), scores, {}, training=logits.astype(np.float32))


def written(views: int = 0) -> pd.DataFrame:
    return pd.concat([training(split, seed, fitted(split, views)) for split in PARTS for seed in (0, 3)])


def test_a_student_gets_the_logits_of_its_own_fold_seed_and_views() -> None:
    table = written(views=2)
    assert list(table) == ["fold", "seed", "view", "row", "logit_0", "logit_1"]
    for split in PARTS:
        np.testing.assert_array_equal(taught(table, split, 3, 2), fitted(split, 2).training)


def test_no_teacher_has_seen_a_patient_who_is_tested_in_its_fold() -> None:
    table = written()
    for split in PARTS:
        own = table[table["fold"] == split.fold]
        tested = set(INDEX["patient"].iloc[split.test])
        assert not tested & set(INDEX["patient"].iloc[own["row"]])
        # And who is tested in one fold is seen in another, so the test can fail.
        assert tested & set(INDEX["patient"].iloc[table["row"]])


@pytest.mark.parametrize("wrong", ["fold", "seed", "views", "rows", "none"])
def test_a_teacher_of_other_samples_is_refused(wrong: str) -> None:
    table, split, seed, views = written(), PARTS[0], 0, 0
    if wrong == "fold":
        table["fold"] = (table["fold"] + 1) % 3
    elif wrong == "seed":
        seed = 1
    elif wrong == "views":
        views = 1
    elif wrong == "rows":
        table = table.iloc[1:]
    else:
        table = table.iloc[:0]
    with pytest.raises(StudyError, match="was not trained on the training samples of that fold"):
        taught(table, split, seed, views)


def test_a_head_that_cannot_teach_writes_an_empty_table_with_all_columns() -> None:
    split = PARTS[0]
    table = training(split, 0, Fitted(np.zeros((8, 2), np.float32), np.zeros((len(split.test), 2), np.float32), {}))
    assert (len(table), list(table)) == (0, ["fold", "seed", "view", "row", "logit_0", "logit_1"])
