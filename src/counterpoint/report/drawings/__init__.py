"""The figures of a study as inline SVG: each exhibit becomes a drawing with its legend."""

from counterpoint.report.drawings.bars import draw_bars
from counterpoint.report.drawings.drawing import Drawing, Key
from counterpoint.report.drawings.heat import draw_heat
from counterpoint.report.drawings.histogram import draw_histogram
from counterpoint.report.drawings.points import draw_points

__all__ = ["Drawing", "Key", "draw_bars", "draw_heat", "draw_histogram", "draw_points"]
