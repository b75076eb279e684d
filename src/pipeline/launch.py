"""What the first process of a call does before the plan is made: never in the jobs that it starts."""

import fcntl
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from pipeline import inventory
from pipeline.errors import StudyError
from pipeline.files import sha256, write_text
from pipeline.store import Manifest, shard_path
from pipeline.study import Study

STORES = ("images", "latents", "reconstructions")
PATIENCE = 5.0
"""Seconds to wait for another call that is only planning."""

LOST = json.dumps({"lost": True}) + "\n"
"""What stands in place of a lost shard's manifest."""

_running: list[int] = []


def prepare(study: Study) -> None:
    """Check that the study's folders are there, list what they hold, and find shards that were lost or changed.

    Raises:
        StudyError: a folder or a weight file is missing.
    """
    release_stale_lock(Path(".snakemake"))
    for name, spec in study.autoencoders.items():
        for file in spec.files():
            if not Path(file).is_file():
                raise StudyError(f"autoencoders: {name}: the file {file} is missing")
    for name, dataset in study.datasets.items():
        if study.generated(name) is None:
            try:
                inventory.refresh(Path(dataset.root), Path(f"private/{name}.inventory.csv"))
            except StudyError as error:
                raise StudyError(f"datasets: {name}: {error}") from None
    for shard, manifest in lost_shards(Path("results")):
        mark_lost(shard, manifest)


def release_stale_lock(folder: Path) -> None:
    """Remove the lock that a killed call left behind, and hold our own for as long as this process lives.

    Snakemake's lock is a set of files, which outlive a process that is killed. Ours is held by the kernel and goes with
    the process, so whoever gets it knows that no other call is running here.
    """
    folder.mkdir(exist_ok=True)
    descriptor = os.open(folder / "running", os.O_CREAT | os.O_RDWR)
    deadline = time.monotonic() + PATIENCE
    while not _try_lock(descriptor):
        if time.monotonic() > deadline:
            os.close(descriptor)
            return
        time.sleep(0.1)
    _running.append(descriptor)
    for lock in folder.glob("locks/*.lock"):
        lock.unlink(missing_ok=True)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def lost_shards(results: Path) -> Iterator[tuple[Path, Path]]:
    """Yield the shard files that are missing or not what their manifests say, each with its manifest.

    A shard is read only where its time of change is later than its manifest's: jobs write the manifest last.
    """
    for kind in STORES:
        for path in sorted((results / kind).glob("**/*.json")):
            if path.name == "zarr.json" or not path.stem.isdigit() or path.read_bytes() == LOST.encode():
                continue
            shard = shard_path(path.parent.with_name(f"{path.parent.name}.zarr"), int(path.stem))
            if not _intact(shard, path):
                yield shard, path


def _intact(shard: Path, manifest: Path) -> bool:
    if not shard.is_file():
        return False
    try:
        recorded, status = Manifest.read(manifest), shard.stat()
    except StudyError:
        return False
    if status.st_size != recorded.bytes:
        return False
    return status.st_mtime_ns <= manifest.stat().st_mtime_ns or sha256(shard) == recorded.sha256


def mark_lost(shard: Path, manifest: Path) -> None:
    """Make the workflow see that a shard is lost: whoever reads it must run again, and so the shard must be remade.

    Snakemake looks at a missing file only if a job that needs it has another reason to run. A manifest that has changed
    is such a reason.
    """
    sys.stderr.write(f"{shard} is missing or changed; it will be made again, with what follows from it\n")
    shard.unlink(missing_ok=True)
    write_text(manifest, LOST)
