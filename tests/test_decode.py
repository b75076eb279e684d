"""Latents back to pixels, and the figures that say how faithful they are."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.autoencoders import Autoencoder, Latents
from pipeline.decode import check_weights, decode
from pipeline.encode import Target, encode, lay_out_latents, read_spec
from pipeline.errors import StudyError
from pipeline.files import sha256
from pipeline.store import GRID, Layout, Rows, check, from_grid, lay_out, shard_path, to_grid, write_shard


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Six random images in two shards, with their manifests."""
    store, random = tmp_path / "images.zarr", np.random.default_rng(0)
    lay_out(store, Layout(6, (1, 16, 16), 2, "uint16", {"kind": "pixels", "range": [0, 1]}))
    for shard in range(2):
        pixels = to_grid(random.random((3, 1, 16, 16), dtype=np.float32))
        write_shard(store, shard, pixels, {}).write(tmp_path / f"images/{shard}.json")
    return store


def latents(images: Path, spec: str) -> Path:
    """Encode the images next to their store."""
    autoencoder, folder = read_spec(spec), images.with_name("latents.zarr")
    lay_out_latents(images, autoencoder, 2, folder)
    for shard in range(2):
        beside = images.with_name("latents")
        target = Target(folder, shard, beside / f"{shard}.safetensors")
        encode(Rows(images), target, autoencoder.load(1), 2, {"files": []}).write(beside / f"{shard}.json")
    return folder


def decoded(images: Path, codes: Rows, autoencoder: Autoencoder, batch: int = 2) -> Rows:
    """Decode the second shard next to the images."""
    store = images.with_name("reconstructions.zarr")
    store.mkdir(exist_ok=True)
    shutil.copy(images / "zarr.json", store)
    assert decode(codes, store, 1, autoencoder, batch, {"a": 1}).made_by == {"a": 1, "float32_retries": 0}
    return Rows(store)


@pytest.mark.parametrize(
    "spec",
    [
        '{"family": "identity"}',
        '{"family": "pixel-unshuffle", "stride": 4}',
        '{"family": "orthogonal", "stride": 4, "seed": 1}',
    ],
)
@pytest.mark.parametrize("batch", [1, 2, 100])
def test_lossless_controls_come_back_on_the_grid_exactly(images: Path, spec: str, batch: int) -> None:
    store = decoded(images, Rows(latents(images, spec)), read_spec(spec).load(1), batch)
    assert store.dtype == np.uint16
    np.testing.assert_array_equal(store.read(3, 6), Rows(images).read(3, 6))


class Wild:
    """A decoder that leaves [0, 1]."""

    def __init__(self, value: float) -> None:
        self.value = value

    def encode(self, images: NDArray[np.float32]) -> Latents:
        return Latents(images)

    def decode(self, latents: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.full_like(latents, self.value)


def test_pixels_are_clipped_and_must_be_finite(images: Path) -> None:
    rows = Rows(images)
    for value, expected in ((7.0, 1.0), (-7.0, 0.0)):
        np.testing.assert_array_equal(decoded(images, rows, Wild(value)).read(3, 6), expected)
    with pytest.raises(StudyError, match="not finite"):
        decoded(images, rows, Wild(np.nan))


def test_weights_that_are_not_those_of_the_latents_are_refused_with_both_hashes(tmp_path: Path) -> None:
    weights = tmp_path / "weights"
    weights.write_bytes(b"1")
    before = sha256(weights)
    check_weights([str(weights)], [before], tmp_path / "0.json")
    weights.write_bytes(b"2")
    with pytest.raises(StudyError, match=f"{sha256(weights)}, and the latents of .* were encoded with {before}"):
        check_weights([str(weights)], [before], tmp_path / "0.json")


def test_the_program_writes_a_shard_and_its_manifest(images: Path, tmp_path: Path) -> None:
    spec = '{"family": "lossy", "stride": 4}'
    latent, store = latents(images, spec), tmp_path / "reconstructions.zarr"
    store.mkdir()
    shutil.copy(images / "zarr.json", store)
    names = {"spec": spec, "latents": latent, "latent-manifest": tmp_path / "latents/1.json"}
    names |= {"store": store, "shard": 1, "manifest": tmp_path / "reconstructions/1.json"}
    command = [sys.executable, "-m", "pipeline.decode"]
    command += [word for name, value in names.items() for word in (f"--{name}", str(value))]
    subprocess.run(command, check=True)
    check(store, [tmp_path / "reconstructions/1.json"])
    original = Rows(images).read(3, 6)
    reconstruction = Rows(store).read(3, 6)
    flat = original.reshape(3, 1, 4, 4, 4, 4).mean(axis=(3, 5)).repeat(4, axis=2).repeat(4, axis=3)
    np.testing.assert_allclose(reconstruction, flat, atol=1 / GRID)
    made_by = json.loads((tmp_path / "reconstructions/1.json").read_text())["made_by"]
    assert made_by["latents"] == sha256(shard_path(latent, 1))
    shard_path(latent, 1).unlink()
    refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert "is not what" in refused.stderr


def test_the_grid_is_read_as_it_was_written(images: Path) -> None:
    np.testing.assert_array_equal(from_grid(to_grid(Rows(images).read(0, 6))), Rows(images).read(0, 6))
