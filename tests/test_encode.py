"""Pixels to latents: in order, whatever the batch, with what lies beside them."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file

from pipeline.autoencoders import Autoencoder, Coded, Latents
from pipeline.encode import Target, encode, lay_out_latents, read_spec
from pipeline.errors import StudyError
from pipeline.files import sha256
from pipeline.store import Layout, Rows, check, lay_out, shard_path, to_grid, write_shard

ROOT = Path(__file__).parent.parent
LOSSY = '{"family": "lossy", "stride": 4}'


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Ten random images in two shards, with their manifests."""
    store, random = tmp_path / "images.zarr", np.random.default_rng(0)
    lay_out(store, Layout(10, (1, 16, 16), 2, "uint16", {"kind": "pixels"}))
    for shard in range(2):
        pixels = to_grid(random.random((5, 1, 16, 16), dtype=np.float32))
        write_shard(store, shard, pixels, {}).write(tmp_path / f"images/{shard}.json")
    return store


class Recorder:
    """An encoder that keeps the first pixel of each channel."""

    def __init__(self, variational: bool) -> None:
        self.variational, self.batches = variational, list[int]()

    def encode(self, images: NDArray[np.float32]) -> Latents:
        self.batches.append(len(images))
        mean = images[:, :, :1, :1]
        return Latents(mean, -mean if self.variational else None)

    def decode(self, latents: NDArray[np.float32]) -> NDArray[np.float32]:
        return latents


def encoded(images: Path, folder: Path, autoencoder: Autoencoder, batch: int) -> tuple[NDArray[np.float32], Any]:
    """Encode the second half of the images; return the latents and what lies beside them."""
    store = folder / "latents.zarr"
    shape = autoencoder.encode(Rows(images).read(0, 1)).mean.shape[1:]
    lay_out(store, Layout(10, shape, 2, "float32", {}))
    manifest = encode(Rows(images), Target(store, 1, folder / "1.safetensors"), autoencoder, batch, {})
    assert manifest.made_by == {"float32_retries": 0}
    return Rows(store).read(5, 10), load_file(folder / "1.safetensors")


@pytest.mark.parametrize("batch", [1, 3, 5, 100])
@pytest.mark.parametrize("variational", [True, False])
def test_rows_keep_their_order_whatever_the_batch(images: Path, tmp_path: Path, batch: int, variational: bool) -> None:
    encoder = Recorder(variational)
    latents, beside = encoded(images, tmp_path, encoder, batch)
    np.testing.assert_array_equal(latents, Rows(images).read(5, 10)[:, :, :1, :1])
    assert sum(encoder.batches[1:]) == 5
    assert max(encoder.batches) <= batch
    assert ("log_variance" in beside) == variational
    if variational:
        np.testing.assert_array_equal(beside["log_variance"], -latents)


