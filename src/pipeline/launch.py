"""What the first process of a call does before the plan is made: never in the jobs that it starts."""

import json
import os
import subprocess
import sys
from pathlib import Path

from pipeline import inventory, ledger, lock, weights
from pipeline.datasets import DatasetSpec
from pipeline.errors import StudyError
from pipeline.files import write_text
from pipeline.identifiers import Salt
from pipeline.inspect import made_from
from pipeline.plan import Plan, programs
from pipeline.sources import SOURCE
from pipeline.study import Study
from pipeline.verify import intact


def prepare(study: Study) -> bool:
    """Check that the study's files are there, and see what changed in its folders.

    While another call is running here nothing is written: this one can only be a dry run, or Snakemake will refuse it.

    Returns:
        Whether this process is the only call here.

    Raises:
        StudyError: a folder, a label table or a weight file is missing.
    """
    require_files(study)
    if not lock.hold(Path(".snakemake")):
        return False
    programs.note_changes()
    # Which file a sample is must be nobody else's; a folder that is there is the user's to close (`doctor`).
    Path("private").mkdir(mode=0o700, exist_ok=True)
    plan = Plan(study)
    for name, dataset in study.datasets.items():
        listing = Path(plan.inventory(name))
        try:
            if study.generated(name) is None:
                inventory.refresh(Path(dataset.root), listing)
            refresh(name, dataset, listing)
        except StudyError as error:
            raise StudyError(f"datasets: {name}: {error.message}", error.detail) from None
    return True


def refresh(name: str, dataset: DatasetSpec, listing: Path) -> None:
    """Bring what is known of a data set's files up to date, so that only what changed makes a job run.

    Snakemake would run everything behind a job that runs, whatever that job finds. So once `inspect` has run, later
    changes of files, tables and configuration are looked at here, with the headers that are known already.
    """
    specification = Path(f"private/{name}.spec.json")
    if not specification.is_file() or specification.read_text() != dataset.written():
        write_text(specification, dataset.written())
    folder, salt = Path(f"results/inspected/{name}"), Path("private/salt")
    record = folder.with_suffix(".made_from.json")
    if record.is_file() and not salt.is_file():
        # Another one would be drawn, and every identifier be another.
        raise StudyError(
            f"{salt} is missing, and {folder.parent} depends on it; bring it back from a copy, or delete both"
        )
    if not (record.is_file() and listing.is_file()):
        return
    known, now = _known(record), made_from(dataset, listing, Salt.read(salt))
    if known and known["headers"] != now["headers"]:
        # Every header must be read again, which is a job's work.
        for path in [*folder.parent.glob(f"{name}.*"), *folder.glob("*.sha256")]:
            path.unlink()
    elif known != now:
        _inspect(name, specification, listing, salt, folder)


def _known(record: Path) -> dict[str, str]:
    """Return what the last `inspect` was made from; nothing, where its record is not what was written."""
    try:
        stated = ledger.read(ledger.ledger_of(record))
    except StudyError:
        return {}
    return dict(json.loads(record.read_text())) if record in stated and intact(record, stated[record]) else {}


def _inspect(name: str, specification: Path, listing: Path, salt: Path, folder: Path) -> None:
    command = [sys.executable, "-m", "pipeline.inspect", "--spec", str(specification), "--inventory", str(listing)]
    command += ["--salt", str(salt), "--folder", str(folder), "--private", f"private/{name}"]
    command += ["--workers", str(os.cpu_count())]
    environment = os.environ | {"PYTHONPATH": str(SOURCE)}
    finished = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if finished.returncode:
        raise StudyError(finished.stderr.strip().removeprefix("error: ") or "its files cannot be inspected")


def require_files(study: Study) -> None:
    """Raise StudyError for the first file that an entry of the study names, that is not there and is not fetched."""
    named = [("autoencoders", name, file) for name, spec in study.autoencoders.items() for file in spec.files()]
    named += [("heads", name, file) for name, spec in study.heads.items() for file in spec.files()]
    named += [("fidelity", key, file) for key, file in study.entries.fidelity.files()]
    for name, dataset in study.datasets.items():
        if study.generated(name) is None:
            named += [("datasets", name, file) for file in dataset.tables()]
    for kind, name, file in named:
        try:
            weights.require(file)
        except StudyError as error:
            raise StudyError(f"{kind}: {name}: {error.message}") from None
