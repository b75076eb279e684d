"""A folder of the user's own in which studies share what is identical: jobs look there first, and leave what they make.

An entry is found by a hash of everything that its files depend on, and is a copy: nothing that happens to one study's
files happens to another's. The folder holds what patients' images became, so it must be its owner's alone; Snakemake's
own cache between workflows is for data that everybody may read.
"""

import hashlib
import json
import os
import platform
import shutil
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pipeline import sources
from pipeline.errors import StudyError
from pipeline.files import beside, flush, sha256, write_atomically

VARIABLE = "LEARNABILITY_POOL"
"""The environment variable that names the folder; unset, nothing is shared. It is no setting of a study, because no
result depends on it."""
RECORD = "files.json"
LIBRARIES = (
    *("diffusers", "huggingface-hub", "numcodecs", "numpy", "onnxruntime", "pillow", "scikit-learn", "timm"),
    *("torch", "torchvision", "transformers", "zarr"),
)
DRIVER = Path("/dev/nvidiactl")
"""There where an accelerator is: its arithmetic is not the processor's to the last bit."""

_waiting: dict[Path, list[Path]] = {}
"""Entries that this process looked for in vain, each with the files that it is making."""


def folder() -> Path | None:
    """Return the pool, made where it is not there yet; None where none is named.

    Raises:
        StudyError: the folder is not absolute, somebody else's, or others may look into it.
    """
    named = os.environ.get(VARIABLE)
    if not named:
        return None
    path = Path(named)
    if not path.is_absolute():
        raise StudyError(f"{VARIABLE} is {named}, which is another folder wherever a job runs; give an absolute path")
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = path.stat()
    if status.st_uid != os.getuid():
        raise StudyError(f"{VARIABLE} is {named}, which is another user's; name a folder of your own")
    if status.st_mode & 0o077:
        raise StudyError(f"others may look into {named}, where patients' data would lie; call: chmod 700 {named}")
    return path


def taken(stage: str, made_from: Mapping[str, Any], modules: Sequence[str], outputs: Sequence[Path]) -> bool:
    """Fill a job's outputs from the pool, if what they are made from was there before.

    Otherwise, once the program has ended well (`offer`), the pool gets what it made.

    Args:
        stage: its name.
        made_from: all that the outputs depend on, apart from code, libraries and the kind of machine, as JSON values.
        modules: dotted names of the modules whose code the outputs depend on, with all that they import.
        outputs: the files, in the order in which they must appear.

    Raises:
        StudyError: the pool is not safe to use.
    """
    place = folder()
    if place is None:
        return False
    entry = place / stage / identity(stage, made_from, modules)
    if _copied(entry, outputs):
        sys.stderr.write(f"made from the same before: copied from {entry}\n")
        return True
    _waiting[entry] = list(outputs)
    return False


def identity(stage: str, made_from: Mapping[str, Any], modules: Sequence[str]) -> str:
    """Return a hash of what a job's outputs depend on."""
    code = [(str(path.relative_to(sources.SOURCE)), sources.meaning(path)) for path in sources.files(*modules)]
    machine = {"processor": platform.machine(), "accelerator": DRIVER.exists()}
    libraries = {name: _version(name) for name in LIBRARIES}
    told = {"stage": stage, "made_from": made_from, "code": code, "machine": machine, "libraries": libraries}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _copied(entry: Path, outputs: Sequence[Path]) -> bool:
    if not entry.is_dir():
        return False
    try:
        hashes = json.loads((entry / RECORD).read_text())
        for number, output in enumerate(outputs):
            source = entry / str(number)
            write_atomically(output, lambda temporary, source=source: shutil.copyfile(source, temporary))  # type: ignore[misc]
            if sha256(output) != hashes[number]:
                raise ValueError("the bytes are others")
    except (FileNotFoundError, ValueError, LookupError, TypeError):
        sys.stderr.write(f"{entry} is damaged; it is made again\n")
        for output in outputs:
            output.unlink(missing_ok=True)
        # Another job may be removing it, too.
        shutil.rmtree(entry, ignore_errors=True)
        return False
    return True


def offer() -> None:
    """Leave in the pool what this process looked for there in vain and has made; a full disk costs the entry alone."""
    while _waiting:
        entry, outputs = _waiting.popitem()
        try:
            _put(entry, outputs)
        except OSError as error:
            sys.stderr.write(f"{entry} could not be written ({error.strerror}); this study has what it made\n")


def _put(entry: Path, outputs: Sequence[Path]) -> None:
    entry.parent.mkdir(mode=0o700, exist_ok=True)
    unfinished = beside(entry)
    unfinished.mkdir(mode=0o700)
    try:
        for number, output in enumerate(outputs):
            shutil.copyfile(output, unfinished / str(number))
        hashes = [sha256(unfinished / str(number)) for number in range(len(outputs))]
        (unfinished / RECORD).write_text(json.dumps(hashes) + "\n")
        for path in unfinished.iterdir():
            flush(path)
        if not entry.exists():
            unfinished.rename(entry)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
