"""The scores of a comparison as rows: differences on tracks, all scores in columns, classes that gain and lose."""

from collections.abc import Sequence
from typing import Any

from counterpoint.report.comparison.together import ClassGap, Gap, Together
from counterpoint.report.comparison.words import signed
from counterpoint.report.glossary import meaning
from counterpoint.report.numbers import figure, is_share, points
from counterpoint.report.rows import row, span

__all__ = ["class_rows", "forest", "scores"]

FOREST = ("knn_accuracy", "linear_probe", "few_label_10pct_of_the_labels", "recall_at_1", "map_at_r", "nmi")


def forest(together: Together, found: Sequence[Gap]) -> list[dict[str, Any]]:
    """The differences in the leading scores, each score on a track of its own that holds zero."""
    first = together.runs[0]
    blocks: list[dict[str, Any]] = []
    for name in FOREST:
        held = [gap for gap in found if gap.name == name]
        measure = first.measure("learned", name)
        if not held or measure is None:
            continue
        share = is_share(measure)
        ends = [0.0, *(v for gap in held for v in (gap.difference.low, gap.difference.high))]
        room = (max(ends) - min(ends)) * 0.06 or 0.01
        low, high = min(ends) - room, max(ends) + room

        def place(value: float, low: float = low, high: float = high) -> float:
            return round(100 * (value - low) / (high - low), 2)

        blocks.append(
            {
                "label": measure.label + (", points" if share else ""),
                "lower": measure.better == "lower",
                "zero": place(0.0),
                "rows": [
                    {
                        "name": together.names[gap.run],
                        "style": f"run s-{gap.run}",
                        "text": points(gap.difference, share).replace(" points", ""),
                        "verdict": gap.verdict,
                        "paired": gap.difference.paired,
                        "at": place(gap.difference.value),
                        "from": place(gap.difference.low),
                        "to": place(gap.difference.high),
                    }
                    for gap in held
                ],
            }
        )
    return blocks


def scores(together: Together, found: Sequence[Gap]) -> list[dict[str, Any]]:
    """Every score under its heading, a column for each run."""
    runs = together.runs
    by = {(gap.name, gap.run): gap for gap in found}
    order = dict.fromkeys(m.name for run in runs for m in run.measures.get("learned", ()) if not m.name.endswith("_z"))
    under: dict[str, list[dict[str, Any]]] = {}
    for name in order:
        held = {i: m for i, run in enumerate(runs) if (m := run.measure("learned", name))}
        if not held:
            continue
        low, high = span(list(held.values()), 0.08)
        first = next(iter(held.values()))
        cells: list[dict[str, Any] | None] = []
        for i in range(len(runs)):
            gap = by.get((name, i))
            cell = {**row(held[i], low, high), "gap": "", "verdict": "", "paired": True} if i in held else None
            if cell is not None and gap is not None:
                told = points(gap.difference, is_share(first)).replace(" points", "")
                cell |= {"gap": told, "verdict": gap.verdict, "paired": gap.difference.paired}
            cells.append(cell)
        lower = first.better == "lower"
        under.setdefault(first.group, []).append(
            {"label": first.label, "meaning": meaning(name), "lower": lower, "cells": cells}
        )
    return [{"name": name, "rows": rows} for name, rows in under.items()]


def class_rows(classes: Sequence[ClassGap], together: Together) -> list[dict[str, Any]]:
    """Accuracy of each class in each run; changes as text and as a bar, the largest of all half as wide as its cell."""
    changes = [abs(gain) for c in classes for i in together.peers() if (gain := c.gain(i)) is not None]
    most = max(changes, default=0.0) or 1.0

    def cell(c: ClassGap, i: int) -> dict[str, Any] | None:
        value, gain = c.accuracy[i], c.gain(i) if i else None
        if value is None:
            return None
        bar = {} if gain is None else {"change": signed(gain), "width": round(50 * abs(gain) / most, 1)}
        return {"text": figure(value, True), "gain": gain, **bar}

    return [{"name": c.name, "n": c.n, "cells": [cell(c, i) for i in range(len(c.accuracy))]} for c in classes]
