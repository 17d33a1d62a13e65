"""What every drawing is made of: its SVG and legend, colours of groups, and texts that fit."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from html import escape
from typing import Any

from counterpoint.report.numbers import figure

__all__ = ["WIDTH", "Drawing", "Key", "Tell", "cut", "key", "number", "opening", "style", "teller", "wide"]

WIDTH = 380
LETTER = 0.58  # width of a letter as a share of the size of its font, about

Tell = Callable[[float | None], str]


@dataclass(frozen=True)
class Key:
    """An entry of a legend.

    Args:
        label: of the group.
        mark: SVG of how it is drawn.
    """

    label: str
    mark: str


@dataclass(frozen=True)
class Drawing:
    """A figure without its words.

    Args:
        svg: the figure.
        keys: its legend; empty where one group needs none.
        unit: what its upright axis measures.
        chosen: whether a press on an entry of the legend shows that group alone.
        large: too fine to be shown in a column of a grid.
        tips: what the page's script says of the place under the pointer.
    """

    svg: str
    keys: tuple[Key, ...] = ()
    unit: str = ""
    chosen: bool = False
    large: bool = False
    tips: dict[str, Any] = field(default_factory=dict[str, Any])


def style(i: int, of: int) -> str:
    """Attributes that give group i of so many its colour: ten named ones, beyond them evenly turned hues."""
    if of <= 10:
        return f'class="s-{i}"'
    turn, lift = (i * 137.508 + 210) % 360, (0, 11, -8)[i % 3]
    return f'class="s-n" style="--c:hsl({turn:.0f} 58% calc(var(--tone) + {lift}%))"'


def key(label: str, i: int, of: int, shape: str) -> Key:
    """A legend's entry: a small picture of the group's mark.

    Args:
        label: of the group.
        i: its place.
        of: number of groups.
        shape: SVG elements around the origin, within 8 x 6 pixels of it.
    """
    return Key(label, f'<svg viewBox="-9 -7 18 14" aria-hidden="true"><g {style(i, of)}>{shape}</g></svg>')


def opening(kind: str, height: float, spoken: str, *, width: float = WIDTH) -> str:
    """The first tag of a drawing.

    Args:
        kind: CSS class.
        height: of its box.
        spoken: what a screen reader says of it.
        width: of its box.
    """
    box = f"0 0 {width:g} {height:g}"
    return f'<svg class="chart {kind}" viewBox="{box}" role="img" aria-label="{escape(spoken)}">'


def wide(text: str, size: float) -> float:
    """How wide a text is at a font size, about."""
    return len(text) * LETTER * size


def cut(text: str, room: float, size: float) -> str:
    """A text that fits, its end left out where it must be."""
    most = max(1, int(room / (LETTER * size)))
    return text if len(text) <= most else text[: max(1, most - 1)].rstrip() + "…"


def number(value: float | None, *, percent: bool = False, whole: bool = False) -> str:
    """A value as it stands in a figure; None, and what is not finite, give a dash.

    Args:
        value: of an axis.
        percent: it is a share.
        whole: it counts something.
    """
    if value is None or not math.isfinite(value):
        return "–"
    return f"{value:,.0f}".replace("-", "−") if whole else figure(value, percent)


def teller(values: Iterable[float], *, percent: bool) -> Tell:
    """How the values of a figure are told: where all are whole, without digits after the point."""
    return partial(number, percent=percent, whole=not percent and all(v.is_integer() for v in values))
