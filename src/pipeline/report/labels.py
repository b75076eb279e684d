"""Names beside the points of a scatter plot that cover neither points nor whiskers nor one another."""

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from pipeline.report.drawing import SMALLEST
from pipeline.report.results import Interval

DISTANCES = (6, 10, 15, 21, 28, 36, 45, 55, 66)
"""From the point to the nearest edge of its name, in pixels of the layout (1/72 inch)."""

TIED = 12
"""A name farther away than this is tied to its point by a thin line."""

Boxes = NDArray[np.float64]
"""n x 4: left, bottom, right, top in pixels of the layout."""

_STEPS = np.array(list(itertools.product(DISTANCES, np.arange(16) * math.pi / 8)))


class Point(NamedTuple):
    """A named point with its whisker, in data coordinates."""

    name: str
    x: float
    y: Interval


def label_points(ax: Axes, points: Sequence[Point], colour: str) -> None:
    """Write the names of the points, each where it covers least; the figure must have been laid out."""
    frame = np.array([ax.get_window_extent().extents])
    marks, names = _marks(ax, points, frame), np.empty((0, 4))
    to_data = ax.transData.inverted()
    for point in sorted(points, key=lambda point: (point.x, point.y.value, point.name)):
        label = ax.text(
            point.x, point.y.value, point.name, fontsize=SMALLEST, color=colour, va="center", ha="center", zorder=4
        )
        extent = label.get_window_extent()
        centre = ax.transData.transform((point.x, point.y.value))
        options = _around_point(centre, extent.width + 2, extent.height)
        best = int(_cost(options, frame, names, marks).argmin())
        box = options[best]
        names = np.vstack([names, box])
        across, up = to_data.transform((box[:2] + box[2:]) / 2)
        label.set_position((float(across), float(up)))
        if _STEPS[best, 0] > TIED:
            end = to_data.transform(np.clip(centre, box[:2], box[2:]))
            ax.plot([point.x, end[0]], [point.y.value, end[1]], color=colour, linewidth=0.5, alpha=0.7, zorder=1.5)


def _marks(ax: Axes, points: Sequence[Point], frame: Boxes) -> Boxes:
    """Return what names should not cover: markers, whiskers and the line at zero."""
    boxes = []
    for point in points:
        x, y = ax.transData.transform((point.x, point.y.value))
        boxes.append([x - 4.5, y - 4.5, x + 4.5, y + 4.5])
        if point.y.side is not None:
            (_, low), (_, high) = (ax.transData.transform((point.x, end)) for end in point.y[1:])
            boxes.append([x - 2, low, x + 2, high])
    zero = ax.transData.transform((0, 0))[1]
    return np.array([*boxes, [frame[0, 0], zero - 1, frame[0, 2], zero + 1]])


def _around_point(centre: NDArray[np.float64], width: float, height: float) -> Boxes:
    """Return the boxes of this size that stand beside a point, in every distance and direction."""
    distance, angle = _STEPS.T
    x = centre[0] + np.cos(angle) * (distance + width / 2)
    y = centre[1] + np.sin(angle) * (distance + height / 2)
    return np.stack([x - width / 2, y - height / 2, x + width / 2, y + height / 2], axis=1)


def _overlap(boxes: Boxes, others: Boxes) -> NDArray[np.float64]:
    """Return, for each box, the area in square pixels that it shares with the others."""
    sides = np.minimum(boxes[:, None, 2:], others[None, :, 2:]) - np.maximum(boxes[:, None, :2], others[None, :, :2])
    shared: NDArray[np.float64] = np.clip(sides, 0, None).prod(axis=2).sum(axis=1)
    return shared


def _cost(boxes: Boxes, frame: Boxes, names: Boxes, marks: Boxes) -> NDArray[np.float64]:
    """Return what each place costs: covered area, weighted, and a little for the distance."""
    outside = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1) - _overlap(boxes, frame)
    cost: NDArray[np.float64] = 20 * outside + 10 * _overlap(boxes, names) + 4 * _overlap(boxes, marks)
    return cost + 0.8 * _STEPS[:, 0]
