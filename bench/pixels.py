"""Reading one file: windowing, decoding, and headers."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pydicom
from pydicom import uid
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut

from bench import files
from bench.measure import FREE, Row, at_least, at_most, bytes_read, in_turn
from pipeline.pixels import PixelSpec, inspect, read
from pipeline.pixels.decoders import stored_frames
from pipeline.pixels.dicomfile import opened
from pipeline.pixels.header import read_header
from pipeline.pixels.monochrome import Monochrome

VOI = PixelSpec(size=256, intensity="voi")
STORED = PixelSpec(size=256)
SYNTAXES = (
    uid.ExplicitVRLittleEndian,
    uid.RLELossless,
    uid.JPEGLosslessSV1,
    uid.JPEGLSLossless,
    uid.JPEG2000Lossless,
)
WINDOWING, APART = at_least(3), at_most(1)
DECODING = at_most(1.2)
HEADERS, INSPECTING = at_most(0.05), at_least(2)
LINEAR, EXACT, SIGMOID = "LINEAR", "LINEAR_EXACT", "SIGMOID"


def windowing() -> Iterator[Row]:
    """Stored values of 2048 x 2048 pixels of 12 bits to intensities, against pydicom's two functions."""
    pixels = files.radiograph(2048)
    for function in (LINEAR, EXACT, SIGMOID):
        for slope in ("1", "0.5"):
            dataset = files.dataset(pixels, VOILUTFunction=function, RescaleSlope=slope, RescaleIntercept="-24")
            ours, theirs = _ours(dataset, pixels), partial(_theirs, dataset, pixels)
            ratio, times = in_turn(ours, theirs, 9)
            name = f"windowing: times faster ({function}, slope {slope})"
            yield Row(name, ratio, *WINDOWING, times)
            difference = _difference(ours(), theirs(), float(slope) * np.array([0, 4095]) - 24)
            yield Row("           largest difference, in LSB of the output", difference, *APART)


def _ours(dataset: pydicom.Dataset, pixels: np.ndarray) -> Callable[[], np.ndarray]:
    """Return a function that windows as `read` does, for a file that was never seen: with its table made anew."""
    header = read_header(dataset, VOI)
    out = np.empty((1, *pixels.shape), np.float32)

    def window() -> np.ndarray:
        Monochrome(dataset, header, VOI, False)(pixels, 0, out)
        return np.asarray(out[0])

    return window


def _theirs(dataset: pydicom.Dataset, pixels: np.ndarray) -> np.ndarray:
    return apply_voi_lut(apply_modality_lut(pixels, dataset), dataset)


def _difference(ours: np.ndarray, theirs: np.ndarray, ends: np.ndarray) -> float:
    """Return the largest difference, where pydicom's output goes from what the slope makes of 0 to that of 4095."""
    low, high = ends
    return float(np.abs(ours.astype(np.float64) * 4095 - (theirs - low) / (high - low) * 4095).max())


def decoding(folder: Path) -> Iterator[Row]:
    """A file to its stored values, against pydicom's pixel_array; and for a person all the way to intensities."""
    pixels = files.radiograph(1024)
    for syntax in SYNTAXES:
        path = files.save(files.dataset(pixels), folder / f"{syntax}.dcm", syntax)
        assert np.array_equal(_stored(path), pixels)  # noqa: S101 - the ratio of a wrong result is worth nothing
        assert np.array_equal(_pixel_array(path), pixels)  # noqa: S101
        ratio, times = in_turn(partial(_pixel_array, path), partial(_stored, path))
        # A compressed frame's time is that of its decoder, of which pydicom takes the first that is installed.
        bound = FREE if syntax.is_compressed else DECODING
        yield Row(f"decoding: ours / pydicom's, {syntax.name[:38]}", ratio, *bound, _swapped(times))
        ratio, times = in_turn(partial(_pixel_array, path), partial(read, path, STORED))
        yield Row("          the same, and to intensities in float32", ratio, note=_swapped(times))


def _stored(path: Path) -> np.ndarray:
    with opened(path) as file:
        header = read_header(file.dataset, STORED)
        return next(iter(stored_frames(file, header, [0])))


def _pixel_array(path: Path) -> np.ndarray:
    array: np.ndarray = pydicom.dcmread(path).pixel_array
    return array


def _swapped(times: str) -> str:
    theirs, ours = times.split(" against ")
    return f"{ours} against {theirs}"


def headers(folder: Path) -> Iterator[Row]:
    """What inspecting reads of a file, in bytes and in time."""
    for syntax in (uid.ExplicitVRLittleEndian, uid.JPEG2000Lossless):
        path = files.save(files.dataset(files.radiograph(2048)), folder / f"large-{syntax}.dcm", syntax)
        size = path.stat().st_size
        count = bytes_read(partial(inspect, path, VOI))
        name = f"headers only: share of the file's bytes read, {syntax.name[:11]}"
        yield Row(name, count / size, *HEADERS, f"{count} of {size} bytes")
        ratio, times = in_turn(partial(inspect, path, VOI), partial(read, path, VOI))
        yield Row("              times faster than reading it", ratio, *INSPECTING, times)
