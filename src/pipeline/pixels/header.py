"""What a DICOM header says of its pixels, checked before any of them is decoded."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from pipeline.pixels.contract import PixelSpec, require, require_size

MONOCHROME = ("MONOCHROME1", "MONOCHROME2")
YBR_FULL = ("YBR_FULL", "YBR_FULL_422")
COLOUR = ("RGB", *YBR_FULL, "YBR_RCT", "YBR_ICT")
PALETTE = "PALETTE COLOR"


@dataclass(frozen=True)
class Header:
    """The Image Pixel module (PS3.3 C.7.6.3), in the units of the standard."""

    photometric: str
    samples: int
    rows: int
    columns: int
    frames: int
    bits_allocated: int
    bits_stored: int
    signed: bool
    planar: bool

    @property
    def monochrome(self) -> bool:
        """Whether there is one sample a pixel that stands for an intensity."""
        return self.photometric in MONOCHROME

    @property
    def frame_bits(self) -> int:
        """Bits that one uncompressed frame takes; in YBR_FULL_422 two pixels share their colour."""
        samples = 2 if self.photometric == "YBR_FULL_422" else self.samples
        return self.rows * self.columns * samples * self.bits_allocated

    @property
    def lowest(self) -> int:
        """The lowest value that BitsStored can hold."""
        return -(1 << (self.bits_stored - 1)) if self.signed else 0

    @property
    def highest(self) -> int:
        """The highest value that BitsStored can hold."""
        return self.lowest + (1 << self.bits_stored) - 1

    def stored_values(self) -> NDArray[np.float64]:
        """Return every value that BitsStored can hold, ascending: the argument of every look-up table."""
        return np.arange(self.lowest, self.highest + 1, dtype=np.float64)

    def word(self, value: int) -> int:
        """Read a 16-bit header value as signed or unsigned like the pixels, whichever way the file declared it."""
        return (value + 0x8000) % 0x10000 - 0x8000 if self.signed else value % 0x10000


def read_header(dataset: Dataset, spec: PixelSpec) -> Header:
    """Check and return the header; raise Refused for what is unknown, contradictory or too large."""
    photometric = str(dataset.get("PhotometricInterpretation", "")).strip()
    known = photometric in (*MONOCHROME, *COLOUR, PALETTE)
    require(known, "the photometric interpretation is missing or not supported")
    header = Header(
        photometric=photometric,
        samples=_count(dataset, "SamplesPerPixel"),
        rows=_count(dataset, "Rows"),
        columns=_count(dataset, "Columns"),
        frames=_frames(dataset),
        bits_allocated=_count(dataset, "BitsAllocated"),
        bits_stored=_count(dataset, "BitsStored"),
        signed=_count(dataset, "PixelRepresentation") == 1,
        planar=dataset.get("PlanarConfiguration") == 1,
    )
    require_size(header.rows, header.columns, header.frames, max(1, header.samples), header.bits_allocated / 8)
    _require_bits(header, dataset)
    _require_samples(header, spec, dataset)
    return header


def _count(dataset: Dataset, keyword: str) -> int:
    value: Any = dataset.get(keyword)
    require(isinstance(value, int) and value >= 0, f"{keyword} is missing or not one whole number")
    return int(value)


def _frames(dataset: Dataset) -> int:
    value: Any = dataset.get("NumberOfFrames")
    return 1 if value is None else _count(dataset, "NumberOfFrames")


def _require_bits(header: Header, dataset: Dataset) -> None:
    require(header.bits_allocated in (1, 8, 16, 32), f"{header.bits_allocated} bits a sample are not supported")
    require(dataset.PixelRepresentation in (0, 1), "PixelRepresentation is neither 0 nor 1")
    require(1 <= header.bits_stored <= header.bits_allocated, "BitsStored does not fit into BitsAllocated")
    # Old files keep pixels in the upper bits of a word and overlays in the lower ones; pydicom ignores HighBit.
    high_bit = dataset.get("HighBit", header.bits_stored - 1)
    require(high_bit == header.bits_stored - 1, "HighBit is not BitsStored - 1")


def _require_samples(header: Header, spec: PixelSpec, dataset: Dataset) -> None:
    samples = 3 if header.photometric in COLOUR else 1
    require(header.samples == samples, f"{header.photometric} with {header.samples} samples a pixel")
    planes = dataset.get("PlanarConfiguration")
    require(samples == 1 or planes in (0, 1), "PlanarConfiguration is neither 0 nor 1")
    if header.monochrome:
        # PS3.3 C.8.16.2.1.1.1: some of the values stand for colours of a supplemental palette.
        mixed = dataset.get("PixelPresentation") in ("MIXED", "COLOR")
        require(not mixed, "grey pixels mixed with colours of a supplemental palette are not supported")
        computed = not spec.hounsfield or dataset.get("Modality") == "CT"
        require(computed, "the file is not computed tomography, and hounsfield is asked for")
        return
    require(spec.intensity == "stored", "a colour image has no modality units: its intensity can only be 'stored'")
    require(not header.signed and header.bits_allocated in (8, 16), "colour samples that are not 8- or 16-bit unsigned")
    eight_bit = header.photometric not in YBR_FULL or header.bits_allocated == header.bits_stored == 8
    require(eight_bit, f"{header.photometric} that is not of 8 bits is not supported")
