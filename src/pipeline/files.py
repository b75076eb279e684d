"""Write files so that a reader sees the old content or the new, never half of it, and so that they outlive a crash."""

import errno
import glob
import hashlib
import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

made: dict[Path, str | None] = {}
"""What this process has put into place, in that order, with its SHA-256 where that is known: see `pipeline.ledger`."""


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a file next to `path`, flush it to the disk, and rename it into place."""
    make_folder(path.parent)
    temporary = beside(path)
    try:
        write(temporary)
        put(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def put(temporary: Path, path: Path, digest: str | None = None) -> None:
    """Rename a finished file into its place on the same file system; once this returns, it outlives a loss of power.

    Args:
        temporary: the file.
        path: its place.
        digest: its SHA-256, where that is known already.
    """
    flush(temporary)
    temporary.replace(path)
    flush(path.parent)
    note(path, digest)


def note(path: Path, digest: str | None = None) -> None:
    """Count a file among those that this process has made, as the last of them."""
    path = path.absolute()
    made.pop(path, None)
    made[path] = digest


def make_folder(folder: Path) -> None:
    """Make a folder with those above it, so that their names outlive a loss of power, too."""
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for place in missing:
        flush(place.parent)


def beside(path: Path) -> Path:
    """Return a name in the same folder for a file that is not finished; no other process uses it.

    What processes of this machine that were killed have left under such names is removed.
    """
    # The ending stays what it was, because several writers choose their format by it.
    host = socket.gethostname()
    for left in path.parent.glob(f".{glob.escape(host)}.*.{glob.escape(path.name)}"):
        process = left.name.removeprefix(f".{host}.").removesuffix(f".{path.name}")
        if process.isdigit() and not _lives(int(process)):
            shutil.rmtree(left) if left.is_dir() else left.unlink(missing_ok=True)
    return path.with_name(f".{host}.{os.getpid()}.{path.name}")


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8", newline="\n"))


def flush(path: Path) -> None:
    """Force a file's content, or the names in a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network file systems cannot flush folders, and write their names at once.
        if not (path.is_dir() and error.errno == errno.EINVAL):
            raise
    finally:
        os.close(descriptor)


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
