"""Axes of figures: their ends, where a value stands along them, and the ticks that a person can read."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

__all__ = ["Axis", "Frame", "along", "ends", "ticks"]


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
class Frame:
    """Two axes around a box of pixels, whose y grows downwards.

    Args:
        x, y: axes.
        x_ends, y_ends: values at the edges of the box.
        left, top, right, bottom: the box.
    """

    x: Axis
    y: Axis
    x_ends: tuple[float, float]
    y_ends: tuple[float, float]
    left: float
    top: float
    right: float
    bottom: float

    def across(self, value: float) -> float:
        """Where a value stands from left to right."""
        return along(self.x, self.x_ends, self.left, self.right, value)

    def up(self, value: float) -> float:
        """Where a value stands from the bottom to the top."""
        return along(self.y, self.y_ends, self.bottom, self.top, value)

    def drawn(self) -> list[str]:
        """Grid lines, ticks and the label of the x axis, as SVG."""
        parts: list[str] = []
        for value, text in ticks(self.y, self.y_ends):
            at = self.up(value)
            parts.append(f'<line class="grid" x1="{self.left}" x2="{self.right}" y1="{at:.1f}" y2="{at:.1f}"/>')
            parts.append(f'<text class="tick" x="{self.left - 7}" y="{at + 3.6:.1f}" text-anchor="end">{text}</text>')
        return parts + self.floor()

    def floor(self) -> list[str]:
        """The x axis alone."""
        parts: list[str] = []
        floor = self.bottom
        for value, text in ticks(self.x, self.x_ends):
            at = self.across(value)
            parts.append(f'<line class="tick-mark" x1="{at:.1f}" x2="{at:.1f}" y1="{floor}" y2="{floor + 4}"/>')
            parts.append(f'<text class="tick" x="{at:.1f}" y="{floor + 16}" text-anchor="middle">{text}</text>')
        parts.append(f'<line class="axis" x1="{self.left}" x2="{self.right}" y1="{floor}" y2="{floor}"/>')
        middle, label = (self.left + self.right) / 2, escape(self.x.label)
        parts.append(f'<text class="unit" x="{middle:.0f}" y="{floor + 32}" text-anchor="middle">{label}</text>')
        return parts


def ends(axis: Axis, values: Sequence[float], pad: float) -> tuple[float, float]:
    """The values at the ends of an axis: those that it asks for, else those of the data with some room.

    Args:
        axis: whose.
        values: of the data, at least one.
        pad: room beyond the data, as a share of their span.
    """
    low = min(values) if axis.low is None else axis.low
    high = max(values) if axis.high is None else axis.high
    if high < low:  # the data lie beyond a fixed end
        low, high = (low, low) if axis.low is not None else (high, high)
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


def along(axis: Axis, ends: tuple[float, float], start: float, stop: float, value: float) -> float:
    """Where a value of an axis stands between two positions."""
    low, high, at = (math.log10(v) if axis.log else v for v in (*ends, value))
    return start + (at - low) / (high - low) * (stop - start)


def ticks(axis: Axis, ends: tuple[float, float]) -> list[tuple[float, str]]:
    """Round values between the ends, each with its text."""
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
