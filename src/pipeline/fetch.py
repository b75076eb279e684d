"""Stage fetch: published weights at their pinned revision, or what the hub says of them.

Only this program uses the network. A file that has arrived counts only once its hash is the one in the table.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from pipeline.errors import StudyError
from pipeline.files import sha256, write_atomically, write_text
from pipeline.program import run
from pipeline.sources import SOURCE
from pipeline.weights import PICKLES, TABLE, Entry, Source, Table

if TYPE_CHECKING:
    from huggingface_hub.hf_api import ModelInfo

WAITS = (2.0, 10.0, 30.0)
"""Seconds before each further attempt. The hub's own library already tries a request several times."""
KEPT = ("PATH", "LD_LIBRARY_PATH", "TMPDIR")
"""What a conversion sees of the environment."""


def fetch(source: Source, output: Path) -> None:
    """Fetch one file, compare its hash, and rename it into place; a pickle is converted first.

    Raises:
        StudyError: no access, no network, or other bytes than those that are pinned. Nothing is left behind.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=".fetch-") as folder:
        file = _download(source.repository, source.revision, source.path, Path(folder), output)
        found = sha256(file)
        if found != source.sha256:
            raise StudyError(
                f"{source.path} of {source.repository} at {source.revision} has the SHA-256 {found}, and {TABLE} says "
                f"{source.sha256}: it is refused"
            )
        if file.suffix in PICKLES:
            file = _converted(file)
            write_text(output.with_name(f"{output.name}.sha256"), f"{sha256(file)}  {output.name}\n")
        write_atomically(output, file.replace)


def _converted(checkpoint: Path) -> Path:
    """Convert a pickle in a process that sees neither the user's token nor anything else of the environment."""
    output = checkpoint.with_suffix(".safetensors")
    command = [sys.executable, "-m", "pipeline.convert", "--checkpoint", str(checkpoint), "--output", str(output)]
    environment = {name: os.environ[name] for name in KEPT if name in os.environ} | {"PYTHONPATH": str(SOURCE)}
    finished = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if finished.returncode:
        said = finished.stderr.strip().removeprefix("error: ").replace(str(checkpoint), checkpoint.name)
        raise StudyError(said or f"{checkpoint.name} cannot be converted")
    return output


