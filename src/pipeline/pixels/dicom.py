"""DICOM into pixels, with pydicom's parser.

A file without the 128-byte preamble is read where it parses and has pixels; without a transfer syntax, only
uncompressed little endian pixels are. Only `PixelData` counts: float pixels have no stored bit depth.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset

from pipeline.pixels.colour import Colour, Palette
from pipeline.pixels.contract import Decoded, Frames, Inspection, PixelSpec, chosen, quiet, refusing, with_channels
from pipeline.pixels.decoders import require_readable, stored_frames
from pipeline.pixels.dicomfile import Opened, opened
from pipeline.pixels.header import PALETTE, Header, read_header
from pipeline.pixels.hounsfield import spaced
from pipeline.pixels.monochrome import Monochrome
from pipeline.pixels.voi import number_of_views


def recognises(start: bytes) -> bool:
    """Say whether this is DICOM: by its prefix, or by a first data element of group 0002 or 0008."""
    return start[128:132] == b"DICM" or start[:2] in (b"\x02\x00", b"\x08\x00")


def inspect(path: Path, spec: PixelSpec) -> Inspection:
    """Return what the header says; the pixel data is not read."""
    with opened(path) as file, quiet(), refusing("the DICOM header cannot be read"):
        dataset, header = file.dataset, read_header(file.dataset, spec)
        require_readable(file, header)
        _converter(file, header, spec).require_defined()
        return Inspection(
            header.frames,
            header.rows,
            header.columns,
            patient=_text(dataset, "PatientID"),
            study=_text(dataset, "StudyInstanceUID"),
            series=_text(dataset, "SeriesInstanceUID"),
            instance=_text(dataset, "SOPInstanceUID"),
            position=_numbers(dataset, "ImagePositionPatient", 3),
            orientation=_numbers(dataset, "ImageOrientationPatient", 6),
            warnings=_warnings(dataset, header, spec),
        )


def read(path: Path, spec: PixelSpec, frames: Sequence[int] | None) -> Decoded:
    """Return the frames of a DICOM file; raise Refused where that is not possible without doubt."""
    with opened(path) as file:
        with quiet(), refusing("the DICOM header cannot be read"):
            header = read_header(file.dataset, spec)
            noted = _warnings(file.dataset, header, spec)
        with quiet(), refusing("the pixel data cannot be decoded"):
            found = Inspection(header.frames, header.rows, header.columns)
            wanted = chosen(frames, found, spec, 1 if header.monochrome else 3)
            pixels = _pixels(file, header, spec, wanted)
    return Decoded(with_channels(pixels, spec.channels), noted)


def _pixels(file: Opened, header: Header, spec: PixelSpec, wanted: list[int]) -> Frames:
    """Return the wanted frames with the channels that they come in; each is decoded once."""
    convert = _converter(file, header, spec)
    samples = spaced(header.frames) if spec.hounsfield else []
    needed = list(dict.fromkeys([*wanted, *samples]))
    out = np.empty((len(wanted), convert.channels, header.rows, header.columns), np.float32)
    for index, stored in zip(needed, stored_frames(file, header, needed), strict=True):
        if index in samples:
            convert.examine(stored, index)
        for place in (place for place, other in enumerate(wanted) if other == index):
            convert(stored, index, out[place])
    if isinstance(convert, Monochrome) and spec.hounsfield:
        convert.hounsfield.require()
    return out


def _converter(file: Opened, header: Header, spec: PixelSpec) -> Monochrome | Colour:
    if header.monochrome:
        return Monochrome(file.dataset, header, spec, file.big_endian)
    return Palette(file.dataset, header, file.big_endian) if header.photometric == PALETTE else Colour(header)


def _text(dataset: Dataset, keyword: str) -> str | None:
    return str(dataset.get(keyword) or "").strip("\0 ") or None


def _numbers(dataset: Dataset, keyword: str, count: int) -> Any:  # noqa: ANN401 - so many finite numbers, or None
    try:
        numbers = tuple(float(number) for number in dataset.get(keyword) or ())
    except (TypeError, ValueError):
        return None
    return numbers if len(numbers) == count and all(map(math.isfinite, numbers)) else None


def _warnings(dataset: Dataset, header: Header, spec: PixelSpec) -> tuple[str, ...]:
    found = []
    burned_in = dataset.get("BurnedInAnnotation")
    if burned_in != "NO":
        stated = "YES" if burned_in == "YES" else "not stated"
        found.append(f"BurnedInAnnotation is {stated}: look for names in the image")
    if dataset.get("LossyImageCompression") == "01":
        found.append("the pixels were once compressed with loss")
    inverse = dataset.get("PresentationLUTShape") == "INVERSE"
    if header.photometric == "MONOCHROME2" and inverse:
        found.append("PresentationLUTShape is INVERSE, against MONOCHROME2, which is followed")
    spacing = _numbers(dataset, "PixelSpacing", 2) or _numbers(dataset, "PixelAspectRatio", 2) or (1, 1)
    if not 0.99 * spacing[1] <= spacing[0] <= 1.01 * spacing[1]:
        found.append("pixels are not square, which is not corrected")
    views = number_of_views(dataset)
    if spec.intensity == "voi" and views > 1:
        found.append(f"the first of {views} windows is used" if spec.voi == 0 else f"window {spec.voi} is used")
    return tuple(found)
