"""Fidelity of one shard: read in batches, measured row by row, features beside it where a network is configured."""

import copy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file
from safetensors.torch import save_file

from pipeline.fidelity import Features
from pipeline.measure import measured
from pipeline.networks import embedding, lpips
from pipeline.networks.backbones import create_model
from pipeline.plan import Plan
from pipeline.quality import measure
from pipeline.store import Layout, Rows, lay_out, shard_path, to_grid, write_shard
from pipeline.study import Study
from tests import studies

SIZE = 40


@pytest.fixture
def stores(tmp_path: Path) -> Path:
    """Seven random images in two shards and their reconstructions, with manifests; the folder that holds them."""
    random = np.random.default_rng(0)
    for name, noise in {"images": 0.0, "reconstructions": 0.1}.items():
        lay_out(tmp_path / f"{name}.zarr", Layout(7, (3, SIZE, SIZE), 2, "uint16", {"kind": "pixels"}))
        for shard, count in enumerate((4, 3)):
            pixels = np.random.default_rng(shard).random((count, 3, SIZE, SIZE), dtype=np.float32)
            pixels += noise * random.normal(size=pixels.shape).astype(np.float32)
            write_shard(tmp_path / f"{name}.zarr", shard, to_grid(pixels), {}).write(tmp_path / name / f"{shard}.json")
    return tmp_path


