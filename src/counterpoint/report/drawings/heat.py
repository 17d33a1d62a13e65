"""A matrix of shades: confusion matrices, whose diagonal has a colour of its own, and grids of settings."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from counterpoint.report.drawings.drawing import WIDTH, Drawing, Tell, cut, opening, teller, wide
from counterpoint.report.exhibits import Heat

__all__ = ["draw_heat"]

SIZE, SMALL = 11, 7.5  # fonts: the usual, and the smallest that is still printed
GUTTER = 104  # room for names, at most
TALLEST, LARGEST = 30, 52  # height of a cell that need not be square, and side of one that is
FINE = 24  # columns beyond which a matrix takes the whole width of the page
LEVELS = 10
DEEP, FULL = 7, 9  # levels from which on a value is written in black, or, where that is too dark as well, white

Matrix = list[list[float | None]]


@dataclass(frozen=True)
class _Grid:
    """Where the cells are: the first one's corner, their size, and the font of the names along the edges."""

    left: float
    top: float
    cell: float
    tall: float
    font: float


def draw_heat(heat: Heat) -> Drawing | None:
    """Its drawing; None where it has no cell.

    In a confusion matrix a shade is the root of the share of its row, for mistakes are rare, and the diagonal has
    another colour than the rest. Elsewhere the shade runs from the smallest to the largest value; where there are
    negative ones, from zero, each sign in its colour. With the same names along both edges cells are square.
    """
    values = [[_finite(v) for v in row[: len(heat.columns)]] for row in heat.values[: len(heat.rows)]]
    known = [v for row in values for v in row if v is not None]
    if not known:
        return None
    confusion, square, tell = heat.confusion, heat.rows == heat.columns, _teller(heat, known)
    left = min(GUTTER, max(wide(name, SIZE) for name in heat.rows)) + 8
    cell = (WIDTH - left) / len(heat.columns)
    cell = min(cell, LARGEST) if square else cell
    tall = cell if square else min(cell, TALLEST)
    font = min(SIZE, tall * 0.8)
    longest = max(wide(name, font) for name in heat.columns)
    turned = longest > cell - 2
    grid = _Grid(left, 6 + (min(GUTTER, longest) if turned else font), cell, tall, font)
    shades = _shares(values) if confusion else _spread(values, known)
    height = grid.top + tall * len(values)
    parts = [
        f'<rect class="blank" x="{left:.1f}" y="{grid.top:.1f}" width="{cell * len(heat.columns):.1f}"'
        f' height="{height - grid.top:.1f}"/>',
        *_cells(shades, grid),
        *_sides(heat.rows[: len(values)], grid),
        *_heads(heat.columns, grid, turned=turned),
        *_numbers(values, tell, shades, grid, confusion=confusion),
    ]
    svg = "".join([opening("shades", height + 2, _spoken(heat, known, tell)), *parts, "</svg>"])
    tips = {
        "heat": [[tell(v) for v in row] for row in values],
        "rows": list(heat.rows),
        "columns": list(heat.columns),
        "box": [left, grid.top, cell, tall],
    }
    unit = _legend(heat, known, tell, confusion=confusion)
    return Drawing(svg, unit=unit, large=len(heat.columns) > FINE, tips=tips)


def _finite(value: float | None) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None


def _teller(heat: Heat, known: Sequence[float]) -> Tell:
    """How its values are told: without their unit, and not finer than hundredths, so that they fit into their cells."""
    coarse = not heat.percent and 0.1 <= max(map(abs, known)) <= 10 and not all(v.is_integer() for v in known)
    tell = teller(known, percent=heat.percent)

    def told(value: float | None) -> str:
        if value is None:
            return ""
        return f"{value:.2f}".replace("-", "−") if coarse else tell(value).removesuffix(" %")

    return told


def _shares(values: Matrix) -> Matrix:
    """Shades of a confusion matrix: root of the share of the row, negative beside the diagonal."""
    shades: Matrix = []
    for i, row in enumerate(values):
        total = sum(v for v in row if v is not None) or 1.0
        shades.append([None if not v else math.sqrt(v / total) * (1 if i == j else -1) for j, v in enumerate(row)])
    return shades


def _spread(values: Matrix, known: Sequence[float]) -> Matrix:
    """Shades of other matrices: from the smallest to the largest; from zero, with its sign, where one is negative."""
    low, high = min(known), max(known)
    if low < 0:
        most = max(-low, high)
        return [[None if v is None else v / most for v in row] for row in values]
    span = high - low
    return [[None if v is None else 0.08 + 0.92 * ((v - low) / span if span else 1.0) for v in row] for row in values]


