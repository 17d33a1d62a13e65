"""Bars from left to right, with intervals and published values; long names stand above their bars."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from html import escape

from counterpoint.report.axes import Axis, along, ends, ticks
from counterpoint.report.drawings.drawing import WIDTH, Drawing, Key, Tell, cut, key, opening, style, teller, wide
from counterpoint.report.exhibits import Bars

__all__ = ["draw_bars"]

SIZE = 11
BESIDE = 17  # letters of a name that stands beside its bars
THICK, ALONE = 11, 14  # of a bar among others, and of one that stands alone
SHADES = ("", " pale", " hollow")
DOTS = (
    "m-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0",
    "m-3.6-3.6h7.2v7.2h-7.2z",
    "m0-4.6l4.4 7.8h-8.8z",
    "m0-5l4.6 5l-4.6 5l-4.6-5z",
)
PUBLISHED = '<line class="published" x1="0" x2="0" y1="-7" y2="7"/>'

Values = Mapping[str, Sequence[float | None]]


@dataclass(frozen=True)
class _Bar:
    """One value; what cannot be drawn is None."""

    name: str
    label: str
    value: float | None
    low: float | None
    high: float | None
    published: float | None


def draw_bars(bars: Bars) -> Drawing | None:
    """Its drawing; None where there is nothing to draw.

    A bar's length is its value, so bars begin at zero; where the axis does not, or is logarithmic, values are dots.
    """
    marks = bars.marks or {}
    held = [_taken(bars, i, name) for i, name in enumerate(bars.names)]
    others = [(label, [_one(marks, label, i, bars.y) for i in range(len(held))]) for label in marks]
    others = [(label, values) for label, values in others if label not in bars.groups]
    every = [v for row in held for bar in row for v in (bar.value, bar.low, bar.high, bar.published) if v is not None]
    every += [v for _, values in others for v in values if v is not None]
    if not every:
        return None
    dots = bars.y.log or (bars.y.low is not None and bars.y.low > 0)
    across, tell = _ends(bars.y, every, dots=dots), teller(every, percent=bars.y.percent)
    beside = max(map(len, bars.names)) <= BESIDE
    left = 8 + max(wide(name, SIZE) for name in bars.names) if beside else 8.0
    right = WIDTH - 6 - max(wide(tell(v), SIZE) for v in every)
    at = partial(along, bars.y, across, left, right)
    of = len(bars.groups)
    apart = of > 1 and all(sum(bar.value is not None for bar in row) <= 1 for row in held)
    slots = 1 if apart else of
    thick = ALONE if slots == 1 else THICK
    block = slots * (thick + 2) + (9 if beside else 25)
    floor = 6 + block * len(held)
    parts = [_grid(bars.y, across, at, floor)]
    start = across[0] if dots else min(max(0.0, across[0]), across[1])
    if not dots:
        zero = at(start)
        parts.append(f'<line class="axis" x1="{zero:.1f}" x2="{zero:.1f}" y1="2" y2="{floor}"/>')
    for i, (name, row) in enumerate(zip(bars.names, held, strict=True)):
        top = 6 + i * block + (0 if beside else 17)
        anchor = f'x="{left - 8:.0f}" y="{top + slots * (thick + 2) / 2 + 3:.1f}" text-anchor="end"'
        place = anchor if beside else f'x="8" y="{top - 5}"'
        shown = escape(cut(name, WIDTH - 10, SIZE))
        parts.append(f'<text class="bar-name" {place}><title>{escape(name)}</title>{shown}</text>')
        for j, bar in enumerate(row):
            if apart and bar.value is None:
                continue
            y = top + (0 if apart else j) * (thick + 2)
            tip = escape(_said(bar, tell, label=of > 1))
            drawn = _dot(bar, at, y, thick, j) if dots else _block(bar, at, across, y, thick, j)
            reached = (bar.value, bar.high, bar.published) if bar.value is not None else ()
            reach = max(at(v) for v in (*reached, start) if v is not None)
            parts.append(
                f'<g {style(j, of)} data-tip="{tip}">'
                f'<rect class="bin" x="{left:.0f}" y="{y - 1}" width="{WIDTH - left:.0f}" height="{thick + 2}"/>{drawn}'
                f'<text class="amount" x="{reach + 5:.1f}" y="{y + thick / 2 + 3.8:.1f}">'
                f"{tell(bar.value)}</text></g>"
            )
        for label, values in others:
            if (value := values[i]) is not None:
                said = escape(f"{label}: {tell(value)}")
                parts.append(_tick(at(value), top - 2, top + slots * (thick + 2), said))
    svg = "".join([opening("bars-chart", floor + 22, _spoken(bars, held, tell)), *parts, "</svg>"])
    return Drawing(svg, tuple(_keys(bars, dots=dots)), bars.y.label)


def _taken(bars: Bars, i: int, name: str) -> list[_Bar]:
    """The bars of one name."""
    low, high, marks = bars.low or {}, bars.high or {}, bars.marks or {}
    return [
        _Bar(name, label, *(_one(values, label, i, bars.y) for values in (bars.groups, low, high, marks)))
        for label in bars.groups
    ]


def _one(held: Values, label: str, i: int, axis: Axis) -> float | None:
    values = held.get(label, ())
    value = values[i] if i < len(values) else None
    return float(value) if value is not None and math.isfinite(value) and (value > 0 or not axis.log) else None


def _ends(axis: Axis, every: Sequence[float], *, dots: bool) -> tuple[float, float]:
    if dots:
        return ends(axis, every, 0.04)
    low, high = ends(axis, [*every, 0.0], 0.03)
    return (max(low, 0.0) if min(every) >= 0 else low), (min(high, 0.0) if max(every) <= 0 and min(every) < 0 else high)


def _grid(axis: Axis, across: tuple[float, float], at: Callable[[float], float], floor: float) -> str:
    return "".join(
        f'<line class="grid" x1="{at(value):.1f}" x2="{at(value):.1f}" y1="2" y2="{floor}"/>'
        f'<text class="tick" x="{at(value):.1f}" y="{floor + 14}" text-anchor="middle">{text}</text>'
        for value, text in ticks(axis, across)
    )


def _block(bar: _Bar, at: Callable[[float], float], across: tuple[float, float], y: float, thick: float, j: int) -> str:
    drawn = ""
    if bar.value is not None:
        zero, end = (at(min(max(v, across[0]), across[1])) for v in (0.0, bar.value))
        x, width = min(zero, end), max(abs(end - zero), 0.8)
        kind = f"bar{SHADES[j % len(SHADES)]}"
        drawn = f'<rect class="{kind}" x="{x:.1f}" y="{y}" width="{width:.1f}" height="{thick}"/>'
    return drawn + _whisker(bar, at, y, thick) + _own(bar, at, y, thick)


def _dot(bar: _Bar, at: Callable[[float], float], y: float, thick: float, j: int) -> str:
    drawn = _whisker(bar, at, y, thick)
    if bar.value is not None:
        drawn += f'<path class="mark-shape" d="M{at(bar.value):.1f} {y + thick / 2:g}{DOTS[j % len(DOTS)]}"/>'
    return drawn + _own(bar, at, y, thick)


def _whisker(bar: _Bar, at: Callable[[float], float], y: float, thick: float) -> str:
    if bar.value is None or bar.low is None or bar.high is None:
        return ""
    low, high, middle = at(bar.low), at(bar.high), y + thick / 2
    path = f"M{low:.1f} {middle:g}H{high:.1f}M{low:.1f} {middle - 3:g}v6M{high:.1f} {middle - 3:g}v6"
    return f'<path class="whisker" d="{path}"/>'


def _own(bar: _Bar, at: Callable[[float], float], y: float, thick: float) -> str:
    return "" if bar.published is None else _tick(at(bar.published), y - 2, y + thick + 2)


def _tick(x: float, top: float, bottom: float, title: str = "") -> str:
    said = f"<title>{title}</title>" if title else ""
    return f'<line class="published" x1="{x:.1f}" x2="{x:.1f}" y1="{top:g}" y2="{bottom:g}">{said}</line>'


def _keys(bars: Bars, *, dots: bool) -> list[Key]:
    of = len(bars.groups)
    keys: list[Key] = []
    for j, label in enumerate(bars.groups if of > 1 else ()):
        block = f'<rect class="bar{SHADES[j % len(SHADES)]}" x="-8" y="-5" width="16" height="10"/>'
        dot = f'<path class="mark-shape" d="M0 0{DOTS[j % len(DOTS)]}"/>'
        keys.append(key(label, j, of, dot if dots else block))
    marks = bars.marks or {}
    if any(label in bars.groups for label in marks):
        keys.append(key("published", 0, 1, PUBLISHED))
    keys += [key(label, 0, 1, PUBLISHED) for label in marks if label not in bars.groups]
    if bars.low and bars.high:
        keys.append(key("interval", 0, 1, '<path class="whisker" d="M-8 0H8M-8-3v6M8-3v6"/>'))
    return keys


def _said(bar: _Bar, tell: Tell, *, label: bool) -> str:
    lines = [
        bar.name,
        f"{bar.label}: {tell(bar.value)}" if label else tell(bar.value),
    ]
    if bar.low is not None and bar.high is not None:
        lines.append(f"{tell(bar.low)} to {tell(bar.high)}")
    if bar.published is not None:
        lines.append(f"published: {tell(bar.published)}")
    return "\n".join(lines)


def _spoken(bars: Bars, held: list[list[_Bar]], tell: Tell) -> str:
    said = [f"{bars.title} ({bars.y.label})."]
    for row in held[:20]:
        values = [
            f"{bar.label} {tell(bar.value)}" if len(row) > 1
            else tell(bar.value) for bar in row
        ]  # fmt: skip
        said.append(f"{row[0].name if row else ''}: {', '.join(values)}.")
    return " ".join(said)
