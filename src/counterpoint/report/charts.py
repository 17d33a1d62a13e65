"""Small line charts as inline SVG. The script of the page reads their polylines to say the values under the pointer."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape

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
class Axis:
    """What is measured along an edge.

    Args:
        label: with the unit.
        log: logarithmic; values must be positive.
        low, high: fixed ends; from the data where None.
        percent: values are shares.
    """

    label: str
    log: bool = False
    low: float | None = None
    high: float | None = None
    percent: bool = False


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
    x_ends = _ends(chart.x, [x for x, _ in points], pad=0.0)
    y_ends = _ends(chart.y, [y for _, y in points], pad=0.06)
    across = _scale(chart.x, x_ends, LEFT, WIDTH - RIGHT)
    up = _scale(chart.y, y_ends, HEIGHT - BOTTOM, TOP)
    parts = [
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(_spoken(chart))}"'
        f' data-x="{_data(chart.x, x_ends)}" data-y="{_data(chart.y, y_ends)}"'
        f' data-box="{LEFT},{TOP},{WIDTH - RIGHT},{HEIGHT - BOTTOM}" data-unit="{escape(chart.x.label)}">'
    ]
    for value, text in _ticks(chart.y, y_ends):
        at = up(value)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>')
        parts.append(f'<text class="tick" x="{LEFT - 7}" y="{at + 3.6:.1f}" text-anchor="end">{text}</text>')
    for value, text in _ticks(chart.x, x_ends):
        at = across(value)
        parts.append(
            f'<line class="tick-mark" x1="{at:.1f}" x2="{at:.1f}" y1="{HEIGHT - BOTTOM}" y2="{HEIGHT - BOTTOM + 4}"/>'
        )
        parts.append(f'<text class="tick" x="{at:.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{text}</text>')
    floor = HEIGHT - BOTTOM
    parts.append(f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{floor}" y2="{floor}"/>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(
        f'<text class="unit" x="{middle:.0f}" y="{HEIGHT - 4}" text-anchor="middle">{escape(chart.x.label)}</text>'
    )
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


def _ends(axis: Axis, values: Sequence[float], pad: float) -> tuple[float, float]:
    low = min(values) if axis.low is None else axis.low
    high = max(values) if axis.high is None else axis.high
    if axis.log:
        if high / low < 1.01:
            low, high = low / 2, high * 2
        return low, high
    if high - low <= 1e-5 * max(abs(low), abs(high)):  # what differs less is rounding
        room = abs(low) * 0.1 or (1.0 if axis.percent else 0.5)
        below = low if axis.low is not None else low - room
        above = high if axis.high is not None and below < high else high + room
    else:
        room = (high - low) * pad
        below, above = low if axis.low is not None else low - room, high if axis.high is not None else high + room
    whole = axis.percent and 0 <= low <= high <= 1  # shares
    return (max(0.0, below), min(1.0, above)) if whole else (below, above)


def _scale(axis: Axis, ends: tuple[float, float], start: float, stop: float) -> Callable[[float], float]:
    low, high = (math.log10(v) for v in ends) if axis.log else ends

    def at(value: float) -> float:
        place = (math.log10(value) if axis.log else value) - low
        return start + place / (high - low) * (stop - start)

    return at


def _ticks(axis: Axis, ends: tuple[float, float]) -> list[tuple[float, str]]:
    low, high = ends
    if axis.log:
        first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
        powers = range(first, last + 1, max(1, math.ceil((last - first) / 5)))
        if len(powers) >= 2:
            return [(10.0**p, _power(p)) for p in powers]
    span = high - low
    step = 10.0 ** math.floor(math.log10(span / 4))
    step *= next(m for m in (1, 2, 2.5, 5, 10) if span / (step * m) <= 5)
    first = math.ceil(low / step - 1e-9)
    values = [first * step + i * step for i in range(int((high - first * step) / step + 1e-9) + 1)]
    return [(v, _text(v, step, axis.percent)) for v in values if not axis.log or v > 0]


def _power(p: int) -> str:
    if 0 <= p <= 4:
        return f"{10**p:,}"
    return f'10<tspan class="sup" dy="-4">{str(p).replace("-", "−")}</tspan>'


def _text(value: float, step: float, percent: bool) -> str:
    if percent:
        value, step = value * 100, step * 100
    value = 0.0 if abs(value) < step / 1e6 else value
    if abs(value) >= 1e6 or (value and step < 1e-4):
        digits = max(3, math.ceil(math.log10(abs(value) / step) - 1e-9) + 1) if value else 3
        text = f"{value:.{digits}g}"
    else:
        digits = max(0, -math.floor(math.log10(step) + 1e-9))
        if round(step, digits) != round(step, digits + 1):
            digits += 1
        text = f"{value:,.{digits}f}" if value or digits < 4 else "0"
    return text.replace("-", "−") + (" %" if percent else "")


def _data(axis: Axis, ends: tuple[float, float]) -> str:
    return f"{'log' if axis.log else 'linear'},{ends[0]!r},{ends[1]!r},{'percent' if axis.percent else ''}"


def _spoken(chart: Chart) -> str:
    said = [f"{chart.title} ({chart.x.label})."]
    for line in chart.lines:
        pairs = [(x, y) for x, y in zip(line.x, line.y, strict=True) if _seen(chart, x, y)]
        if line.label and pairs:
            said.append(f"{line.label}: from {pairs[0][1]:.4g} to {pairs[-1][1]:.4g}.")
    return " ".join(said)
