"""Scatters: a relation of two measures between axes, or a map without them."""

import math
from collections.abc import Callable, Sequence
from html import escape
from statistics import median
from typing import NamedTuple

from counterpoint.report.axes import Axis, Frame, ends
from counterpoint.report.drawings.drawing import WIDTH, Drawing, Tell, cut, key, opening, style, teller, wide
from counterpoint.report.exhibits import Points, Series

__all__ = ["draw_points"]

HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 300, 52, 14, 12, 36
FINE = 2  # a map counts in halves of a pixel, so that whole numbers do
MAP = 360, 330  # width and height of a map
RIM = 12
MANY = 300  # points beyond which they are drawn lightly, so that their density shows
NAMED = 50  # groups whose names still find room on a map
# Shapes around the point at which they begin, told apart without colour.
SHAPES = (
    "m-3.4 0a3.4 3.4 0 1 0 6.8 0a3.4 3.4 0 1 0-6.8 0",
    "m-3-3h6v6h-6z",
    "m0-4l3.9 6.8h-7.8z",
    "m0-4.4l4.1 4.4l-4.1 4.4l-4.1-4.4z",
    "m-1.2-4h2.4v2.8h2.8v2.4h-2.8v2.8h-2.4v-2.8h-2.8v-2.4h2.8z",
    "m0 4l3.9-6.8h-7.8z",
)

LEVELS = 8  # of a shade

Place = tuple[float, float]
Where = Callable[[Place], tuple[int, int]]


class _Point(NamedTuple):
    """What can be drawn."""

    place: Place
    name: str
    value: float | None


def draw_points(points: Points) -> Drawing | None:
    """Its drawing; None where no point can be drawn. A map keeps the proportions of its distances."""
    if points.x is None or points.y is None:
        return _map(points)
    return _between_axes(points, points.x, points.y)


def _between_axes(points: Points, x: Axis, y: Axis) -> Drawing | None:
    held = [_seen(each, log=(x.log, y.log)) for each in points.series]
    every = [point.place for found in held for point in found]
    if not every:
        return None
    valued = [point.value for found in held for point in found if point.value is not None]
    low, high = (min(valued), max(valued)) if points.shade and valued else (0.0, 0.0)
    tell = teller(valued, percent=bool(points.shade and points.shade.percent))
    x_ends, y_ends = ends(x, [p[0] for p in every], 0.04), ends(y, [p[1] for p in every], 0.06)
    frame = Frame(x, y, x_ends, y_ends, LEFT, TOP, WIDTH - RIGHT, HEIGHT - BOTTOM)
    tell_x, tell_y = (teller([p[k] for p in every], percent=axis.percent) for k, axis in enumerate((x, y)))
    of = len(points.series)
    kind = "mark-shape many" if len(every) > MANY else "mark-shape"
    parts, tips = frame.drawn(), list[list[str]]()
    for i, (series, found) in enumerate(zip(points.series, held, strict=True)):
        inside = [
            each for each in found
            if x_ends[0] <= each.place[0] <= x_ends[1] and y_ends[0] <= each.place[1] <= y_ends[1]
        ]  # fmt: skip
        shape = SHAPES[i % len(SHAPES)]
        marks = [f"M{frame.across(each.place[0]):.1f} {frame.up(each.place[1]):.1f}{shape}" for each in inside]
        shaded = _shaded(marks, [each.value for each in inside], low, high) if points.shade else ""
        under = f'<g data-series="{i}">{shaded}</g>' if shaded else ""
        path = f'<path class="{kind}{" hollow" if shaded else ""}" data-series="{i}" d="{"".join(marks)}"/>'
        parts.append(f"<g {style(i, of)}>{under}{path}</g>")
        label = series.label if of > 1 else ""
        said = [(tell_x(each.place[0]), tell_y(each.place[1]), _told(tell, each.value)) for each in inside]
        values = [", ".join(filter(None, one)) for one in said]
        names = [each.name for each in inside]
        tips.append(["\n".join(filter(None, [name, label, at])) for name, at in zip(names, values, strict=True)])
    spoken = f"{points.title} ({x.label} against {y.label}). {_counted(points, held)}"
    svg = "".join([opening("points", HEIGHT, spoken), *parts, "</svg>"])
    keys = [
        key(series.label, i, of, f'<path class="mark-shape" d="M0 0{SHAPES[i % len(SHAPES)]}"/>')
        for i, series in enumerate(points.series)
    ]
    unit = y.label
    if points.shade and valued:
        unit += f"; the deeper the colour, the larger the {points.shade.label}: {tell(low)} to {tell(high)}"
    return Drawing(svg, tuple(keys) if of > 1 else (), unit, chosen=of > 1, tips={"points": tips})


