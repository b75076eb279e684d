"""The headers of a data set's files, each read once for as long as its file does not change."""

import functools
import hashlib
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline import sources
from pipeline.errors import Refused
from pipeline.files import write_atomically
from pipeline.identifiers import Salt
from pipeline.inventory import Stamp
from pipeline.pixels import READERS, Inspection, PixelSpec, inspect
from pipeline.progress import progress
from pipeline.quarantine import Outcome, survive

SAVE_PERIOD = 60.0
"""Seconds."""
IDENTIFIERS = ("patient", "study", "series", "instance")


class Memory:
    """Headers that were read before, in one file that the user owns; identifiers stand in it as salted hashes.

    A header counts as known while its file has the same size and time of change, and while files are read by the same
    code under the same specification. Only what was accepted is kept.
    """

    def __init__(self, path: Path, pixels: PixelSpec, salt: Salt) -> None:
        self._path, self._salt = path, salt
        self.made_by = made_by(pixels, salt)
        self._known: dict[tuple[str, int, str], str] = {}
        self._saved = time.monotonic()
        if path.is_file():
            table = pd.read_parquet(path, filters=[("made_by", "==", self.made_by)])
            keys = zip(table["file"], table["bytes"], table["changed"], strict=True)
            self._known = dict(zip(keys, table["header"], strict=True))

    def get(self, path: str, stamp: Stamp) -> Inspection | None:
        """Return what is known of a file, or None if it must be read."""
        text = self._known.get(self._key(path, stamp))
        return None if text is None else _from_json(text)

    def learn(self, path: str, stamp: Stamp, header: Inspection) -> None:
        """Remember a header, and now and then all of them: a call that is killed loses a minute of reading."""
        self._known[self._key(path, stamp)] = _to_json(header)
        if time.monotonic() - self._saved > SAVE_PERIOD:
            self._save()

    def keep(self, stamps: Mapping[str, Stamp]) -> None:
        """Forget all files but these, and save."""
        wanted = {self._key(path, stamp) for path, stamp in stamps.items()}
        self._known = {key: header for key, header in self._known.items() if key in wanted}
        self._save()

    def _save(self) -> None:
        table = pd.DataFrame(self._known.keys(), columns=["file", "bytes", "changed"])
        table = table.assign(header=list(self._known.values()), made_by=self.made_by)
        write_atomically(self._path, lambda path: table.to_parquet(path, index=False))
        self._saved = time.monotonic()

    def _key(self, path: str, stamp: Stamp) -> tuple[str, int, str]:
        return self._salt.keyed("file", path), stamp.size, stamp.changed


def made_by(pixels: PixelSpec, salt: Salt) -> str:
    """Return what a header's meaning depends on besides its file: the specification, the code and the salt."""
    # What becomes of the pixels later says nothing of the file.
    digest = hashlib.sha256(pixels.model_dump_json(exclude={"size", "fit", "filter"}).encode())
    for path in sources.files("pipeline.pixels"):
        digest.update(sources.meaning(path).encode())
    return salt.keyed("headers", digest.hexdigest())


def read(
    root: Path, pixels: PixelSpec, stamps: Mapping[str, Stamp], salt: Salt, memory: Memory, workers: int
) -> Iterator[Outcome[str, Inspection]]:
    """Yield the header of each file, or the reason why it is refused, in the order of the files.

    Args:
        root: The data set's folder.
        pixels: What the files are to become.
        stamps: The files, relative to the root, with their size and time of change.
        salt: Hashes the identifiers.
        memory: Headers that need not be read.
        workers: Processes that read.
    """
    known = {path: memory.get(path, stamp) for path, stamp in stamps.items()}
    fresh = [path for path, header in known.items() if header is None]
    survivors = survive(functools.partial(_inspect, root, pixels, salt), fresh, workers, preload=READERS)
    outcomes = iter(progress(survivors, len(fresh), "reading headers", " files"))
    for path, header in known.items():
        if header is not None:
            yield Outcome(path, header, None)
            continue
        outcome = next(outcomes)
        if outcome.value is not None:
            memory.learn(path, stamps[path], outcome.value)
        yield outcome


def _inspect(root: Path, pixels: PixelSpec, salt: Salt, path: str) -> Inspection:
    try:
        header = inspect(root / path, pixels)
    except OSError as error:
        raise Refused(f"the file cannot be opened: {type(error).__name__}") from None
    stated = {kind: getattr(header, kind) for kind in IDENTIFIERS}
    hashed: dict[str, Any] = {kind: salt.keyed(kind, value) for kind, value in stated.items() if value}
    return replace(header, **hashed)


def _to_json(header: Inspection) -> str:
    return json.dumps(asdict(header), sort_keys=True)


def _from_json(text: str) -> Inspection:
    held: dict[str, Any] = json.loads(text)
    held |= {key: tuple(value) for key, value in held.items() if isinstance(value, list)}
    return Inspection(**held)
