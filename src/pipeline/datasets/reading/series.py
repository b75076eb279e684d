"""The geometry of a DICOM series: slices in order along their common normal, and what contradicts that they are one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import Refused
from pipeline.pixels import Inspection

PARALLEL = 1e-3
"""How far a direction cosine may be from that of the series' first slice."""
TILT = 1.0
"""Degrees between the slices' normal and the line through their positions, above which the gantry counts as tilted."""
SPACING = (0.1 + 1e-6, 0.05)
"""Increments may differ from their mean by 0.1 mm (positions are often rounded so) or by 5 %, whatever is more."""
SAME = 1e-3
"""Millimetres below which two slices are at one position."""

Vectors = NDArray[np.float64]


@dataclass(frozen=True)
class Geometry:
    """What a series must be like.

    Attributes:
        gantry_tilt: whether a stack may lean.
        spacing: whether its increments may differ.
    """

    gantry_tilt: Literal["refuse", "accept"] = "refuse"
    spacing: Literal["equal", "any"] = "equal"


def order(headers: Sequence[Inspection], geometry: Geometry) -> list[int] | None:
    """Return the order of a series' slices: along the normal of the first, by ImagePositionPatient.

    InstanceNumber says nothing: it may run either way, start anew, or be missing.

    Returns:
        Row numbers of `headers`; None where no file has a position, as in radiography and ultrasound, and there is
        nothing to order by.

    Raises:
        Refused: the files are no stack of parallel slices, at equal increments.
    """
    if all(header.position is None for header in headers):
        return None
    if any(header.position is None or header.orientation is None for header in headers):
        raise Refused("some slices of the series have no position or orientation")
    positions = np.array([header.position for header in headers], np.float64)
    orientations = np.array([header.orientation for header in headers], np.float64)
    if not (np.isfinite(positions).all() and np.isfinite(orientations).all()):
        raise Refused("a position or orientation in the series is no number")
    if np.abs(orientations - orientations[0]).max() > PARALLEL:
        raise Refused("the slices of the series are not parallel")
    normal = _normal(orientations[0])
    along = positions @ normal
    places = np.argsort(along, kind="stable")
    if len(headers) > 1:
        _require_stack(positions[places], along[places], normal, geometry)
    return [int(place) for place in places]


def _normal(orientation: Vectors) -> Vectors:
    normal: Vectors = np.cross(orientation[:3], orientation[3:])
    length = float(np.linalg.norm(normal))
    if abs(length - 1) > 0.01:
        raise Refused("the orientation of the series is not that of a plane")
    return normal / length


def _require_stack(positions: Vectors, along: Vectors, normal: Vectors, geometry: Geometry) -> None:
    """Refuse slices at one position, at unequal increments, or in a leaning stack; both arrays are in order."""
    increments = np.diff(along)
    if increments.min() < SAME:
        raise Refused("two slices of the series are at one position")
    mean = float(increments.mean())
    if geometry.spacing == "equal" and np.abs(increments - mean).max() > max(SPACING[0], SPACING[1] * mean):
        raise Refused("the slices of the series are not equally spaced: some are missing, or there are several stacks")
    way = positions[-1] - positions[0]
    angle = np.degrees(np.arccos(np.clip(way @ normal / np.linalg.norm(way), -1, 1)))
    if geometry.gantry_tilt == "refuse" and angle > TILT:
        raise Refused("the gantry was tilted, or the stack leans: its slices are not above one another")


def evenly(count: int, wanted: int | None) -> list[int]:
    """Return at most so many of a number of places, evenly spaced, first and last included."""
    if wanted is None or wanted >= count:
        return list(range(count))
    return (
        [int(place) for place in np.unique(np.linspace(0, count - 1, wanted).round())] if wanted > 1 else [count // 2]
    )
