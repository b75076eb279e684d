"""Two lines of configuration put a fine-tuned autoencoder into the table, each fold with weights of its own."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipeline.errors import StudyError
from pipeline.study import Study
from tests.studies import STUDY, configure, plan, run, tiny

DATA = {"blobs": STUDY["datasets"]["blobs"] | {"shards": 1}}
FOLDS = DATA["blobs"]["folds"]
AUTOENCODERS: dict[str, dict[str, Any]] = {
    "identity": {"family": "identity"},
    "tiny": {"family": "diffusers-tiny", "folder": "resources/weights/tiny"},
    "tuned": {"family": "finetuned", "parent": "tiny"},
}
SHORT = {"steps": 4, "batch": 4, "evaluate_every": 2}


def study(**options: object) -> dict[str, Any]:
    tuned = AUTOENCODERS["tuned"] | SHORT | options
    return STUDY | {"datasets": DATA, "autoencoders": AUTOENCODERS | {"tuned": tuned}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tiny(tmp_path_factory.mktemp("study"), study())
    run(made)
    return made


def test_the_fine_tuned_autoencoder_reaches_the_table(folder: Path) -> None:
    table = pd.read_csv(folder / "results/gap_table.csv")
    tuned, parent = (table[table["autoencoder"] == name].reset_index() for name in ("tuned", "tiny"))
    assert len(tuned) == len(parent) > 0
    assert set(tuned["family"]) == {"finetuned"}
    for column in ("folds", "patients", "samples", "latent_shape", "image"):
        assert (tuned[column] == parent[column]).all(), column
    measured = tuned[["reconstruction", "latent", "learnability_gap", "psnr", "ssim"]]
    assert np.isfinite(measured.to_numpy()).all()
    # No test image was seen, so the fidelity need not be the parent's, but it is near it after four steps.
    np.testing.assert_allclose(tuned["psnr"], parent["psnr"], atol=3)


def test_each_fold_has_weights_of_its_own(folder: Path) -> None:
    index = pd.read_parquet(folder / "results/index/blobs.parquet")
    made = [folder / f"results/weights/blobs/tuned-fold{fold}" for fold in range(FOLDS)]
    assert sorted(path.name for path in made[0].parent.iterdir()) == [path.name for path in made]
    for fold, member in enumerate(made):
        said = json.loads((member / "parent.json").read_text())
        assert (said["parent"], said["fold"]) == ("tiny", fold)
        assert said["training_rows"] == (~index["fold"].isin([fold, (fold + 1) % FOLDS])).sum()


def test_a_second_call_has_nothing_to_do(folder: Path) -> None:
    assert "Nothing to be done" in run(folder)


def test_what_cannot_be_fine_tuned_is_refused_before_anything_runs() -> None:
    others = {"vq": {"family": "diffusers-vq", "folder": "resources/weights/vq"}}
    for parent, match in [("vq", "its codebook gives"), ("identity", "cannot be fine-tuned"), ("tuned", "cannot be")]:
        tried = study(parent=parent)
        with pytest.raises(StudyError, match=match):
            Study(tried | {"autoencoders": others | tried["autoencoders"]})


def test_another_recipe_trains_again_and_encodes_nothing_else(folder: Path) -> None:
    configure(folder, study(learning_rate=3e-5))
    try:
        jobs = plan(folder)
    finally:
        configure(folder, study())
    assert jobs["finetune"] == FOLDS
    assert jobs["encode"] == jobs["decode"] == FOLDS
    assert not {"inspect", "normalize", "index"} & set(jobs)