def test_statistics_give_the_channel_statistics_of_any_choice_of_rows(images: Path, tmp_path: Path) -> None:
    latents, beside = encoded(
        images, tmp_path, read_spec('{"family": "orthogonal", "stride": 4, "seed": 0}').load(1), 2
    )
    assert set(beside) == {"mean", "square"}
    chosen = [0, 1, 4]
    first, second = (beside[name][chosen].mean(axis=0) for name in ("mean", "square"))
    exact = latents[chosen].astype(np.float64)
    np.testing.assert_allclose(first, exact.mean(axis=(0, 2, 3)), rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(np.sqrt(second - first**2), exact.std(axis=(0, 2, 3)), rtol=1e-6)


def test_a_codecs_files_are_counted(images: Path, tmp_path: Path) -> None:
    codec = read_spec('{"family": "jpeg", "quality": 70}').load(1)
    assert isinstance(codec, Coded)
    _, beside = encoded(images, tmp_path, codec, 2)
    np.testing.assert_array_equal(beside["file_bytes"], codec.file_bytes(Rows(images).read(5, 10)))


def test_a_log_variance_that_is_not_finite_is_refused_and_leaves_nothing(images: Path, tmp_path: Path) -> None:
    class Broken(Recorder):
        def encode(self, images: NDArray[np.float32]) -> Latents:
            mean = images[:, :, :1, :1]
            return Latents(mean, np.full_like(mean, np.nan))

    with pytest.raises(StudyError, match="log-variance is not finite"):
        encoded(images, tmp_path, Broken(True), 2)
    assert not (tmp_path / "1.safetensors").exists()
    assert not shard_path(tmp_path / "latents.zarr", 1).exists()


def test_the_layout_says_what_the_store_holds(images: Path, tmp_path: Path) -> None:
    lay_out_latents(images, read_spec(LOSSY), 2, tmp_path / "latents.zarr")
    rows = Rows(tmp_path / "latents.zarr")
    assert (len(rows), rows.shape) == (10, (1, 4, 4))
    assert rows.attributes == {"kind": "latents", "family": "lossy", "space": "raw", "image_shape": [1, 16, 16]}
    with pytest.raises(StudyError):
        lay_out_latents(images, read_spec('{"family": "lossy", "stride": 5}'), 2, tmp_path / "other.zarr")


def call(images: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pipeline.encode", "--spec", LOSSY, "--images", str(images)]
    command += ["--store", str(folder / "latents.zarr"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_program_writes_a_shard_its_manifest_and_its_statistics(images: Path, tmp_path: Path) -> None:
    assert call(images, tmp_path, "--shards", "2").returncode == 0
    shard = ["--shard", "1", "--image-manifest", str(tmp_path / "images/1.json")]
    shard += ["--manifest", str(tmp_path / "latents/1.json"), "--statistics", str(tmp_path / "latents/1.safetensors")]
    done = call(images, tmp_path, *shard)
    assert done.returncode == 0, done.stderr
    check(tmp_path / "latents.zarr", [tmp_path / "latents/1.json"])
    made_by = json.loads((tmp_path / "latents/1.json").read_text())["made_by"]
    assert made_by["images"] == sha256(shard_path(images, 1))
    assert made_by["spec"] == json.loads(read_spec(LOSSY).model_dump_json())
    expected = Rows(images).read(5, 10).reshape(5, 1, 4, 4, 4, 4).mean(axis=(3, 5))
    np.testing.assert_allclose(Rows(tmp_path / "latents.zarr").read(5, 10), expected, atol=1e-6)
    np.testing.assert_allclose(
        load_file(tmp_path / "latents/1.safetensors")["mean"], expected.mean(axis=(2, 3)), atol=1e-6
    )
    content = bytearray(shard_path(images, 1).read_bytes())
    content[7] ^= 1
    shard_path(images, 1).write_bytes(content)
    refused = call(images, tmp_path, *shard)
    assert refused.returncode == 1
    assert "is not what" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_an_entry_of_another_kind_is_refused() -> None:
    with pytest.raises(StudyError, match="there is no family 'knn' of autoencoders"):
        read_spec('{"family": "knn"}')


def test_a_changed_byte_in_a_weight_file_is_refused_with_both_hashes(images: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(ROOT / "resources/weights/tiny", tmp_path / "tiny")
    weights = folder / "diffusion_pytorch_model.safetensors"
    before = sha256(weights)
    listed = {path.name: sha256(path) for path in (weights, folder / "config.json")}
    (folder / "SHA256SUMS").write_text("".join(f"{value}  {name}\n" for name, value in listed.items()))
    spec = json.dumps({"family": "diffusers-tiny", "folder": str(folder)})
    shard = ["--shard", "0", "--image-manifest", str(tmp_path / "images/0.json")]
    shard += ["--manifest", str(tmp_path / "latents/0.json"), "--statistics", str(tmp_path / "latents/0.safetensors")]
    assert call(images, tmp_path, "--spec", spec, "--shards", "2").returncode == 0
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    refused = call(images, tmp_path, "--spec", spec, *shard)
    assert refused.returncode == 1
    assert before in refused.stderr
    assert sha256(weights) in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not (tmp_path / "latents").exists()
