"""Scores along an axis: the same draws, the main predictions in their place, and refused where they do not fit."""

import numpy as np
import pandas as pd
import pytest

from pipeline import complexity, labels, profiles
from pipeline.errors import StudyError
from pipeline.evaluate import Settings, evaluate
from pipeline.profiles import Place, points
from pipeline.quantities import DIFFERENCES, SPACES
from pipeline.tested import Truth, cells, truth

FOLDS, B, CLASSES = 2, 60, ["a", "b"]


def index(patients: int = 60) -> pd.DataFrame:
    """Two samples a patient, half of the patients in each fold and class; fold 2 is for training alone."""
    number = np.arange(2 * patients) // 2
    table = pd.DataFrame({"patient": [f"p{k}" for k in number], "fold": number % 3, "usable": True, "unit": "s"})
    table[labels.columns(CLASSES)] = np.eye(2, dtype=np.int8)[number // 3 % 2]
    return table


def predicted(table: pd.DataFrame, signal: float, seed: int) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    parts = []
    for fold in range(3):
        for part, of in (("validation", (fold + 1) % 3), ("test", fold)):
            rows = np.flatnonzero(table["fold"] == of)
            values = random.normal(size=(len(rows), 2)) + signal * labels.of(table, CLASSES)[rows]
            scores = {f"score_{k}": values[:, k].astype(np.float32) for k in range(2)}
            parts.append(pd.DataFrame({"fold": fold, "seed": 0, "part": part, "row": rows, **scores}))
    return pd.concat(parts, ignore_index=True)


def along(table: pd.DataFrame, axis: str, signals: dict[float, float], seed: int) -> pd.DataFrame:
    made = [predicted(table, signal, seed + n).assign(at=at) for n, (at, signal) in enumerate(signals.items())]
    profile = pd.concat(made, ignore_index=True)
    profile.insert(0, "axis", axis)
    return profile


class Case:
    """A data set whose heads are the better the more labels they have seen, and on latents the better the deeper."""

    def __init__(self) -> None:
        self.index = index()
        self.known: Truth = truth(self.index, CLASSES, "single-label", "image")
        self.main = {space: predicted(self.index, 2 - k / 4, k) for k, space in enumerate(SPACES)}
        self.tested = {space: cells(self.known, table) for space, table in self.main.items()}
        fractions = {0.25: 0.5, 0.5: 1.0}
        self.found = {space: along(self.index, "fraction", fractions, 10 * k) for k, space in enumerate(SPACES)}
        depths = along(self.index, "depth", {0.0: 1.0, 1.0: 1.5}, 40)
        noise = along(self.index, "noise", {0.5: 1.0, 2.0: 0.2}, 50)
        self.found["latent"] = pd.concat([self.found["latent"], depths, noise], ignore_index=True)

    def evaluate(self, **changes: pd.DataFrame) -> dict[str, pd.DataFrame]:
        return evaluate(self.known, self.main, {**self.found, **changes}, Settings(B))


@pytest.fixture(scope="module")
def case() -> Case:
    return Case()


@pytest.fixture(scope="module")
def tables(case: Case) -> dict[str, pd.DataFrame]:
    return case.evaluate()


def test_the_main_predictions_stand_at_all_labels_and_without_noise_and_give_way_to_a_depth_of_0(case: Case) -> None:
    found = points(case.known, case.found, case.tested, 1.0)
    fractions = [Place("fraction", at) for at in (0.25, 0.5, 1.0)]
    noise = [Place("noise", at) for at in (0.0, 0.5, 2.0)]
    assert list(found) == [Place("depth", 0.0), Place("depth", 1.0), *fractions, *noise]
    assert all(list(found[place]) == list(SPACES) for place in fractions)
    assert all(list(found[place]) == ["latent"] for place in noise)
    assert found[Place("fraction", 1.0)]["image"] is case.tested["image"]
    assert found[Place("noise", 0.0)]["latent"] is case.tested["latent"]
    assert found[Place("depth", 0.0)]["latent"] is not case.tested["latent"]


def test_the_last_point_of_a_learning_curve_is_the_row_of_the_gap_table(tables: dict[str, pd.DataFrame]) -> None:
    profile = tables["profile"]
    gap = tables["gap"].set_index("metric")
    last = profile[(profile["axis"] == "fraction") & (profile["at"] == 1) & (profile["metric"] != "log_loss")]
    assert len(last) == len(gap) * (len(SPACES) + len(DIFFERENCES))
    for row in last.to_dict("records"):
        name = row["quantity"]
        ends = gap.loc[row["metric"], [name, f"{name}_low", f"{name}_high"]].tolist()
        assert [row["value"], row["low"], row["high"]] == ends


def test_a_difference_along_the_curve_is_that_of_a_study_with_so_many_labels(case: Case) -> None:
    tables = case.evaluate()
    part = {
        s: p[(p["axis"] == "fraction") & (p["at"] == 0.5)].drop(columns=["axis", "at"]) for s, p in case.found.items()
    }
    alone = evaluate(case.known, part, {}, Settings(B))["gap"].set_index("metric")
    profile = tables["profile"]
    row = profile[(profile["at"] == 0.5) & (profile["quantity"] == "learnability_gap") & (profile["metric"] == "auroc")]
    ends = ["learnability_gap", "learnability_gap_low", "learnability_gap_high"]
    assert row[["value", "low", "high"]].to_numpy().tolist() == [alone.loc["auroc", ends].tolist()]


def test_only_the_labels_have_differences_between_spaces_and_a_log_loss(tables: dict[str, pd.DataFrame]) -> None:
    profile = tables["profile"]
    assert list(profile.columns) == profiles.COLUMNS
    assert not profile.duplicated(["axis", "at", "quantity", "metric"]).any()
    others = profile[profile["axis"] != "fraction"]
    assert set(others["quantity"]) == {"latent"}
    assert set(others["metric"]) == {"balanced_accuracy", "mcc", "auroc"}
    losses = profile[profile["metric"] == "log_loss"]
    assert set(losses["quantity"]) == set(SPACES)
    assert (profile["low"] <= profile["high"]).all()


def test_a_profile_changes_no_score_and_no_interval(case: Case, tables: dict[str, pd.DataFrame]) -> None:
    without = evaluate(case.known, case.main, {}, Settings(B))
    empty = {space: table.head(0) for space, table in case.found.items()}
    for found in (without, evaluate(case.known, case.main, empty, Settings(B))):
        for name in ("gap", "scores", "groups", "reliability", "resampled"):
            pd.testing.assert_frame_equal(found[name], tables[name])
        assert list(found["profile"].columns) == profiles.COLUMNS
        assert list(found["complexity"].columns) == complexity.COLUMNS
        assert found["profile"].empty
        assert found["complexity"].empty


def test_labels_are_counted_as_they_are_drawn_in_training(case: Case, tables: dict[str, pd.DataFrame]) -> None:
    made = tables["complexity"]
    # 20 patients of 40 samples train in every fold; a quarter of each class's ten are three.
    assert set(made["to_labels"]) == {40}
    assert set(made["from_labels"]) == {12}
    assert set(made["quantity"]) == {*SPACES, *DIFFERENCES}
    ratio = made[(made["measure"] == "labels_ratio") & (made["share"] == 1) & (made["reference"] == "image")]
    assert (ratio["metric"].value_counts() == 2).all()


def test_two_shares_that_come_to_the_same_samples_are_one_point(case: Case) -> None:
    more = {s: pd.concat([p, along(case.index, "fraction", {0.26: 0.6}, 90)]) for s, p in case.found.items()}
    made = case.evaluate(**more)["complexity"]
    assert set(made["from_labels"]) == {12}
    assert np.isfinite(made.loc[made["measure"] != "labels_ratio", "value"]).all()


def test_a_profile_that_does_not_fit_is_refused(case: Case) -> None:
    latent = case.found["latent"]
    lost = latent.drop(index=latent[(latent["axis"] == "noise") & (latent["part"] == "test")].index[0])
    with pytest.raises(StudyError, match=r"the profile at noise 0.5: .* do not test every sample"):
        case.evaluate(latent=lost)
    with pytest.raises(StudyError, match="more labels than the predictions"):
        points(case.known, case.found, case.tested, 0.4)
    without_a_seed = latent[~((latent["axis"] == "depth") & (latent["fold"] == 1))]
    with pytest.raises(StudyError, match="the profile at depth 0"):
        case.evaluate(latent=without_a_seed)
