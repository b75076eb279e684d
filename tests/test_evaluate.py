"""Three predictions to scores and differences: by hand, by scikit-learn, and refused where they do not fit."""

import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import (
    average_precision_score,
    balanced_accuracy_score,
    f1_score,
    matthews_corrcoef,
    recall_score,
    roc_auc_score,
)

from pipeline import bootstrap, labels
from pipeline.errors import StudyError
from pipeline.evaluate import OUTPUTS, flatten, gaps, replicate, scores
from pipeline.metrics import METRICS, MULTILABEL_METRICS
from pipeline.quantities import DIFFERENCES, SPACES
from pipeline.tested import Cells, Truth, cells, truth

CLASSES = ["a", "b", "c"]
SEEDS, FOLDS, B = (0, 4), 3, 200


class Case(NamedTuple):
    """An index and the predictions of each space."""

    index: pd.DataFrame
    predictions: dict[str, pd.DataFrame]
    task: str = "single-label"

    def truth(self, unit: str = "image") -> Truth:
        return truth(self.index, CLASSES, self.task, unit)

    def cells(self, unit: str = "image") -> dict[str, Cells]:
        return {space: cells(self.truth(unit), table) for space, table in self.predictions.items()}

    def replicate(self, unit: str = "image") -> pd.DataFrame:
        return replicate(self.truth(unit), self.cells(unit), B)

    def gaps(self, unit: str = "image") -> pd.DataFrame:
        return gaps(self.replicate(unit)).set_index("metric")

    def numbers(self) -> np.ndarray:
        return labels.numbers(labels.of(self.index, CLASSES))


