"""Which files a data set's folder holds, listed once a call and not in every job."""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import StudyError
from pipeline.files import write_text

HEADER = "path,bytes,stamp"


def scan(root: Path) -> str:
    """Return the inventory of a folder as CSV text: path, size in bytes and time of change of every file, sorted.

    Raises:
        StudyError: there is no such folder, or one that cannot be listed, or a name that a table cannot hold.
    """
    if not root.is_dir():
        raise StudyError(f"the folder {root} is missing")
    try:
        found = list(_walk(root, "", frozenset()))
    except OSError as error:
        raise StudyError(f"a folder below {root} cannot be listed: {error.strerror}", str(error.filename)) from None
    lines = sorted(f"{_plain(path)},{status.st_size},{status.st_mtime_ns}" for path, status in found)
    return "\n".join([HEADER, *lines]) + "\n"


def _walk(folder: Path, prefix: str, above: frozenset[tuple[int, int]]) -> Iterator[tuple[str, os.stat_result]]:
    status = folder.stat()
    here = status.st_dev, status.st_ino
    if here in above:
        raise StudyError("a folder is a link to one above it", str(folder))
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                yield from _walk(Path(entry.path), f"{prefix}{entry.name}/", above | {here})
            else:
                # A link to nothing is listed as it is: who opens it says what is wrong with it.
                yield prefix + entry.name, entry.stat(follow_symlinks=Path(entry.path).exists())


def _plain(path: str) -> str:
    if any(character in path for character in ',"\n\r'):
        raise StudyError("a file's name holds a comma, a quote or a line break; rename it", repr(path))
    if any("\ud800" <= character <= "\udfff" for character in path):
        raise StudyError("a file's name is not UTF-8; rename it", repr(path))
    return path


def refresh(root: Path, inventory: Path) -> None:
    """Write a folder's inventory, unless it says just that already."""
    text = scan(root)
    if not inventory.is_file() or _digest(inventory.read_text()) != _digest(text):
        write_text(inventory, text)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class Stamp:
    """What tells, without reading it, that a file may have changed.

    Attributes:
        size: bytes.
        changed: nanoseconds of its last change, or the hash of a generated file.
    """

    size: int
    changed: str


def read(inventory: Path) -> dict[str, Stamp]:
    """Return the files of an inventory, sorted by path."""
    lines = (line.rsplit(",", 2) for line in inventory.read_text().split("\n")[1:-1])
    return dict(sorted((path, Stamp(int(size), changed)) for path, size, changed in lines))
