"""What two studies have in common is made once, in a folder of the user's own, and never at the cost of being wrong."""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipeline import decode, encode, pool, sources, train
from pipeline.autoencoders.lossy import Spec as Lossy
from pipeline.errors import StudyError
from pipeline.heads.knn import Spec as Knn
from pipeline.program import run
from pipeline.store import Layout, lay_out, shard_path, to_grid, write_shard

ENTRY = {"family": "lossy", "stride": 4}
OUTPUTS = ("latents.zarr/c/0/0/0/0", "latents/0.safetensors", "latents/0.json")


@pytest.fixture(autouse=True)
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "pool"
    monkeypatch.setenv(pool.VARIABLE, str(folder))
    yield folder
    pool._waiting.clear()


def called(monkeypatch: pytest.MonkeyPatch, main: Callable[[], None], **options: object) -> None:
    """Call a stage as a job does."""
    words = [(f"--{name.replace('_', '-')}", value) for name, value in options.items()]
    given = [str(word) for name, value in words for word in (name, *(value if isinstance(value, list) else [value]))]
    monkeypatch.setattr(sys, "argv", ["stage", *given])
    run(main)


def images(folder: Path, seed: int = 0) -> None:
    """Write a study's images, one shard of twelve."""
    lay_out(folder / "images.zarr", Layout(12, (1, 16, 16), 1, "uint16", {"kind": "pixels", "range": [0, 1]}))
    pixels = to_grid(np.random.default_rng(seed).random((12, 1, 16, 16), np.float32))
    write_shard(folder / "images.zarr", 0, pixels, {}).write(folder / "images/0.json")


def encoded(folder: Path, monkeypatch: pytest.MonkeyPatch, entry: dict[str, Any] = ENTRY) -> dict[str, bytes]:
    """Encode a study's images; return what was written."""
    common = {"spec": json.dumps(entry), "images": folder / "images.zarr", "store": folder / "latents.zarr"}
    called(monkeypatch, encode.main, **common, shards=1)
    beside = {"image_manifest": folder / "images/0.json", "manifest": folder / "latents/0.json"}
    called(monkeypatch, encode.main, **common, shard=0, statistics=folder / "latents/0.safetensors", **beside)
    return {name: (folder / name).read_bytes() for name in OUTPUTS}


@pytest.fixture
def never(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Return what forbids that anything is encoded, decoded or trained from now on."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("this was made before")

    def forbid() -> None:
        monkeypatch.setattr(Lossy, "load_for", refuse)
        monkeypatch.setattr(Knn, "fit", refuse)

    return forbid


def test_latents_of_the_same_images_are_encoded_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, never: Callable[[], None], capsys: pytest.CaptureFixture[str]
) -> None:
    for name in "ab":
        images(tmp_path / name)
    first = encoded(tmp_path / "a", monkeypatch)
    assert capsys.readouterr().err == ""
    never()
    assert encoded(tmp_path / "b", monkeypatch) == first
    assert "made from the same before: copied from" in capsys.readouterr().err
    # Copies: what happens to one happens to no other.
    inodes = {(tmp_path / name / OUTPUTS[0]).stat().st_ino for name in "ab"}
    assert len(inodes) == 2


def test_without_a_pool_nothing_is_shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared: Path) -> None:
    monkeypatch.delenv(pool.VARIABLE)
    images(tmp_path / "a")
    encoded(tmp_path / "a", monkeypatch)
    assert not shared.exists()


def entries(shared: Path, stage: str = "encode") -> int:
    return len([path for path in (shared / stage).iterdir() if not path.name.startswith(".")])


def test_other_images_settings_code_or_machines_are_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared: Path
) -> None:
    images(tmp_path / "a")
    encoded(tmp_path / "a", monkeypatch)
    images(tmp_path / "b", seed=1)
    encoded(tmp_path / "b", monkeypatch)
    assert entries(shared) == 2
    images(tmp_path / "c")
    encoded(tmp_path / "c", monkeypatch, ENTRY | {"stride": 8})
    assert entries(shared) == 3
    monkeypatch.setattr(pool, "DRIVER", tmp_path)
    images(tmp_path / "d")
    encoded(tmp_path / "d", monkeypatch)
    assert entries(shared) == 4
    hashes = iter(str(number) for number in range(10_000))
    monkeypatch.setattr(sources, "meaning", lambda path: next(hashes))
    assert pool.identity("encode", {}, ["pipeline.encode"]) != pool.identity("encode", {}, ["pipeline.encode"])


