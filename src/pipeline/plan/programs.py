"""The programs of a study's rules: for each, one small file that lists its source files and their hashes.

Rules take that file as an input. The source files themselves, some hundred for one job, would be looked at for every
job of a plan, which is most of what planning costs.
"""

import json
import time
from pathlib import Path

from pipeline import sources
from pipeline.files import sha256, write_text

# Hidden, since it is no artifact: every call makes it what it must be.
FOLDER = Path("results/.code")
SINCE = FOLDER / "since.json"
"""For each source file its hash, and when it was first seen so."""


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
                _refresh(path, {_name(source): sha256(source) for source in sources.files(*modules)})
            self._files[modules] = str(path)
        return self._files[modules]


def _name(source: Path) -> str:
    return source.relative_to(sources.SOURCE).as_posix()


def _refresh(path: Path, content: object) -> None:
    """Write a file as JSON, unless it holds that already."""
    text = json.dumps(content, indent=1, sort_keys=True) + "\n"
    if not path.is_file() or path.read_text() != text:
        write_text(path, text)


def note_changes() -> None:
    """Note since when each source file is what it is, for `changed_since`."""
    known, now = _noted(), time.time_ns()
    found = {_name(path): sha256(path) for path in (sources.SOURCE / "pipeline").rglob("*.py")}
    _refresh(SINCE, {name: [digest, _since(known.get(name), digest, now)] for name, digest in found.items()})


def _noted() -> dict[str, list[str | int]]:
    return dict(json.loads(SINCE.read_text())) if SINCE.is_file() else {}


def _since(known: list[str | int] | None, digest: str, now: int) -> int:
    return int(known[1]) if known and known[0] == digest else now


def changed_since(program: Path, made: int) -> list[str]:
    """Return the source files of a program that are others than at a time, in nanoseconds, as far as was noted."""
    noted = _noted()
    return [name for name in json.loads(program.read_text()) if name in noted and int(noted[name][1]) > made]
