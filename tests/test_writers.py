"""Many processes fill one store at once, and no row is lost."""

import json
from pathlib import Path

import numpy as np
import pytest

from pipeline import ledger
from pipeline.autoencoders import batch_size
from pipeline.encode import Target, encode, lay_out_latents, read_spec
from pipeline.store import Manifest, Rows
from pipeline.verify import faults
from tests.chaos.writers import LOSSY, PLACE, ROWS, WRITERS, complete, images, manifests, prepared, race, writer


def test_eight_writers_of_one_store_lose_no_row(tmp_path: Path) -> None:
    latents = prepared(tmp_path)
    layout = (latents / "zarr.json").read_bytes()
    # One shard has two writers, as where a killed call's job goes on beside the next call's.
    for process in [writer(tmp_path, shard) for shard in (*range(WRITERS), 3)]:
        _, printed = process.communicate()
        assert process.returncode == 0, printed
    assert complete(tmp_path)
    assert [(Manifest.read(path).start, Manifest.read(path).stop) for path in manifests(tmp_path)] == [
        (ROWS * shard, ROWS * shard + ROWS) for shard in range(WRITERS)
    ]
    assert (latents / "zarr.json").read_bytes() == layout
    recorded = [path for path in ledger.ledgers(tmp_path) if "latents" in path.parts]
    assert len(recorded) == WRITERS


def test_one_of_eight_writers_that_is_killed_costs_its_own_shard_and_no_other(tmp_path: Path) -> None:
    what, good = race(tmp_path, np.random.default_rng(0))
    assert good, what


def test_a_lost_row_or_a_changed_one_would_be_seen(tmp_path: Path) -> None:
    prepared(tmp_path)
    for process in [writer(tmp_path, shard) for shard in range(WRITERS)]:
        assert process.wait() == 0
    shard = tmp_path / f"{PLACE}.zarr/c/5/0/0/0"
    content = shard.read_bytes()
    shard.write_bytes((tmp_path / f"{PLACE}.zarr/c/4/0/0/0").read_bytes())
    assert not complete(tmp_path)
    shard.write_bytes(content)
    assert complete(tmp_path)
    shard.unlink()
    assert not complete(tmp_path)


def test_eight_thousand_latents_take_at_most_twenty_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store, shards = images(tmp_path, 8192, 4, 8), 4
    folder, spec = Path("results/latents/it"), read_spec(LOSSY)
    lay_out_latents(store, spec, shards, folder / "lossy.zarr")
    ledger.close()
    for shard in range(shards):
        target = Target(folder / "lossy.zarr", shard, folder / f"lossy/{shard}.safetensors")
        encode(Rows(store), target, spec.load(1), batch_size((1, 8, 8)), {}).write(folder / f"lossy/{shard}.json")
        ledger.close()
    files = [path for path in folder.rglob("*") if path.is_file()]
    # And the statistics of its folds, with their ledger.
    assert len(files) + 2 <= 20
    assert json.loads((folder / "lossy.zarr/zarr.json").read_text())["shape"] == [8192, 1, 2, 2]
    assert faults(tmp_path) == []
