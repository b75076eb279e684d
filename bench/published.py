"""What a user would do instead, as published code does: a loop that saves a .pt for each image, and a DataLoader."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from bench.encoding import store as image_store
from bench.measure import Row
from bench.reading import epoch
from pipeline.autoencoders import Autoencoder
from pipeline.encode import Target, encode, lay_out_latents, read_spec
from pipeline.heads import Space
from pipeline.networks.feeding import feeding
from pipeline.spaces import held
from pipeline.store import Rows
from pipeline.stored import Stored

COUNT, SIDE, SHARDS, BATCH = 2048, 64, 4, 32
THAN = "a .pt for each image, and a DataLoader"


class Saved(Dataset[torch.Tensor]):
    """One file for each latent."""

    def __init__(self, folder: Path) -> None:
        self.paths = sorted(folder.iterdir())

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, number: int) -> torch.Tensor:
        latent: torch.Tensor = torch.load(self.paths[number], weights_only=True)
        return latent


def measured(folder: Path) -> Iterator[Row]:
    """Files, bytes, seconds to the end of the first epoch, and seconds that a crash costs at the worst moment."""
    place = folder / "published"
    images = image_store(place / "images.zarr", SIDE, COUNT)
    spec = read_spec(json.dumps({"family": "diffusers-tiny", "folder": "resources/weights/tiny"}))
    autoencoder = spec.load(3)
    autoencoder.encode(Rows(images).read(0, BATCH))
    theirs, ours = place / "theirs", place / "ours"
    for path in (theirs, ours):
        path.mkdir()
    their_seconds = [loop(images, autoencoder, theirs), loaded(theirs)]
    lay_out_latents(images, spec, SHARDS, ours / "latents.zarr")
    shards = [shard(images, autoencoder, ours, number) for number in range(SHARDS)]
    our_seconds = [sum(shards), fed(ours / "latents.zarr")]
    for name, count in (("files", _files), ("bytes", _bytes)):
        mine, other = count(ours), count(theirs)
        note = f"{COUNT} latents of {SIDE} pixels: {mine:,} against {other:,}"
        yield Row(f"store: times fewer {name}", other / mine, note=note, than=THAN)
    first = sum(their_seconds) / sum(our_seconds)
    note = "encoding and reading once: {:.2f} + {:.2f} s against {:.2f} + {:.2f} s".format(*our_seconds, *their_seconds)
    yield Row("time to the end of the first epoch: times faster", first, note=note, than=THAN)
    yield Row("reading an epoch: times faster", their_seconds[1] / our_seconds[1], than=THAN)
    lost = their_seconds[0] / 2
    note = f"{max(shards):.2f} s, a shard, against {lost:.2f} s, all of the loop so far"
    yield Row("crash half way: times less lost, at most", lost / max(shards), note=note, than=THAN)


def loop(images: Path, autoencoder: Autoencoder, folder: Path) -> float:
    """Encode one image after the other and save each; return the seconds."""
    start, rows = time.perf_counter(), Rows(images)
    for number in range(COUNT):
        latent = autoencoder.encode(rows.read(number, number + 1)).mean[0]
        torch.save(torch.from_numpy(latent.astype(np.float16)), folder / f"{number:06d}.pt")
    return time.perf_counter() - start


def loaded(folder: Path) -> float:
    """Read an epoch of the files; return the seconds."""
    start = time.perf_counter()
    for batch in DataLoader(Saved(folder), BATCH, shuffle=True):
        batch.float()
    return time.perf_counter() - start


def shard(images: Path, autoencoder: Autoencoder, folder: Path, number: int) -> float:
    """Encode one shard as the study does; return the seconds."""
    start = time.perf_counter()
    target = Target(folder / "latents.zarr", number, folder / f"latents/{number}.safetensors")
    manifest = encode(Rows(images), target, autoencoder, BATCH, {})
    manifest.write(folder / f"latents/{number}.json")
    return time.perf_counter() - start


def fed(store: Path) -> float:
    """Read an epoch as a training does, with what it takes to begin; return the seconds."""
    start = time.perf_counter()
    space = held(Space(Stored(store), np.zeros((COUNT, 1), np.int8), False, 8))
    epoch(feeding(space, torch.device("cpu")), np.random.default_rng(0).permutation(COUNT), COUNT)
    return time.perf_counter() - start


def _files(folder: Path) -> int:
    return sum(path.is_file() for path in folder.rglob("*"))


def _bytes(folder: Path) -> int:
    # What the disk gives to them: a small file takes whole blocks.
    return sum(512 * path.stat().st_blocks for path in folder.rglob("*") if path.is_file())
