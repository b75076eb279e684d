"""Encoding from file to file, against the bare model on the same images: speed, and memory at 512 pixels."""

import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bench.measure import FREE, Row, at_least, at_most, in_turn
from pipeline.autoencoders import Autoencoder, Shape, at_a_time
from pipeline.decode import decode
from pipeline.encode import Target, encode, lay_out_latents, read_spec
from pipeline.natural_images import natural_images
from pipeline.store import Layout, Rows, lay_out, to_grid, write_shard

SIDE = 512
"""Of the images whose memory is measured, in pixels."""
IMAGES = 48
ROUNDS, SECONDS = 9, 1.0
"""How often a shard is encoded by either side, and how long the model needs for it."""
CUDA_IMAGES = 512
BUFFERS = 96 * 2**20
"""Bytes that images read ahead and latents on their way to the disk may take, however many a shard has."""
KEPT, FASTER = at_least(0.9), at_least(3)
MEMORY = at_most(1.1)
SHARED = Path(os.environ.get("LEARNABILITY_SHARED", "../shared")) / "weights"
WEIGHTS = Path("resources/weights").resolve()


def entries() -> dict[str, dict[str, Any]]:
    """Return the autoencoders that can be loaded here: those with weights that are shipped, or in the shared folder."""
    found: dict[str, dict[str, Any]] = {
        "jpeg": {"family": "jpeg", "quality": 75},
        "orthogonal": {"family": "orthogonal", "stride": 8, "seed": 0},
    }
    found |= {name: {"family": f"diffusers-{name}", "folder": str(WEIGHTS / name)} for name in ("kl", "vq", "tiny")}
    if (file := SHARED / "taef2/taef2.safetensors").is_file():
        found["taef2"] = {"family": "tae", "weights": str(file)}
    if (folder := SHARED / "vaelight").is_dir():
        graphs = {
            side: str(folder / f"VAE{name}.onnx") for side, name in (("encoder", "encoder"), ("decoder", "preview"))
        }
        ranges = {"encoder_range": [-1, 1], "decoder_range": [-1, 1.007874]}
        found["vaelight"] = {"family": "onnx", **graphs, **ranges, "image_outputs": ["output", "101", "92", "77"]}
    return found


