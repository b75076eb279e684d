"""Processes that fill one store at once: one shard each, one shard twice, and one of them killed at a random moment."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from pipeline.encode import lay_out_latents, read_spec
from pipeline.errors import StudyError
from pipeline.store import Layout, Rows, check, lay_out, to_grid, write_shard
from pipeline.verify import faults
from tests.studies import ROOT, environment

WRITERS, ROWS = 8, 24
"""Shards, and rows of each."""
LOSSY = '{"family": "lossy", "stride": 4}'
PLACE = Path("results/latents/it/lossy")


def images(folder: Path, rows: int, shards: int, side: int) -> Path:
    """Write a store of random images, with manifests."""
    store, random = folder / "results/images/it.zarr", np.random.default_rng(0)
    lay_out(store, Layout(rows, (1, side, side), shards, "uint16", {}))
    for shard in range(shards):
        pixels = to_grid(random.random((rows // shards, 1, side, side), dtype=np.float32))
        write_shard(store, shard, pixels, {}).write(folder / f"results/images/it/{shard}.json")
    return store


def prepared(folder: Path) -> Path:
    """Write images, and the metadata of the store that is to be filled; return that store."""
    images(folder, WRITERS * ROWS, WRITERS, 16)
    lay_out_latents(folder / "results/images/it.zarr", read_spec(LOSSY), WRITERS, folder / f"{PLACE}.zarr")
    return folder / f"{PLACE}.zarr"


def writer(folder: Path, shard: int) -> subprocess.Popen[str]:
    """Start the program that encodes one shard."""
    options = {
        **{"spec": LOSSY, "images": "results/images/it.zarr", "image-manifest": f"results/images/it/{shard}.json"},
        **{"store": f"{PLACE}.zarr", "shard": shard, "manifest": f"{PLACE}/{shard}.json"},
        "statistics": f"{PLACE}/{shard}.safetensors",
    }
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    return subprocess.Popen(
        [sys.executable, "-m", "pipeline.encode", *words],
        cwd=folder,
        env=environment() | {"PYTHONPATH": str(ROOT / "src")},
        stderr=subprocess.PIPE,
        text=True,
    )


def manifests(folder: Path) -> list[Path]:
    """Return the manifests of all shards."""
    return [folder / PLACE / f"{shard}.json" for shard in range(WRITERS)]


def race(folder: Path, random: np.random.Generator) -> tuple[str, bool]:
    """Fill a store with a writer for each shard; kill one, and let another have a twin.

    Two writers of one shard are what there is where a killed call's job goes on beside the next call's.

    Returns:
        What happened, and whether no row was lost or changed once the killed one's shard was made again.
    """
    prepared(folder)
    victim, twin = random.choice(WRITERS, 2, replace=False)
    running = {shard: writer(folder, shard) for shard in range(WRITERS)}
    double = writer(folder, twin)
    time.sleep(random.uniform(0, 2))
    running[victim].kill()
    others = [*(process for shard, process in running.items() if shard != victim), double]
    good = all(ended(process) for process in others)
    killed = running[victim].wait() == -signal.SIGKILL
    running[victim].communicate()
    good = ended(writer(folder, victim)) and good
    moment = "" if killed else " (it had ended)"
    return f"shard {twin} twice, the writer of shard {victim} killed{moment}", good and complete(folder)


def ended(process: subprocess.Popen[str]) -> bool:
    """Wait for a writer, and tell whether it ended well; pass on what it said if it did not."""
    _, printed = process.communicate()
    if process.returncode:
        sys.stderr.write(printed)
    return process.returncode == 0


def complete(folder: Path) -> bool:
    """Tell whether every row is what its image is encoded to, and every file what its writer recorded."""
    try:
        check(folder / f"{PLACE}.zarr", manifests(folder))
    except StudyError:
        return False
    latents = Rows(folder / f"{PLACE}.zarr")
    expected = read_spec(LOSSY).load(1).encode(Rows(folder / "results/images/it.zarr").read(0, WRITERS * ROWS)).mean
    written = {*manifests(folder), *(folder / f"{PLACE}.zarr").glob("c/*/0/0/0")}
    known = not any(fault.path in written for fault in faults(folder))
    return known and np.array_equal(latents.read(0, WRITERS * ROWS), expected)
