"""Read all artifacts again, and name each one that is not what the job that made it recorded.

`python -m pipeline.verify` changes nothing. With `--repair` it also lists what it names in `results/.damaged`, and the
next call of Snakemake makes just that again (`pipeline.repair`).
"""

import argparse
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from pipeline import ledger, lock, weights
from pipeline.errors import StudyError
from pipeline.files import sha256, write_text
from pipeline.ledger import Entry
from pipeline.program import run
from pipeline.progress import progress

HEADERS = ".headers.parquet"
"""What `inspect` remembers, which no rule declares."""
DAMAGED = Path("results/.damaged")
"""What is damaged, and what the next call is to make because of it: two paths a line, mostly the same."""
CHANGED, MISSING, UNPROVED = "its content has changed", "it is missing", "nothing says what it should hold"


@dataclass(frozen=True, order=True)
class Fault:
    """A file that is not what it was.

    Attributes:
        path: its name.
        what: is wrong with it.
        remake: the output of a rule that has to be made again; None: none.
    """

    path: Path
    what: str
    remake: Path | None


def faults(root: Path = Path()) -> list[Fault]:
    """Return what is wrong with the artifacts of the study in a folder, sorted by path.

    Whatever was changed, cut, swapped or deleted after its job had ended is found: a file by its size and SHA-256, a
    shard or a table in another's place because ledgers name files, a damaged ledger because it holds its own hash, and
    files whose ledger is gone because nobody vouches for them.
    """
    recorded, found = _ledgers(root)
    known = set(recorded)
    found += [Fault(path, UNPROVED, remake) for path, remake in _artifacts(root) if path not in known]
    stated = [(path, entry, path) for path, entry in recorded.items()]
    found += _compared([*stated, *_generated(root)])
    return sorted({*found, *_weights(root)})


def _ledgers(root: Path) -> tuple[dict[Path, Entry], list[Fault]]:
    """Return what all ledgers state, the newest of those that name the same file, and what is wrong with ledgers."""
    entries: dict[Path, Entry] = {}
    found: list[Fault] = []
    for path in ledger.ledgers(root):
        try:
            entries |= ledger.read(path, root)
        except StudyError as error:
            found.append(Fault(path, error.message, None))
    return entries, found


def _artifacts(root: Path) -> Iterator[tuple[Path, Path | None]]:
    """Yield the files that jobs have made, each with what is to be made where nobody vouches for it."""
    images = [path.with_name(path.name.removesuffix(".inventory.csv")) for path in _inventories(root)]
    for path in ledger.walk(root / "results"):
        if not path.name.startswith(".") and not any(folder in path.parents for folder in images):
            yield path, path
    for path in sorted((root / "private").glob("*")):
        if path.name == "salt":
            yield path, None
        elif path.name.endswith((".mapping.csv", ".rejected.csv")):
            yield path, path
        elif path.name.endswith(HEADERS):
            yield path, root / "results/inspected" / f"{path.name.removesuffix(HEADERS)}.made_from.json"


def _inventories(root: Path) -> list[Path]:
    return sorted((root / "results/benchmarks").glob("*.inventory.csv"))


def _generated(root: Path) -> Iterator[tuple[Path, Entry, Path]]:
    """Yield the image files of generated benchmarks, which their inventories vouch for, and those."""
    for path in _inventories(root):
        folder = path.with_name(path.name.removesuffix(".inventory.csv"))
        try:
            table = pd.read_csv(path, dtype={"path": str, "bytes": int, "stamp": str}, keep_default_na=False)
            rows = list(zip(table["path"], table["bytes"], table["stamp"], strict=True))
        except (ValueError, KeyError):
            # It is named by its ledger.
            continue
        yield from ((folder / name, Entry(size, stamp), path) for name, size, stamp in rows)


def _compared(stated: Sequence[tuple[Path, Entry, Path]]) -> Iterator[Fault]:
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        compared = pool.map(lambda one: _difference(*one[:2]), stated)
        for (path, _, remake), what in zip(stated, progress(compared, len(stated), "reading", " files"), strict=True):
            if what:
                yield Fault(path, what, remake)


def _difference(path: Path, entry: Entry) -> str | None:
    try:
        size = path.stat().st_size
        if size != entry.bytes:
            return f"it has {size} bytes and not {entry.bytes}"
        return None if sha256(path) == entry.sha256 else CHANGED
    except FileNotFoundError:
        return MISSING
    except OSError as error:
        return f"it cannot be read ({error.strerror})"


def intact(path: Path, entry: Entry) -> bool:
    """Tell whether a file is what was recorded of it."""
    return _difference(path, entry) is None


def _weights(root: Path) -> Iterator[Fault]:
    """Yield what is wrong with weights of the table: those that are shipped, and all of a folder that is there."""
    if not (root / weights.TABLE).is_file():
        return
    for name, entry in weights.Table.read(root / weights.TABLE).root.items():
        folder = root / weights.FOLDER / name
        shipped = entry.repository is None and entry.source is None
        for file, stated in entry.files.items() if shipped or folder.is_dir() else ():
            path = folder / file
            pickle = Path(stated.path or file).suffix in weights.PICKLES
            if not path.is_file():
                yield Fault(path, MISSING, path)
            elif not pickle and stated.sha256 not in (None, sha256(path)):
                yield Fault(path, CHANGED, path)


def note_damaged(found: Iterable[Fault], root: Path = Path()) -> None:
    """Write what the next call makes again; nothing, where nothing is damaged."""
    pairs = [(fault.path.relative_to(root), fault.remake.relative_to(root)) for fault in found if fault.remake]
    if pairs:
        write_text(root / DAMAGED, "".join(f"{path}\t{remake}\n" for path, remake in sorted(pairs)))
    else:
        (root / DAMAGED).unlink(missing_ok=True)


def main() -> None:
    """Name what is damaged; the exit status is 1 if anything is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=Path("results"), help="beside it lie private and resources")
    parser.add_argument("--repair", action="store_true", help="let the next call make again what is named")
    arguments = parser.parse_args()
    root = arguments.results.parent
    if arguments.results.name != "results" or not arguments.results.is_dir():
        raise StudyError(f"{arguments.results} is no folder of results; name one that is called 'results'")
    if not lock.hold(root / ".snakemake"):
        raise StudyError("a call is running here; verify its artifacts when it has ended")
    found = faults(root)
    if arguments.repair:
        note_damaged(found, root)
    for fault in found:
        sys.stdout.write(f"{fault.path}: {fault.what}\n")
    if found:
        then = "the next call makes them again" if arguments.repair else "--repair lets the next call make them again"
        raise StudyError(f"{len(found)} files are not what was recorded; {then}")
    sys.stdout.write("every artifact is what was recorded\n")


if __name__ == "__main__":
    run(main)