def _cells(shades: Matrix, grid: _Grid) -> list[str]:
    """One path for all cells of a shade, so that a fine matrix stays small."""
    gap = 1.0 if grid.cell > 14 else 0.3
    width, height = f"{grid.cell - gap:.1f}", f"{grid.tall - gap:.1f}"
    paths: dict[tuple[str, int], list[str]] = {}
    for i, row in enumerate(shades):
        for j, shade in enumerate(row):
            if shade:
                level = _level(shade)
                box = f"M{grid.left + j * grid.cell:.1f} {grid.top + i * grid.tall:.1f}h{width}v{height}h-{width}z"
                paths.setdefault(("cool" if shade > 0 else "warm", level), []).append(box)
    return [
        f'<path class="{hue}" fill-opacity="{level / LEVELS:g}" d="{"".join(boxes)}"/>'
        for (hue, level), boxes in sorted(paths.items())
    ]


def _sides(names: Sequence[str], grid: _Grid) -> list[str]:
    x, font = f"{grid.left - 5:.1f}", f"font-size:{grid.font:.1f}px"
    return [
        f'<text class="side" x="{x}" y="{grid.top + (i + 0.5) * grid.tall + grid.font * 0.36:.1f}" style="{font}">'
        f"{escape(cut(name, GUTTER, grid.font))}</text>"
        for i, name in enumerate(names)
    ]


def _heads(names: Sequence[str], grid: _Grid, *, turned: bool) -> list[str]:
    parts: list[str] = []
    y = f"{grid.top - 4:.1f}"
    for j, name in enumerate(names):
        x = f"{grid.left + (j + 0.5) * grid.cell + (grid.font * 0.36 if turned else 0):.1f}"
        shown = escape(cut(name, GUTTER if turned else grid.cell + 4, grid.font))
        turn = f' transform="rotate(-90 {x} {y})"' if turned else ""
        kind = "head turned" if turned else "head"
        parts.append(f'<text class="{kind}" x="{x}" y="{y}" style="font-size:{grid.font:.1f}px"{turn}>{shown}</text>')
    return parts


def _numbers(values: Matrix, tell: Tell, shades: Matrix, grid: _Grid, *, confusion: bool) -> list[str]:
    """The values, where they fit into their cells; a mistake that was never made is left blank."""
    text = [["" if confusion and v == 0 else tell(v) for v in row] for row in values]
    longest = max(wide(said, 1) for row in text for said in row)
    font = min(SIZE, grid.tall * 0.42, (grid.cell - 3) / max(longest, 0.1))
    if font < SMALL:
        return []
    parts: list[str] = []
    for i, row in enumerate(text):
        y = f"{grid.top + (i + 0.5) * grid.tall + font * 0.36:.1f}"
        for j, said in enumerate(row):
            if said:
                on = _depth(shades[i][j] or 0.0)
                x = f"{grid.left + (j + 0.5) * grid.cell:.1f}"
                parts.append(f'<text{on} x="{x}" y="{y}" style="font-size:{font:.1f}px">{said}</text>')
    return parts


def _level(shade: float) -> int:
    return math.ceil(abs(shade) * LEVELS - 1e-9)


def _depth(shade: float) -> str:
    """How deep the ground of a value is, so that it is written in what can be read on it in either colour scheme."""
    if _level(shade) < DEEP:
        return ""
    return ' class="deep full"' if shade > 0 and _level(shade) >= FULL else ' class="deep"'


def _legend(heat: Heat, known: Sequence[float], tell: Tell, *, confusion: bool) -> str:
    """What stands along the edges, and what the shade means."""
    low, high = (tell(v) for v in (min(known), max(known)))
    spread = f"the stronger the colour, the {'farther from zero' if min(known) < 0 else 'larger'}: {low} to {high}"
    said = [
        f"rows: {heat.row_label}" if heat.row_label else "",
        f"columns: {heat.column_label}" if heat.column_label else "",
        "the stronger the colour, the larger the share of the row" if confusion else spread,
        "in per cent" if heat.percent else "",
    ]
    return "; ".join(filter(None, said))


def _spoken(heat: Heat, known: Sequence[float], tell: Tell) -> str:
    low, high = (tell(v) for v in (min(known), max(known)))
    rows, columns = heat.row_label or "rows", heat.column_label or "columns"
    size = f"{len(heat.rows)} {rows} and {len(heat.columns)} {columns}"
    return f"{heat.title}. A matrix of {size}, values from {low} to {high}."
