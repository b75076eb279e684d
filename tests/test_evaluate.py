"""Three predictions to scores and differences: by hand, by scikit-learn, and refused where they do not fit."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import balanced_accuracy_score, matthews_corrcoef, recall_score, roc_auc_score

from pipeline import bootstrap
from pipeline.errors import StudyError
from pipeline.evaluate import DIFFERENCES, SPACES, cells, flatten, gaps, labels_of, replicate, scores
from pipeline.metrics import METRICS

CLASSES = ["a", "b", "c"]
Case = tuple[pd.DataFrame, dict[str, pd.DataFrame]]
SEEDS, FOLDS, B = (0, 4), 3, 200


def index(random: np.random.Generator) -> pd.DataFrame:
    """30 patients with two samples each, ten patients a fold."""
    patients = np.arange(60) // 2
    labels = np.array(CLASSES)[patients // 3 % 3]
    table = pd.DataFrame({"patient": [f"p{k}" for k in patients], "fold": patients % FOLDS, "label": labels})
    table = table.iloc[random.permutation(60)].reset_index(drop=True)
    table["label"] = pd.Categorical(table["label"], categories=CLASSES)
    return table


def predicted(table: pd.DataFrame, signal: float, random: np.random.Generator) -> pd.DataFrame:
    """Scores of every fold and seed, validation rows among them."""
    parts = []
    for seed in SEEDS:
        for fold in range(FOLDS):
            for part, of in (("validation", (fold + 1) % FOLDS), ("test", fold)):
                rows = np.flatnonzero(table["fold"] == of)
                values = random.normal(size=(len(rows), 3))
                values[np.arange(len(rows)), table["label"].cat.codes.iloc[rows]] += signal
                columns = {f"score_{k}": values[:, k].astype(np.float32) for k in range(3)}
                parts.append(pd.DataFrame({"fold": fold, "seed": seed, "part": part, "row": rows, **columns}))
    return pd.concat(parts, ignore_index=True)


@pytest.fixture
def study() -> Case:
    random = np.random.default_rng(1)
    table = index(random)
    return table, {space: predicted(table, 2 - k / 2, random) for k, space in enumerate(SPACES)}


def by_hand(table: pd.DataFrame, predictions: pd.DataFrame) -> dict[str, float]:
    """The mean over folds and seeds of scikit-learn's scores."""
    values: dict[str, list[float]] = {name: [] for name in METRICS}
    for _, part in predictions[predictions["part"] == "test"].groupby(["fold", "seed"]):
        labels = table["label"].cat.codes.to_numpy()[part["row"]]
        given = part[["score_0", "score_1", "score_2"]].to_numpy()
        values["balanced_accuracy"].append(balanced_accuracy_score(labels, given.argmax(axis=1)))
        values["mcc"].append(matthews_corrcoef(labels, given.argmax(axis=1)))
        values["auroc"].append(np.mean([roc_auc_score(labels == k, given[:, k]) for k in range(3)]))
    return {name: float(np.mean(each)) for name, each in values.items()}


def test_a_row_is_what_a_hand_computation_gives(study: Case) -> None:
    table, predictions = study
    row = gaps(replicate(table, predictions, B)).set_index("metric")
    expected = {space: by_hand(table, predictions[space]) for space in SPACES}
    for name in METRICS:
        for space in SPACES:
            assert row.loc[name, space] == pytest.approx(expected[space][name], abs=1e-12)
        for difference, (a, b) in DIFFERENCES.items():
            assert row.loc[name, difference] == pytest.approx(expected[a][name] - expected[b][name], abs=1e-12)
    assert list(row.index) == list(METRICS)
    np.testing.assert_allclose(row["information_loss"] + row["learnability_gap"], row["total"])


def test_intervals_are_of_paired_differences_averaged_over_folds_and_seeds(
    study: Case,
) -> None:
    table, predictions = study
    row = gaps(replicate(table, predictions, B)).set_index("metric")
    patients = pd.factorize(table["patient"])[0]
    differences = []
    for (fold, seed), (rows, image) in cells(predictions["image"]).items():
        labels, latent = table["label"].cat.codes.to_numpy()[rows], cells(predictions["latent"])[fold, seed][1]
        drawn = bootstrap.weights(patients[rows], B, fold)
        metric = METRICS["balanced_accuracy"]
        differences.append(metric(image, labels, drawn) - metric(latent, labels, drawn))
    low, high = np.quantile(np.mean(differences, axis=0)[1:], [0.025, 0.975])
    assert (row.loc["balanced_accuracy", "total_low"], row.loc["balanced_accuracy", "total_high"]) == pytest.approx(
        (low, high)
    )
    assert low <= row.loc["balanced_accuracy", "total"] <= high


