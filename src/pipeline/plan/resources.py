"""What the jobs of each stage ask of a batch system: memory, time, threads and an accelerator, from the data's size.

All formulas are for a first attempt; each further one asks for twice as much, up to `MOST_MB` and `MOST_MINUTES`. They
are generous: a batch system ends the job that asked for too little, and gives back what was asked in vain. What a job
asks for is no reason to run it again, since Snakemake compares no resources.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

ROWS_A_SHARD = 8192
"""What a shard is taken to hold before its data set has been inspected."""
BASE_MB = 2000
"""An interpreter with its libraries, and weights of some hundred million parameters."""
MOST_MB, MOST_MINUTES = 1_000_000, 2880
HELD_MB = 64_000
"""A space is held in memory up to this; reading a larger one well shuffled takes less (`in_memory_bytes`)."""
LEAST_MINUTES = 30
THREADS = 16
ROWS_A_WORKER = 250
"""Files below which another process that reads them costs more than it saves."""
FEEDERS = 4
"""Threads of a job with an accelerator: they read, decompress and write beside it."""
BATCH_BYTES = 12_000
"""Bytes of activations for each pixel of a batch: some 24 maps of 128 channels in float32 at the finest grid."""
BATCH_PIXELS = 32 * 128 * 128
"""Pixels that are encoded or decoded at a time (`pipeline.autoencoders.PIXELS_AT_A_TIME`)."""


@dataclass(frozen=True)
class Size:
    """What a job's needs depend on.

    Attributes:
        samples: of the data set, or of all data sets where a job is for the whole study.
        shard: samples of one shard.
        pixels: along both sides, height x width.
        values: values of one sample of the space that the job reads, by default of the image.
        views: augmented copies that the job reads, too.
        device: whether it has an accelerator.
        network: whether samples go through a network.
        passes: how many samples a training looks at, in multiples of the data set; of a fine-tuning, how many images.
        scores: numbers that are resampled for each sample.
    """

    samples: int
    shard: int
    pixels: int
    values: int
    views: int = 0
    device: bool = False
    network: bool = True
    passes: float = 0
    scores: int = 1


@dataclass(frozen=True)
class Need:
    """One stage's formulas: memory in MB and time in seconds of a first attempt, and whether it can use a device."""

    memory: Callable[[Size], float]
    seconds: Callable[[Size], float]
    device: bool = False


def fixed(number: float) -> Callable[[Size], float]:
    """Return a formula that does not look at the data."""
    return lambda size: number


def a_sample(each: float, base: float = 0.0) -> Callable[[Size], float]:
    """Return a formula with so much for each sample of the data set."""
    return lambda size: base + each * size.samples


def of_shard(rate: float) -> Callable[[Size], float]:
    """Return seconds for one shard at so many pixels a second."""
    return lambda size: size.shard * size.pixels / rate


def readers(files: int) -> int:
    """Return how many processes read so many files."""
    return max(1, min(THREADS, math.ceil(files / ROWS_A_WORKER)))


def batch(size: Size) -> float:
    """Return MB of what a network makes of a batch: nothing holds a shard, so its length does not matter."""
    return BASE_MB + 1e-6 * BATCH_BYTES * max(BATCH_PIXELS, size.pixels)


def whole(size: Size) -> float:
    """Return MB of a space as float32 with its views, and half as much for what is made of it.

    One that takes more than `HELD_MB` is read from its store as it is needed (`pipeline.spaces`).
    """
    return BASE_MB + min(HELD_MB, 1.5 * 4e-6 * size.samples * size.values * (1 + size.views))


def encoded(size: Size) -> float:
    """Return seconds for one shard at 5 million pixels a second on a device and 20,000 off it, or 2 million without."""
    rate = 2e6 if not size.network else 5e6 if size.device else 2e4
    return size.shard * size.pixels / rate


