"""What a program says is done is on the disk, names included."""

import errno
import os
import socket
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from pipeline import files
from pipeline.files import flush, make_folder, sha256, write_atomically, write_text
from pipeline.store import Layout, lay_out, shard_path, write_shard


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What is flushed and renamed, in order, by name; a file is known by its number, as its name changes."""
    seen: list[tuple[str, str]] = []
    names: dict[int, Path] = {}
    fsync, rename, mkdir = os.fsync, os.replace, os.mkdir

    def flushed(descriptor: int) -> None:
        status, place = os.fstat(descriptor), Path(f"/proc/self/fd/{descriptor}").readlink()
        seen.append(("folder" if stat.S_ISDIR(status.st_mode) else "file", str(place)))
        names[status.st_ino] = place
        fsync(descriptor)

    def renamed(source: str | Path, target: str | Path, **_: object) -> None:
        lasting = names.get(Path(source).stat().st_ino) == Path(source).absolute()
        rename(source, target)
        seen.append(("renamed" if lasting else "renamed, not flushed", str(Path(target).absolute())))

    def made(path: str | Path, *arguments: int) -> None:
        mkdir(path, *arguments)
        seen.append(("made", str(Path(path).absolute())))

    monkeypatch.setattr(os, "fsync", flushed)
    monkeypatch.setattr(os, "replace", renamed)
    monkeypatch.setattr(os, "rename", renamed)
    monkeypatch.setattr(os, "mkdir", made)
    return seen


def last(events: list[tuple[str, str]], path: Path) -> None:
    """Fail unless a file was flushed and renamed, and then its folder flushed, and those above folders that are new."""
    place = events.index(("renamed", str(path)))
    assert ("folder", str(path.parent)) in events[place:]
    for number, (kind, name) in enumerate(events):
        if kind == "made" and name in map(str, path.parents):
            assert ("folder", str(Path(name).parent)) in events[number:]


def table(path: Path) -> None:
    save_file({"a": np.zeros(3, np.float32)}, path)


@pytest.mark.parametrize("write", [lambda path: path.write_bytes(b"1"), table], ids=["bytes", "safetensors"])
def test_a_file_is_flushed_renamed_and_its_folder_flushed(
    tmp_path: Path, events: list[tuple[str, str]], write: Callable[[Path], object]
) -> None:
    path = tmp_path / "new/further/a.safetensors"
    write_atomically(path, write)
    last(events, path)


def test_a_shard_is_flushed_like_any_file(tmp_path: Path, events: list[tuple[str, str]]) -> None:
    lay_out(tmp_path / "a.zarr", Layout(4, (1, 2, 2), 2, "float32", {}))
    manifest = write_shard(tmp_path / "a.zarr", 1, np.zeros((2, 1, 2, 2), np.float32), {})
    last(events, shard_path(tmp_path / "a.zarr", 1))
    assert manifest.sha256 == sha256(shard_path(tmp_path / "a.zarr", 1))
    assert files.made[shard_path(tmp_path / "a.zarr", 1)] == manifest.sha256


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_text(tmp_path / "a", "old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_text(tmp_path / "a", "new")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a", "old")]


def test_a_file_system_that_cannot_flush_folders_is_no_error_and_one_that_fails_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(number: int) -> Callable[[int], None]:
        def fail(_: int) -> None:
            raise OSError(number, os.strerror(number))

        return fail

    monkeypatch.setattr(os, "fsync", refuse(errno.EINVAL))
    flush(tmp_path)
    (tmp_path / "a").touch()
    with pytest.raises(OSError, match="Invalid argument"):
        flush(tmp_path / "a")
    monkeypatch.setattr(os, "fsync", refuse(errno.EIO))
    with pytest.raises(OSError, match="Input/output error"):
        flush(tmp_path)


def test_what_a_killed_process_left_is_removed_and_what_a_living_one_writes_is_not(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "60"]) as living:
        dead = subprocess.Popen(["true"])
        dead.wait()
        names = (f"{dead.pid}.a", f"{living.pid}.a", f"{dead.pid}.b")
        left, kept, other = (tmp_path / f".{socket.gethostname()}.{name}" for name in names)
        for path in (left, kept, other):
            path.touch()
        write_text(tmp_path / "a", "content")
        living.kill()
    assert sorted(tmp_path.iterdir()) == sorted([kept, other, tmp_path / "a"])


def test_a_folder_that_another_process_makes_at_the_same_time_is_no_error(tmp_path: Path) -> None:
    make_folder(tmp_path / "a/b")
    make_folder(tmp_path / "a/b")
    assert (tmp_path / "a/b").is_dir()
