"""Common and rare classes apart."""

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError
from sklearn.metrics import recall_score, roc_auc_score

from pipeline import groups
from pipeline.folds import Split
from pipeline.groups import Groups
from pipeline.quantities import SPACES
from pipeline.tested import Truth


def test_thresholds_part_the_classes_and_the_edges_belong_above() -> None:
    shares = np.array([0.5, 0.2, 0.199, 0.05, 0.049, 0.0])
    assert Groups().of(shares) == {"head": [0, 1], "medium": [2, 3], "tail": [4, 5]}
    assert Groups(head=0.5, tail=0.5).of(shares) == {"head": [0], "tail": [1, 2, 3, 4, 5]}
    with pytest.raises(ValidationError, match="'tail' must not be larger than 'head'"):
        Groups(head=0.1, tail=0.2)


def test_shares_are_of_the_known_training_labels_of_all_folds() -> None:
    labels = np.array([[1, 0], [0, 1], [-1, 1], [0, 0], [1, -1]], np.int8)
    parts = (
        Split(0, np.array([0, 1, 2]), np.array([3]), np.array([4])),
        Split(1, np.array([2, 3]), np.array([4]), np.array([0, 1])),
    )
    known = Truth(labels, np.arange(5), np.arange(5), parts, ["a", "b"], False)
    # Of rows 0, 1, 2, 2, 3 three labels of a are known, one of them positive; of b five, three of them.
    np.testing.assert_allclose(known.shares(), [1 / 3, 3 / 5])


def test_a_groups_score_is_the_mean_over_its_classes() -> None:
    random = np.random.default_rng(0)
    scores, numbers = random.normal(size=(300, 4)), random.choice(4, 300, p=[0.6, 0.3, 0.07, 0.03])
    weights = np.concatenate([np.ones((1, 300)), random.integers(1, 4, (3, 300))])
    members = {"head": [0, 1], "tail": [3]}
    found = groups.metrics(members, True)
    labels = np.eye(4, dtype=np.int64)[numbers]
    areas = groups.metrics(members, False)
    for name, classes in members.items():
        for place, row in enumerate(weights):
            each = recall_score(numbers, scores.argmax(axis=1), average=None, sample_weight=row)
            assert found[name](scores, numbers, weights)[place] == pytest.approx(each[classes].mean(), abs=1e-12)
            area = np.mean([roc_auc_score(labels[:, k], scores[:, k], sample_weight=row) for k in classes])
            assert areas[name](scores, labels, weights)[place] == pytest.approx(area, abs=1e-12)


def replicated(fold_without_tail: int | None = None) -> pd.DataFrame:
    random = np.random.default_rng(1)
    rows = []
    for fold in range(3):
        for name in ("head", "tail"):
            for level, space in zip((0.9, 0.8, 0.7), SPACES, strict=True):
                values = level + random.normal(0, 0.01, 101)
                if fold == fold_without_tail and name == "tail":
                    values = np.full(101, np.nan)
                rows.append({"metric": name, "space": space, "fold": fold, "seed": 0, "values": values})
    return pd.DataFrame(rows)


def test_a_row_has_scores_and_paired_differences_of_each_group() -> None:
    table = replicated()
    made = groups.table(table, {"head": [0, 1], "tail": [2]}, True)
    assert list(made.columns) == groups.COLUMNS
    assert made[["group", "metric", "classes", "folds"]].to_numpy().tolist() == [
        ["head", "recall", 2, 3],
        ["tail", "recall", 1, 3],
    ]
    tail = table[table["metric"] == "tail"].groupby("space")["values"].apply(lambda part: np.mean(list(part), axis=0))
    apart = tail["reconstruction"] - tail["latent"]
    row = made.set_index("group").loc["tail"]
    ends = [apart[0], *np.quantile(apart[1:], [0.025, 0.975])]
    assert row[["learnability_gap", "learnability_gap_low", "learnability_gap_high"]].tolist() == pytest.approx(ends)


def test_a_fold_without_the_groups_classes_is_no_part_of_its_mean() -> None:
    made = groups.table(replicated(2), {"head": [0, 1], "tail": [2]}, False).set_index("group")
    assert made["folds"].to_dict() == {"head": 3, "tail": 2}
    assert made["metric"].unique().tolist() == ["auroc"]
    part = replicated(2)
    part = part[(part["metric"] == "tail") & (part["space"] == "latent") & (part["fold"] < 2)]
    assert made.loc["tail", "latent"] == pytest.approx(np.mean([values[0] for values in part["values"]]))
    nothing = replicated().assign(values=[np.full(101, np.nan)] * 18)
    assert groups.table(nothing, {"head": [0], "tail": [1]}, True).columns.tolist() == groups.COLUMNS
