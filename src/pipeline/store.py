"""Zarr stores whose shard files are the outputs of jobs.

A store's metadata is laid out once. Each job then owns whole shards, each exactly one file, and describes it in a small
manifest. Writers that are not aligned to shards would lose one another's rows without a word, so they are refused.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from pipeline.ahead import ahead
from pipeline.errors import StudyError
from pipeline.files import beside, flush, make_folder, put, sha256, write_text
from pipeline.halves import widened
from pipeline.shard_file import Chunk, ShardFile, ShardReader

if TYPE_CHECKING:
    # Where it is used it is loaded: every call and every batch job reads this module, and most open no store.
    import zarr

ROWS_PER_CHUNK = 16
CHUNK_BYTES = 2**22
"""Samples and bytes that an inner chunk has at most: few enough to read a batch, enough for chunks not to cost."""
GRID = 65535
"""Pixels in [0, 1] are stored as whole multiples of 1/65535, which holds every 8, 12 and 16-bit level apart."""


@dataclass(frozen=True)
class Layout:
    """What a store holds.

    Attributes:
        rows: number of samples.
        shape: (C, H, W) of one sample.
        shards: number of shard files.
        dtype: `uint16` for pixels on the grid, a float for latents.
        attributes: what the store says of itself.
    """

    rows: int
    shape: tuple[int, int, int]
    shards: int
    dtype: Literal["uint16", "float16", "float32"]
    attributes: dict[str, Any]


def rows_per_shard(rows: int, shards: int) -> int:
    """Return the number of rows in every shard but the last; raise StudyError where a shard would be empty."""
    per_shard = math.ceil(rows / shards)
    if per_shard * (shards - 1) >= rows:
        most = max(n for n in range(1, shards) if math.ceil(rows / n) * (n - 1) < rows)
        raise StudyError(f"{rows} samples cannot be cut into {shards} shards; set 'shards: {most}'")
    return per_shard


@dataclass(frozen=True)
class Manifest:
    """What one shard file holds: its rows, its bytes, and what made it."""

    start: int
    stop: int
    sha256: str
    bytes: int
    made_by: dict[str, Any]

    def write(self, path: Path) -> None:
        """Write the manifest as JSON; the same shard gives the same bytes."""
        write_text(path, json.dumps(asdict(self), indent=1, sort_keys=True) + "\n")

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a manifest; raise StudyError for one that describes no shard, as that of a lost shard does not."""
        try:
            return cls(**json.loads(path.read_text()))
        except (ValueError, TypeError):
            raise StudyError(f"{path} describes no shard; the next call makes it again") from None


def lay_out(folder: Path, layout: Layout) -> None:
    """Write the store's metadata; shard files that are there already are left alone."""
    import zarr
    from zarr.codecs import Crc32cCodec, ZstdCodec

    per_shard = rows_per_shard(layout.rows, layout.shards)
    dtype = np.dtype(layout.dtype)
    fitting = CHUNK_BYTES // (math.prod(layout.shape) * dtype.itemsize)
    # A power of two, as the number of rows is.
    rows = 1 << min(ROWS_PER_CHUNK, max(1, fitting)).bit_length() - 1
    inner, level = math.gcd(per_shard, rows), _level(dtype)
    with TemporaryDirectory() as temporary:
        zarr.create_array(
            store=f"{temporary}/store",
            shape=(layout.rows, *layout.shape),
            chunks=(inner, *layout.shape),
            shards=(per_shard, *layout.shape),
            dtype=layout.dtype,
            compressors=[ZstdCodec(level=level), Crc32cCodec()] if level else [Crc32cCodec()],
            attributes=layout.attributes,
        )
        write_text(folder / "zarr.json", Path(temporary, "store", "zarr.json").read_text())


def _level(dtype: np.dtype[Any]) -> int | None:
    """Return how hard samples are compressed, if they are."""
    # Latents hardly compress, and reading them is what training waits for.
    return 3 if dtype == np.uint16 else None


def shard_path(folder: Path, shard: int) -> Path:
    """Return the one file that this shard is."""
    return folder / f"c/{shard}/0/0/0"


def _opened(folder: Path) -> zarr.Array[Any]:
    import zarr

    return zarr.open_array(folder, mode="r")


def shard_rows(folder: Path, shard: int) -> tuple[int, int]:
    """Return the first row of a shard and the row after its last."""
    return _range(_opened(folder), shard)


def _sharding(array: zarr.Array[Any]) -> tuple[int, ...]:
    """Return (rows, c, h, w) of a whole shard; raise StudyError for an array without shards."""
    if not array.shards:
        raise StudyError(f"{array.store_path} is not a store of shards")
    return tuple(array.shards)


def _range(array: zarr.Array[Any], shard: int) -> tuple[int, int]:
    per_shard = _sharding(array)[0]
    return shard * per_shard, min((shard + 1) * per_shard, array.shape[0])


