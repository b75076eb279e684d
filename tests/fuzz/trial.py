"""One damaged file: how it is made, how it is read, and what may become of it."""

import ast
import os
import re
import tempfile
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from random import Random

import numpy as np

from pipeline.errors import Refused
from pipeline.pixels import Decoded, Inspection, PixelSpec, fit_to, inspect, read
from pipeline.quarantine import CRASHED, Outcome, survive
from tests.fuzz import dicom_files, sources
from tests.fuzz.mutators import damaged

READERS = [f"pipeline.pixels.{name}" for name in ("dicom", "nifti", "raster", "tiff")]
TIMEOUT = 10.0
MEMORY = 2 * 2**30

SPECS = [
    PixelSpec(size=16),
    PixelSpec(size=16, channels="rgb", fit="pad"),
    PixelSpec(size=16, intensity="voi"),
    PixelSpec(size=16, intensity="voi", voi=1, fit="crop"),
    PixelSpec(size=16, intensity="window", window=(-1000, 1000)),
    PixelSpec(size=16, intensity="windows", channels="rgb", windows=((-1000, 0), (-160, 240), (0, 2000))),
    PixelSpec(size=16, intensity="window", window=(-1000, 1000), hounsfield=True),
]
"""The first two suit every kind of file."""


@dataclass(frozen=True)
class Result:
    """What became of one damaged file.

    Attributes:
        kind: read, refused (by its header, or by its pixels), crashed, timed out, too much memory; or, which must not
            be: defect (an exception that is no refusal), contradiction (pixels that are not as promised).
        detail: the reason, or what is wrong.
    """

    kind: str
    detail: str = ""
    warnings: tuple[str, ...] = ()


def quick_folder() -> tempfile.TemporaryDirectory[str]:
    """Return a temporary folder in memory, where there is one: every damaged file is written once and read twice."""
    memory = Path("/dev/shm")  # noqa: S108 - a folder of its own is made in it
    return tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None)


def trials(folder: Path, seed: int, numbers: range, workers: int) -> Iterator[Outcome[int, Result]]:
    """Yield what becomes of each damaged file, made of the sources in a folder."""
    attempt = partial(try_one, str(folder), seed)
    return survive(attempt, numbers, workers, TIMEOUT, MEMORY, [*READERS, __name__])


def classified(outcome: Outcome[int, Result]) -> Result:
    """Return an outcome's class, which also holds for those that cost a worker its life."""
    if outcome.value is not None:
        return outcome.value
    reason = outcome.reason or ""
    kinds = {CRASHED: "crashed", f"reading it took more than {TIMEOUT:g} seconds": "timed out"}
    kinds[f"it needs more than {MEMORY / 2**30:.3g} GiB of memory"] = "too much memory"
    return Result(kinds.get(reason, "without a class"), reason)


def make(folder: Path, seed: int, number: int) -> tuple[str, bytes, PixelSpec]:
    """Return a damaged file, of which source it was made, and as what it is to be read: always the same."""
    random = Random(f"{seed}:{number}")
    source = random.choice(_sources(folder))
    fitting = SPECS if source.kind in ("dicom", "nifti", "tiff") else SPECS[:2]
    return source.name, damaged(Path(source.path).read_bytes(), source.kind, random), random.choice(fitting)


@cache
def _sources(folder: Path) -> list[sources.Source]:
    return sources.load(folder)


def try_one(folder: str, seed: int, number: int) -> Result:
    """Make one damaged file and read it as the stages do. Runs in a worker."""
    _, data, spec = make(Path(folder), seed, number)
    path = Path(folder) / f"damaged-{os.getpid()}"
    path.write_bytes(data)
    return read_as(path, spec)


def read_as(path: Path, spec: PixelSpec) -> Result:
    """Read a file as the stages do."""
    try:
        header = inspect(path, spec)
    except Refused as refused:
        return Result("refused by its header", str(refused))
    except MemoryError:
        raise
    except Exception as error:
        return Result("defect", _where(error))
    try:
        decoded = read(path, spec)
        wrong = _contradiction(header, decoded, spec) or _contradiction_of_one(path, header, decoded, spec)
    except Refused as refused:
        return Result("refused by its pixels", str(refused), header.warnings)
    except MemoryError:
        raise
    except Exception as error:
        return Result("defect", _where(error))
    return Result("contradiction" if wrong else "read", wrong, header.warnings + decoded.warnings)


def _where(error: Exception) -> str:
    """Return an exception with the innermost lines that led to it."""
    frames = [f"{Path(frame.filename).name}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)]
    return f"{type(error).__name__}: {error} at {' '.join(frames[-4:])}"


def _contradiction(header: Inspection, decoded: Decoded, spec: PixelSpec) -> str:
    frames = decoded.frames
    shape = (header.frames, 1 if spec.channels == "grey" else 3, header.height, header.width)
    if frames.shape != shape:
        return f"pixels of the shape {frames.shape} where the header says {shape}"
    if frames.dtype != np.float32:
        return f"pixels of the type {frames.dtype}"
    if not (np.isfinite(frames).all() and frames.min() >= 0 and frames.max() <= 1):
        return "pixels outside of [0, 1]"
    fitted = fit_to(frames[:1], spec)
    return "" if fitted.shape[2:] == (16, 16) and np.isfinite(fitted).all() else "fitted pixels that are not finite"


def _contradiction_of_one(path: Path, header: Inspection, decoded: Decoded, spec: PixelSpec) -> str:
    """Compare the last frame, read by itself, with all frames read together."""
    if header.frames == 1:
        return ""
    alone = read(path, spec, [header.frames - 1]).frames
    return "" if np.array_equal(alone, decoded.frames[-1:]) else "a frame by itself is another than among all"


QUOTED = r"[0-9.]+|[A-Za-z0-9_]+|[A-Za-z0-9 ,.():\[\]/-]{1,90}"
"""What may stand where the source has a placeholder."""


@cache
def closed_list() -> re.Pattern[str]:
    """Return what matches exactly the sentences that stand in the source of the readers.

    So a reason can hold nothing of a file but what a placeholder lets through, which is looked at for canaries.
    """
    folder = Path(sources.__file__).parents[2] / "src/pipeline/pixels"
    found: set[str] = set()
    for path in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
                found.add(re.escape(node.value))
            elif isinstance(node, ast.JoinedStr):
                parts = (re.escape(p.value) if isinstance(p, ast.Constant) else f"(?:{QUOTED})" for p in node.values)
                found.add("".join(parts))
    return re.compile(f"(?:{'|'.join(sorted(found))})(?: \\([A-Za-z]+\\))?")


def is_safe(text: str) -> bool:
    """Tell whether a reason or warning is of the closed list, and holds no canary."""
    return closed_list().fullmatch(text) is not None and dicom_files.CANARY not in text
