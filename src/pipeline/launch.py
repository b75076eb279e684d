"""What the first process of a call does before the plan is made: never in the jobs that it starts."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from pipeline import inventory, lock
from pipeline.errors import StudyError
from pipeline.files import sha256, write_text
from pipeline.store import Manifest, shard_path
from pipeline.study import Study

STORES = ("images", "latents", "reconstructions")
LOST = json.dumps({"lost": True}) + "\n"
"""What stands in place of a lost shard's manifest."""


def prepare(study: Study) -> None:
    """Check that the study's files are there, list what its folders hold, and find shards that were lost or changed.

    While another call is running here nothing is written: this one can only be a dry run, or Snakemake will refuse it.

    Raises:
        StudyError: a folder, a label table or a weight file is missing.
    """
    require_files(study)
    if not lock.hold(Path(".snakemake")):
        return
    for name, dataset in study.datasets.items():
        if study.generated(name) is None:
            try:
                inventory.refresh(Path(dataset.root), Path(f"private/{name}.inventory.csv"))
            except StudyError as error:
                raise StudyError(f"datasets: {name}: {error}") from None
    for shard, manifest in lost_shards(Path("results")):
        mark_lost(shard, manifest)


def require_files(study: Study) -> None:
    """Raise StudyError for the first file that an entry of the study names and that is not there."""
    named = [("autoencoders", name, file) for name, spec in study.autoencoders.items() for file in spec.files()]
    for name, dataset in study.datasets.items():
        if study.generated(name) is None:
            named += [("datasets", name, file) for file in dataset.tables()]
    for kind, name, file in named:
        if not Path(file).is_file():
            raise StudyError(f"{kind}: {name}: the file {file} is missing")


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