class ShardWriter:
    """Writes one whole shard, as many rows at a time as its caller has; the shard appears when it is finished."""

    def __init__(self, folder: Path, shard: int) -> None:
        self.folder, self.shard = folder, shard
        self.array = _opened(folder)
        self.start, self.stop = _range(self.array, shard)
        self.row = self.start

    def __enter__(self) -> Self:
        # An earlier shard stays until this one replaces it: it may be another writer's, which others read already.
        path = shard_path(self.folder, self.shard)
        make_folder(path.parent)
        self.temporary = beside(path)
        chunk = Chunk(self.array.chunks[0], _level(self.array.dtype))
        self.file = ShardFile(self.temporary, chunk, _sharding(self.array)[0] // chunk.rows)
        return self

    def append(self, values: NDArray[Any]) -> None:
        """Take the next rows.

        Raises:
            StudyError: the values are not the store's kind of samples, or not all finite in its type.
        """
        if values.shape[1:] != self.array.shape[1:]:
            raise StudyError(f"{self.folder} takes {self.array.shape[1:]}, not {values.shape[1:]}")
        if values.dtype.kind != self.array.dtype.kind:
            raise StudyError(f"{self.folder} holds {self.array.dtype}, and {values.dtype} would lose its fractions")
        with np.errstate(over="ignore"):
            stored = values.astype(self.array.dtype)
        if not np.isfinite(stored).all():
            first = self.row + int(np.flatnonzero(~np.isfinite(stored).all(axis=(1, 2, 3)))[0])
            raise StudyError(f"row {first} of {self.folder} is not finite as {self.array.dtype}")
        self.row += len(values)
        self.file.append(stored)

    def finish(self, made_by: dict[str, Any]) -> Manifest:
        """Put the shard in its place and return its manifest; raise StudyError where rows are missing or too many."""
        if self.row != self.stop:
            raise StudyError(
                f"shard {self.shard} of {self.folder} takes {self.stop - self.start} rows, not {self.row - self.start}"
            )
        path = shard_path(self.folder, self.shard)
        self.file.close()
        # Hashing goes on meanwhile.
        flush(self.temporary)
        digest, size = self.file.digest(), self.temporary.stat().st_size
        put(self.temporary, path, digest)
        return Manifest(self.start, self.stop, digest, size, made_by)

    def __exit__(self, *_: object) -> None:
        self.file.abandon()
        self.temporary.unlink(missing_ok=True)


def write_shard(folder: Path, shard: int, values: NDArray[Any], made_by: dict[str, Any]) -> Manifest:
    """Write one whole shard from memory and return its manifest; raise StudyError as `ShardWriter` does."""
    with ShardWriter(folder, shard) as writer:
        writer.append(values)
        return writer.finish(made_by)


def check(folder: Path, manifests: Sequence[Path]) -> None:
    """Raise StudyError unless every shard is the file that its manifest describes."""
    for path in manifests:
        shard = shard_path(folder, int(path.stem))
        if not shard.is_file() or sha256(shard) != Manifest.read(path).sha256:
            raise StudyError(f"{shard} is not what {path} describes; delete it, and the next call makes it again")


def to_grid(pixels: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Round pixels in [0, 1] to the storage grid."""
    if not np.isfinite(pixels).all():
        raise StudyError("an image holds values that are not finite")
    return np.rint(np.clip(pixels, 0, 1).astype(np.float64) * GRID).astype(np.uint16)


def from_grid(stored: NDArray[np.uint16]) -> NDArray[np.float32]:
    """Return stored pixels as float32 in [0, 1]."""
    # Both are exact in float32, so the quotient is the nearest float32 of the true one.
    return stored.astype(np.float32) / np.float32(GRID)


def as_float32(stored: NDArray[Any]) -> NDArray[np.float32]:
    """Return what a store holds as float32: pixels on the grid as numbers in [0, 1], latents as they are."""
    if stored.dtype == np.uint16:
        return from_grid(stored)
    return widened(stored) if stored.dtype == np.float16 else stored.astype(np.float32, copy=False)


READ_BYTES = 2**24
"""About so many bytes of float32 samples are read at once, and at least a chunk: every read costs some time."""


class Rows:
    """The samples of a store, read on demand as float32.

    Pixels come in [0, 1], latents raw.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._array = _opened(folder)
        self.shape: tuple[int, int, int] = tuple(self._array.shape[1:])  # type: ignore[assignment]

    def __len__(self) -> int:
        return int(self._array.shape[0])

    def read(self, start: int, stop: int) -> NDArray[np.float32]:
        """Return rows `start` to `stop` as n x c x h x w; raise StudyError for a shard that is missing or damaged."""
        per_shard, stop = self.per_shard, min(stop, len(self))
        parts = [np.empty((0, *self.shape), self._array.dtype)]
        for shard in range(start // per_shard, math.ceil(stop / per_shard)):
            first = shard * per_shard
            with self.reader(shard) as reader:
                parts.append(reader.read(max(start - first, 0), min(stop - first, per_shard)))
        return as_float32(parts[1] if len(parts) == 2 else np.concatenate(parts))

    def reader(self, shard: int) -> ShardReader:
        """Open one shard; raise StudyError where it is missing or damaged."""
        array = self._array
        chunk = Chunk(array.chunks[0], _level(array.dtype))
        return ShardReader(shard_path(self._folder, shard), chunk, _sharding(array), array.dtype)

    @property
    def per_shard(self) -> int:
        """Rows in every shard but the last."""
        return _sharding(self._array)[0]

    def batches(self, start: int, stop: int, size: int) -> Iterator[NDArray[np.float32]]:
        """Yield rows `start` to `stop`, so many at a time, read in larger blocks ahead of their use."""
        for rows in ahead(self.read(*block) for block in self._blocks(start, stop, size)):
            yield from (rows[at : at + size] for at in range(0, len(rows), size))

    def _blocks(self, start: int, stop: int, size: int) -> Iterator[tuple[int, int]]:
        """Cut rows into blocks of whole batches, each twice the one before it, as far as READ_BYTES allows."""
        chunk = self._array.chunks[0]
        most = max(size, chunk, READ_BYTES // (4 * math.prod(self.shape)) // chunk * chunk) // size * size
        # Nothing can be worked on while the first block is read, so that one is small.
        rows = min(most, max(size, chunk // size * size))
        while start < stop:
            yield start, min(start + rows, stop)
            start, rows = start + rows, min(2 * rows, most)

    @property
    def attributes(self) -> dict[str, Any]:
        """What the store says of itself."""
        return dict(self._array.attrs)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The stored type."""
        return self._array.dtype
