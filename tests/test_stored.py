"""Rows of a store in any order: those that zarr gives, each chunk checked once, and any head trained on them."""

import os
import threading
from pathlib import Path
from typing import Any, Literal

import google_crc32c
import numpy as np
import pytest
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline import stored
from pipeline.errors import StudyError
from pipeline.halves import widened
from pipeline.store import GRID, Layout, lay_out, shard_path, shard_rows, write_shard
from pipeline.stored import Stored
from pipeline.values import Values, blocks, digest, fingerprint, whole

SHAPE = (2, 4, 4)
Dtype = Literal["uint16", "float16", "float32"]


def filled(folder: Path, dtype: Dtype = "float16", rows: int = 95, shards: int = 3) -> Path:
    """Write a store of random values."""
    lay_out(folder, Layout(rows, SHAPE, shards, dtype, {}))
    for shard in range(shards):
        start, stop = shard_rows(folder, shard)
        values = np.random.default_rng(shard).uniform(0, 1000, (stop - start, *SHAPE)).astype(dtype)
        write_shard(folder, shard, values, {})
    return folder


def plain(folder: Path) -> np.ndarray:
    """Read all of it by zarr."""
    values = np.asarray(zarr.open_array(folder, mode="r")[:])
    return values.astype(np.float32) / np.float32(GRID) if values.dtype == np.uint16 else values.astype(np.float32)


def open_files(folder: Path) -> int:
    """Count the open files of a folder: others come and go as garbage of earlier tests is collected."""
    descriptors = Path("/proc/self/fd").iterdir()
    return sum(Path(os.path.realpath(descriptor)).is_relative_to(folder) for descriptor in descriptors)


@pytest.fixture(scope="module", params=["uint16", "float16", "float32"])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Stored, np.ndarray]:
    folder = filled(tmp_path_factory.mktemp("store") / "store.zarr", request.param)
    return Stored(folder), plain(folder)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(0, 94), max_size=60))
def test_any_rows_come_in_the_order_that_is_asked_for(store: tuple[Stored, np.ndarray], rows: list[int]) -> None:
    values, expected = store
    found = values[np.array(rows, np.int64)]
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, expected[np.array(rows, np.int64)])


@given(st.slices(95))
def test_slices_are_those_of_an_array(store: tuple[Stored, np.ndarray], part: slice) -> None:
    values, expected = store
    np.testing.assert_array_equal(values[part], expected[part])


def test_what_is_read_in_blocks_is_all_of_it(store: tuple[Stored, np.ndarray]) -> None:
    values, expected = store
    assert (values.shape, len(values)) == (expected.shape, 95)
    rows = np.arange(94, -1, -3)
    np.testing.assert_array_equal(whole(values), expected)
    np.testing.assert_array_equal(np.concatenate(list(blocks(values))), expected)
    np.testing.assert_array_equal(np.concatenate(list(blocks(values, rows))), expected[rows])
    assert digest(values) == digest(expected)
    assert fingerprint(values) == fingerprint(values) != fingerprint(expected)


@pytest.mark.parametrize("rows", [[95], [-1], [0, 200], [True, False], [0.0]])
def test_rows_that_are_not_there_are_refused(store: tuple[Stored, np.ndarray], rows: list[Any]) -> None:
    with pytest.raises(IndexError, match="holds the rows 0 to 94"):
        store[0][np.array(rows)]


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_every_changed_byte_and_every_cut_is_noticed_when_a_row_is_first_read(tmp_path: Path, dtype: Dtype) -> None:
    folder = filled(tmp_path, dtype, rows=2, shards=1)
    path, rows = shard_path(folder, 0), np.array([1, 0])
    content = path.read_bytes()
    changed = [content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :] for at in range(len(content))]
    for damaged in [*changed, *(content[:length] for length in range(len(content)))]:
        path.write_bytes(damaged)
        with pytest.raises(StudyError, match="0/0/0/0 is damaged; delete it"):
            Stored(folder)[rows]


def test_a_chunk_is_compared_with_its_checksum_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, compared = filled(tmp_path, rows=96, shards=2), list[int]()
    values, expected = Stored(folder), plain(folder)

    def value(data: bytes) -> int:
        compared.append(len(data))
        return original(data)

    original = google_crc32c.value
    monkeypatch.setattr(google_crc32c, "value", value)
    for row in (5, 50, 5, 6, 51, 7):
        np.testing.assert_array_equal(values[np.array([row])], expected[[row]])
    # An index of three chunks for each shard, and a chunk of 16 rows of 64 bytes.
    assert sorted(compared) == [48, 48, 1024, 1024]


def test_a_file_that_was_cut_since_is_noticed(tmp_path: Path) -> None:
    values, path = Stored(filled(tmp_path, rows=32, shards=1)), shard_path(tmp_path, 0)
    values[np.array([31])]
    os.truncate(path, 1000)
    with pytest.raises(StudyError, match="is damaged"):
        values[np.array([30])]


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    values = Stored(filled(tmp_path))
    shard_path(tmp_path, 1).unlink()
    with pytest.raises(StudyError, match="c/1/0/0/0 is missing"):
        values[np.array([0, 40])]


def test_more_shards_than_may_be_open_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "OPEN_FILES", 2)
    folder = filled(tmp_path, rows=20, shards=10)
    values = Stored(folder)
    for seed in range(5):
        rows = np.random.default_rng(seed).integers(0, 20, 30)
        np.testing.assert_array_equal(values[rows], plain(folder)[rows])
        assert 1 <= open_files(folder) <= 2
    values.close()
    assert open_files(folder) == 0


def test_several_threads_get_what_they_ask_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "OPEN_FILES", 1)
    folder = filled(tmp_path)
    values, expected, wrong = Stored(folder), plain(folder), list[int]()

    def read(seed: int) -> None:
        random = np.random.default_rng(seed)
        for _ in range(30):
            rows = random.integers(0, 95, 20)
            if not np.array_equal(values[rows], expected[rows]):
                wrong.append(seed)

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_every_float16_is_the_same_number_in_float32() -> None:
    halves = np.arange(2**16, dtype=np.uint16).view(np.float16)
    finite = halves[np.isfinite(halves)]
    many = np.concatenate([finite, finite, halves, finite])
    for some in (halves, finite, finite[:1], finite[:0], finite.reshape(-1, 2, 4), finite[::3], many):
        np.testing.assert_array_equal(widened(some).view(np.uint32), some.astype(np.float32).view(np.uint32))


def test_an_array_is_values(tmp_path: Path) -> None:
    values: Values = np.zeros((3, *SHAPE), np.float32)
    assert whole(values) is values
    other = values.copy()
    assert fingerprint(values) == fingerprint(other)
    other[0] = 1
    assert fingerprint(values) != fingerprint(other)