@pytest.mark.parametrize("harm", ["flip", "shorten", "lose", "garble", "few"])
def test_a_damaged_entry_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared: Path, harm: str
) -> None:
    images(tmp_path / "a")
    first = encoded(tmp_path / "a", monkeypatch)
    (entry,) = (shared / "encode").iterdir()
    content = (entry / "0").read_bytes()
    if harm == "flip":
        (entry / "0").write_bytes(content[:9] + bytes([content[9] ^ 1]) + content[10:])
    elif harm == "shorten":
        (entry / "1").write_bytes((entry / "1").read_bytes()[:-1])
    elif harm == "lose":
        (entry / "2").unlink()
    else:
        (entry / pool.RECORD).write_text("{" if harm == "garble" else "[]")
    images(tmp_path / "b")
    assert encoded(tmp_path / "b", monkeypatch) == first
    images(tmp_path / "c")
    assert encoded(tmp_path / "c", monkeypatch) == first
    assert (entry / "0").read_bytes() == content
    assert len(list(entry.iterdir())) == 4


def test_reconstructions_are_decoded_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, never: Callable[[], None]
) -> None:
    written = []
    for name in "ab":
        folder = tmp_path / name
        images(folder)
        encoded(folder, monkeypatch)
        (folder / "decoded.zarr").mkdir()
        (folder / "decoded.zarr/zarr.json").write_bytes((folder / "images.zarr/zarr.json").read_bytes())
        options = {"latents": folder / "latents.zarr", "latent_manifest": folder / "latents/0.json"}
        options |= {"store": folder / "decoded.zarr", "shard": 0, "manifest": folder / "decoded/0.json"}
        called(monkeypatch, decode.main, spec=json.dumps(ENTRY), **options)
        never()
        written.append([shard_path(folder / "decoded.zarr", 0).read_bytes(), (folder / "decoded/0.json").read_bytes()])
    assert written[0] == written[1]


def test_heads_on_the_same_values_are_trained_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, never: Callable[[], None]
) -> None:
    names = [f"p{number}" for number in range(12)]
    index = pd.DataFrame({"id": names, "patient": names, "unit": names, "usable": True, "fold": np.arange(12) // 2 % 3})
    index["label:a"], index["label:b"] = (np.arange(12) % 2 == 0).astype(np.int8), (np.arange(12) % 2).astype(np.int8)
    written = []
    for name in "ab":
        folder = tmp_path / name
        images(folder)
        index.to_parquet(folder / "index.parquet")
        options: dict[str, object] = {"index": folder / "index.parquet", "store": folder / "images.zarr"}
        options |= {"manifests": [folder / "images/0.json"], "classes": '["a", "b"]', "task": "single-label"}
        files = {name: folder / f"head/{name}" for name in train.FILES}
        options |= {
            "image_size": 16,
            "seeds": [0],
            "heads": folder / "none",
            "made_from": folder / "head/made_from.json",
        }
        spec = json.dumps({"family": "knn", "grid": 4, "neighbours": [1]})
        called(monkeypatch, train.main, spec=spec, unfinished=folder / "unfinished", **options, **files)
        never()
        written.append([path.read_bytes() for path in (*files.values(), folder / "head/made_from.json")])
    assert written[0] == written[1]


def test_what_ends_with_an_error_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared: Path) -> None:
    images(tmp_path / "a")
    monkeypatch.setattr(Lossy, "load_for", lambda *_: (_ for _ in ()).throw(StudyError("no")))
    with pytest.raises(SystemExit):
        encoded(tmp_path / "a", monkeypatch)
    assert not shared.joinpath("encode").exists()


def test_a_full_disk_costs_the_entry_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    images(tmp_path / "a")
    monkeypatch.setattr(pool, "flush", full)
    encoded(tmp_path / "a", monkeypatch)
    assert "could not be written (No space left on device); this study has what it made" in capsys.readouterr().err
    assert list((shared / "encode").iterdir()) == []


def test_the_pool_is_its_owners_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared: Path) -> None:
    images(tmp_path / "a")
    encoded(tmp_path / "a", monkeypatch)
    assert shared.stat().st_mode & 0o777 == 0o700
    assert all(path.stat().st_mode & 0o077 == 0 for path in shared.rglob("*") if path.is_dir())
    shared.chmod(0o750)
    with pytest.raises(StudyError, match=f"others may look into {shared}.*; call: chmod 700 {shared}"):
        pool.folder()
    shared.chmod(0o700)
    monkeypatch.setattr(pool.os, "getuid", lambda: 12345)
    with pytest.raises(StudyError, match="another user's"):
        pool.folder()
    monkeypatch.setenv(pool.VARIABLE, "relative")
    with pytest.raises(StudyError, match="give an absolute path"):
        pool.folder()
