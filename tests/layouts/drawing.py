"""Images and tables of miniature data sets."""

import csv
import gzip
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDE = 16


def pixels(level: int, seed: int, channels: int = 1) -> NDArray[np.uint8]:
    """Return noise around a level; no two seeds give the same image."""
    shape = (SIDE, SIDE) if channels == 1 else (SIDE, SIDE, channels)
    return np.random.default_rng(seed).normal(level, 20, shape).clip(0, 255).astype(np.uint8)


def draw(path: Path, level: int, seed: int, channels: int = 1) -> None:
    """Write an image in the format of its ending; PNG where there is none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels(level, seed, channels))
    image.save(path, format=None if path.suffix in (".png", ".jpg") else "PNG")


def write_table(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV file, compressed if it ends on `.gz`."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    data = text.getvalue().encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


def one_hot(number: int, count: int, end: str = "") -> list[str]:
    """Return one row of 0 and 1; `end` makes them floats."""
    return [f"{int(number == place)}{end}" for place in range(count)]
