"""Zarr stores whose shard files are the outputs of jobs.

A store's metadata is laid out once. Each job then owns whole shards, each exactly one file, and describes it in a small
manifest. Writers that are not aligned to shards would lose one another's rows without a word, so they are refused.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, Self

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import Crc32cCodec, ZstdCodec

from pipeline.errors import StudyError
from pipeline.files import flush, sha256, write_text

ROWS_PER_CHUNK = 16
"""Samples in one inner chunk: small enough to read a batch, large enough that chunks are not the cost."""
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
    per_shard = rows_per_shard(layout.rows, layout.shards)
    inner = math.gcd(per_shard, ROWS_PER_CHUNK)
    pixels = layout.dtype == "uint16"
    with TemporaryDirectory() as temporary:
        zarr.create_array(
            store=f"{temporary}/store",
            shape=(layout.rows, *layout.shape),
            chunks=(inner, *layout.shape),
            shards=(per_shard, *layout.shape),
            dtype=layout.dtype,
            # Latents hardly compress, and reading them is what training waits for.
            compressors=[ZstdCodec(level=3), Crc32cCodec()] if pixels else [Crc32cCodec()],
            attributes=layout.attributes,
        )
        write_text(folder / "zarr.json", Path(temporary, "store", "zarr.json").read_text())


def shard_path(folder: Path, shard: int) -> Path:
    """Return the one file that this shard is."""
    return folder / f"c/{shard}/0/0/0"


def shard_rows(folder: Path, shard: int) -> tuple[int, int]:
    """Return the first row of a shard and the row after its last."""
    array = zarr.open_array(folder, mode="r")
    per_shard = array.shards[0] if array.shards else array.shape[0]
    return shard * per_shard, min((shard + 1) * per_shard, array.shape[0])


def write_shard(folder: Path, shard: int, values: NDArray[Any], made_by: dict[str, Any]) -> Manifest:
    """Write one whole shard and return its manifest.

    Raises:
        StudyError: the values are not this shard's rows, not of the store's kind, or not all finite in its type.
    """
    # An array keeps the setting under which it was opened; without it a shard of zeros would not become a file.
    with zarr.config.set({"array.write_empty_chunks": True}):
        array = zarr.open_array(folder, mode="r+")
    start, stop = shard_rows(folder, shard)
    if values.shape != (stop - start, *array.shape[1:]):
        raise StudyError(f"shard {shard} of {folder} takes {(stop - start, *array.shape[1:])}, not {values.shape}")
    if values.dtype.kind != array.dtype.kind:
        raise StudyError(f"{folder} holds {array.dtype}, and {values.dtype} would lose its fractions")
    with np.errstate(over="ignore"):
        stored = values.astype(array.dtype)
    if not np.isfinite(stored).all():
        first = start + int(np.flatnonzero(~np.isfinite(stored).all(axis=(1, 2, 3)))[0])
        raise StudyError(f"row {first} of {folder} is not finite as {array.dtype}")
    path = shard_path(folder, shard)
    # What is left of an earlier shard would be read first, and fail if it is damaged.
    path.unlink(missing_ok=True)
    array[start:stop] = stored
    flush(path)
    return Manifest(start, stop, sha256(path), path.stat().st_size, made_by)


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
    return (stored / np.float64(GRID)).astype(np.float32)


class Rows:
    """The samples of a store, read on demand as float32.

    Pixels come in [0, 1], latents raw.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._array = zarr.open_array(folder, mode="r")
        self.shape: tuple[int, int, int] = tuple(self._array.shape[1:])  # type: ignore[assignment]

    def __len__(self) -> int:
        return int(self._array.shape[0])

    def read(self, start: int, stop: int) -> NDArray[np.float32]:
        """Return rows `start` to `stop` as n x c x h x w; raise StudyError where their shard is missing."""
        self._require_shards(start, stop)
        stored = np.asarray(self._array[start:stop])
        return from_grid(stored) if stored.dtype == np.uint16 else stored.astype(np.float32)

    def _require_shards(self, start: int, stop: int) -> None:
        # Zarr takes a missing file for a shard of zeros.
        per_shard = (self._array.shards or self._array.shape)[0]
        for shard in range(start // per_shard, math.ceil(min(stop, len(self)) / per_shard)):
            if not shard_path(self._folder, shard).is_file():
                raise StudyError(f"{shard_path(self._folder, shard)} is missing; the next call makes it again")

    @property
    def attributes(self) -> dict[str, Any]:
        """What the store says of itself."""
        return dict(self._array.attrs)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The stored type."""
        return self._array.dtype
