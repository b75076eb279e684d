"""What a notebook computes is what the workflow computes, and the example runs."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import pipeline
from pipeline import fit, gap, load_space, open_study, read_predictions
from pipeline.errors import StudyError
from pipeline.heads import HeadSpec
from tests.schemas import compared
from tests.studies import ROOT, STUDY, call, checkout, configure, environment

CELL = "results/heads/blobs/{}/predictions.parquet"
KNN = STUDY["heads"]["knn"]
CONFIG: dict[str, Any] = STUDY | {"datasets": {"blobs": STUDY["datasets"]["blobs"] | {"shards": 1}}}
SPACES = ("image", "reconstruction", "latent")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of blurred differences whose comparison of one head is made."""
    place = checkout(tmp_path_factory.mktemp("study"))
    random = np.random.default_rng(0)
    for label, level in {"dim": 100, "bright": 103}.items():
        for patient in range(12):
            path = place / "images" / label / f"{label}-{patient:02d}/0.png"
            path.parent.mkdir(parents=True)
            Image.fromarray(random.normal(level, 40, (16, 16)).clip(0, 255).astype(np.uint8)).save(path)
    configure(place, CONFIG)
    finished = call(place, "--cores", "2", "--", "results/scores/blobs/lossy/knn/gap.csv")
    assert finished.returncode == 0, finished.stdout
    return place


@pytest.fixture(scope="module")
def study(folder: Path) -> pipeline.OpenStudy:
    return open_study("study.yaml", folder)


def test_importing_the_package_imports_nothing_heavy() -> None:
    program = "import sys, pipeline; print({name.split('.')[0] for name in sys.modules} & {'torch', 'numpy', 'pandas'})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_everything_that_is_offered_is_there_and_nothing_else() -> None:
    assert all(getattr(pipeline, name) for name in pipeline.__all__)
    with pytest.raises(AttributeError, match="no attribute 'fitted'"):
        pipeline.fitted  # noqa: B018


def test_a_head_says_what_it_said_in_the_workflow(study: pipeline.OpenStudy) -> None:
    for space in SPACES:
        expected = read_predictions(study, "blobs", "lossy", space, head="knn")
        pd.testing.assert_frame_equal(fit(KNN, load_space(study, "blobs", "lossy", space)), expected)


def test_the_gap_is_that_of_the_workflow(study: pipeline.OpenStudy, folder: Path) -> None:
    found = {space: read_predictions(study, "blobs", "lossy", space, head="knn") for space in SPACES}
    expected = pd.read_csv(folder / "results/scores/blobs/lossy/knn/gap.csv")
    assert expected["image"].between(0.1, 0.99).any()
    pd.testing.assert_frame_equal(gap(load_space(study, "blobs", "lossy"), found, 100), expected)


def test_a_space_comes_with_labels_patients_and_folds(study: pipeline.OpenStudy) -> None:
    image, latent = (load_space(study, "blobs", "lossy", space) for space in ("image", "latent"))
    assert (image.values.shape, latent.values.shape) == ((24, 1, 16, 16), (24, 1, 2, 2))
    # What `lossy` with a stride of 8 is: means of blocks, rounded as the store is.
    np.testing.assert_allclose(latent.values, image.values.reshape(24, 1, 2, 8, 2, 8).mean(axis=(3, 5)), atol=1e-6)
    assert (image.labels.sum(axis=1) == 1).all()
    assert len(set(image.patients)) == 24
    assert sorted(set(image.folds)) == [0, 1, 2]


def test_what_the_study_has_written_is_documented(folder: Path) -> None:
    compared("results/index/<dataset>.parquet", pd.read_parquet(folder / "results/index/blobs.parquet"))
    cell = folder / "results/scores/blobs/lossy/knn"
    compared("gap.csv", pd.read_csv(cell / "gap.csv"))
    compared("resampled.parquet", pd.read_parquet(cell / "resampled.parquet"))
    compared("predictions.parquet", pd.read_parquet(folder / CELL.format("lossy/latent/knn")))


def test_one_fold_of_the_whole_is_that_fold(study: pipeline.OpenStudy) -> None:
    data = load_space(study, "blobs", "lossy")
    whole, one = fit(KNN, data), fit(KNN, data, folds=[1])
    pd.testing.assert_frame_equal(one, whole[whole["fold"] == 1].reset_index(drop=True))


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (("skin", "lossy", "latent"), "no data set 'skin' with classes; there are blobs"),
        (("blobs", "kl", "latent"), "no autoencoder 'kl'; there are identity, lossy"),
        (("blobs", "lossy", "pixels"), "no space 'pixels'"),
    ],
)
def test_an_unknown_name_is_answered_by_those_that_there_are(
    study: pipeline.OpenStudy, asked: tuple[str, str, str], message: str
) -> None:
    with pytest.raises(StudyError, match=message):
        load_space(study, *asked)  # type: ignore[arg-type]


def test_what_was_not_made_yet_says_how_it_is_made(study: pipeline.OpenStudy, folder: Path) -> None:
    with pytest.raises(StudyError, match=r"make it with: snakemake .* results/gap_table\.csv"):
        study.gap_table()
    with pytest.raises(StudyError, match=r"no file .*other\.yaml"):
        open_study("other.yaml", folder)


def test_a_head_that_needs_more_than_a_space_is_refused(study: pipeline.OpenStudy) -> None:
    head = {"family": "distilled", "teacher": "knn", "student": {"family": "mlp"}}
    with pytest.raises(StudyError, match="by the workflow alone"):
        fit(head, load_space(study, "blobs", "lossy"))


def test_a_gap_needs_the_same_folds_in_every_space(study: pipeline.OpenStudy) -> None:
    data = load_space(study, "blobs", "lossy")
    found = {space: read_predictions(study, "blobs", "lossy", space, head="knn") for space in SPACES}
    with pytest.raises(StudyError, match="in image space are missing"):
        gap(data, {"latent": found["latent"]})
    with pytest.raises(StudyError, match="do not test every sample"):
        gap(data, found | {"latent": found["latent"][found["latent"]["fold"] > 0]})


def test_the_example_prints_the_gap_of_its_own_head(folder: Path) -> None:
    example = [sys.executable, str(ROOT / "examples/gap_of_a_new_head.py"), "--configfile", "study.yaml"]
    asked = ["--folder", str(folder), "--dataset", "blobs", "--autoencoder", "lossy", "--beside", "knn"]
    variables = environment() | {"PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run([*example, *asked], capture_output=True, text=True, env=variables, check=False)
    assert done.returncode == 0, done.stderr
    assert "24 samples of 24 patients, classes dim, bright" in done.stdout
    assert done.stdout.index("nearest mean") < done.stdout.index("knn")
    assert done.stdout.count("balanced_accuracy") == 2


def test_a_damaged_shard_is_refused(study: pipeline.OpenStudy, folder: Path) -> None:
    shard = folder / "results/latents/blobs/lossy.zarr/c/0/0/0/0"
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-1])
    with pytest.raises(StudyError, match="is not what"):
        load_space(study, "blobs", "lossy")
    shard.write_bytes(whole)


def test_the_heads_of_a_study_can_be_taken_as_they_are(study: pipeline.OpenStudy) -> None:
    head = study.heads["knn"]
    assert isinstance(head, HeadSpec)
    data = load_space(study, "blobs", "identity", "image")
    pd.testing.assert_frame_equal(fit(head, data), fit(KNN, data))
