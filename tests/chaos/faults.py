"""Random damage to the files of a finished study, each undone afterwards."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline import ledger
from pipeline.weights import FOLDER, Table

VOUCHED = ("salt", ".mapping.csv", ".rejected.csv", ".headers.parquet")
"""Endings of the files of jobs among those that stay with the user."""
Harm = Callable[[Path, np.random.Generator], None]


def flip(path: Path, random: np.random.Generator) -> None:
    """Change one bit of one byte, as a disk would: the times stay what they were."""
    times, content = path.stat(), bytearray(path.read_bytes())
    content[random.integers(len(content))] ^= 1 << int(random.integers(8))
    path.write_bytes(content)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def truncate(path: Path, random: np.random.Generator) -> None:
    """Cut a file off somewhere."""
    os.truncate(path, int(random.integers(path.stat().st_size)))


def delete(path: Path, _: np.random.Generator) -> None:
    """Remove a file."""
    path.unlink()


HARMS: tuple[Harm, ...] = (flip, truncate, delete)


@dataclass(frozen=True)
class Damage:
    """What was done, to which files, and which files of a study are to be named for it.

    Where a ledger is gone or damaged, nothing vouches for its files any more.
    """

    what: str
    paths: frozenset[Path]
    named: frozenset[Path]


def damageable(root: Path) -> list[Path]:
    """Return all artifacts of a study, their ledgers, and the weights that are shipped, sorted."""
    found = [path for path in ledger.walk(root / "results") if path.name != ".damaged"]
    found += ledger.ledgers(root)
    found += [file for file in ledger.walk(root / "private") if file.name.endswith(VOUCHED)]
    table = Table.read(root / "resources/weights.yaml").root
    for name, entry in table.items():
        found += [root / FOLDER / name / file for file in entry.files if (root / FOLDER / name / file).is_file()]
    return sorted(set(found))


def stores(root: Path) -> list[list[Path]]:
    """Return the shard files of each store."""
    folders = sorted(path.parent for path in (root / "results").glob("**/*.zarr/zarr.json"))
    return [sorted(folder.glob("c/*/0/0/0")) for folder in folders]


def manifest_of(shard: Path) -> Path:
    """Return the manifest of a shard."""
    folder = shard.parents[4]
    return folder.with_name(folder.name.removesuffix(".zarr")) / f"{shard.parents[2].name}.json"


@contextmanager
def damaged(root: Path, seed: int, number: int) -> Iterator[Damage]:
    """Do the damage of this number, and undo it at the end."""
    random = np.random.default_rng([seed, number])
    pairs = _swap(root, random) if random.random() < 0.25 else []
    if pairs:
        what, touched = "swap", {path for pair in pairs for path in pair}
    else:
        paths = damageable(root)
        path, harm = paths[random.integers(len(paths))], HARMS[random.integers(len(HARMS))]
        what, touched = harm.__name__, {path}
    vouched = {path: ledger.read(path, root) for path in touched if path.name.endswith(ledger.ENDING)}
    kept = {path: (path.read_bytes(), path.stat().st_atime_ns, path.stat().st_mtime_ns) for path in touched}
    if pairs:
        for first, second in pairs:
            first.write_bytes(kept[second][0])
            second.write_bytes(kept[first][0])
    else:
        harm(path, random)
    changed = {path for path in touched if not path.exists() or path.read_bytes() != kept[path][0]}
    missing = {path for path in vouched if not path.exists()}
    unproved = {file for path, files in vouched.items() if path in changed for file in files}
    try:
        yield Damage(what, frozenset(changed), frozenset(changed - missing | unproved))
    finally:
        for path, (content, *times) in kept.items():
            path.write_bytes(content)
            os.utime(path, ns=(times[0], times[1]))


def _swap(root: Path, random: np.random.Generator) -> list[tuple[Path, Path]]:
    """Return which files change places: two shards of one store, or of two, alone, with manifests, or with ledgers."""
    there = stores(root)
    first = there[random.integers(len(there))]
    second = first if random.random() < 0.5 else there[random.integers(len(there))]
    one, other = first[random.integers(len(first))], second[random.integers(len(second))]
    pairs, further = [(one, other)], random.integers(3)
    if further:
        pairs.append((manifest_of(one), manifest_of(other)))
    if further == 2:
        pairs.append((ledger.ledger_of(manifest_of(one)), ledger.ledger_of(manifest_of(other))))
    same = one == other or one.read_bytes() == other.read_bytes()
    return [] if same else pairs


def copy(study: Path, folder: Path) -> Path:
    """Copy a study with all times."""
    return shutil.copytree(study, folder, symlinks=True)