def _download(repository: str, revision: str, path: str, folder: Path, output: Path) -> Path:
    """Download a file into a folder; what may pass is tried again."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError, RevisionNotFoundError

    at_hand = f"or put {path} of {repository} at revision {revision} there by hand, as {output}"
    for wait in (*WAITS, None):
        try:
            return Path(hf_hub_download(repository, path, revision=revision, local_dir=folder))
        except Exception as error:
            _refuse_without_access(error, repository)
            if isinstance(error, LocalEntryNotFoundError):
                # The library has asked six times, and nobody answered.
                reason = type(error.__cause__ or error).__name__
                raise StudyError(
                    f"the hub cannot be reached ({reason}): try where there is a network, {at_hand}"
                ) from None
            if isinstance(error, EntryNotFoundError | RevisionNotFoundError):
                raise StudyError(f"{repository} has no {path} at revision {revision}") from None
            if wait is None:
                raise StudyError(f"{path} cannot be fetched ({type(error).__name__}): try again, {at_hand}") from None
            sys.stderr.write(f"{type(error).__name__}: trying again in {wait:.0f} s\n")
            time.sleep(wait)
    raise AssertionError


def _refuse_without_access(error: Exception, repository: str) -> None:
    """Raise StudyError if the hub refused access, which the library may tell by the error behind the one it raised."""
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError

    behind = error if isinstance(error, HfHubHTTPError) else error.__cause__
    what_to_do = "accept the licence on its page on the hub, and set HF_TOKEN to a token of that account"
    if isinstance(behind, GatedRepoError):
        raise StudyError(f"{repository} is gated: {what_to_do}") from None
    if isinstance(behind, RepositoryNotFoundError):
        raise StudyError(f"{repository} does not exist or is not open to everyone: {what_to_do}") from None
    if isinstance(behind, HfHubHTTPError) and behind.response.status_code in (401, 403):
        raise StudyError(f"the hub refuses access to {repository}: {what_to_do}") from None


def pin(name: str, table: Path = TABLE) -> list[str]:
    """Ask the hub for an entry's revision and hashes, write them into the table, and return what was written.

    A revision that stands there is kept. Large files are not downloaded: the hub knows their hashes.

    Raises:
        StudyError: no such entry, no access, no network, or another hash than one that stood there.
    """
    entry = Table.read(table).root.get(name)
    if entry is None or entry.repository is None:
        raise StudyError(f"{table} has no entry {name} with a repository")
    info = _info(entry)
    hashes = _hashes(entry, info)
    changes: dict[tuple[str, ...], str] = {(name, "revision"): str(info.sha)}
    for local, found in hashes.items():
        known = entry.files[local].sha256
        if known and known != found:
            raise StudyError(f"{name}: {local}: the hub says {found}, and {table} says {known}: nothing is written")
        changes[name, "files", local, "sha256"] = found
    write_text(table, _replaced(table.read_text(encoding="utf-8"), changes))
    if not Table.read(table).root[name].pinned():
        raise AssertionError(f"{table} was not written as it should be")
    licence = info.card_data.get("license") if info.card_data else None
    stated = [f"the hub states the licence {licence}; the table says {entry.licence}"]
    return [f"{'.'.join(key)}: {value}" for key, value in changes.items()] + stated


def _info(entry: Entry) -> "ModelInfo":
    from huggingface_hub import HfApi
    from huggingface_hub.errors import RevisionNotFoundError

    try:
        return HfApi().model_info(str(entry.repository), revision=entry.revision, files_metadata=True)
    except Exception as error:
        _refuse_without_access(error, str(entry.repository))
        if isinstance(error, RevisionNotFoundError):
            raise StudyError(f"{entry.repository} has no revision {entry.revision}") from None
        raise StudyError(f"the hub cannot be asked for {entry.repository} ({type(error).__name__})") from None


def _hashes(entry: Entry, info: "ModelInfo") -> dict[str, str]:
    """Return each file's hash: as the hub states it for large files, of the file itself for small ones."""
    known = {sibling.rfilename: sibling for sibling in info.siblings or ()}
    hashes: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        for local, file in entry.files.items():
            path = file.path or local
            if path not in known:
                raise StudyError(f"{entry.repository} has no {path} at revision {info.sha}")
            large = known[path].lfs
            if large is not None:
                hashes[local] = large.sha256
            else:
                small = _download(str(entry.repository), str(info.sha), path, Path(folder), Path(local))
                hashes[local] = sha256(small)
    return hashes


def _replaced(text: str, changes: dict[tuple[str, ...], str]) -> str:
    """Return a YAML text with other values, and everything else in it as it was, comments included."""
    spans = []
    for keys, value in changes.items():
        node: Any = yaml.compose(text, Loader=yaml.SafeLoader)
        for key in keys:
            node = next(below for name, below in node.value if name.value == key)
        spans.append((node.start_mark.index, node.end_mark.index, value))
    for start, end, value in sorted(spans, reverse=True):
        # Digits alone would be read as a number.
        text = text[:start] + (f'"{value}"' if value.isdigit() else value) + text[end:]
    return text


def _stop(*_: object) -> None:
    raise SystemExit(143)


def main() -> None:
    """Fetch one file, or pin one entry of the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", help="repository, revision, path and hash as JSON")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--pin", metavar="NAME", help="ask the hub for revision and hashes of this entry of the table")
    arguments = parser.parse_args()
    # The temporary folder goes when the program ends, not when it is ended.
    signal.signal(signal.SIGTERM, _stop)
    if arguments.pin:
        print("\n".join(pin(arguments.pin)))
    elif arguments.source and arguments.output:
        fetch(Source.read(arguments.source), arguments.output)
    else:
        parser.error("either --pin, or --source and --output")


if __name__ == "__main__":
    run(main)
