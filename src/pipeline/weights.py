"""Which weight files are known, where they come from and which bytes they hold. No torch is imported.

`resources/weights.yaml` is the table. A file `resources/weights/<name>/<file>` that it lists must have the hash that
stands there, whoever put it there; a file of any other folder must have the one in a `SHA256SUMS` beside it, if there
is one.
"""

import os
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Annotated, Self

import yaml
from pydantic import AfterValidator, Field, RootModel, ValidationError, field_validator, model_validator

from pipeline.errors import StudyError
from pipeline.files import sha256
from pipeline.spec import Spec

TABLE = Path("resources/weights.yaml")
SHIPPED = Path(__file__).parent.parent.parent / TABLE
"""The table of this checkout."""
FOLDER = Path("resources/weights")
PICKLES = (".bin", ".ckpt", ".pkl", ".pt", ".pth")
"""Endings of files that may run code when they are read."""
SUMS = "SHA256SUMS"
SUM = re.compile(r"(?P<hash>[0-9a-f]{64}) [ *](?P<file>.+)")

Revision = Annotated[str, Field(pattern="^[0-9a-f]{40}$")]
Hash = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]


def located() -> Path:
    """Return where the table is: in the working directory, or in this checkout where a call is from another folder."""
    return SHIPPED if SHIPPED.is_file() and not TABLE.is_file() else TABLE


def conversion(file: str | Path) -> str:
    """Return the command line that converts a pickle."""
    return f"python -m pipeline.convert --checkpoint {file} --output {Path(file).with_suffix('.safetensors')}"


def _no_pickle(file: str) -> str:
    if Path(file).suffix in PICKLES:
        raise ValueError(f"{file} is a pickle, which may run code when it is read; convert it once: {conversion(file)}")
    return file


WeightFile = Annotated[str, AfterValidator(_no_pickle)]
"""The name of a file in the configuration: a pickle is refused with the command line that converts it."""


class Source(Spec):
    """One file of a repository on the hub.

    Attributes:
        repository: owner and name.
        revision: the commit, 40 hexadecimal digits.
        path: in the repository.
        sha256: of the file as it lies there.
    """

    repository: str
    revision: Revision
    path: str
    sha256: Hash


class File(Spec):
    """One local file.

    Attributes:
        path: in the repository; unsaid, it is the local name.
        sha256: of the file in the repository, None while nobody has asked the hub. A pickle is fetched as it is and
            becomes the local file, whose hash then stands in `<file>.sha256` beside it.
    """

    path: str | None = None
    sha256: Hash | None


class Entry(Spec):
    """One autoencoder.

    Attributes:
        family: that reads it.
        repository: on the hub; None for files that are shipped or come from elsewhere.
        revision: the commit, None while nobody has asked the hub.
        licence: as its page states it.
        gated: whether the repository asks for an account that has accepted the licence.
        source: where the files come from that have no repository.
        files: by their local name.
    """

    family: str
    repository: Annotated[str, Field(pattern=r"^[A-Za-z0-9][\w.-]*/[\w.-]+$")] | None = None
    revision: Revision | None = None
    licence: str
    gated: bool = False
    source: str | None = None
    files: Annotated[dict[Name, File], Field(min_length=1)]

    @model_validator(mode="after")
    def says_where_files_come_from(self) -> Self:
        """A repository needs its revision written out, if only as null; what has none needs its hashes."""
        if self.repository:
            if "revision" not in self.model_fields_set:
                raise ValueError("a repository needs a revision, which may be null")
        elif self.revision or self.gated or any(file.path or not file.sha256 for file in self.files.values()):
            raise ValueError("files without a repository need a sha256, and have no revision and no path")
        for name, file in self.files.items():
            _no_pickle(name)
            if Path(file.path or name).suffix in PICKLES and Path(name).suffix != ".safetensors":
                raise ValueError(f"{file.path} is converted to safetensors: its local name must end so")
        return self

    def pinned(self) -> bool:
        """Return whether everything is known that says which bytes the files hold."""
        known = all(file.sha256 for file in self.files.values())
        return known and (self.repository is None or self.revision is not None)


