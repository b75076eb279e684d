"""What each job's files are: sizes and hashes, in one small hidden file a job, for `pipeline.verify` to compare.

The ledger lies beside the last file that a program made, `.<name>.sums`: JSON with the job's files, relative to where
it ran, and a hash of itself. So neither a byte nor its place can change unseen: a ledger that lies beside none of its
own files belongs elsewhere.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from pipeline import files
from pipeline.errors import StudyError

DAMAGED = "it is damaged"
ENDING = ".sums"
ROOTS = (Path("private"), Path("resources/weights"), Path("results"))
"""Where the files of jobs lie."""


@dataclass(frozen=True)
class Entry:
    """One file: its size in bytes, and the SHA-256 of its content."""

    bytes: int
    sha256: str


def ledger_of(path: Path) -> Path:
    """Return the ledger that lies beside a file."""
    return path.with_name(f".{path.name}{ENDING}")


def walk(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder in order, apart from hidden folders, which hold what is not finished."""
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(place, name) for name in sorted(names))


def ledgers(root: Path) -> list[Path]:
    """Return all ledgers of the study in a folder, the oldest first."""
    found = [path for name in ROOTS for path in walk(root / name)]
    found = [path for path in found if path.name.startswith(".") and path.name.endswith(ENDING)]
    return sorted(found, key=lambda path: path.stat().st_mtime_ns)


def close() -> None:
    """Write the ledger of all that this process has made and that was not recorded yet, once everything is there."""
    # Unfinished trainings lie in hidden folders, and logs of errors are no artifacts.
    found = [path for path in files.made if _is_artifact(Path(os.path.relpath(path))) and path.is_file()]
    if found:
        record(found)


def _is_artifact(path: Path) -> bool:
    return any(root in path.parents for root in ROOTS) and not any(part.startswith(".") for part in path.parts)


def record(paths: Iterable[Path]) -> None:
    """Write the ledger of these files, beside the last of them."""
    paths, entries = list(paths), {}
    for path in paths:
        known = files.made.pop(path.absolute(), None)
        entries[os.path.relpath(path)] = asdict(Entry(path.stat().st_size, known or files.sha256(path)))
    files.write_text(ledger_of(paths[-1]), _text(entries))


def _text(entries: Mapping[str, object]) -> str:
    plain = json.dumps(entries, indent=1, sort_keys=True)
    digest = hashlib.sha256(plain.encode()).hexdigest()
    return json.dumps({"files": entries, "sha256": digest}, indent=1, sort_keys=True) + "\n"


def read(path: Path, root: Path = Path()) -> dict[Path, Entry]:
    """Return what a ledger says of its files, below the folder that its job ran in.

    Raises:
        StudyError: it is damaged, or lies where no ledger of these files belongs.
    """
    try:
        text = path.read_bytes().decode()
        entries: dict[str, dict[str, object]] = json.loads(text)["files"]
        whole = text == _text(entries)
    except (OSError, ValueError, KeyError, TypeError):
        whole = False
    if not whole:
        raise StudyError(DAMAGED)
    found = {root / name: Entry(**entry) for name, entry in entries.items()}  # type: ignore[arg-type]
    if path.absolute() not in {ledger_of(file).absolute() for file in found}:
        raise StudyError("it belongs to other files")
    return found
