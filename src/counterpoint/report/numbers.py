"""Numbers as they stand in a text: shares in percent, the digits that count, intervals, differences, durations."""

import math
import re
from typing import Literal

from counterpoint.report.run import Measure
from counterpoint.report.verdict import Difference

__all__ = [
    "UNITS",
    "Unit",
    "amount",
    "duration",
    "figure",
    "in_points",
    "in_unit",
    "interval",
    "is_count",
    "is_share",
    "per_cent",
    "points",
    "ranged",
]

Unit = Literal["number", "share", "points"]  # points: a difference of shares
UNITS: dict[Unit, str] = {"number": "", "share": " %", "points": " points"}  # as they follow a number

SHARES = re.compile(r"accuracy|knn|probe|top|recall|precision|few|shot|label|_at_|map|eer|error", re.IGNORECASE)
SHARE_GROUPS = ("classification", "few labels", "retrieval")
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def is_share(measure: Measure) -> bool:
    """Whether a measure reads best in percent."""
    ends = [v for v in (measure.value, measure.low, measure.high) if v is not None and math.isfinite(v)]
    named = measure.group in SHARE_GROUPS and SHARES.search(measure.name) is not None
    return named and all(0.0 <= v <= 1.0 for v in ends)


def is_count(measure: Measure) -> bool:
    """Whether a measure counts things, as the used dimensions do."""
    ends = [v for v in (measure.value, measure.low, measure.high) if v is not None]
    return all(v == round(v) and abs(v) >= 2 for v in ends)


def figure(value: float, share: bool, count: bool = False) -> str:
    """A number as it stands in the text: 0.9719 as 97.2 %, 0.00003 as 3.0 · 10⁻⁵, others with three digits that count.

    Args:
        value: nan gives a dash.
        share: in percent.
        count: without decimals.
    """
    if not math.isfinite(value):
        return "–"
    if share:
        return f"{value * 100:.1f} %"
    size = abs(value)
    if 0 < size < 5e-4:
        mantissa, exponent = f"{value:.1e}".split("e")
        return f"{mantissa.replace('-', '−')} · 10{str(int(exponent)).translate(SUPERSCRIPTS)}"
    digits = 0 if count or size >= 100 else 1 if size >= 10 else 2 if size >= 1 else 3
    return f"{value:,.{digits}f}".replace("-", "−")


def per_cent(value: float) -> str:
    """A share in a sentence: 0.9719 as 97.2 %; 0.0163 as 1.63 %, since small ones are told apart by more digits."""
    return f"{value * 100:.{2 if abs(value) < 0.1 else 1}f} %".replace("-", "−")


def in_points(value: float) -> str:
    """A difference of shares in a sentence: 0.117 as 11.7 points."""
    return f"{per_cent(value).removesuffix(' %')} points"


def in_unit(value: float, unit: Unit) -> str:
    """A value in a sentence: a share in per cent, a difference of shares in points, any other as it is."""
    if unit == "number":
        return f"{value:.4g}".replace("-", "−")
    return per_cent(value) if unit == "share" else in_points(value)


def ranged(low: float, high: float, unit: Unit) -> str:
    """Both ends with the unit once: `1.20 to 3.40 points`."""
    return f"{in_unit(low, unit).removesuffix(UNITS[unit])} to {in_unit(high, unit)}"


def interval(measure: Measure, between: str = "–") -> str:
    """Its 95 % interval without unit; empty where there is none."""
    if measure.low is None or measure.high is None:
        return ""
    share, count = is_share(measure), is_count(measure)
    low, high = (figure(v, share, count).removesuffix(" %") for v in (measure.low, measure.high))
    return f"{low}{' to ' if set('−·') & set(low + high) and between == '–' else between}{high}"


def points(gap: Difference, share: bool) -> str:
    """A difference with sign and interval: +1.1 points (−0.3 to +2.5)."""

    def signed(value: float) -> str:
        text = f"{value * 100:.1f}" if share else figure(abs(value), False)
        return f"{'−' if value < 0 else '+'}{text.lstrip('-−')}"

    return f"{signed(gap.value)}{' points' if share else ''} ({signed(gap.low)} to {signed(gap.high)})"


def duration(seconds: float) -> str:
    """Seconds as a person says them."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def amount(value: float | None) -> str:
    """A number of epochs: whole where it is, else with one digit; empty for None."""
    return "" if value is None else f"{value:,.0f}" if abs(value - round(value)) < 0.05 else f"{value:,.1f}"
