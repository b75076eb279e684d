"""Many processes fill one store at once, and no row is lost."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pipeline import ledger
from pipeline.autoencoders import batch_size
from pipeline.encode import Target, encode, lay_out_latents, read_spec
from pipeline.store import Layout, Manifest, Rows, check, lay_out, to_grid, write_shard
from pipeline.verify import faults
from tests.studies import ROOT, environment

LOSSY = '{"family": "lossy", "stride": 4}'
WRITERS = 8


def images(folder: Path, rows: int, shards: int, side: int) -> Path:
    """Write a store of random images, with manifests."""
    store, random = folder / "results/images/it.zarr", np.random.default_rng(0)
    lay_out(store, Layout(rows, (1, side, side), shards, "uint16", {}))
    for shard in range(shards):
        pixels = to_grid(random.random((rows // shards, 1, side, side), dtype=np.float32))
        write_shard(store, shard, pixels, {}).write(folder / f"results/images/it/{shard}.json")
    return store


def writer(folder: Path, shard: int) -> subprocess.Popen[str]:
    """Start the program that encodes one shard."""
    place = "results/latents/it/lossy"
    options = {
        **{"spec": LOSSY, "images": "results/images/it.zarr", "image-manifest": f"results/images/it/{shard}.json"},
        **{"store": f"{place}.zarr", "shard": shard, "manifest": f"{place}/{shard}.json"},
        "statistics": f"{place}/{shard}.safetensors",
    }
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    return subprocess.Popen(
        [sys.executable, "-m", "pipeline.encode", *words],
        cwd=folder,
        env=environment() | {"PYTHONPATH": str(ROOT / "src")},
        stderr=subprocess.PIPE,
        text=True,
    )


def test_eight_writers_of_one_store_lose_no_row(tmp_path: Path) -> None:
    store = images(tmp_path, 8 * 24, WRITERS, 16)
    latents = tmp_path / "results/latents/it/lossy.zarr"
    lay_out_latents(store, read_spec(LOSSY), WRITERS, latents)
    layout = (latents / "zarr.json").read_bytes()
    # One shard has two writers, as where a killed call's job goes on beside the next call's.
    for process in [writer(tmp_path, shard) for shard in (*range(WRITERS), 3)]:
        _, printed = process.communicate()
        assert process.returncode == 0, printed
    manifests = [tmp_path / f"results/latents/it/lossy/{shard}.json" for shard in range(WRITERS)]
    check(latents, manifests)
    assert [(Manifest.read(path).start, Manifest.read(path).stop) for path in manifests] == [
        (24 * shard, 24 * shard + 24) for shard in range(WRITERS)
    ]
    expected = read_spec(LOSSY).load(1).encode(Rows(store).read(0, 192)).mean
    np.testing.assert_array_equal(Rows(latents).read(0, 192), expected)
    assert (latents / "zarr.json").read_bytes() == layout
    recorded = [path for path in ledger.ledgers(tmp_path) if "latents" in path.parts]
    assert len(recorded) == WRITERS
    assert not [fault for fault in faults(tmp_path) if fault.path in {*manifests, *latents.glob("c/*/0/0/0")}]


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
