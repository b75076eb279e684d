"""What the first process of a call does: checks and lists files."""

import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline import inventory, launch, lock
from pipeline.errors import StudyError
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


def later(path: Path) -> None:
    """Give a file a time of change far later than any manifest's."""
    os.utime(path, ns=(2**61, 2**61))


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


def test_a_call_lists_files() -> None:
    Path("images").mkdir()
    Path("images/1.png").touch()
    assert launch.prepare(Study(CONFIG))
    assert list(inventory.read(Path("private/mine.inventory.csv"))) == ["1.png"]
    assert json.loads(Path("private/mine.spec.json").read_text())["root"] == "images"
    assert stat.S_IMODE(Path("private").stat().st_mode) == 0o700, "others cannot look which file a sample is"


def test_a_lost_secret_stops_the_call_before_another_is_drawn() -> None:
    Path("images").mkdir()
    Path("results/inspected").mkdir(parents=True)
    Path("results/inspected/mine.made_from.json").write_text("{}")
    with pytest.raises(
        StudyError, match=r"datasets: mine: private/salt is missing, and results/inspected depends on it"
    ):
        launch.prepare(Study(CONFIG))


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


def test_what_every_call_and_every_batch_job_loads_leaves_large_libraries_alone() -> None:
    program = (
        "import sys, yaml\nfrom pipeline import launch, repair\nfrom pipeline.plan import Plan\n"
        "from pipeline.study import Study\nPlan(Study(yaml.safe_load(open(sys.argv[1]))))\n"
        "print({'dask', 'diffusers', 'scipy', 'sklearn', 'timm', 'torch', 'zarr'} & {*sys.modules})"
    )
    config = Path(__file__).parent.parent / "config/full.yaml"
    done = subprocess.run([sys.executable, "-c", program, str(config)], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "set()"
