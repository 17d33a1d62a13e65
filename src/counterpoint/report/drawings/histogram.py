"""Histograms: a few groups in one box, more of them below one another."""

import math
from collections.abc import Mapping, Sequence
from html import escape
from itertools import pairwise

from counterpoint.report.axes import Axis, Frame, ends, ticks
from counterpoint.report.drawings.drawing import WIDTH, Drawing, Key, cut, key, number, opening, style
from counterpoint.report.exhibits import Histogram

__all__ = ["draw_histogram"]

LEFT, RIGHT, BOTTOM = 48, 12, 36
TALL, PANEL, GAP = 186, 58, 20  # heights of the box, of one of several, and between them
TOGETHER = 3  # groups that one box can hold
DASHES = ("", "6 3", "2 3")
LINE, SIZE = 14, 11  # of the labels of reference lines
REFERENCE = '<svg viewBox="-9 -7 18 14" aria-hidden="true"><path class="refer" d="M0-7V7"/></svg>'

Groups = Mapping[str, Sequence[float]]


def draw_histogram(histogram: Histogram) -> Drawing | None:
    """Its drawing; None where there is no bin.

    Up to three groups share a box, told apart by their outline; more stand below one another on one axis.
    """
    edges = [edge for edge in histogram.edges if math.isfinite(edge) and (not histogram.x.log or edge > 0)]
    if len(edges) < 2 or not histogram.groups:
        return None
    groups = {label: _clean(counts, len(edges) - 1) for label, counts in histogram.groups.items()}
    marks = [(v, text) for v, text in histogram.marks if math.isfinite(v) and (not histogram.x.log or v > 0)]
    across = ends(histogram.x, [*edges, *(value for value, _ in marks)], pad=0.0)
    marks = [(value, text) for value, text in marks if across[0] <= value <= across[1]]
    whole = all(count.is_integer() for counts in groups.values() for count in counts)
    together = len(groups) <= TOGETHER
    top = 10 + LINE * len(marks)
    parts: list[str] = []
    bottom = top
    for i, held in enumerate([groups] if together else [{label: counts} for label, counts in groups.items()]):
        start = top if together else bottom + (LINE if i == 0 else GAP)
        bottom = start + (TALL if together else PANEL)
        height = max(max(counts) for counts in held.values()) or 1.0
        up = ends(Axis("", low=0.0), [0.0, height], pad=0.06)
        frame = Frame(histogram.x, Axis("", low=0.0), across, up, LEFT, start, WIDTH - RIGHT, bottom)
        parts += frame.drawn() if together else _panel(frame, next(iter(held)), last=i == len(groups) - 1)
        for j, counts in enumerate(held.values()):
            parts.append(_steps(frame, edges, counts, j if together else i, len(groups), alone=len(held) == 1))
        parts += _bins(frame, edges, held, percent=histogram.x.percent, whole=whole)
    drawn, cut_off = _marks(Frame(histogram.x, Axis(""), across, (0.0, 1.0), LEFT, top, WIDTH - RIGHT, bottom), marks)
    named = len(groups) > 1 and together
    keys = [key(label, j, len(groups), _swatch(j)) for j, label in enumerate(groups)] if named else []
    svg = [opening("histogram", bottom + BOTTOM, _spoken(histogram, groups, edges)), *parts, *drawn, "</svg>"]
    return Drawing("".join(svg), (*keys, *cut_off), "how many" if whole else "share")


def _clean(counts: Sequence[float], bins: int) -> list[float]:
    """One count for each bin; what is missing or no number is nothing."""
    held = [float(count) if math.isfinite(count) and count > 0 else 0.0 for count in counts][:bins]
    return held + [0.0] * (bins - len(held))


