"""What the first process of a call does: checks and lists files, and finds lost shards."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline import inventory, launch, lock
from pipeline.errors import StudyError
from pipeline.store import Layout, check, lay_out, shard_path, write_shard
from pipeline.study import Study

CONFIG: dict[str, Any] = {
    "datasets": {"mine": {"family": "folders", "root": "images", "pixels": {"size": 16}}},
    "autoencoders": {"identity": {"family": "identity"}},
    "heads": {"near": {"family": "knn"}},
}


@pytest.fixture(autouse=True)
def working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Work in a folder of our own, and let go of the kernel's lock at the end."""
    monkeypatch.chdir(tmp_path)
    yield
    if descriptor := lock._held.pop(Path(".snakemake").resolve(), None):
        os.close(descriptor)


def stored(kind: str = "latents/mine", names: tuple[str, ...] = ("identity",)) -> dict[int, tuple[Path, Path]]:
    """Write a store of three shards below results; return each shard and manifest."""
    made = {}
    for name in names:
        store = Path(f"results/{kind}/{name}.zarr")
        lay_out(store, Layout(6, (1, 4, 4), 3, "float32", {}))
        for shard in range(3):
            manifest = Path(f"results/{kind}/{name}/{shard}.json")
            values = np.random.default_rng(shard).random((2, 1, 4, 4), np.float32)
            write_shard(store, shard, values, {}).write(manifest)
            made[shard] = shard_path(store, shard), manifest
    return made


def lost() -> list[tuple[Path, Path]]:
    return list(launch.lost_shards(Path("results")))


def later(path: Path) -> None:
    """Give a file a time of change far later than any manifest's."""
    os.utime(path, ns=(2**61, 2**61))


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    later(path)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])
    os.utime(path, ns=(0, 0))


@pytest.mark.parametrize("kind", ["latents/mine", "reconstructions/mine", "images"])
@pytest.mark.parametrize("harm", [Path.unlink, truncate, flip])
def test_a_lost_or_changed_shard_is_found(kind: str, harm: Callable[[Path], object]) -> None:
    made = stored(kind)
    assert lost() == []
    harm(made[1][0])
    assert lost() == [made[1]]


def test_a_touched_shard_is_not_lost() -> None:
    made = stored()
    for shard, _ in made.values():
        later(shard)
    assert lost() == []


def test_only_shards_that_changed_later_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    made, read = stored(), list[Path]()
    monkeypatch.setattr(launch, "sha256", lambda path: read.append(path) or "")
    lost()
    assert read == []
    later(made[2][0])
    assert lost() == [made[2]]
    assert read == [made[2][0]]


@pytest.mark.parametrize("content", ["", "{", "[1]", '{"start": 0}'])
def test_a_damaged_manifest_loses_its_shard_and_not_the_call(content: str) -> None:
    made = stored()
    made[0][1].write_text(content)
    assert lost() == [made[0]]


def test_other_files_in_results_are_left_alone() -> None:
    stored()
    for name in ("results/latents/notes.json", "results/latents/mine/identity/x1.json", "results/scores/0.json"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text("no manifest")
    assert lost() == []


def test_a_marked_shard_is_gone_marked_once_and_whole_when_made_again(capsys: pytest.CaptureFixture[str]) -> None:
    made = stored()
    shard, manifest = made[1]
    content, before = shard.read_bytes(), manifest.read_bytes()
    flip(shard)
    launch.mark_lost(shard, manifest)
    assert not shard.exists()
    assert json.loads(manifest.read_text()) == {"lost": True}
    assert "it will be made again" in capsys.readouterr().err
    assert lost() == []
    with pytest.raises(StudyError, match="is not what"):
        check(Path("results/latents/mine/identity.zarr"), [manifest])
    again = stored()
    assert again[1][0].read_bytes() == content
    assert manifest.read_bytes() == before
    assert lost() == []


def test_an_inventory_lists_every_file_and_is_left_alone_while_nothing_changes(tmp_path: Path) -> None:
    for name in ("b/1.png", "a/p/2.png", "c.txt", ".hidden/3.png", "b/.x"):
        Path("images", name).parent.mkdir(parents=True, exist_ok=True)
        Path("images", name).write_text("x" * len(name))
    list_file = tmp_path / "private/mine.inventory.csv"
    inventory.refresh(Path("images"), list_file)
    assert list(inventory.read(list_file)) == ["a/p/2.png", "b/1.png", "c.txt"]
    assert inventory.read(list_file)["a/p/2.png"].size == 9
    assert list_file.read_text().splitlines()[1].startswith("a/p/2.png,9,")
    later(list_file)
    stamp = list_file.stat()
    inventory.refresh(Path("images"), list_file)
    assert (list_file.stat().st_mtime_ns, list_file.stat().st_ino) == (stamp.st_mtime_ns, stamp.st_ino)
    Path("images/c.txt").touch()
    inventory.refresh(Path("images"), list_file)
    assert list_file.stat().st_ino != stamp.st_ino


@pytest.mark.parametrize("name", ["a,b.png", 'a"b.png', "a\nb.png", "a\rb.png"])
def test_a_name_that_no_table_holds_is_named(name: str) -> None:
    Path("images").mkdir()
    Path("images", name).touch()
    with pytest.raises(StudyError, match="rename it") as caught:
        inventory.scan(Path("images"))
    assert name not in caught.value.message
    assert caught.value.detail == repr(name)


def test_names_that_are_no_text_links_in_circles_and_links_to_nothing() -> None:
    Path("images/sub").mkdir(parents=True)
    Path("images/gone.png").symlink_to("nowhere")
    assert inventory.scan(Path("images")).splitlines()[1].startswith("gone.png,")
    Path("images/sub/up").symlink_to("..")
    with pytest.raises(StudyError, match="a folder is a link to one above it"):
        inventory.scan(Path("images"))
    Path("images/sub/up").unlink()
    Path(os.fsdecode(b"images/\xff.png")).touch()
    with pytest.raises(StudyError, match="is not UTF-8; rename it"):
        inventory.scan(Path("images"))


def test_a_call_lists_files_and_marks_lost_shards() -> None:
    made = stored()
    made[2][0].unlink()
    Path("images").mkdir()
    Path("images/1.png").touch()
    launch.prepare(Study(CONFIG))
    assert list(inventory.read(Path("private/mine.inventory.csv"))) == ["1.png"]
    assert json.loads(Path("private/mine.spec.json").read_text())["root"] == "images"
    assert json.loads(made[2][1].read_text()) == {"lost": True}


def test_a_missing_folder_is_named_with_its_entry() -> None:
    with pytest.raises(StudyError, match="datasets: mine: the folder images is missing"):
        launch.prepare(Study(CONFIG))


def test_a_missing_weight_file_of_a_measure_is_named_with_its_key() -> None:
    config = CONFIG | {"fidelity": {"features": {"model": "test_efficientnet", "weights": "f.safetensors"}}}
    with pytest.raises(StudyError, match=r"fidelity: features: the file f\.safetensors is missing"):
        launch.prepare(Study(config))


def test_a_missing_weight_file_is_named_with_its_entry() -> None:
    config = {**CONFIG, "autoencoders": {**CONFIG["autoencoders"], "t": {"family": "tae", "weights": "w.safetensors"}}}
    with pytest.raises(StudyError, match=r"autoencoders: t: the file w\.safetensors is missing"):
        launch.prepare(Study(config))
