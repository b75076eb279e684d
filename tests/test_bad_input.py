"""Input that is wrong: a file is refused and the run goes on, or one sentence stops the run before any compute."""

import copy
import csv
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.data import get_testdata_file

from pipeline.files import sha256
from tests.studies import STUDY, call, configure, run, tiny

TABLE = "results/gap_table.csv"
COMPUTED = ("images", "latents", "reconstructions", "heads")


def stopped(folder: Path, *arguments: str) -> str:
    """Return what a call printed that must fail before any compute."""
    finished = call(folder, *arguments, "--", TABLE)
    assert finished.returncode != 0, finished.stdout
    assert not any((folder / "results" / kind).exists() for kind in COMPUTED)
    return finished.stdout


def misspelt_pixel_key(study: dict[str, Any]) -> None:
    study["datasets"]["blobs"]["pixels"]["sizes"] = 16


def misspelt_section(study: dict[str, Any]) -> None:
    study["autoencoder"] = {}


def misspelt_autoencoder_key(study: dict[str, Any]) -> None:
    study["autoencoders"]["lossy"]["strides"] = 8


def unknown_family(study: dict[str, Any]) -> None:
    study["heads"]["knn"]["family"] = "nearest"


def missing_folder(study: dict[str, Any]) -> None:
    study["datasets"]["blobs"]["root"] = "elsewhere"


def missing_weights(study: dict[str, Any]) -> None:
    study["autoencoders"]["kl"] = {"family": "diffusers-kl", "folder": "nowhere"}


def missing_variable(study: dict[str, Any]) -> None:
    study["datasets"]["blobs"]["root"] = "${NOT_SET_ANYWHERE}/images"


@pytest.mark.parametrize(
    ("spoil", "culprit"),
    [
        (misspelt_pixel_key, "datasets: blobs: pixels.sizes"),
        (misspelt_section, "autoencoder"),
        (misspelt_autoencoder_key, "autoencoders: lossy: strides"),
        (unknown_family, "'nearest'"),
        (missing_folder, "the folder elsewhere is missing"),
        (missing_weights, "nowhere"),
        (missing_variable, "NOT_SET_ANYWHERE"),
    ],
)
def test_a_wrong_configuration_stops_the_plan(
    spoil: Callable[[dict[str, Any]], None], culprit: str, tmp_path: Path
) -> None:
    study = copy.deepcopy(STUDY)
    spoil(study)
    folder = tiny(tmp_path, study)
    printed = stopped(folder, "--dry-run")
    assert culprit in printed
    assert "Traceback" not in printed


def undeclared_label(folder: Path, study: dict[str, Any]) -> None:
    (folder / "images/odd/p").mkdir(parents=True)
    Image.new("L", (16, 16), 99).save(folder / "images/odd/p/0.png")


def empty_class(folder: Path, study: dict[str, Any]) -> None:
    study["datasets"]["blobs"]["classes"].append("missing")


