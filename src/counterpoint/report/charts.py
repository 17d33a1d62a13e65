"""Small line charts as inline SVG. The script of the page reads their polylines to say the values under the pointer."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape

from counterpoint.report.axes import Axis, Frame, ends

__all__ = ["Axis", "Chart", "Line", "draw", "thin"]

WIDTH, HEIGHT = 380, 232
LEFT, RIGHT, TOP, BOTTOM = 48, 12, 12, 36


@dataclass(frozen=True)
class Line:
    """One curve.

    Args:
        label: in the legend and under the pointer; empty for a curve that only accompanies another.
        x, y: finite or nan; a nan interrupts the curve.
        style: CSS class, which gives colour and dashes.
        fill: shade the area below.
    """

    label: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    style: str
    fill: bool = False


@dataclass(frozen=True)
class Chart:
    """A figure of the page.

    Args:
        title: what it shows.
        note: how to read it, one sentence.
        lines: drawn in order.
        x, y: axes.
        marks: x positions of vertical lines, with what happened there.
        healthy: what the curve of a healthy run looks like; empty where that is not said.
    """

    title: str
    note: str
    lines: tuple[Line, ...]
    x: Axis
    y: Axis
    marks: tuple[tuple[float, str], ...] = ()
    healthy: str = ""


def thin(x: Iterable[float], y: Iterable[float], most: int = 360) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """At most `most` points of a curve, evenly spaced, the first and the last among them."""
    xs, ys = [float(v) for v in x], [float(v) for v in y]
    if len(xs) <= most:
        return tuple(xs), tuple(ys)
    keep = sorted({round(i * (len(xs) - 1) / (most - 1)) for i in range(most)})
    return tuple(xs[i] for i in keep), tuple(ys[i] for i in keep)


def draw(chart: Chart) -> str:
    """The SVG of a chart; empty where no point can be drawn."""
    points = [(x, y) for line in chart.lines for x, y in zip(line.x, line.y, strict=True) if _seen(chart, x, y)]
    if not points:
        return ""
    x_ends = ends(chart.x, [x for x, _ in points], pad=0.0)
    y_ends = ends(chart.y, [y for _, y in points], pad=0.06)
    frame = Frame(chart.x, chart.y, x_ends, y_ends, LEFT, TOP, WIDTH - RIGHT, HEIGHT - BOTTOM)
    across, up, floor = frame.across, frame.up, HEIGHT - BOTTOM
    parts = [
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(_spoken(chart))}"'
        f' data-x="{_data(chart.x, x_ends)}" data-y="{_data(chart.y, y_ends)}"'
        f' data-box="{LEFT},{TOP},{WIDTH - RIGHT},{HEIGHT - BOTTOM}" data-unit="{escape(chart.x.label)}">',
        *frame.drawn(),
    ]
    for value, text in chart.marks:
        if x_ends[0] <= value <= x_ends[1]:
            at = across(value)
            parts.append(
                f'<line class="mark" x1="{at:.1f}" x2="{at:.1f}" y1="{TOP}" y2="{floor}">'
                f"<title>{escape(text)}</title></line>"
            )
    for line in chart.lines:
        for piece in _pieces(chart, line):
            corners = [f"{across(x):.2f},{up(y):.2f}" for x, y in piece]
            if line.fill:
                first, last = corners[0].split(",")[0], corners[-1].split(",")[0]
                parts.append(
                    f'<polygon class="area {line.style}" points="{first},{floor} {" ".join(corners)} {last},{floor}"/>'
                )
            label = f' data-label="{escape(line.label)}"' if line.label else ""
            parts.append(f'<polyline class="line {line.style}" points="{" ".join(corners)}"{label}/>')
            if len(piece) == 1:
                x, y = corners[0].split(",")
                parts.append(f'<circle class="point {line.style}" cx="{x}" cy="{y}" r="3"/>')
    return "".join([*parts, "</svg>"])


def _seen(chart: Chart, x: float, y: float) -> bool:
    return math.isfinite(x) and math.isfinite(y) and (not chart.x.log or x > 0) and (not chart.y.log or y > 0)


def _pieces(chart: Chart, line: Line) -> list[list[tuple[float, float]]]:
    pieces: list[list[tuple[float, float]]] = [[]]
    for x, y in zip(line.x, line.y, strict=True):
        if _seen(chart, x, y):
            pieces[-1].append((x, y))
        elif pieces[-1]:
            pieces.append([])
    return [piece for piece in pieces if piece]


def _data(axis: Axis, ends: tuple[float, float]) -> str:
    return f"{'log' if axis.log else 'linear'},{ends[0]!r},{ends[1]!r},{'percent' if axis.percent else ''}"


def _spoken(chart: Chart) -> str:
    said = [f"{chart.title} ({chart.x.label})."]
    for line in chart.lines:
        pairs = [(x, y) for x, y in zip(line.x, line.y, strict=True) if _seen(chart, x, y)]
        if line.label and pairs:
            said.append(f"{line.label}: from {pairs[0][1]:.4g} to {pairs[-1][1]:.4g}.")
    return " ".join(said)