class Table(RootModel[dict[Name, Entry]]):
    """All entries by the names of their folders."""

    @field_validator("root", mode="before")
    @classmethod
    def is_a_table(cls, entries: object) -> object:
        """An empty file is a table without entries."""
        return {} if entries is None else entries

    @classmethod
    def read(cls, path: Path | None = None) -> Self:
        """Read the table; raise StudyError, which names the key, for a misspelt one and for what is no hash."""
        path = path or located()
        try:
            return cls.model_validate(_parsed(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            raise StudyError(f"the table of weights {path} is missing") from None
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise StudyError(f"{path} cannot be read: {' '.join(str(error).split())}") from None
        except ValidationError as error:
            first = error.errors()[0]
            raise StudyError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None

    def sources(self) -> dict[str, dict[str, Source]]:
        """Return what can be fetched: the files of each entry that has a repository and is pinned."""
        found: dict[str, dict[str, Source]] = {}
        for name, entry in self.root.items():
            if entry.repository and entry.pinned():
                common = {"repository": entry.repository, "revision": entry.revision}
                found[name] = {
                    local: Source.model_validate({**common, "path": file.path or local, "sha256": file.sha256})
                    for local, file in entry.files.items()
                }
        return found


@cache
def _parsed(text: str) -> object:
    """Return what YAML says, parsed once: a study looks its files up one by one."""
    return yaml.safe_load(text)


def require(file: str) -> None:
    """Raise StudyError for a file that is neither there nor fetched by the study."""
    parts = Path(file).parts
    if parts[:-2] == FOLDER.parts and located().is_file():
        name, local = parts[-2:]
        entry = Table.read().root.get(name)
        if entry and entry.repository and local in entry.files:
            _require_pinned(name, entry)
            return
    if Path(file).is_file():
        return
    for ending in PICKLES:
        pickle = Path(file).with_suffix(ending)
        if pickle.is_file():
            raise StudyError(f"the file {file} is missing; convert the pickle beside it once: {conversion(pickle)}")
    raise StudyError(f"the file {file} is missing")


def _require_pinned(name: str, entry: Entry) -> None:
    if not entry.pinned():
        raise StudyError(
            f"{TABLE} does not pin {name}: where there is a network, `python -m pipeline.fetch --pin {name}` asks "
            f"{entry.repository} for its revision and hashes and writes them there"
        )


def verify(files: Iterable[str]) -> list[str]:
    """Return the SHA-256 of each file; raise StudyError, with both hashes, for one that is not what it should be."""
    return [_verified(Path(file)) for file in files]


def _verified(path: Path) -> str:
    if not path.is_file():
        raise StudyError(f"the file {path} is missing")
    found = sha256(path)
    for where, expected in _expected(path).items():
        if found != expected:
            raise StudyError(f"{path} has changed: its SHA-256 is {found}, and {where} says {expected}")
    return found


def _expected(path: Path) -> dict[str, str]:
    """Return what is known of a file's hash, by the file that says so."""
    hashes: dict[str, str] = {}
    beside = {sums: path.with_name(sums) for sums in (SUMS, f"{path.name}.sha256")}
    for sums in beside.values():
        if sums.is_file():
            hashes[str(sums)] = _stated(sums, path.name)
    entry, file = _listed(path)
    if entry and file and Path(file.path or path.name).suffix not in PICKLES:
        _require_pinned(path.parent.name, entry)
        hashes[str(TABLE)] = str(file.sha256)
    elif entry and file and not hashes:
        raise StudyError(f"{path} was not made by the rule fetch: there is no {path.name}.sha256 beside it")
    return hashes


def _listed(path: Path) -> tuple[Entry | None, File | None]:
    """Return the table's entry of a file below `resources/weights`."""
    # By its name as well as by where it lies: a folder here may be a link to one that several checkouts share.
    places = [Path(os.path.normpath(path.absolute())).parent, path.resolve().parent]
    folder = next((place for place in places if place.parent in (FOLDER.absolute(), FOLDER.resolve())), None)
    if folder is None:
        return None, None
    entry = Table.read().root.get(folder.name)
    return entry, entry.files.get(path.name) if entry else None


def _stated(sums: Path, file: str) -> str:
    """Return the hash of a file as `sha256sum` wrote it."""
    for number, line in enumerate(sums.read_text(encoding="utf-8").splitlines(), 1):
        match = SUM.fullmatch(line)
        if match is None:
            raise StudyError(f"{sums}: line {number} is not a SHA-256, two spaces and the name of a file")
        if match["file"].removeprefix("./") == file:
            return match["hash"]
    raise StudyError(f"{sums} does not list {file}")