def from_table(folder: Path, study: dict[str, Any], change: Callable[[list[dict[str, str]]], None]) -> None:
    paths = sorted(path.relative_to(folder / "images").as_posix() for path in (folder / "images").glob("*/*/*"))
    rows = [{"path": path, "id": path.split("/")[1], "label": path.split("/")[0], "fold": "0"} for path in paths]
    for number, row in enumerate(rows):
        row["fold"] = str(number // 2 % 3)
    change(rows)
    with (folder / "labels.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["path", "id", "label", "fold"])
        writer.writeheader()
        writer.writerows(rows)
    study["datasets"]["blobs"] |= {"family": "filelist", "labels": "labels.csv", "fold_column": "fold"}


def patient_in_two_folds(folder: Path, study: dict[str, Any]) -> None:
    from_table(folder, study, lambda rows: rows[0].update(fold="2"))


def missing_label(folder: Path, study: dict[str, Any]) -> None:
    from_table(folder, study, lambda rows: rows[3].update(label="nan"))


@pytest.mark.parametrize(
    ("spoil", "culprit"),
    [
        (undeclared_label, "'odd'"),
        (empty_class, "'missing'"),
        (patient_in_two_folds, "bright-00"),
        (missing_label, "bright-01/1.png"),
    ],
)
def test_labels_that_cannot_be_trusted_stop_the_run(
    spoil: Callable[[Path, dict[str, Any]], None], culprit: str, tmp_path: Path
) -> None:
    study = copy.deepcopy(STUDY)
    folder = tiny(tmp_path, study)
    spoil(folder, study)
    configure(folder, study)
    printed = stopped(folder, "--cores", "2")
    assert "Traceback" not in printed
    if culprit != "'missing'":
        # A patient, a file, or what may be one in the wrong column: named to the user alone.
        assert culprit not in printed
        assert "(which one is the last entry of private/errors.txt)" in printed
        printed = (folder / "private/errors.txt").read_text()
    assert culprit in printed


def test_files_that_cannot_be_read_are_refused_and_the_run_goes_on(tmp_path: Path) -> None:
    folder = tiny(tmp_path)
    place = folder / "images/dim/dim-77"
    place.mkdir()
    whole = (folder / "images/dim/dim-00/0.png").read_bytes()
    (place / "truncated.png").write_bytes(whole[: len(whole) // 2])
    (place / "text.png").write_text("not an image")
    (place / "empty.dcm").write_bytes(b"")
    scan = Path(str(get_testdata_file("CT_small.dcm"))).read_bytes()
    (place / "truncated.dcm").write_bytes(scan[:-2000])
    run(folder)
    with (folder / "private/blobs.rejected.csv").open() as file:
        refused = {Path(row["path"]).name: row["reason"] for row in csv.DictReader(file)}
    assert set(refused) == {"truncated.png", "text.png", "empty.dcm", "truncated.dcm"}
    assert all(refused.values())
    published = (folder / "results/index/blobs.rejected.csv").read_text()
    assert len(published.splitlines()) == 5
    assert "dim-77" not in published
    assert ",48," in (folder / TABLE).read_text()


def test_weights_that_are_not_finite_stop_the_run(tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    study = copy.deepcopy(STUDY)
    study["autoencoders"]["kl"] = {"family": "diffusers-kl", "folder": "mine"}
    folder = tiny(tmp_path, study)
    weights = shutil.copytree(folder / "resources/weights/kl", folder / "mine") / "diffusion_pytorch_model.safetensors"
    tensors = load_file(weights)
    name = next(name for name in sorted(tensors) if name.endswith("conv_in.weight"))
    tensors[name] = np.full_like(tensors[name], np.nan)
    save_file(tensors, weights)
    finished = call(folder, "--cores", "2", "--", TABLE)
    assert finished.returncode != 0
    assert "not finite" in finished.stdout
    assert not (folder / TABLE).exists()


def test_shipped_weights_with_another_byte_stop_the_run_with_both_hashes(tmp_path: Path) -> None:
    study = copy.deepcopy(STUDY)
    study["autoencoders"]["kl"] = {"family": "diffusers-kl", "folder": "resources/weights/kl"}
    folder = tiny(tmp_path, study)
    weights = folder / "resources/weights/kl/diffusion_pytorch_model.safetensors"
    before, content = sha256(weights), bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    finished = call(folder, "--cores", "2", "--", "results/latents/blobs/kl/0.json")
    assert finished.returncode != 0
    assert before in finished.stdout
    assert sha256(weights) in finished.stdout
    assert not (folder / "results/latents/blobs/kl/0.json").exists()


def test_a_header_that_asks_for_too_much_memory_is_refused(tmp_path: Path) -> None:
    folder = tiny(tmp_path)
    scan = pydicom.dcmread(str(get_testdata_file("CT_small.dcm")))
    scan.Rows = scan.Columns = 60000
    scan.NumberOfFrames = 100
    place = folder / "images/dim/dim-78"
    place.mkdir()
    scan.save_as(place / "bomb.dcm")
    run(folder, "results/index/blobs.parquet")
    assert "bomb.dcm" in (folder / "private/blobs.rejected.csv").read_text()
