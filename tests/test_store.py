"""Whole shards, each a file of its own, each what its manifest says."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st

from pipeline.ahead import ahead
from pipeline.errors import StudyError
from pipeline.store import (
    GRID,
    Layout,
    Manifest,
    Rows,
    ShardWriter,
    check,
    from_grid,
    lay_out,
    rows_per_shard,
    shard_path,
    shard_rows,
    to_grid,
    write_shard,
)

SHAPE = (2, 4, 4)


def laid_out(
    folder: Path, dtype: Literal["uint16", "float16", "float32"] = "float32", rows: int = 25, shards: int = 3
) -> Path:
    lay_out(folder, Layout(rows, SHAPE, shards, dtype, {"kind": "latents"}))
    return folder


def values(folder: Path, shard: int, seed: int = 0) -> np.ndarray:
    start, stop = shard_rows(folder, shard)
    return np.random.default_rng([seed, shard]).normal(size=(stop - start, *SHAPE)).astype(np.float32)


def filled(folder: Path, shards: int = 3) -> list[Path]:
    """Fill a store and return its manifests."""
    manifests = [folder.with_name("store") / f"{shard}.json" for shard in range(shards)]
    for shard, path in enumerate(manifests):
        write_shard(folder, shard, values(folder, shard), {"spec": "test"}).write(path)
    return manifests


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 0.0), ("float16", 2e-3)])
def test_rows_come_back_across_shards(tmp_path: Path, dtype: Literal["float16", "float32"], tolerance: float) -> None:
    store = laid_out(tmp_path / "store.zarr", dtype)
    filled(store)
    rows = Rows(store)
    expected = np.concatenate([values(store, shard) for shard in range(3)])
    assert (len(rows), rows.shape, rows.dtype, rows.attributes) == (25, SHAPE, np.dtype(dtype), {"kind": "latents"})
    for start, stop in [(0, 25), (8, 10), (24, 25), (20, 99)]:
        read = rows.read(start, stop)
        assert read.dtype == np.float32
        np.testing.assert_allclose(read, expected[start:stop], rtol=tolerance, atol=tolerance)


def test_a_plain_zarr_reader_sees_the_same(tmp_path: Path) -> None:
    store = laid_out(tmp_path / "store.zarr")
    filled(store)
    np.testing.assert_array_equal(zarr.open_array(store, mode="r")[:], Rows(store).read(0, 25))


@given(st.integers(1, 2000), st.integers(1, 200))
def test_every_row_is_in_one_shard_and_no_shard_is_empty(rows: int, shards: int) -> None:
    try:
        per_shard = rows_per_shard(rows, shards)
    except StudyError as error:
        suggested = int(str(error).split("'shards: ")[1].rstrip("'"))
        assert 1 <= suggested < shards
        per_shard, shards = rows_per_shard(rows, suggested), suggested
    assert per_shard * (shards - 1) < rows <= per_shard * shards


def test_shards_cover_the_rows_of_the_store_on_the_disk(tmp_path: Path) -> None:
    store = laid_out(tmp_path, rows=25, shards=3)
    assert [shard_rows(store, shard) for shard in range(3)] == [(0, 9), (9, 18), (18, 25)]


@pytest.mark.parametrize(
    ("shape", "reason"),
    [
        ((8, *SHAPE), "shard 0 of .* takes 9 rows, not 8"),
        ((10, *SHAPE), "shard 0 of .* takes 9 rows, not 10"),
        ((9, 2, 4, 5), r"takes \(2, 4, 4\), not \(2, 4, 5\)"),
        ((9, 32), r"takes \(2, 4, 4\), not \(32,\)"),
    ],
)
def test_values_that_are_not_the_shards_rows_are_refused(tmp_path: Path, shape: tuple[int, ...], reason: str) -> None:
    store = laid_out(tmp_path)
    with pytest.raises(StudyError, match=reason):
        write_shard(store, 0, np.zeros(shape, np.float32), {})
    assert not shard_path(store, 0).exists()


@pytest.mark.parametrize(("dtype", "bad"), [("float32", np.nan), ("float32", np.inf), ("float16", 1e6)])
def test_values_that_are_not_finite_as_stored_are_refused(
    tmp_path: Path, dtype: Literal["float16", "float32"], bad: float
) -> None:
    store = laid_out(tmp_path, dtype)
    broken = values(store, 1)
    broken[4, 1, 2, 3] = bad
    with pytest.raises(StudyError, match=f"row 13 of .* is not finite as {dtype}"):
        write_shard(store, 1, broken, {})
    assert not shard_path(store, 1).exists()


def test_pixels_that_are_not_on_the_grid_are_refused(tmp_path: Path) -> None:
    store = laid_out(tmp_path, "uint16")
    with pytest.raises(StudyError, match="holds uint16, and float32"):
        write_shard(store, 0, np.full((9, *SHAPE), 0.5, np.float32), {})


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_a_shard_of_zeros_is_a_file(tmp_path: Path, dtype: Literal["uint16", "float32"]) -> None:
    store = laid_out(tmp_path, dtype)
    manifest = write_shard(store, 0, np.zeros((9, *SHAPE), dtype), {})
    assert shard_path(store, 0).stat().st_size == manifest.bytes > 0
    np.testing.assert_array_equal(Rows(store).read(0, 9), 0)


def test_a_missing_shard_is_not_read_as_zeros(tmp_path: Path) -> None:
    store = laid_out(tmp_path / "store.zarr")
    filled(store)
    shard_path(store, 1).unlink()
    Rows(store).read(0, 9)
    Rows(store).read(18, 25)
    for start, stop in [(0, 10), (9, 18), (0, 25), (17, 19)]:
        with pytest.raises(StudyError, match="c/1/0/0/0 is missing"):
            Rows(store).read(start, stop)


def test_the_same_rows_give_the_same_bytes_and_the_same_manifest(tmp_path: Path) -> None:
    stores = [laid_out(tmp_path / name / "store.zarr") for name in ("a", "b")]
    manifests = [filled(store) for store in stores]
    first = [(shard_path(stores[0], k).read_bytes(), manifests[0][k].read_bytes()) for k in range(3)]
    assert first == [(shard_path(stores[1], k).read_bytes(), manifests[1][k].read_bytes()) for k in range(3)]
    assert (stores[0] / "zarr.json").read_bytes() == (stores[1] / "zarr.json").read_bytes()
    filled(stores[0])
    assert first == [(shard_path(stores[0], k).read_bytes(), manifests[0][k].read_bytes()) for k in range(3)]


def test_what_is_left_of_a_damaged_shard_does_not_matter(tmp_path: Path) -> None:
    store = laid_out(tmp_path / "store.zarr")
    manifests = filled(store)
    shard_path(store, 1).write_bytes(b"half a shard")
    write_shard(store, 1, values(store, 1), {"spec": "test"})
    check(store, manifests)


def test_laying_out_again_leaves_shards_alone(tmp_path: Path) -> None:
    store = laid_out(tmp_path / "store.zarr")
    manifests = filled(store)
    laid_out(store)
    check(store, manifests)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("harm", [flip, Path.unlink, lambda path: path.write_bytes(path.read_bytes()[:-1])])
def test_a_shard_that_is_not_what_its_manifest_says_is_named(tmp_path: Path, harm: Callable[[Path], object]) -> None:
    store = laid_out(tmp_path / "store.zarr")
    manifests = filled(store)
    check(store, manifests)
    harm(shard_path(store, 2))
    check(store, manifests[:2])
    with pytest.raises(StudyError, match=r"c/2/0/0/0 is not what .*2\.json describes; delete it"):
        check(store, manifests)


@pytest.mark.parametrize("content", ['{"lost": true}', "", "[]", "{", '{"start": 0}'])
def test_a_manifest_that_describes_no_shard_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "0.json"
    path.write_text(content)
    with pytest.raises(StudyError, match=r"0\.json describes no shard"):
        Manifest.read(path)


def test_a_manifest_comes_back(tmp_path: Path) -> None:
    manifest = Manifest(3, 9, "ab", 12, {"spec": {"family": "identity"}})
    manifest.write(tmp_path / "m.json")
    assert Manifest.read(tmp_path / "m.json") == manifest


@pytest.mark.parametrize("bits", [1, 8, 12, 16])
def test_every_level_of_a_bit_depth_survives_the_grid(bits: int) -> None:
    levels = np.arange(2**bits)
    pixels = (levels / (2**bits - 1)).astype(np.float32)
    stored = to_grid(pixels)
    assert len(np.unique(stored)) == 2**bits
    np.testing.assert_array_equal(np.rint(from_grid(stored).astype(np.float64) * (2**bits - 1)), levels)
    np.testing.assert_array_equal(to_grid(from_grid(stored)), stored)


def test_the_grid_clips_and_refuses_what_is_not_finite() -> None:
    np.testing.assert_array_equal(to_grid(np.float32([-1e30, -0.1, 0, 1, 1.1, 1e30])), [0, 0, 0, GRID, GRID, GRID])
    for bad in (np.nan, np.inf, -np.inf):
        with pytest.raises(StudyError, match="not finite"):
            to_grid(np.float32([0, bad]))


@pytest.mark.parametrize("dtype", ["uint16", "float16", "float32"])
@pytest.mark.parametrize("step", [1, 7, 16, 100])
def test_a_shard_written_in_parts_is_what_zarr_writes_whole(
    tmp_path: Path, dtype: Literal["uint16", "float16", "float32"], step: int
) -> None:
    # 100 rows in 3 shards: chunks of 2 rows; 90 in 3 shards and 64 in 2: the last shard or chunk is not full.
    for rows, shards in [(100, 3), (95, 3), (64, 2)]:
        store = laid_out(tmp_path / f"{rows}.zarr", dtype, rows, shards)
        theirs = laid_out(tmp_path / f"{rows}.theirs.zarr", dtype, rows, shards)
        for shard in range(shards):
            start, stop = shard_rows(store, shard)
            whole = np.random.default_rng(shard).uniform(0, 1000, (stop - start, *SHAPE)).astype(dtype)
            whole[: len(whole) // 3] = 0
            with zarr.config.set({"array.write_empty_chunks": True}):
                zarr.open_array(theirs, mode="r+")[start:stop] = whole
            with ShardWriter(store, shard) as writer:
                for at in range(0, len(whole), step):
                    writer.append(whole[at : at + step])
                manifest = writer.finish({})
            assert shard_path(store, shard).read_bytes() == shard_path(theirs, shard).read_bytes()
            assert (manifest.start, manifest.stop) == (start, stop)
        np.testing.assert_array_equal(zarr.open_array(store, mode="r")[:], zarr.open_array(theirs, mode="r")[:])


@pytest.mark.parametrize("dtype", ["uint16", "float16", "float32"])
def test_any_part_of_a_store_is_read_as_zarr_reads_it(
    tmp_path: Path, dtype: Literal["uint16", "float16", "float32"]
) -> None:
    store = laid_out(tmp_path, dtype, rows=95)
    for shard in range(3):
        start, stop = shard_rows(store, shard)
        write_shard(store, shard, (np.arange(start * 32, stop * 32) % 2000).reshape(-1, *SHAPE).astype(dtype), {})
    array, rows = zarr.open_array(store, mode="r"), Rows(store)
    for start, stop in [(0, 95), (0, 1), (31, 33), (5, 70), (94, 95), (40, 40), (90, 200)]:
        expected = np.asarray(array[start:stop])
        expected = from_grid(expected) if expected.dtype == np.uint16 else expected.astype(np.float32)
        np.testing.assert_array_equal(rows.read(start, stop), expected)


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_every_changed_byte_and_every_cut_is_noticed_where_it_is_read(
    tmp_path: Path, dtype: Literal["uint16", "float32"]
) -> None:
    store = laid_out(tmp_path, dtype, rows=6, shards=1)
    write_shard(store, 0, np.arange(6 * 32).reshape(6, *SHAPE).astype(dtype), {})
    path, rows = shard_path(store, 0), Rows(store)
    whole = path.read_bytes()
    changed = [whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :] for at in range(len(whole))]
    for content in [*changed, *(whole[:length] for length in range(len(whole)))]:
        path.write_bytes(content)
        with pytest.raises(StudyError, match="0/0/0/0 is damaged; delete it"):
            rows.read(0, 6)


def test_an_unfinished_shard_leaves_nothing(tmp_path: Path) -> None:
    store = laid_out(tmp_path / "store.zarr")
    with pytest.raises(KeyboardInterrupt), ShardWriter(store, 1) as writer:
        writer.append(values(store, 1)[:4])
        raise KeyboardInterrupt
    assert list(shard_path(store, 1).parent.iterdir()) == []


def test_an_earlier_shard_is_there_until_the_next_one_replaces_it(tmp_path: Path) -> None:
    store = laid_out(tmp_path / "store.zarr")
    manifests = filled(store)
    with pytest.raises(KeyboardInterrupt), ShardWriter(store, 1) as writer:
        # Others may be reading it: that of another writer, where a killed call's job goes on beside the next call's.
        check(store, manifests)
        writer.append(values(store, 1)[:4])
        check(store, manifests)
        raise KeyboardInterrupt
    check(store, manifests)
    assert list(shard_path(store, 1).parent.iterdir()) == [shard_path(store, 1)]


@pytest.mark.parametrize("size", [1, 3, 16, 64])
def test_batches_are_the_rows_in_order(tmp_path: Path, size: int) -> None:
    store = laid_out(tmp_path / "store.zarr", rows=96, shards=3)
    filled(store)
    rows = Rows(store)
    parts = list(rows.batches(3, 90, size))
    assert {len(part) for part in parts} <= {*range(size + 1)}
    np.testing.assert_array_equal(np.concatenate(parts), rows.read(3, 90))


def test_what_goes_wrong_while_reading_ahead_is_raised_where_it_is_used() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise StudyError("lost")

    seen = []
    with pytest.raises(StudyError, match="lost"):
        for item in ahead(items()):
            seen.append(item)
    assert seen == [1]
    assert list(ahead(range(4))) == [0, 1, 2, 3]
