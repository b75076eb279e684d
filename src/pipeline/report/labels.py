"""Names beside the points of a scatter plot that cover neither points nor whiskers nor one another."""

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.transforms import Bbox

from pipeline.report.results import Interval

DISTANCES = (6, 10, 15, 21, 28, 36, 45, 55, 66)
"""From the point to the nearest edge of its name, in pixels of the layout (1/72 inch)."""

TIED = 12
"""A name farther away than this is tied to its point by a thin line."""


class Point(NamedTuple):
    """A named point with its whisker, in data coordinates."""

    name: str
    x: float
    y: Interval


def label_points(ax: Axes, points: Sequence[Point], colour: str) -> None:
    """Write the names of the points, each where it covers least; the figure must have been laid out."""
    centres = [tuple(map(float, ax.transData.transform((point.x, point.y.value)))) for point in points]
    marks = [_around(x, y, 9, 9) for x, y in centres] + [
        _whisker(ax, point) for point in points if point.y.side is not None
    ]
    frame = ax.get_window_extent()
    names: list[Bbox] = []
    to_data = ax.transData.inverted()
    for (x, y), point in sorted(zip(centres, points, strict=True)):
        label = ax.text(
            point.x, point.y.value, point.name, fontsize=7, color=colour, va="center", ha="center", zorder=4
        )
        extent = label.get_window_extent()
        options = [(d, _beside(x, y, extent.width + 2, extent.height, d, step)) for d, step in _POSITIONS]
        distance, box = min(options, key=lambda option: _cost(option[0], option[1], frame, names, marks))
        names.append(box)
        across, up = to_data.transform(((box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2))
        label.set_position((float(across), float(up)))
        if distance > TIED:
            end = to_data.transform((min(max(x, box.x0), box.x1), min(max(y, box.y0), box.y1)))
            ax.plot([point.x, end[0]], [point.y.value, end[1]], color=colour, linewidth=0.5, alpha=0.7, zorder=1.5)


_POSITIONS = tuple(itertools.product(DISTANCES, range(16)))


def _around(x: float, y: float, width: float, height: float) -> Bbox:
    return Bbox.from_bounds(x - width / 2, y - height / 2, width, height)


def _whisker(ax: Axes, point: Point) -> Bbox:
    x, low = ax.transData.transform((point.x, point.y.low))
    _, high = ax.transData.transform((point.x, point.y.high))
    return Bbox.from_extents(x - 2, low, x + 2, high)


def _beside(x: float, y: float, width: float, height: float, distance: float, step: int) -> Bbox:
    """Return a box of this size whose edge is this far from the point, in one of sixteen directions."""
    across, up = math.cos(step * math.pi / 8), math.sin(step * math.pi / 8)
    return _around(x + across * (distance + width / 2), y + up * (distance + height / 2), width, height)


def _overlap(one: Bbox, other: Bbox) -> float:
    shared = Bbox.intersection(one, other)
    return 0.0 if shared is None else float(shared.width * shared.height)


def _cost(distance: float, box: Bbox, frame: Bbox, names: Sequence[Bbox], marks: Sequence[Bbox]) -> float:
    """Return what a place costs: covered area in square pixels, weighted, and a little for the distance."""
    outside = box.width * box.height - _overlap(box, frame)
    covered = 10 * sum(_overlap(box, name) for name in names) + 4 * sum(_overlap(box, mark) for mark in marks)
    return 20 * outside + covered + 0.8 * distance