def store(folder: Path, side: int, count: int) -> Path:
    """Write so many colour images of this side to a store of one shard."""
    lay_out(folder, Layout(count, (3, side, side), 1, "uint16", {}))
    pool = to_grid(natural_images(9, min(side, 128), seed=0))
    tiled = np.tile(pool, (1, 1, side // pool.shape[2], side // pool.shape[3]))
    write_shard(folder, 0, np.resize(tiled, (count, 3, side, side)), {})
    return folder


def throughput(folder: Path) -> Iterator[Row]:
    """The share of the bare model's speed that is left with reading, checking and durable writing.

    Each model gets a shard of whole batches that it needs about a second for: that a file is made durable takes its
    5 ms, whatever is in it, and would be most of what a small shard of a small model shows; and a busy machine changes
    from second to second, so that turns must be short. Both sides compute in one thread, as a job without an
    accelerator does, with batches of one size and one allocator, which `keep_freed` has told to keep its pages:
    without that either side got fresh pages or old ones by chance, a third of the time of `tiny` and `taef2`.
    """
    torch.set_num_threads(1)
    for name in [name for name in ("kl", "vq", "tiny", "taef2", "vaelight") if name in entries()]:
        spec = read_spec(json.dumps(entries()[name]))
        autoencoder = spec.load(3)
        batch = at_a_time(autoencoder, (3, 64, 64))
        count = _count(autoencoder, (3, 64, 64), batch)
        images = store(folder / f"{name}-images.zarr", 64, count)
        target = Target(folder / f"{name}.zarr", 0, folder / f"{name}.safetensors")
        lay_out_latents(images, spec, 1, target.store)
        ours = partial(encode, Rows(images), target, autoencoder, batch, {})
        ratio, times = in_turn(ours, partial(bare, autoencoder.encode, Rows(images).read(0, count), batch), ROUNDS)
        yield Row(f"encoding with {name}: share of the bare model's speed", ratio, *KEPT, f"{count} images, {times}")


def decoding(folder: Path) -> Iterator[Row]:
    """The share of the bare decoder's speed that is left with reading, rounding to the grid and durable writing."""
    torch.set_num_threads(1)
    for name in ("kl", "tiny"):
        spec = read_spec(json.dumps(entries()[name]))
        autoencoder = spec.load(3)
        batch = at_a_time(autoencoder, (3, 64, 64), decoding=True)
        images = store(folder / f"{name}-decoded.zarr", 64, _count(autoencoder, (3, 64, 64), batch))
        target = Target(folder / f"{name}-codes.zarr", 0, folder / f"{name}-codes.safetensors")
        lay_out_latents(images, spec, 1, target.store)
        encode(Rows(images), target, autoencoder, batch, {})
        codes = Rows(target.store)
        ours = partial(decode, codes, images, 0, autoencoder, batch, {})
        latents = codes.read(0, len(codes))
        ratio, times = in_turn(ours, partial(bare, autoencoder.decode, latents, batch), ROUNDS)
        what = f"decoding with {name}: share of the bare model's speed"
        yield Row(what, ratio, *KEPT, f"{len(codes)} images, {times}")


def accelerated(folder: Path) -> Iterator[Row]:
    """On an accelerator: a shard against a loop over its images, in float32, and in bfloat16 against float32."""
    loop, reduced = "encoding with kl on CUDA: times faster", "encoding with kl on CUDA, bfloat16: times faster"
    if not torch.cuda.is_available():
        for what, bound in ((loop, FASTER), (reduced, FREE)):
            yield Row(what, None, *bound, "not yet measured: no CUDA device")
        return
    images = store(folder / "cuda-images.zarr", 256, CUDA_IMAGES)
    runs = []
    for precision in ("float32", "bfloat16"):
        spec = read_spec(json.dumps(entries()["kl"] | {"precision": precision}))
        autoencoder = spec.load(3)
        target = Target(folder / f"cuda-{precision}.zarr", 0, folder / f"cuda-{precision}.safetensors")
        lay_out_latents(images, spec, 1, target.store)
        batch = at_a_time(autoencoder, (3, 256, 256))
        runs.append((partial(encode, Rows(images), target, autoencoder, batch, {}), autoencoder))
    (whole, autoencoder), (other, _) = runs
    one_by_one = partial(bare, autoencoder.encode, Rows(images).read(0, CUDA_IMAGES), 1)
    ratio, times = in_turn(whole, one_by_one, 5)
    yield Row(loop, ratio, *FASTER, f"{CUDA_IMAGES} images of 256 pixels, {times}")
    ratio, times = in_turn(other, whole, 5)
    yield Row(reduced, ratio, note=times, than="the same in float32")


def _count(autoencoder: Autoencoder, image: Shape, batch: int) -> int:
    """Return how many images, whole batches of them, are encoded in about `SECONDS` of a core's own time."""
    pixels = np.full((batch, *image), 0.5, np.float32)
    autoencoder.encode(pixels)
    start = time.thread_time()
    autoencoder.encode(pixels)
    return batch * math.ceil(SECONDS / (time.thread_time() - start))


def bare(compute: Callable[[NDArray[np.float32]], object], values: NDArray[np.float32], batch: int) -> None:
    """Encode or decode what is in memory and forget what comes of it."""
    for at in range(0, len(values), batch):
        compute(values[at : at + batch])


def memory(folder: Path) -> Iterator[Row]:
    """The peak memory of encoding a shard, to that of the model, one batch and the buffers of reading and writing."""
    images = store(folder / f"images{SIDE}.zarr", SIDE, IMAGES)
    for name, entry in entries().items():
        whole, one = (_peak(folder, images, entry, part) for part in ("shard", "batch"))
        note = f"{whole / 1e6:.0f} MB for {IMAGES} images of {SIDE} pixels, {one / 1e6:.0f} MB for one batch"
        what = f"encoding with {name}: memory to one batch and {BUFFERS // 2**20} MB"
        yield Row(what, whole / (one + BUFFERS), *MEMORY, note)


def _peak(folder: Path, images: Path, entry: dict[str, Any], part: str) -> int:
    command = [sys.executable, "-m", "bench.encoding", str(folder), str(images), json.dumps(entry), part]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


def child(folder: Path, images: Path, entry: str, part: str) -> None:
    """Encode a shard, or one batch, and print the most memory that this process had, in bytes."""
    spec, rows = read_spec(entry), Rows(images)
    autoencoder = spec.load_for(rows.shape)
    batch = at_a_time(autoencoder, rows.shape)
    if part == "shard":
        target = Target(folder / "memory.zarr", 0, folder / "memory.safetensors")
        lay_out_latents(images, spec, 1, target.store)
        encode(rows, target, autoencoder, batch, {})
    else:
        autoencoder.encode(rows.read(0, batch))
    # Not what getrusage says, which a child takes over from the process that started it.
    status = Path("/proc/self/status").read_text()
    print(1024 * int(status.split("VmHWM:")[1].split()[0]))


if __name__ == "__main__":
    child(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4])