def index(random: np.random.Generator, task: str) -> pd.DataFrame:
    """30 patients with two samples each, ten patients a fold, each patient's samples a series."""
    patients = np.arange(60) // 2
    table = pd.DataFrame({"patient": [f"p{k}" for k in patients], "fold": patients % FOLDS, "usable": True})
    table["unit"] = [f"s{k}" for k in patients]
    given = np.eye(3, dtype=np.int8)[patients // 3 % 3]
    if task == "multi-label":
        given = random.integers(-1, 2, (30, 3)).astype(np.int8)[patients]
        given[(given == -1).all(axis=1), 0] = 0
    table[labels.columns(CLASSES)] = given
    return table.iloc[random.permutation(60)].reset_index(drop=True)


def predicted(table: pd.DataFrame, signal: float, random: np.random.Generator) -> pd.DataFrame:
    """Scores of every fold and seed, validation rows among them."""
    parts = []
    for seed in SEEDS:
        for fold in range(FOLDS):
            for part, of in (("validation", (fold + 1) % FOLDS), ("test", fold)):
                rows = np.flatnonzero(table["fold"] == of)
                values = random.normal(size=(len(rows), 3))
                values += signal * (labels.of(table, CLASSES)[rows] - 0.5)
                columns = {f"score_{k}": values[:, k].astype(np.float32) for k in range(3)}
                parts.append(pd.DataFrame({"fold": fold, "seed": seed, "part": part, "row": rows, **columns}))
    return pd.concat(parts, ignore_index=True)


def study_of(task: str) -> Case:
    random = np.random.default_rng(1)
    table = index(random, task)
    return Case(table, {space: predicted(table, 2 - k / 2, random) for k, space in enumerate(SPACES)}, task)


@pytest.fixture
def study() -> Case:
    return study_of("single-label")


@pytest.fixture
def multilabel() -> Case:
    return study_of("multi-label")


def without(case: Case, row: int, **changes: object) -> Case:
    """The same study after one sample of the index was changed and is not predicted."""
    table = case.index.copy()
    for column, value in changes.items():
        table.loc[row, column] = value
    return case._replace(index=table, predictions={s: p[p["row"] != row] for s, p in case.predictions.items()})


def by_hand(case: Case, space: str) -> dict[str, float]:
    """The mean over folds and seeds of scikit-learn's scores."""
    values: dict[str, list[float]] = {name: [] for name in METRICS}
    predictions = case.predictions[space]
    for _, part in predictions[predictions["part"] == "test"].groupby(["fold", "seed"]):
        numbers = case.numbers()[part["row"]]
        given = part[["score_0", "score_1", "score_2"]].to_numpy()
        values["balanced_accuracy"].append(balanced_accuracy_score(numbers, given.argmax(axis=1)))
        values["mcc"].append(matthews_corrcoef(numbers, given.argmax(axis=1)))
        values["auroc"].append(np.mean([roc_auc_score(numbers == k, given[:, k]) for k in range(3)]))
    return {name: float(np.mean(each)) for name, each in values.items()}


def several_by_hand(case: Case, space: str) -> dict[str, float]:
    """The mean over folds, seeds and classes of scikit-learn's scores of the known labels."""
    values: dict[str, list[float]] = {name: [] for name in MULTILABEL_METRICS}
    predictions = case.predictions[space]
    for _, part in predictions[predictions["part"] == "test"].groupby(["fold", "seed"]):
        of_class = []
        for k in range(3):
            truths = labels.of(case.index, CLASSES)[part["row"], k]
            given, known = part[f"score_{k}"].to_numpy()[truths >= 0], truths[truths >= 0]
            decided = [metric(known, given > 0) for metric in (balanced_accuracy_score, matthews_corrcoef, f1_score)]
            ranked = [metric(known, given) for metric in (roc_auc_score, average_precision_score)]
            of_class.append([*decided[:2], *ranked, decided[2]])
        for name, value in zip(values, np.mean(of_class, axis=0), strict=True):
            values[name].append(value)
    return {name: float(np.mean(each)) for name, each in values.items()}


@pytest.mark.parametrize("task", ["single-label", "multi-label"])
def test_a_row_is_what_a_hand_computation_gives(task: str) -> None:
    case = study_of(task)
    row = case.gaps()
    expected = {space: (by_hand if task == "single-label" else several_by_hand)(case, space) for space in SPACES}
    for name in expected["image"]:
        for space in SPACES:
            assert row.loc[name, space] == pytest.approx(expected[space][name], abs=1e-12)
        for difference, (a, b) in DIFFERENCES.items():
            assert row.loc[name, difference] == pytest.approx(expected[a][name] - expected[b][name], abs=1e-12)
    assert list(row.index) == list(expected["image"])
    np.testing.assert_allclose(row["information_loss"] + row["learnability_gap"], row["total"])


def test_intervals_are_of_paired_differences_averaged_over_folds_and_seeds(
    study: Case,
) -> None:
    row = study.gaps()
    patients = pd.factorize(study.index["patient"])[0]
    test = {s: p[p["part"] == "test"].sort_values("row") for s, p in study.predictions.items()}
    differences = []
    for fold in range(FOLDS):
        for seed in SEEDS:
            image, latent = (test[s].query(f"fold == {fold} and seed == {seed}") for s in ("image", "latent"))
            rows = image["row"].to_numpy()
            within = bootstrap.strata(labels.of(study.index, CLASSES)[rows], patients[rows])
            drawn = bootstrap.weights(patients[rows], B, fold, within)
            metric, columns = METRICS["balanced_accuracy"], ["score_0", "score_1", "score_2"]
            one, two = (metric(part[columns].to_numpy(), study.numbers()[rows], drawn) for part in (image, latent))
            differences.append(one - two)
    low, high = np.quantile(np.mean(differences, axis=0)[1:], [0.025, 0.975])
    assert (row.loc["balanced_accuracy", "total_low"], row.loc["balanced_accuracy", "total_high"]) == pytest.approx(
        (low, high)
    )
    assert low <= row.loc["balanced_accuracy", "total"] <= high


@pytest.mark.parametrize("unit", ["image", "series"])
@pytest.mark.parametrize("task", ["single-label", "multi-label"])
def test_spaces_with_the_same_predictions_have_a_gap_of_exactly_nothing(task: str, unit: str) -> None:
    case = study_of(task)
    row = case._replace(predictions=dict.fromkeys(SPACES, case.predictions["image"])).gaps(unit)
    for difference in DIFFERENCES:
        assert (row[[difference, f"{difference}_low", f"{difference}_high"]] == 0).all(axis=None)
    assert (row["image_low"] < row["image"]).any()


@pytest.mark.parametrize("unit", ["image", "series"])
@pytest.mark.parametrize("task", ["single-label", "multi-label"])
def test_the_names_of_patients_and_the_order_of_predictions_change_nothing(task: str, unit: str) -> None:
    case = study_of(task)
    renamed = case.index.assign(**{name: [f"{hash(x):x}" for x in case.index[name]] for name in ("patient", "unit")})
    mixed = {space: part.sample(frac=1, random_state=0) for space, part in case.predictions.items()}
    other = Case(renamed, mixed, task)
    pd.testing.assert_frame_equal(case.gaps(unit), other.gaps(unit), check_exact=True)


@pytest.mark.parametrize("changes", [{"usable": False}, {"fold": -1}, dict.fromkeys(labels.columns(CLASSES), -1)])
@pytest.mark.parametrize("task", ["single-label", "multi-label"])
def test_a_sample_that_cannot_be_tested_is_asked_for_nowhere(task: str, changes: dict[str, object]) -> None:
    whole = study_of(task)
    # Not the first of its patient, since patients are numbered, and so drawn, in the order in which they appear.
    row = int(np.flatnonzero(whole.index["patient"].duplicated())[0])
    case, kept = without(whole, row, **changes), whole.index.index != row
    numbered = dict(zip(np.flatnonzero(kept), range(59), strict=True))
    predictions = {s: p.assign(row=p["row"].map(numbered)) for s, p in case.predictions.items()}
    shorter = Case(case.index[kept].reset_index(drop=True), predictions, task)
    pd.testing.assert_frame_equal(case.gaps(), shorter.gaps(), check_exact=True)


def test_an_official_split_asks_for_its_test_part_alone(study: Case) -> None:
    parts = np.array(["test", "validation", "train"])
    table = study.index.assign(part=parts[study.index["fold"]])
    known = truth(table, CLASSES, "single-label", "image")
    assert list(known.tested) == [0]
    assert (table["part"].iloc[known.tested[0]] == "test").all()
    tested = {s: cells(known, p[p["fold"] == 0]) for s, p in study.predictions.items()}
    assert set(replicate(known, tested, B)["fold"]) == {0}
    with pytest.raises(StudyError, match="do not test every sample"):
        cells(known, study.predictions["image"])


def test_images_of_a_series_are_scored_by_their_mean_as_if_they_were_one(multilabel: Case) -> None:
    first = multilabel.index.drop_duplicates("unit")
    place = dict(zip(first["unit"], range(30), strict=True))
    predictions = {}
    for space, table in multilabel.predictions.items():
        row = table["row"].map(multilabel.index["unit"]).map(place)
        keys = ["fold", "seed", "part", "row"]
        columns = ["score_0", "score_1", "score_2"]
        scored = table.assign(row=row).astype(dict.fromkeys(columns, np.float64))
        predictions[space] = scored.groupby(keys)[columns].mean().reset_index()
    one_each = Case(first.reset_index(drop=True), predictions, "multi-label")
    pd.testing.assert_frame_equal(multilabel.gaps("series"), one_each.gaps("image"), atol=1e-12)
    assert not np.allclose(multilabel.gaps("series")["image"], multilabel.gaps("image")["image"])
    for key, cell in one_each.cells()["latent"].items():
        other = multilabel.cells("series")["latent"][key]
        assert cell.scores.shape == (10, 3)
        np.testing.assert_allclose(other.scores, cell.scores, atol=1e-12)
        np.testing.assert_array_equal(other.labels, cell.labels)


def test_series_whose_samples_do_not_belong_together_are_refused(study: Case) -> None:
    table = study.index
    pair = table.index[table["unit"] == "s3"]
    relabelled, moved = table.copy(), table.assign(unit=table["unit"].replace("s4", "s3"))
    relabelled.loc[pair[0], labels.columns(CLASSES)] = [0, 0, 1]
    with pytest.raises(StudyError, match="series have different labels"):
        truth(relabelled, CLASSES, "single-label", "series")
    same_labels = moved.assign(**dict(zip(labels.columns(CLASSES), (1, 0, 0), strict=True)))
    with pytest.raises(StudyError, match="series have different patients"):
        truth(same_labels, CLASSES, "single-label", "series")
    with pytest.raises(StudyError, match="series have different folds"):
        truth(same_labels.assign(patient="p"), CLASSES, "single-label", "series")
    with pytest.raises(StudyError, match="samples of no series"):
        truth(table.assign(unit=None), CLASSES, "single-label", "series")
    for wrong in (relabelled, moved, same_labels, table.assign(unit=None)):
        truth(wrong, CLASSES, "single-label", "image")


def test_an_unusable_image_of_a_series_leaves_the_mean_to_the_others(study: Case) -> None:
    row = int(study.index.index[study.index["unit"] == "s3"][0])
    other = int(study.index.index[study.index["unit"] == "s3"][1])
    case = without(study, row, usable=False)
    test = case.predictions["image"].query(f"part == 'test' and row == {other} and seed == 4")
    cell = case.cells("series")["image"][0, 4]
    assert len(cell.scores) == 10
    assert (cell.scores == test[["score_0", "score_1", "score_2"]].to_numpy(np.float64)).all(axis=1).sum() == 1


def test_scores_hold_every_cell_and_each_class(study: Case) -> None:
    made = scores(study.truth(), study.cells(), study.replicate())
    calibration = ("ece", "log_loss")
    assert len(made) == len(SPACES) * len(SEEDS) * FOLDS * (len(METRICS) + len(calibration) + len(CLASSES))
    one = made[(made["metric"] == "recall") & (made["space"] == "latent") & (made["fold"] == 1) & (made["seed"] == 4)]
    part = study.predictions["latent"].query("part == 'test' and fold == 1 and seed == 4")
    given, numbers = part[["score_0", "score_1", "score_2"]].to_numpy(), study.numbers()[part["row"]]
    expected = recall_score(numbers, given.argmax(axis=1), average=None)
    np.testing.assert_allclose(one.set_index("label")["value"].loc[CLASSES], expected)
    np.testing.assert_array_equal(one.set_index("label")["positives"].loc[CLASSES], np.bincount(numbers))
    assert made.loc[made["label"] == "", ["positives", "few_positives"]].isna().all(axis=None)


def test_scores_of_several_labels_hold_both_sides_and_the_area_of_each_class(multilabel: Case) -> None:
    made = scores(multilabel.truth(), multilabel.cells(), multilabel.replicate())
    cell = made.query("label != '' and space == 'image' and fold == 2 and seed == 0").set_index(["metric", "label"])
    assert len(cell) == 9
    part = multilabel.predictions["image"].query("part == 'test' and fold == 2 and seed == 0")
    for k, name in enumerate(CLASSES):
        truths = labels.of(multilabel.index, CLASSES)[part["row"], k]
        given, known = part[f"score_{k}"].to_numpy()[truths >= 0], truths[truths >= 0]
        expected = {"recall": recall_score(known, given > 0), "specificity": recall_score(1 - known, given <= 0)}
        expected["auroc"] = roc_auc_score(known, given)
        for metric, value in expected.items():
            assert cell.loc[(metric, name), "value"] == pytest.approx(value)
            assert cell.loc[(metric, name), "positives"] == known.sum()


@pytest.mark.parametrize(("unit", "positives"), [("image", 20), ("series", 10)])
def test_classes_with_fewer_than_ten_positives_are_flagged(multilabel: Case, unit: str, positives: int) -> None:
    table = multilabel.index.copy()
    columns = labels.columns(CLASSES)
    number = table["patient"].str[1:].astype(int)
    table[columns] = np.stack([number < 10, number < 9, number >= 3], axis=1).astype(np.int8)
    case = multilabel._replace(index=table)
    made = scores(case.truth(unit), case.cells(unit), case.replicate(unit))
    flagged = made[made["label"] != ""].groupby("label")["few_positives"].agg(["all", "any"])
    expected = positives - positives // 10 < 10
    assert flagged.to_numpy().tolist() == [[False, False], [expected, expected], [False, False]]


def test_replicates_are_kept_as_they_were_used(study: Case) -> None:
    replicated = study.replicate()
    flat = flatten(replicated)
    assert len(flat) == len(METRICS) * len(SPACES) * FOLDS * len(SEEDS)
    np.testing.assert_array_equal(flat[[f"r{k}" for k in range(B + 1)]], np.stack(replicated["values"].tolist()))


def test_predictions_that_do_not_fit_the_index_are_refused(
    study: Case,
) -> None:
    known, good = study.truth(), study.predictions["image"]
    cells(known, good)
    test = good["part"] == "test"
    first = good.index[test & (good["seed"] == 4)][0]
    with pytest.raises(StudyError, match="seed 4 do not test every sample of the index once"):
        cells(known, good.drop(index=first))
    with pytest.raises(StudyError, match="seed 4 do not test every sample of the index once"):
        cells(known, pd.concat([good, good.loc[[first]]]))
    with pytest.raises(StudyError, match="seed 0 do not test every sample of the index once"):
        cells(truth(study.index.iloc[:-1], CLASSES, "single-label", "image"), good)
    unusable = study.index.assign(usable=study.index.index != 5)
    with pytest.raises(StudyError, match="seed 0 do not test every sample of the index once"):
        cells(truth(unusable, CLASSES, "single-label", "image"), good)
    moved = good.assign(fold=(good["fold"] + 1) % FOLDS)
    with pytest.raises(StudyError, match="seed 0 test a sample outside its fold"):
        cells(known, moved)


def test_predictions_of_other_classes_folds_or_seeds_are_refused(
    study: Case,
) -> None:
    known, predictions = study.truth(), study.predictions
    with pytest.raises(StudyError, match="do not have the same classes"):
        cells(known, predictions["image"].drop(columns="score_2"))
    with pytest.raises(StudyError, match="do not have the same classes"):
        truth(study.index, ["a", "b", "d"], "single-label", "image")
    one_seed = predictions["latent"][predictions["latent"]["seed"] == 0]
    with pytest.raises(StudyError, match="not of the same folds and seeds"):
        study._replace(predictions={**predictions, "latent": one_seed}).replicate()
    nothing = {space: part[part["part"] == "validation"] for space, part in predictions.items()}
    with pytest.raises(StudyError, match="not of the same folds and seeds"):
        study._replace(predictions=nothing).replicate()


@pytest.mark.parametrize(("task", "unit"), [("single-label", "image"), ("multi-label", "series")])
def test_the_program_writes_the_same_bytes_twice(task: str, unit: str, tmp_path: Path) -> None:
    case = without(study_of(task), 7, usable=False)
    case.index.to_parquet(tmp_path / "index.parquet")
    command = [sys.executable, "-m", "pipeline.evaluate", "--index", str(tmp_path / "index.parquet")]
    command += ["--classes", '["a", "b", "c"]', "--task", task, "--unit", unit, "--replicates", str(B)]
    command += ["--cell", '{"dataset": "d", "autoencoder": "x", "head": "knn"}', "--thresholds", "{}"]
    for space, part in case.predictions.items():
        part.to_parquet(tmp_path / f"{space}.parquet")
        command += [f"--{space}", str(tmp_path / f"{space}.parquet")]
    written = []
    for run in ("1", "2"):
        names = [f"--{name}" for name in (*OUTPUTS, "resampled")]
        outputs = [tmp_path / run / f"{name}.csv" for name in OUTPUTS] + [tmp_path / run / "resampled.parquet"]
        arguments = [str(word) for pair in zip(names, outputs, strict=True) for word in pair]
        subprocess.run([*command, *arguments], check=True)
        written.append([path.read_bytes() for path in outputs])
    assert written[0] == written[1]
    gap = pd.read_csv(tmp_path / "1/gap.csv")
    assert list(gap["metric"]) == list(METRICS if task == "single-label" else MULTILABEL_METRICS)
    counts = gap[["folds", "seeds", "patients", "samples", "units"]].drop_duplicates().to_numpy().tolist()
    assert counts == [[3, 2, 30, 59, 59 if unit == "image" else 30]]
