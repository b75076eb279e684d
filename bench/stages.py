"""Reading whole folders: headers that are known already, and normalising with several processes."""

import shutil
import statistics
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pandas as pd
from pydicom import uid

from bench import files
from bench.measure import Row, at_least, at_most, in_turn
from pipeline import headers, inventory
from pipeline.identifiers import Salt
from pipeline.normalize import normalize
from pipeline.pixels import PixelSpec
from pipeline.quarantine import survive

SPEC = PixelSpec(size=128, intensity="voi")
SALT = Salt("bench")
KNOWN, OPENED = at_least(5), at_most(0)
GAIN = at_least(0.75)


def reinspection(folder: Path) -> Iterator[Row]:
    """The headers of a folder of 300 files, read for the first time and when nothing has changed."""
    root = folder / "series"
    root.mkdir()
    for number in range(300):
        files.save(files.dataset(files.radiograph(64, number), InstanceNumber=number), root / f"{number}.dcm")
    stamps = _stamps(root, folder)

    def inspected(remembered: Path) -> headers.Memory:
        memory = headers.Memory(remembered, SPEC, SALT)
        outcomes = list(headers.read(root, SPEC, stamps, SALT, memory, 1))
        assert all(outcome.value is not None for outcome in outcomes)  # noqa: S101 - a refusal is faster than a header
        memory.keep(stamps)
        return memory

    known = folder / "known.parquet"
    inspected(known)

    def first() -> None:
        (folder / "new.parquet").unlink(missing_ok=True)
        inspected(folder / "new.parquet")

    ratio, times = in_turn(partial(inspected, known), first, 5)
    yield Row("inspecting an unchanged folder: times faster", ratio, *KNOWN, times)
    shutil.rmtree(root)
    remembered = headers.read(root, SPEC, stamps, SALT, headers.Memory(known, SPEC, SALT), 1)
    opened = sum(outcome.value is None for outcome in remembered)
    yield Row("              files opened again", opened, *OPENED, "of 300")


def _stamps(root: Path, folder: Path) -> dict[str, inventory.Stamp]:
    inventory.refresh(root, folder / "inventory.csv")
    return inventory.read(folder / "inventory.csv")


def normalising(folder: Path) -> Iterator[Row]:
    """Forty JPEG 2000 files to tensors by one process and by two, as a share of what two processes gain here at all.

    Others use the machine, too, so what a second process gains is measured with work that is nothing but arithmetic.
    """
    root = folder / "compressed"
    root.mkdir()
    first = files.save(files.dataset(files.radiograph(512)), root / "0.dcm", uid.JPEG2000Lossless)
    names = [f"{number}.dcm" for number in range(40)]
    for name in names[1:]:
        shutil.copy(first, root / name)
    mapping = pd.DataFrame({"id": names, "path": names, "frame": 0})
    one, two = (partial(normalize, mapping, root, SPEC, workers) for workers in (1, 2))
    gains, possible = [], []
    for _ in range(3):
        possible.append(in_turn(partial(_calculate, 2), partial(_calculate, 1), 1)[0])
        ratio, times = in_turn(two, one, 1)
        gains.append(ratio)
    gain, most = statistics.median(gains), statistics.median(possible)
    note = f"{gain:.2f} times faster, arithmetic {most:.2f} times; {times}"
    yield Row("normalising with two processes: share of the gain", gain / most, *GAIN, note)


def _calculate(workers: int) -> None:
    """Do arithmetic in so many processes."""
    list(survive(_sum, range(40), workers))


def _sum(number: int) -> int:
    return sum(range(number, 2_000_000))
