"""What both parts of the page are made of."""

from collections.abc import Sequence

from counterpoint.report.charts import Axis
from counterpoint.report.exhibits import Bars
from counterpoint.studies.bound.grid import LOSSES, Place, of_classes
from counterpoint.studies.statistics import Estimate

__all__ = ["STYLES", "Row", "bars", "pair", "plain_of"]

Row = tuple[str | float | int | bool | None, ...]
STYLES = dict(zip(LOSSES, ("s-0", "s-1"), strict=True))


def _ends(found: Sequence[Estimate | None], end: str) -> tuple[float | None, ...]:
    return tuple(None if one is None else getattr(one, end) for one in found)


def bars(title: str, note: str, names: Sequence[str], groups: dict[str, list[Estimate | None]], y: Axis) -> Bars:
    """Means over seeds with their intervals."""
    return Bars(
        title,
        note,
        tuple(names),
        {label: _ends(found, "mean") for label, found in groups.items()},
        y,
        {label: _ends(found, "low") for label, found in groups.items()},
        {label: _ends(found, "high") for label, found in groups.items()},
    )


def pair(found: Estimate | None) -> tuple[float | None, float | None]:
    """Mean and standard deviation over seeds."""
    return (None, None) if found is None else (found.mean, found.spread)


def plain_of(every: Sequence[Place], loss: str) -> Place | None:
    """One negative, without blocks, all classes."""
    return next((p for p in of_classes(every) if (p.loss, p.negatives, p.block) == (loss, 1, 1)), None)
