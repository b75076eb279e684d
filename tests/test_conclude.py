"""What the study says as a whole follows from the replicates of its cells."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline import bootstrap, evaluate, hierarchical, significance
from pipeline.conclude import COLUMNS, conclude, differences, files, of_cell
from pipeline.errors import StudyError
from pipeline.plan import Plan
from pipeline.quantities import DIFFERENCES
from pipeline.study import Study
from tests.studies import STUDY

B = 120
PLAN = {
    "a": {"knn": ["kl", "vq", "embedding"], "cnn": ["kl", "vq", "embedding"]},
    "b": {"knn": ["kl", "vq"], "cnn": []},
    "unlabelled": {},
}


def resampled(seed: int, gap: float, decodes: bool = True, folds: int = 3, seeds: int = 2) -> pd.DataFrame:
    """Replicates of two metrics in which the latents score so much lower."""
    random = np.random.default_rng(seed)
    rows = []
    for metric in ("balanced_accuracy", "auroc"):
        for space, level in (("image", 0.8), ("reconstruction", 0.79), ("latent", 0.79 - gap)):
            for fold in range(folds):
                for run in (4, 0)[:seeds]:
                    values = level + random.normal(0, 0.02, B + 1)
                    rows.append({"metric": metric, "space": space, "fold": fold, "seed": run, "values": values})
    table = pd.DataFrame(rows)
    return table if decodes else table[table["space"] != "reconstruction"]


@pytest.fixture(scope="module")
def scores(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files as stage evaluate writes them, shuffled."""
    folder = tmp_path_factory.mktemp("scores")
    for number, (dataset, entry) in enumerate(PLAN.items()):
        for head, names in entry.items():
            for place, name in enumerate(names):
                gap = 0.05 if head == "knn" and name == "kl" else 0.0
                made = resampled(
                    10 * number + place, gap, decodes=name != "embedding", folds=3 if dataset == "a" else 1
                )
                path = folder / dataset / name / head / "resampled.parquet"
                path.parent.mkdir(parents=True)
                evaluate.flatten(made).sample(frac=1, random_state=0).to_parquet(path, index=False)
    return folder


@pytest.fixture(scope="module")
def claims(scores: Path) -> pd.DataFrame:
    return conclude(files(PLAN, scores))


def one(claims: pd.DataFrame, level: str, quantity: str = "learnability_gap", **where: str) -> pd.DataFrame:
    where = {"head": "knn", "metric": "auroc", "level": level, "quantity": quantity, **where}
    return claims[np.logical_and.reduce([claims[name] == value for name, value in where.items()])]


def test_there_is_a_row_for_the_study_each_autoencoder_each_data_set_and_each_cell(claims: pd.DataFrame) -> None:
    assert list(claims.columns) == COLUMNS
    assert not claims.duplicated(["level", "dataset", "autoencoder", "head", "metric", "quantity"]).any()
    counts = {level: len(one(claims, level)) for level in ("study", "autoencoder", "dataset", "cell")}
    # The autoencoder without a decoder has no gap, and what its latents cost all the same.
    assert counts == {"study": 1, "autoencoder": 2, "dataset": 2, "cell": 4}
    counts = {level: len(one(claims, level, "total")) for level in counts}
    assert counts == {"study": 1, "autoencoder": 3, "dataset": 2, "cell": 5}
    assert set(claims["metric"]) == {"auroc", "balanced_accuracy"}
    assert one(claims, "study")[["datasets", "cells", "replicates"]].to_numpy().tolist() == [[2, 4, B]]
    assert one(claims, "study", head="cnn")[["datasets", "cells"]].to_numpy().tolist() == [[1, 2]]


def test_a_cell_has_the_interval_of_the_gap_table_and_the_p_of_the_same_replicates(
    claims: pd.DataFrame, scores: Path
) -> None:
    flat = pd.read_parquet(scores / "a/kl/knn/resampled.parquet")
    columns = [f"r{number}" for number in range(B + 1)]
    table = evaluate.gaps(flat.drop(columns=columns).assign(values=list(flat[columns].to_numpy())))
    for quantity in DIFFERENCES:
        row = one(claims, "cell", quantity, dataset="a", autoencoder="kl").iloc[0]
        ends = table.set_index("metric").loc["auroc", [quantity, f"{quantity}_low", f"{quantity}_high"]]
        np.testing.assert_allclose(row[["value", "low", "high"]].astype(float), ends.astype(float), atol=1e-15)
    assert (claims["p"].notna() == ((claims["level"] == "cell") & (claims["quantity"] == "learnability_gap"))).all()
    assert one(claims, "cell", dataset="a", autoencoder="kl")["p"].item() == 2 / (B + 1)


def test_p_values_are_adjusted_within_a_data_set_for_each_head_and_metric(claims: pd.DataFrame) -> None:
    cells = claims[(claims["level"] == "cell") & (claims["quantity"] == "learnability_gap")]
    for _, part in cells.groupby(["dataset", "head", "metric"]):
        np.testing.assert_allclose(part["p_holm"], significance.holm(part["p"].to_numpy()))
        assert len(part) == 2