def _told(tell: Tell, value: float | None) -> str:
    return "" if value is None else tell(value)


def _shaded(marks: Sequence[str], values: Sequence[float | None], low: float, high: float) -> str:
    """The marks filled by their value, one path for all of a level; those without a value stay empty."""
    levels: dict[int, list[str]] = {}
    for mark, value in zip(marks, values, strict=True):
        if value is not None:
            share = (value - low) / (high - low) if high > low else 1.0
            levels.setdefault(1 + round((LEVELS - 1) * share), []).append(mark)
    return "".join(
        f'<path class="mark-shape" style="fill-opacity:{level / LEVELS:g}" d="{"".join(held)}"/>'
        for level, held in sorted(levels.items())
    )


def _map(points: Points) -> Drawing | None:
    held = [_seen(each) for each in points.series]
    every = [point.place for found in held for point in found]
    if not every:
        return None
    low, high = [min(p[k] for p in every) for k in (0, 1)], [max(p[k] for p in every) for k in (0, 1)]
    room = [side * FINE - 2 * RIM for side in MAP]
    fit = min(space / span if (span := high[k] - low[k]) > 0 else math.inf for k, space in enumerate(room))
    fit = fit if math.isfinite(fit) else 1.0
    start = [(MAP[k] * FINE - (high[k] - low[k]) * fit) / 2 for k in (0, 1)]

    def where(place: Place) -> tuple[int, int]:
        return round(start[0] + (place[0] - low[0]) * fit), round(MAP[1] * FINE - start[1] - (place[1] - low[1]) * fit)

    of = len(points.series)
    thick = FINE * min(7.0, max(2.6, 12.2 - 2.7 * math.log10(len(every))))
    parts, tips = list[str](), list[list[str]]()
    for i, found in enumerate(held):
        path = "".join("M{} {}h0".format(*where(point.place)) for point in found)
        parts.append(
            f'<g {style(i, of)}><path class="spots" data-series="{i}" stroke-width="{thick:.1f}" d="{path}"/></g>'
        )
        tips.append([point.name for point in found] if any(point.name for point in found) else [])
    parts += _names(points.series, held, where) if 1 < of <= NAMED else []
    spoken = f"{points.title}. A map: what is near is alike, directions mean nothing. {_counted(points, held)}"
    svg = "".join([opening("atlas-still", MAP[1] * FINE, spoken, width=MAP[0] * FINE), *parts, "</svg>"])
    keys = [
        key(each.label, i, of, '<path class="spots" stroke-width="10" d="M0 0h0"/>')
        for i, each in enumerate(points.series)
    ]
    return Drawing(
        svg, tuple(keys) if of > 1 else (), chosen=of > 1,
        tips={"points": tips, "labels": [each.label for each in points.series]},
    )  # fmt: skip


def _names(series: tuple[Series, ...], held: list[list[_Point]], where: Where) -> list[str]:
    """Each group's name at the middle of its points, so that a map can be read without its colours."""
    parts: list[str] = []
    for i, (each, found) in enumerate(zip(series, held, strict=True)):
        if found:
            x, y = where((median(point.place[0] for point in found), median(point.place[1] for point in found)))
            label = cut(each.label, 110 * FINE, 12 * FINE)
            half = 1.15 * wide(label, 12 * FINE) / 2  # bold
            x = min(max(x, half + 4), MAP[0] * FINE - half - 4)
            parts.append(f'<text class="map-name" data-series="{i}" x="{x:.0f}" y="{y + 9}">{escape(label)}</text>')
    return parts


def _seen(series: Series, log: tuple[bool, bool] = (False, False)) -> list[_Point]:
    """Its points that can be drawn, with their names and values."""
    names = series.names or ("",) * len(series.x)
    values: Sequence[float | None] = series.values or (None,) * len(series.x)
    return [
        _Point((float(x), float(y)), name, value if value is not None and math.isfinite(value) else None)
        for x, y, name, value in zip(series.x, series.y, names, values, strict=False)
        if math.isfinite(x) and math.isfinite(y) and (x > 0 or not log[0]) and (y > 0 or not log[1])
    ]


def _counted(points: Points, held: list[list[_Point]]) -> str:
    groups = [f"{each.label}: {len(found):,} points" for each, found in zip(points.series, held, strict=True)]
    return "; ".join(groups[:12]) + ("; …" if len(groups) > 12 else "") + "."