@pytest.fixture(scope="module")
def perceptual(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights of LPIPS."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("lpips") / "random.safetensors"
    save_file({name: 0.05 * torch.rand(shape) for name, shape in lpips.shapes().items()}, path)
    return path


def rows(folder: Path) -> tuple[Rows, Rows]:
    return Rows(folder / "images.zarr"), Rows(folder / "reconstructions.zarr")


def command(stores: Path, shard: int, *others: str) -> list[str]:
    names: dict[str, object] = {"images": stores / "images.zarr", "image-manifest": stores / f"images/{shard}.json"}
    names |= {"reconstructions": stores / "reconstructions.zarr", "shard": shard}
    names |= {"reconstruction-manifest": stores / f"reconstructions/{shard}.json", "fidelity": stores / "out.parquet"}
    words = [word for name, value in names.items() for word in (f"--{name}", str(value))]
    return [sys.executable, "-m", "pipeline.measure", *words, *others]


@pytest.mark.parametrize("batch", [1, 2, 3, 100])
def test_rows_are_measured_one_by_one_whatever_the_batch(stores: Path, perceptual: Path, batch: int) -> None:
    images, reconstructions = rows(stores)
    distance = lpips.distance(perceptual)
    table = measured(images, reconstructions, 1, 7, batch, distance)
    assert list(table) == ["row", "mse", "ssim", "ms_ssim", "ms_ssim_scales", "lpips"]
    assert list(table["row"]) == [1, 2, 3, 4, 5, 6]
    originals, others = (store.read(1, 7) for store in (images, reconstructions))
    pd.testing.assert_frame_equal(table.drop(columns=["row", "lpips"]), measure(originals, others))
    np.testing.assert_allclose(table["lpips"], distance(originals, others), rtol=1e-5)


def test_no_more_than_a_chunk_or_a_batch_is_read_at_once(stores: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Samples of this size would otherwise all be read at once.
    monkeypatch.setattr("pipeline.store.READ_BYTES", 1)

    class Watched(Rows):
        most = 0

        def read(self, start: int, stop: int) -> NDArray[np.float32]:
            self.most = max(self.most, stop - start)
            return super().read(start, stop)

    images, reconstructions = (Watched(stores / f"{name}.zarr") for name in ("images", "reconstructions"))
    assert len(measured(images, reconstructions, 0, 7, 2)) == 7
    assert (images.most, reconstructions.most) == (4, 4)


def test_the_program_measures_a_shard_and_refuses_one_that_is_damaged(stores: Path, perceptual: Path) -> None:
    subprocess.run(command(stores, 1, "--lpips", str(perceptual)), check=True)
    expected = measured(*rows(stores), 4, 7, 32, lpips.distance(perceptual))
    pd.testing.assert_frame_equal(pd.read_parquet(stores / "out.parquet"), expected, check_exact=False)
    for name in ("images", "reconstructions"):
        shard = shard_path(stores / f"{name}.zarr", 1)
        kept = shard.read_bytes()
        shard.write_bytes(kept[:-1] + bytes([kept[-1] ^ 1]))
        refused = subprocess.run(command(stores, 1), capture_output=True, text=True, check=False)
        assert refused.returncode == 1
        assert f"{name}.zarr" in refused.stderr
        assert "is not what" in refused.stderr
        shard.write_bytes(kept)


def test_without_weights_neither_torch_nor_scikit_image_is_loaded(stores: Path) -> None:
    program = (
        "import sys, pipeline.measure as stage\nstage.main()\n"
        "print(*sorted({'torch', 'skimage', 'scipy', 'timm'} & set(sys.modules)))"
    )
    words = [sys.executable, "-c", program, *command(stores, 0, "--lpips")[3:]]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
    assert "lpips" not in pd.read_parquet(stores / "out.parquet")


def test_features_of_a_shard_are_kept_with_their_rows(stores: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    weights = tmp_path / "model.safetensors"
    save_file(create_model("test_efficientnet", pretrained=False).state_dict(), weights)
    spec = Features(model="test_efficientnet", weights=str(weights)).written()
    names: dict[str, object] = {"spec": spec, "reconstructions": stores / "reconstructions.zarr", "shard": 1}
    names |= {"manifest": stores / "reconstructions/1.json", "features": tmp_path / "features.safetensors", "batch": 2}
    words = [word for name, value in names.items() for word in (f"--{name}", str(value))]
    subprocess.run([sys.executable, "-m", "pipeline.embed", *words], check=True)
    held = load_file(tmp_path / "features.safetensors")
    assert list(held["row"]) == [4, 5, 6]
    expected = embedding.read("test_efficientnet", weights)(rows(stores)[1].read(4, 7))
    np.testing.assert_allclose(held["features"], expected, atol=1e-5)


def planned(monkeypatch: pytest.MonkeyPatch, fidelity: dict[str, object]) -> dict[str, dict[str, list[str]]]:
    """What stage `measure` makes for an autoencoder and for one without a decoder, of one data set in two shards."""
    config = {
        "fidelity": fidelity,
        "datasets": {"d": {"family": "folders", "root": "images", "pixels": {"size": 32}, "shards": 2}},
        "autoencoders": {"pixels": {"family": "identity"}, "blind": {"family": "lossy", "stride": 8}},
        "heads": {"near": {"family": "knn"}},
    }
    study = Study(config)
    monkeypatch.setattr(type(study.autoencoders["blind"]), "decodes", False)
    plan = Plan(study)
    return {name: plan.measured("d", plan.member("d", name)) for name in study.autoencoders}


def test_features_are_taken_where_they_are_configured_and_nothing_where_nothing_is_decoded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tables = [f"results/fidelity/d/pixels/{shard}.parquet" for shard in range(2)]
    features = [f"results/fidelity/d/pixels/{shard}.features.safetensors" for shard in range(2)]
    nothing: dict[str, list[str]] = {"fidelity": [], "features": []}
    plain = {"pixels": {"fidelity": tables, "features": []}, "blind": nothing}
    assert planned(monkeypatch, {}) == planned(monkeypatch, {"lpips": "w"}) == plain
    both = {"pixels": {"fidelity": tables, "features": features}, "blind": nothing}
    assert planned(monkeypatch, {"features": {"model": "m", "weights": "w"}}) == both


def test_a_study_with_networks_that_measure_has_their_columns(tmp_path: Path, perceptual: Path) -> None:
    torch.manual_seed(0)
    study = copy.deepcopy(studies.STUDY)
    study["datasets"]["blobs"] |= {"classes": [], "pixels": {"size": 32}, "shards": 1}
    features = {"model": "test_efficientnet", "weights": "features.safetensors"}
    folder = studies.tiny(tmp_path, study | {"fidelity": {"lpips": str(perceptual), "features": features}})
    save_file(create_model("test_efficientnet", pretrained=False).state_dict(), folder / "features.safetensors")
    studies.run(folder, "results/gap_table.csv")
    table = pd.read_csv(folder / "results/gap_table.csv").set_index("autoencoder")
    assert (table["rfid_samples"] == 48).all()
    assert (table["ms_ssim_scales"] == 2).all()
    assert (table.loc["identity", ["lpips", "rfid"]] == 0).all()
    assert (table.loc["lossy", ["lpips", "rfid"]] > 0).all()
    measures = pd.read_csv(folder / "results/fidelity.csv")
    assert list(measures["samples"]) == [48, 48]
    assert measures["lpips"].notna().all()
