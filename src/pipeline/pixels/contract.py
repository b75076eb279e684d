"""What every reader of pixels agrees on: what may be asked for, what comes back, and how a file is refused."""

import math
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

LIMIT = 4 * 2**30
"""Bytes that one file may become in memory (the larger of stored and float32 pixels). Read from the header alone."""

LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
"""Weights of red, green and blue in grey: ITU-R BT.601."""


class PixelSpec(Spec):
    """How files become pixels in [0, 1].

    Attributes:
        channels: What the images have. Colour becomes grey by luma (BT.601), grey becomes colour by repetition.
        intensity: `stored` maps the full range of the stored bits to [0, 1]. `window` maps `window`, in modality units,
            and `voi` the file's own VOI look-up table or its first window; both exist only for monochrome DICOM.
        window: [low, high] in modality units (Hounsfield units for CT); only with intensity `window`.
        size: Side of the square output, in pixels.
        fit: `squash` ignores the aspect ratio, `crop` keeps the central square, `pad` adds a black border.
    """

    channels: Literal["grey", "rgb"] = "grey"
    intensity: Literal["stored", "window", "voi"] = "stored"
    window: tuple[float, float] | None = None
    size: int = Field(ge=1)
    fit: Literal["squash", "crop", "pad"] = "squash"

    @model_validator(mode="after")
    def _window_belongs_to_intensity(self) -> Self:
        if (self.window is not None) != (self.intensity == "window"):
            raise ValueError("a window [low, high] belongs to intensity 'window', and only to it")
        if self.window is not None and not (all(map(math.isfinite, self.window)) and self.window[0] < self.window[1]):
            raise ValueError("a window is [low, high] with finite low < high")
        return self


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


def chosen(frames: Sequence[int] | None, count: int) -> list[int]:
    """Return the frames that are asked for of a file that has `count`; Refused if it does not have them."""
    wanted = list(range(count)) if frames is None else list(frames)
    require(all(0 <= frame < count for frame in wanted), "the file does not have all frames that are asked for")
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
        values: The larger of the samples per pixel in the file and the channels that are asked for.
        stored_bytes: Bytes of one stored sample.
    """
    needed = height * width * frames * values * max(stored_bytes, 4)
    require(min(height, width, frames) >= 1, "the image has no pixels")
    require(needed <= LIMIT, f"the header asks for {needed / 2**30:.1f} GiB of pixels")


@contextmanager
def refusing(reason: str) -> Iterator[None]:
    """Turn whatever a parser or decoder raises into Refused.

    Only the exception's class is kept: messages may quote the file, and so a patient. BaseException, because the Rust
    decoder of RLE raises a PanicException that `except Exception` does not catch. A lack of memory is not the file's
    fault, since its size was checked before.
    """
    try:
        yield
    except (Refused, StudyError, KeyboardInterrupt, SystemExit, MemoryError):
        raise
    except BaseException as error:
        raise Refused(f"{reason} ({type(error).__name__})") from None


def with_channels(frames: Frames, channels: Literal["grey", "rgb"]) -> Frames:
    """Return frames x 1 or 3 x H x W with the channels that are asked for; both directions are described above."""
    wanted = 1 if channels == "grey" else 3
    if frames.shape[1] == wanted:
        return frames
    if wanted == 3:
        return np.repeat(frames, 3, axis=1)
    return np.stack([np.tensordot(LUMA, frame, axes=1)[None] for frame in frames]).clip(0, 1)
