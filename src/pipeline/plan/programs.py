"""The programs of a study's rules: for each, one small file that lists its source files and hashes of what they do.

Rules take that file as an input. The source files themselves, some hundred for one job, would be looked at for every
job of a plan, which is most of what planning costs.
"""

import json
import time
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from pipeline import sources
from pipeline.files import sha256, write_text

# Hidden, since it is no artifact: every call makes it what it must be.
FOLDER = Path("results/.code")
SINCE = FOLDER / "since.json"
"""For each source file what is known of it: see `Noted`."""


class Programs:
    """The files that say what programs consist of.

    Args:
        first: whether this is the first process of a call, the only one that brings them up to date. Any other makes
            one that nobody has made.
    """

    def __init__(self, first: bool) -> None:
        self.first = first
        self._files: dict[tuple[str, ...], str] = {}

    def file(self, *modules: str) -> str:
        """Return the file of the program that consists of modules and of all that they import."""
        if modules not in self._files:
            name = ".".join(module.removeprefix("pipeline.") for module in modules)
            # In a folder of its own: Snakemake lists a folder once, and would not see a file that is written later.
            path = FOLDER / name / "sources.json"
            if self.first or not path.is_file():
                _refresh(path, {_name(source): self._meaning(source) for source in sources.files(*modules)})
            self._files[modules] = str(path)
        return self._files[modules]

    def _meaning(self, source: Path) -> str:
        """Return what stands for what a source file does, as was noted: to read them all takes a second."""
        known = self._known.get(_name(source))
        return known.meaning if known and known.digest == sha256(source) else sources.meaning(source)

    @cached_property
    def _known(self) -> dict[str, "Noted"]:
        return _noted()


class Noted(NamedTuple):
    """What is known of a source file.

    Attributes:
        digest: the hash of its bytes.
        meaning: the hash of what it does, see `pipeline.sources`.
        since: when it was first seen to do that, in nanoseconds.
    """

    digest: str
    meaning: str
    since: int


def _name(source: Path) -> str:
    return source.relative_to(sources.SOURCE).as_posix()


def _refresh(path: Path, content: object) -> None:
    """Write a file as JSON, unless it holds that already."""
    text = json.dumps(content, indent=1, sort_keys=True) + "\n"
    if not path.is_file() or path.read_text() != text:
        write_text(path, text)


def note_changes() -> None:
    """Note since when each source file does what it does, for `changed_since`."""
    known, now = _noted(), time.time_ns()
    found = (sources.SOURCE / "pipeline").rglob("*.py")
    _refresh(SINCE, {_name(path): _looked_at(path, known.get(_name(path)), now) for path in found})


def _looked_at(path: Path, known: Noted | None, now: int) -> Noted:
    digest = sha256(path)
    if known and known.digest == digest:
        return known
    meaning = sources.meaning(path)
    return Noted(digest, meaning, known.since if known and known.meaning == meaning else now)


def _noted() -> dict[str, Noted]:
    """Return what was noted; of a file that another version wrote, nothing."""
    known = json.loads(SINCE.read_text()) if SINCE.is_file() else {}
    return {name: Noted(*each) for name, each in known.items() if len(each) == len(Noted._fields)}


def changed_since(program: Path, made: int) -> list[str]:
    """Return the source files of a program that do something else than at a time, as far as was noted.

    Args:
        program: its file.
        made: the time in nanoseconds.
    """
    noted = _noted()
    return [name for name in json.loads(program.read_text()) if name in noted and noted[name].since > made]
