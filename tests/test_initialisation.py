"""What comes of pretraining, and what of the space."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline import evaluate
from pipeline.conclude import files
from pipeline.errors import StudyError
from pipeline.initialisation import COLUMNS, split
from pipeline.quantities import SPACES
from tests.test_conclude import B, resampled

ROLES = {"scratch": "cnn", "pretrained": "cnn-p", "published": "paper"}
PLAN = {"a": {head: ["kl", "vq"] for head in ROLES.values()}, "b": {"cnn": ["kl"], "paper": ["kl"], "knn": ["kl"]}}


@pytest.fixture(scope="module")
def scores(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scores")
    for number, of_head in enumerate(files(PLAN, folder).values()):
        for place, path in enumerate(path for of_set in of_head.values() for path in of_set.values()):
            path.parent.mkdir(parents=True)
            decodes = path.parent.parent.name != "vq"
            evaluate.flatten(resampled(10 * number + place, 0.03 * number, decodes)).to_parquet(path, index=False)
    return folder


@pytest.fixture(scope="module")
def table(scores: Path) -> pd.DataFrame:
    return split(files(PLAN, scores), ROLES)


def means(scores: Path, dataset: str, autoencoder: str, head: str, space: str, metric: str = "auroc") -> np.ndarray:
    flat = pd.read_parquet(scores / dataset / autoencoder / head / "resampled.parquet")
    part = flat[(flat["space"] == space) & (flat["metric"] == metric)]
    return part[[f"r{k}" for k in range(B + 1)]].to_numpy().mean(axis=0)


def test_the_published_mix_is_what_pretraining_gives_images_plus_what_latents_cost_from_scratch(
    table: pd.DataFrame,
) -> None:
    by = table.pivot_table(index=["dataset", "autoencoder", "metric"], columns="quantity", values="value")
    both = by.loc["a"]
    np.testing.assert_allclose(both["mixed_total"], both["gain_pretrained_image"] + both["scratch_total"], atol=1e-12)
    gained = both["gain_pretrained_image"] - both["gain_pretrained_latent"]
    np.testing.assert_allclose(both["pretrained_total"], both["scratch_total"] + gained, atol=1e-12)
    parts = both["scratch_information_loss"] + both["scratch_learnability_gap"]
    np.testing.assert_allclose(parts.loc["kl"], both["scratch_total"].loc["kl"], atol=1e-12)


def test_intervals_are_of_differences_that_are_paired(table: pd.DataFrame, scores: Path) -> None:
    expected = means(scores, "a", "kl", "cnn-p", "image") - means(scores, "a", "kl", "cnn", "latent")
    where = (table["dataset"] == "a") & (table["autoencoder"] == "kl") & (table["metric"] == "auroc")
    row = table[where & (table["quantity"] == "mixed_total")].iloc[0]
    assert [row["value"], row["low"], row["high"]] == pytest.approx(
        [expected[0], *np.quantile(expected[1:], [0.025, 0.975])]
    )
    assert row[["head", "space", "other_head", "other_space"]].tolist() == ["cnn-p", "image", "cnn", "latent"]


def test_what_a_study_does_not_have_has_no_row(table: pd.DataFrame) -> None:
    assert list(table.columns) == COLUMNS
    assert not table.duplicated(["dataset", "autoencoder", "metric", "quantity"]).any()
    # Nothing was pretrained on b.
    assert set(table.loc[table["dataset"] == "b", "quantity"]) == {
        *(f"gain_published_{space}" for space in SPACES),
        *(f"{role}_{name}" for role in ("scratch", "published") for name in ("information_loss", "learnability_gap")),
        *("scratch_total", "published_total"),
    }
    # An autoencoder without a decoder has no reconstructions.
    bare = table[table["autoencoder"] == "vq"]
    assert not bare["quantity"].str.contains("reconstruction|information|learnability").any()
    assert {"mixed_total", "gain_pretrained_latent"} <= set(bare["quantity"])
    assert split({}, {}).columns.tolist() == COLUMNS


def test_heads_that_cannot_be_paired_are_refused(tmp_path: Path) -> None:
    read = files({"a": {"cnn": ["kl"], "cnn-p": ["kl"]}}, tmp_path)
    for head, seeds in (("cnn", 1), ("cnn-p", 2)):
        path = read[head]["a"]["kl"]
        path.parent.mkdir(parents=True)
        evaluate.flatten(resampled(0, 0.0, seeds=seeds)).to_parquet(path)
    with pytest.raises(StudyError, match="differ in folds, seeds or replicates"):
        split(read, {"scratch": "cnn", "pretrained": "cnn-p"})


def test_the_program_writes_the_table(scores: Path, table: pd.DataFrame, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pipeline.conclude", "--plan", json.dumps(PLAN), "--scores", str(scores)]
    command += ["--roles", json.dumps(ROLES), "--claims", str(tmp_path / "claims.csv")]
    subprocess.run([*command, "--initialisation", str(tmp_path / "initialisation.csv")], check=True)
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "initialisation.csv"), table, atol=1e-5, check_dtype=False)
