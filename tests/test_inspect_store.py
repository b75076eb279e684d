"""A store is described as it is, and a damaged one in one sentence."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.commands import main
from pipeline.commands.sheet import LABEL, TILE, latent_colours, pixel_colours
from pipeline.store import Layout, lay_out, shard_path, to_grid, write_shard

ROWS, SHARDS, CHANNELS = 20, 2, 3
LATENTS = np.random.default_rng(0).normal(1, 2, (ROWS, CHANNELS, 4, 4)).astype(np.float32)
PIXELS = np.random.default_rng(1).random((ROWS, 1, 8, 8), np.float32)


def latents(folder: Path, shards: tuple[int, ...] = (0, 1)) -> Path:
    """Write a latent store as stage encode does; return its path."""
    attributes = {"kind": "latents", "family": "diffusers-kl", "space": "raw", "image_shape": [1, 32, 32]}
    store = folder / "results/latents/chest/kl.zarr"
    lay_out(store, Layout(ROWS, (CHANNELS, 4, 4), SHARDS, "float32", attributes))
    for shard in shards:
        made_by = {"spec": {"family": "diffusers-kl", "tile": None}, "files": ["ab" * 32], "images": f"{shard}" * 64}
        part = LATENTS[10 * shard : 10 * shard + 10]
        write_shard(store, shard, part, made_by).write(folder / f"results/latents/chest/kl/{shard}.json")
    return store


def pixels(folder: Path, made_by: dict[str, object]) -> Path:
    """Write a store of pixels whose first sample is blank; return its path."""
    store = folder / "results/images/chest.zarr"
    lay_out(store, Layout(ROWS, (1, 8, 8), 1, "uint16", {"kind": "pixels", "range": [0, 1]}))
    values = PIXELS.copy()
    values[0] = 0
    write_shard(store, 0, to_grid(values), made_by).write(folder / "results/images/chest/0.json")
    return store


def printed(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    main(["inspect", *map(str, words)])
    return capsys.readouterr().out


def test_latents_are_described_with_their_statistics_and_weights(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = printed(capsys, latents(tmp_path))
    assert "latents (raw) of a diffusers-kl autoencoder, of 1 x 32 x 32 images" in told
    assert "samples: 20 of 3 x 4 x 4 (channels x height x width), stored as float32" in told
    assert "shards: 2 of 2 are there and as their manifests say, 10 samples each" in told
    exact = LATENTS.astype(np.float64)
    whole = f"values: mean {exact.mean():.4g}, deviation {exact.std():.4g}, from {exact.min():.4g} to {exact.max():.4g}"
    assert whole in told
    for channel in range(CHANNELS):
        part = exact[:, channel]
        assert f"channel {channel}: mean {part.mean():.4g}, deviation {part.std():.4g}" in told
    assert f"weights, SHA-256: {'ab' * 32}" in told
    assert 'spec: family "diffusers-kl"\n' in told
    assert "made from shards of images, SHA-256: 000000000000..., 111111111111..." in told


def test_images_and_reconstructions_are_told_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = printed(capsys, pixels(tmp_path / "a", {"pixels": {"size": 8}}))
    assert "images, pixels in [0, 1]" in told
    assert "1 samples are all zero" in told
    assert "pixels: size 8" in told
    assert "reconstructions, pixels in [0, 1]" in printed(capsys, pixels(tmp_path / "b", {"latents": "0" * 64}))


def test_an_unfinished_store_says_how_much_is_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = printed(capsys, latents(tmp_path, (1,)))
    assert "shards: 1 of 2 are there" in told
    assert f"values: mean {LATENTS[10:].mean(dtype=np.float64):.4g}," in told
    assert "shards: 0 of 2 are there" in printed(capsys, latents(tmp_path / "none", ()))


def test_a_sheet_shows_the_asked_rows_on_one_scale(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sheet = tmp_path / "sheet.png"
    told = printed(capsys, pixels(tmp_path, {"pixels": {}}), "--sheet", sheet, "--rows", 0, 3, 7)
    assert "shows 3 samples" in told
    drawn = np.asarray(Image.open(sheet))
    # Two by two tiles of 8 pixels, each shown 12 times as large.
    assert drawn.shape == (2 * (TILE + LABEL), 2 * (TILE + 2), 3)
    assert (drawn[:TILE, :TILE] == 0).all()
    second = drawn[:TILE:12, TILE + 2 : 2 * TILE + 2 : 12, 0]
    np.testing.assert_array_equal(second, np.rint(PIXELS[3, 0] * 255))


def test_a_sheet_of_latents_takes_samples_evenly(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sheet = tmp_path / "sheet.png"
    printed(capsys, latents(tmp_path), "--sheet", sheet, "--samples", 4)
    assert Image.open(sheet).size == (2 * (TILE + 2), 2 * (TILE + LABEL))


def test_latents_are_coloured_by_their_principal_components() -> None:
    random = np.random.default_rng(2)
    strong = random.normal(size=(6, 1, 5, 5)) * 10
    values = np.concatenate([strong, -strong, random.normal(size=(6, 3, 5, 5)) * 0.1], axis=1).astype(np.float32)
    red = latent_colours(values)[..., 0].astype(float).ravel()
    assert abs(np.corrcoef(red, strong.ravel())[0, 1]) > 0.98
    single = latent_colours(values[:, :1])
    np.testing.assert_array_equal(single[..., 0], single[..., 2])
    # A constant space is one colour, and no division by zero.
    assert len(np.unique(latent_colours(np.ones((2, 4, 3, 3), np.float32)))) == 1
    assert pixel_colours(np.ones((1, 3, 2, 2), np.float32)).shape == (1, 2, 2, 3)


def flip(store: Path) -> None:
    shard = shard_path(store, 1)
    content = bytearray(shard.read_bytes())
    content[5] ^= 1
    shard.write_bytes(content)


def lose_manifest(store: Path) -> None:
    (store.with_suffix("") / "1.json").unlink()


def garble_metadata(store: Path) -> None:
    (store / "zarr.json").write_text("{")


def forget_metadata(store: Path) -> None:
    (store / "zarr.json").unlink()


def empty_manifest(store: Path) -> None:
    (store.with_suffix("") / "1.json").write_text(json.dumps({"lost": True}))


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (flip, "c/1/0/0/0 is not what .*kl/1.json describes; delete it"),
        (lose_manifest, "c/1/0/0/0 has no manifest .*kl/1.json; delete it"),
        (garble_metadata, "the metadata of .*kl.zarr is damaged .*; delete .*zarr.json"),
        (forget_metadata, "kl.zarr is no store: it has no zarr.json"),
        (empty_manifest, "kl/1.json describes no shard; the next call makes it again"),
    ],
)
def test_a_damaged_store_is_one_sentence(tmp_path: Path, harm: Callable[[Path], None], message: str) -> None:
    store = latents(tmp_path)
    harm(store)
    with pytest.raises(SystemExit, match=f"^error: .*{message}") as ended:
        main(["inspect", str(store)])
    assert str(ended.value).count("\n") == 0


def test_a_row_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="has the rows 0 to 19, and no row 20"):
        main(["inspect", str(latents(tmp_path)), "--sheet", str(tmp_path / "sheet.png"), "--rows", "20"])
    with pytest.raises(SystemExit, match="nothing to draw"):
        main(["inspect", str(latents(tmp_path / "none", ())), "--sheet", str(tmp_path / "sheet.png")])


def test_a_traceback_comes_only_when_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEARNABILITY_TRACEBACK", "")
    with pytest.raises(SystemExit, match=r"^error: "):
        main(["inspect", str(tmp_path)])
    with pytest.raises(SystemExit, match=r'(?s)^  File ".*in perform.*\nerror: ') as ended:
        main(["--traceback", "inspect", str(tmp_path)])
    assert "is no store" in str(ended.value)