def trained(size: Size) -> float:
    """Return seconds: a million values a second on a processor, 100 on a device; 0.1 s for a sample of a probe."""
    if not size.passes:
        return 600 + 0.1 * size.samples
    return 600 + size.samples * size.passes * size.values / (1e8 if size.device else 1e6)


def resampled(size: Size) -> float:
    """Return MB of the tables of scores, and of their ranks and weights."""
    return BASE_MB + 2e-4 * size.samples * size.scores


def tuned(size: Size) -> float:
    """Return seconds: five times what encoding and decoding the same images takes, for the way back and the checks."""
    return 3600 + 5 * size.passes * size.pixels / (2e6 if size.device else 1e4)


NEEDS = {
    "synthesize": Need(fixed(BASE_MB), a_sample(0.1)),
    # A worker holds one header at a time; of each sample some kB stay.
    "inspect": Need(lambda size: BASE_MB + 1000 * readers(size.samples) + 0.005 * size.samples, a_sample(0.05)),
    # A worker may hold a volume: some hundred slices of 512 x 512, and what they are decoded from.
    "normalize": Need(lambda size: BASE_MB + 1500 * readers(size.shard), lambda size: 1.0 * size.shard),
    "index": Need(a_sample(0.02, BASE_MB), a_sample(0.005)),
    "augment": Need(batch, of_shard(1e6)),
    "encode": Need(batch, encoded, device=True),
    "decode": Need(batch, lambda size: 3 * encoded(size), device=True),
    "measure": Need(batch, of_shard(2e5), device=True),
    "embed": Need(batch, encoded, device=True),
    # It measures 2,000 samples, and holds whole values of at most 1 GiB of them, several times.
    "describe": Need(fixed(4 * BASE_MB), lambda size: 1800 + min(size.samples, 2000) * size.values / 1e6),
    # The network, its gradient and Adam's two moments, and activations that are kept for the way back.
    "finetune": Need(lambda size: 8 * batch(size), tuned, device=True),
    "train": Need(whole, trained, device=True),
    # A network's steps do not follow the size of the data; four thousand of them are hours without an accelerator.
    "denoise": Need(whole, fixed(4 * 3600), device=True),
    "diffusability": Need(lambda size: whole(size) + 2 * batch(size), fixed(2 * 3600), device=True),
    "diffusability_geometry": Need(lambda size: whole(size) + 2 * batch(size), fixed(2 * 3600), device=True),
    "diffusability_classes": Need(lambda size: whole(size) + 2 * batch(size), fixed(2 * 3600), device=True),
    "evaluate": Need(resampled, lambda size: 600 + 1e-4 * size.samples * size.scores),
    "cost": Need(lambda size: 4 * batch(size), fixed(7200), device=True),
    "tabulate": Need(a_sample(0.1, 2 * BASE_MB), a_sample(0.01, 600)),
    "conclude": Need(fixed(4 * BASE_MB), fixed(3600)),
    "illustrate": Need(fixed(2 * BASE_MB), fixed(1800)),
    "pretrain": Need(fixed(4 * BASE_MB), fixed(8 * 3600), device=True),
}


def memory(stage: str, size: Size, attempt: int) -> int:
    """Return the MB that an attempt of a stage's job asks for; attempts are counted from 1."""
    return _grown(NEEDS[stage].memory(size), attempt, MOST_MB)


def minutes(stage: str, size: Size, attempt: int) -> int:
    """Return the minutes that an attempt of a stage's job asks for."""
    return _grown(max(LEAST_MINUTES, NEEDS[stage].seconds(size) / 60), attempt, MOST_MINUTES)


def threads(stage: str, size: Size) -> int:
    """Return a job's threads: those beside an accelerator feed it, readers are as many as there is work for."""
    if stage in ("inspect", "normalize"):
        return readers(size.samples if stage == "inspect" else size.shard)
    return FEEDERS if size.device else 1


def _grown(first: float, attempt: int, most: int) -> int:
    asked: int = math.ceil(first) * 2 ** (attempt - 1)
    return min(most, asked)
