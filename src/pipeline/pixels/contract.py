"""What every reader of pixels agrees on: what may be asked for, what comes back, and how a file is refused."""

import errno
import logging
import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from pipeline.errors import Refused, StudyError
from pipeline.spec import Spec

Frames = NDArray[np.float32]
"""frames x C x H x W in [0, 1]; C is 1 for grey and 3 for colour."""

Window = tuple[float, float]
"""[low, high] in modality units: what is shown as black, and what as white."""

LIMIT = 4 * 2**30
"""Bytes that one file may become in memory: all its samples at four bytes or more, and the float32 frames asked for."""

LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
"""Weights of red, green and blue in grey: ITU-R BT.601."""


class PixelSpec(Spec):
    """How files become pixels in [0, 1].

    Attributes:
        channels: What the images have. Colour becomes grey by luma (BT.601), grey becomes colour by repetition.
        intensity: `stored` maps the full range of the stored bits to [0, 1]; `window` maps `window` and `windows` one
            window to each channel, in modality units; `voi` applies the file's own VOI look-up table or window. All
            but `stored` exist only where there is one value a pixel: monochrome DICOM, NIfTI, grey TIFF (not `voi`).
        window: [low, high] in modality units (Hounsfield units for CT); only with intensity `window`.
            [modality units]
        windows: Three such windows, for red, green and blue; only with intensity `windows` and channels `rgb`.
            [modality units]
        voi: Which of the file's VOI tables, or windows if it has no table, counted from 0; only with intensity `voi`.
            [1]
        hounsfield: Refuse what is not CT in Hounsfield units: of the voxels, 1 % each must be like air (-1100 to -750)
            and like water and soft tissue (-200 to 200). Finds a rescaling that was applied twice or never.
        size: Side of the square output. [pixels]
        fit: `squash` ignores the aspect ratio, `crop` keeps the central square, `pad` adds a black border.
        filter: What resamples; all are antialiased.
    """

    channels: Literal["grey", "rgb"] = "grey"
    intensity: Literal["stored", "window", "windows", "voi"] = "stored"
    window: Window | None = None
    windows: tuple[Window, Window, Window] | None = None
    voi: int = Field(default=0, ge=0)
    hounsfield: bool = False
    size: int = Field(ge=1)
    fit: Literal["squash", "crop", "pad"] = "squash"
    filter: Literal["box", "bilinear", "bicubic", "lanczos"] = "bilinear"

    @model_validator(mode="after")
    def _options_belong_to_intensity(self) -> Self:
        if (self.window is not None) != (self.intensity == "window"):
            raise ValueError("a window [low, high] belongs to intensity 'window', and only to it")
        if (self.windows is not None) != (self.intensity == "windows"):
            raise ValueError("windows, a list of three, belong to intensity 'windows', and only to it")
        if self.windows is not None and self.channels != "rgb":
            raise ValueError("three windows make three channels: set channels to 'rgb'")
        for low, high in self.shown():
            if not (math.isfinite(low) and math.isfinite(high) and low < high):
                raise ValueError("a window is [low, high] with finite low < high")
        if self.voi and self.intensity != "voi":
            raise ValueError("voi chooses among a file's own windows, only with intensity 'voi'")
        if self.hounsfield and self.intensity == "stored":
            raise ValueError("hounsfield checks modality units, which intensity 'stored' does not use")
        return self

    def shown(self) -> tuple[Window, ...]:
        """Return the declared windows: none, one, or one for each channel."""
        return self.windows or (() if self.window is None else (self.window,))


@dataclass(frozen=True)
class Decoded:
    """One file's pixels at native size.

    Attributes:
        frames: frames x C x H x W in [0, 1].
        warnings: What a person should know of this file; they hold no identifiers.
    """

    frames: Frames
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Inspection:
    """What the header of a file says.

    Attributes:
        frames: Number of images.
        height: Rows, upright: after an EXIF or TIFF orientation.
        width: Columns.
        patient: DICOM's PatientID. These four identify somebody: the caller hashes them and never writes them.
        study: DICOM's StudyInstanceUID.
        series: DICOM's SeriesInstanceUID.
        instance: DICOM's SOPInstanceUID.
        position: DICOM's ImagePositionPatient in mm, where the file has one for all of its frames.
        orientation: DICOM's ImageOrientationPatient: the directions of rows and of columns.
        warnings: For a person to judge, without identifiers.
    """

    frames: int
    height: int
    width: int
    patient: str | None = None
    study: str | None = None
    series: str | None = None
    instance: str | None = None
    position: tuple[float, float, float] | None = None
    orientation: tuple[float, float, float, float, float, float] | None = None
    warnings: tuple[str, ...] = ()


def chosen(frames: Sequence[int] | None, found: Inspection, spec: PixelSpec, samples: int = 1) -> list[int]:
    """Return the frames that are asked for; Refused if the file does not have them, or memory has no room for them."""
    wanted = list(range(found.frames)) if frames is None else [int(frame) for frame in frames]
    require(all(0 <= frame < found.frames for frame in wanted), "the file does not have all frames that are asked for")
    values = 3 if spec.channels == "rgb" else samples
    require_size(found.height, found.width, max(1, len(wanted)), values, 4)
    return wanted


def require(condition: bool, reason: str) -> None:
    """Raise Refused with the reason unless the condition holds."""
    if not condition:
        raise Refused(reason)


def require_size(height: int, width: int, frames: int, values: int, stored_bytes: float) -> None:
    """Refuse an image that would need more memory than `LIMIT`, before a byte of it is decoded.

    Args:
        height: Rows.
        width: Columns.
        frames: Images in the file.
        values: Samples or channels of a pixel.
        stored_bytes: Bytes of one stored sample.
    """
    needed = height * width * frames * values * max(stored_bytes, 4)
    require(min(height, width, frames) >= 1, "the image has no pixels")
    require(needed <= LIMIT, f"the header asks for {needed / 2**30:.1f} GiB of pixels")


@contextmanager
def refusing(reason: str) -> Iterator[None]:
    """Turn whatever a parser or decoder raises into Refused.

    Only the exception's class is kept: messages may quote the file, and so a patient. BaseException, because the Rust
    decoder of RLE raises a PanicException that `except Exception` does not catch. Not the file's fault are a lack of
    memory, since its size was checked before, and a failing disk. A parser's own OSError has no number, and a seek to
    nowhere has EINVAL.
    """
    try:
        yield
    except (Refused, StudyError, KeyboardInterrupt, SystemExit, MemoryError):
        raise
    except BaseException as error:
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise
        raise Refused(f"{reason} ({type(error).__name__})") from None


@contextmanager
def quiet() -> Iterator[list[warnings.WarningMessage]]:
    """Keep the parsers' warnings, which may quote a patient or a path, off the terminal and out of the logs."""
    loggers = [logging.getLogger(name) for name in ("pydicom", "tifffile", "nibabel")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL + 1)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield caught
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def with_channels(frames: Frames, channels: Literal["grey", "rgb"]) -> Frames:
    """Return frames x 1 or 3 x H x W with the channels that are asked for; both directions are described above."""
    wanted = 1 if channels == "grey" else 3
    if frames.shape[1] == wanted:
        return frames
    if wanted == 3:
        return np.repeat(frames, 3, axis=1)
    return np.stack([np.tensordot(LUMA, frame, axes=1)[None] for frame in frames]).clip(0, 1)
