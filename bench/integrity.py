"""What it costs that every byte can be compared later: writing a shard, against the same bytes without checksums."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import numpy as np

from bench.measure import Row, at_least, in_turn
from pipeline import ledger, shard_file
from pipeline.store import Layout, lay_out, shard_path, write_shard

ROWS = 2048
SHAPE = (4, 32, 32)
SPEED = at_least(0.75)


class _NoDigest:
    """Stands in the place of SHA-256, and looks at nothing."""

    def update(self, _: bytes) -> None:
        """Take data and leave it."""

    def hexdigest(self) -> str:
        """Return no hash."""
        return "0" * 64


def writing(folder: Path) -> Iterator[Row]:
    """Yield how fast shards are written, flushed and recorded, of the speed without checksums, hashes and ledgers."""
    results = folder / "results/latents/bench"
    values = np.random.default_rng(0).normal(size=(ROWS, *SHAPE)).astype(np.float32)
    for dtype in ("float32", "float16"):
        lay_out(results / f"{dtype}.zarr", Layout(ROWS, SHAPE, 1, dtype, {}))
        manifest = results / dtype / "0.json"

        def ours(dtype: str = dtype, manifest: Path = manifest) -> None:
            write_shard(results / f"{dtype}.zarr", 0, values, {}).write(manifest)
            ledger.record([shard_path(results / f"{dtype}.zarr", 0), manifest])

        def plain(dtype: str = dtype, manifest: Path = manifest) -> None:
            bare = patch.object(shard_file, "checked", lambda data: data + bytes(shard_file.CHECKSUM))
            with bare, patch.object(hashlib, "sha256", _NoDigest):
                write_shard(results / f"{dtype}.zarr", 0, values, {}).write(manifest)

        ratio, note = in_turn(ours, plain, rounds=7)
        size = shard_path(results / f"{dtype}.zarr", 0).stat().st_size
        yield Row(f"writing {size / 1e6:.0f} MB of {dtype} with every checksum", ratio, *SPEED, note)
