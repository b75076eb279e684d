"""Heads that were trained on the same values before are taken over and not trained again.

A lossless autoencoder gives back the very images, so the head on its reconstructions is the head on the images. What a
training depends on is hashed; whoever finds a sibling with the same hash copies its files, and checks the copies.

A head is its own sibling, too: a second name of each of its files lies in a hidden folder. Where several jobs are one
batch job and one of them fails, Snakemake deletes the outputs of all, and runs all again.
"""

import hashlib
import json
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pipeline import sources
from pipeline.files import sha256, write_atomically, write_text
from pipeline.values import Values, digest

LIBRARIES = ("numpy", "scikit-learn", "timm", "torch")
RECORD = "made_from.json"


def identity(values: Sequence[Values], index: Path, settings: Mapping[str, Any], code: Iterable[Path]) -> str:
    """Return a hash of everything that a head's files depend on.

    Args:
        values: the space, N x c x h x w, and its views.
        index: labels, patients and folds.
        settings: all that the program was asked for, as JSON values.
        code: the source files that it runs.
    """
    made_from = {
        "values": [digest(array) for array in values],
        "shape": values[0].shape,
        "index": sha256(index),
        "settings": settings,
        # Not by name alone: packages have files of the same name.
        "code": [(path.name, sources.meaning(path)) for path in code],
        "libraries": {name: _version(name) for name in LIBRARIES},
    }
    return hashlib.sha256(json.dumps(made_from, sort_keys=True).encode()).hexdigest()


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def take_over(heads: Path, made_from: str, files: Iterable[Path]) -> Path | None:
    """Fill these files from a head of the same identity, below a data set's folder, and return whose they were.

    Returns:
        None where there is no such head, or its files are not what its record says.
    """
    # Hidden folders last: they are of use where nothing else is left.
    for record in sorted(heads.glob(f"*/*/*/{RECORD}"), key=lambda path: (path.parent.name.startswith("."), path)):
        known = _read(record)
        if known.get("made_from") == made_from and _copied(record.parent, known["files"], list(files)):
            return record.parent
    return None


def _read(record: Path) -> dict[str, Any]:
    # A sibling's job may be writing, or Snakemake deleting, the file at this moment.
    try:
        found = json.loads(record.read_text())
    except (OSError, ValueError):
        return {}
    return dict(found)


def _copied(folder: Path, hashes: Mapping[str, str], files: list[Path]) -> bool:
    for path in files:
        try:
            write_atomically(path, lambda temporary, name=path.name: shutil.copyfile(folder / name, temporary))  # type: ignore[misc]
        except OSError:
            return False
        if sha256(path) != hashes.get(path.name):
            return False
    return True


def record(path: Path, made_from: str, files: Iterable[Path]) -> None:
    """Write what a head's files were made from, and what they are."""
    content = {"made_from": made_from, "files": {file.name: sha256(file) for file in files}}
    write_text(path, json.dumps(content, indent=1, sort_keys=True) + "\n")


def keep(folder: Path, record: Path, files: Iterable[Path]) -> None:
    """Give a finished head's files a second name each in a folder of its own, which takes no space.

    What was there before is removed. A file system without hard links keeps nothing.
    """
    shutil.rmtree(folder, ignore_errors=True)
    try:
        folder.mkdir(parents=True)
        for path in [*files, record]:
            (folder / path.name).hardlink_to(path)
    except OSError as error:
        sys.stderr.write(f"{folder} keeps no second names of this head's files: {error.strerror}\n")