def test_spaces_with_the_same_predictions_have_a_gap_of_exactly_nothing(
    study: Case,
) -> None:
    table, predictions = study
    alike = dict.fromkeys(SPACES, predictions["image"])
    row = gaps(replicate(table, alike, B))
    for difference in DIFFERENCES:
        assert (row[[difference, f"{difference}_low", f"{difference}_high"]] == 0).all(axis=None)
    assert (row["image_low"] < row["image"]).all()


def test_the_names_of_patients_and_the_order_of_predictions_change_nothing(
    study: Case,
) -> None:
    table, predictions = study
    renamed = table.assign(patient=[f"{hash(name):x}" for name in table["patient"]])
    mixed = {space: part.sample(frac=1, random_state=0) for space, part in predictions.items()}
    pd.testing.assert_frame_equal(
        gaps(replicate(table, predictions, B)), gaps(replicate(renamed, mixed, B)), check_exact=True
    )


def test_scores_hold_every_cell_and_each_class(study: Case) -> None:
    table, predictions = study
    made = scores(table, replicate(table, predictions, B), predictions)
    assert len(made) == len(SPACES) * len(SEEDS) * FOLDS * (len(METRICS) + len(CLASSES))
    one = made[(made["metric"] == "recall") & (made["space"] == "latent") & (made["fold"] == 1) & (made["seed"] == 4)]
    rows, given = cells(predictions["latent"])[1, 4]
    expected = recall_score(table["label"].cat.codes.to_numpy()[rows], given.argmax(axis=1), average=None)
    np.testing.assert_allclose(one.set_index("label")["value"].loc[CLASSES], expected)


def test_replicates_are_kept_as_they_were_used(study: Case) -> None:
    table, predictions = study
    replicated = replicate(table, predictions, B)
    flat = flatten(replicated)
    assert len(flat) == len(METRICS) * len(SPACES) * FOLDS * len(SEEDS)
    np.testing.assert_array_equal(flat[[f"r{k}" for k in range(B + 1)]], np.stack(replicated["values"].tolist()))


def test_predictions_that_do_not_fit_the_index_are_refused(
    study: Case,
) -> None:
    table, predictions = study
    good = predictions["image"]
    labels_of(table, good)
    test = good["part"] == "test"
    first = good.index[test & (good["seed"] == 4)][0]
    with pytest.raises(StudyError, match="seed 4 do not test every sample of the index once"):
        labels_of(table, good.drop(index=first))
    with pytest.raises(StudyError, match="seed 4 do not test every sample of the index once"):
        labels_of(table, pd.concat([good, good.loc[[first]]]))
    with pytest.raises(StudyError, match="seed 0 do not test every sample of the index once"):
        labels_of(table.iloc[:-1], good)
    moved = good.assign(fold=(good["fold"] + 1) % FOLDS)
    with pytest.raises(StudyError, match="seed 0 test a sample outside its fold"):
        labels_of(table, moved)


def test_predictions_of_other_classes_folds_or_seeds_are_refused(
    study: Case,
) -> None:
    table, predictions = study
    with pytest.raises(StudyError, match="do not have the same classes"):
        labels_of(table, predictions["image"].drop(columns="score_2"))
    fewer = table.assign(label=table["label"].cat.set_categories(["a", "b", "d"]))
    with pytest.raises(StudyError, match="do not have the same classes"):
        labels_of(fewer, predictions["image"])
    one_seed = predictions["latent"][predictions["latent"]["seed"] == 0]
    with pytest.raises(StudyError, match="not of the same folds and seeds"):
        replicate(table, {**predictions, "latent": one_seed}, B)
    nothing = {space: part[part["part"] == "validation"] for space, part in predictions.items()}
    with pytest.raises(StudyError, match="not of the same folds and seeds"):
        replicate(table, nothing, B)


def test_the_program_writes_the_same_bytes_twice(study: Case, tmp_path: Path) -> None:
    table, predictions = study
    table.assign(label=table["label"].astype(str)).to_parquet(tmp_path / "index.parquet")
    command = [sys.executable, "-m", "pipeline.evaluate", "--index", str(tmp_path / "index.parquet")]
    command += ["--classes", '["a", "b", "c"]', "--replicates", str(B)]
    for space, part in predictions.items():
        part.to_parquet(tmp_path / f"{space}.parquet")
        command += [f"--{space}", str(tmp_path / f"{space}.parquet")]
    written = []
    for run in ("1", "2"):
        outputs = [tmp_path / run / name for name in ("gap.csv", "scores.csv", "resampled.parquet")]
        names = ("--gap", "--scores", "--resampled")
        arguments = [str(word) for pair in zip(names, outputs, strict=True) for word in pair]
        subprocess.run([*command, *arguments], check=True)
        written.append([path.read_bytes() for path in outputs])
    assert written[0] == written[1]
    gap = pd.read_csv(tmp_path / "1/gap.csv")
    assert gap[["folds", "seeds", "patients", "samples"]].drop_duplicates().to_numpy().tolist() == [[3, 2, 30, 60]]