def test_means_are_over_data_sets_of_means_over_candidates(claims: pd.DataFrame, scores: Path) -> None:
    read = {
        (dataset, name): differences(pd.read_parquet(scores / dataset / name / "knn/resampled.parquet"))
        for dataset in "ab"
        for name in ("kl", "vq")
    }
    gaps = {key: values["auroc", "learnability_gap"] for key, values in read.items()}
    assert gaps["a", "kl"].shape == (3, 2, B + 1)
    units = [(gaps[dataset, "kl"] + gaps[dataset, "vq"]) / 2 for dataset in "ab"]
    study = one(claims, "study").iloc[0]
    assert study["value"] == pytest.approx(np.mean([values[:, :, 0].mean() for values in units]))
    expected = bootstrap.interval(hierarchical.replicates([values[:, :, 1:] for values in units], B))
    assert (study["low"], study["high"]) == pytest.approx(expected)
    assert study["units"] == "drawn: 2 data sets, 1 to 3 folds, 2 seeds, patients"
    alone = one(claims, "dataset", dataset="b").iloc[0]
    expected = bootstrap.interval(hierarchical.replicates([units[1][:, :, 1:]], B))
    assert (alone["low"], alone["high"]) == pytest.approx(expected)
    assert alone["units"] == "drawn: 2 seeds, patients; a single data set, a single fold"


def test_the_three_quantities_add_up_where_all_candidates_have_them(claims: pd.DataFrame) -> None:
    parts = [one(claims, "dataset", name, dataset="b")["value"].item() for name in DIFFERENCES]
    assert parts[0] + parts[1] == pytest.approx(parts[2])


def test_the_sign_test_counts_cells_and_data_sets_and_says_what_is_wrong_with_cells(claims: pd.DataFrame) -> None:
    study, cells = one(claims, "study").iloc[0], one(claims, "cell")
    positive = int((cells["value"] > 0).sum())
    assert study["positive_cells"] == positive
    assert study["sign_p_cells"] == significance.sign_test(positive, 4)
    assert study["positive_datasets"] == (one(claims, "dataset")["value"] > 0).sum()
    assert study["smallest_p_datasets"] == 0.25
    assert "not independent: 4 of them share the images of 2 data sets" in study["caution"]
    assert study["caution"].endswith("Over 2 data sets no p can be below 0.25.")
    others = claims[(claims["level"] != "study") | (claims["quantity"] != "learnability_gap")]
    assert others[["positive_cells", "sign_p_cells", "sign_p_datasets", "caution"]].isna().all(axis=None)


def test_equal_scores_in_all_spaces_are_no_gap_and_no_evidence() -> None:
    row = of_cell(np.zeros((3, 1, B + 1)))
    assert (row["value"], row["low"], row["high"], row["p"]) == (0, 0, 0, 1)


def test_replicates_that_do_not_fit_together_are_refused(tmp_path: Path) -> None:
    whole = evaluate.flatten(resampled(0, 0.0))
    with pytest.raises(StudyError, match="every seed in every fold once"):
        differences(whole.drop(index=whole.index[0]))
    for name, folds in (("kl", 3), ("vq", 2)):
        path = tmp_path / "a" / name / "knn/resampled.parquet"
        path.parent.mkdir(parents=True)
        evaluate.flatten(resampled(0, 0.0, folds=folds)).to_parquet(path)
    with pytest.raises(StudyError, match="differ in folds, seeds or replicates"):
        conclude(files({"a": {"knn": ["kl", "vq"]}}, tmp_path))


def test_controls_are_no_candidates_and_a_study_of_them_claims_nothing() -> None:
    plan = Plan(Study({**STUDY, "autoencoders": {**STUDY["autoencoders"], "jpeg": {"family": "jpeg", "quality": 50}}}))
    assert json.loads(plan.claims()) == {"blobs": {"knn": ["jpeg"]}}
    assert plan.concluded() == ["results/scores/blobs/jpeg/knn/resampled.parquet"]
    controls = Plan(Study(STUDY))
    assert controls.concluded() == []
    empty = conclude(files(json.loads(controls.claims()), Path("nowhere")))
    assert list(empty.columns) == COLUMNS
    assert empty.empty


def test_the_program_reads_what_the_plan_names_and_writes_the_same_bytes_twice(scores: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pipeline.conclude", "--plan", json.dumps(PLAN), "--scores", str(scores)]
    for name in ("1.csv", "2.csv"):
        outputs = ["--claims", str(tmp_path / name), "--initialisation", str(tmp_path / f"initialisation{name}")]
        subprocess.run([*command, "--roles", "{}", *outputs], check=True)
    assert (tmp_path / "1.csv").read_bytes() == (tmp_path / "2.csv").read_bytes()
    assert list(pd.read_csv(tmp_path / "1.csv").columns) == COLUMNS