def _panel(frame: Frame, label: str, *, last: bool) -> list[str]:
    """The box of one of several groups: its name, the height of its highest bin, and the axis below the last."""
    value, text = ticks(frame.y, frame.y_ends)[-1]
    at, ends_ = frame.up(value), f'x1="{frame.left}" x2="{frame.right}"'
    shown = escape(cut(label, WIDTH - LEFT, SIZE))
    return [
        f'<text class="panel-name" x="{frame.left}" y="{frame.top - 5}">{shown}</text>',
        f'<line class="grid" {ends_} y1="{at:.1f}" y2="{at:.1f}"/>',
        f'<text class="tick" x="{frame.left - 7}" y="{at + 3.6:.1f}" text-anchor="end">{text}</text>',
        *(frame.floor() if last else [f'<line class="axis" {ends_} y1="{frame.bottom}" y2="{frame.bottom}"/>']),
    ]


def _steps(frame: Frame, edges: Sequence[float], counts: Sequence[float], i: int, of: int, *, alone: bool) -> str:
    steps = [
        f"V{frame.up(count):.1f}H{frame.across(right):.1f}" for right, count in zip(edges[1:], counts, strict=True)
    ]
    outline = f"M{frame.across(edges[0]):.1f} {frame.bottom:g}{''.join(steps)}V{frame.bottom:g}"
    dash = "" if alone or not DASHES[i] else f' stroke-dasharray="{DASHES[i]}"'
    return f'<g {style(i, of)}><path class="steps{" alone" if alone else ""}" d="{outline}"{dash}/></g>'


def _swatch(i: int) -> str:
    dash = f' stroke-dasharray="{DASHES[i]}"' if DASHES[i] else ""
    return f'<path class="steps" d="M-8 6V-4H8V6"{dash}/>'


def _bins(frame: Frame, edges: Sequence[float], held: Groups, *, percent: bool, whole: bool) -> list[str]:
    """A place for the pointer over every bin, with what is in it."""
    parts: list[str] = []
    for j, (low, high) in enumerate(pairwise(edges)):
        left, right = frame.across(low), frame.across(high)
        inside = {label: number(counts[j], percent=not whole, whole=whole) for label, counts in held.items()}
        lines = [f"{label}: {text}" if len(held) > 1 else text for label, text in inside.items()]
        tip = escape("\n".join([f"{number(low, percent=percent)} to {number(high, percent=percent)}", *lines]))
        parts.append(
            f'<rect class="bin" x="{left:.1f}" y="{frame.top:g}" width="{max(0.5, right - left):.1f}"'
            f' height="{frame.bottom - frame.top:g}" data-tip="{tip}"/>'
        )
    return parts


def _marks(frame: Frame, marks: Sequence[tuple[float, str]]) -> tuple[list[str], list[Key]]:
    """Reference lines, each with its label on a line of its own; labels that do not fit stand in the legend too."""
    parts: list[str] = []
    cut_off: list[Key] = []
    for i, (value, text) in enumerate(marks):
        at, y = frame.across(value), 10 + LINE * i
        ahead = at <= (frame.left + frame.right) / 2
        shown = cut(text, (WIDTH - at if ahead else at) - 8, SIZE)
        place = f'x="{at + (5 if ahead else -5):.1f}" y="{y + 3}" text-anchor="{"start" if ahead else "end"}"'
        parts.append(
            f'<line class="refer" x1="{at:.1f}" x2="{at:.1f}" y1="{y - 6}" y2="{frame.bottom}"/>'
            f'<text class="refer-text" {place}>{escape(shown)}</text>'
        )
        if shown != text:
            cut_off.append(Key(text, REFERENCE))
    return parts, cut_off


def _spoken(histogram: Histogram, groups: Groups, edges: Sequence[float]) -> str:
    said = [f"{histogram.title} ({histogram.x.label})."]
    for label, counts in groups.items():
        middle = _median(edges, counts)
        share = "nothing" if middle is None else f"half of it below {number(middle, percent=histogram.x.percent)}"
        said.append(f"{label}: {share}.")
    said += [f"{text} at {number(value, percent=histogram.x.percent)}." for value, text in histogram.marks]
    return " ".join(said)


def _median(edges: Sequence[float], counts: Sequence[float]) -> float | None:
    half, passed = sum(counts) / 2, 0.0
    for (low, high), count in zip(pairwise(edges), counts, strict=True):
        if count and passed + count >= half:
            return low + (high - low) * (half - passed) / count
        passed += count
    return None
