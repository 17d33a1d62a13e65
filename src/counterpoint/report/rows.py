"""Scores as rows: text, interval, a place on a track, the verdict."""

from collections.abc import Mapping, Sequence
from typing import Any

from counterpoint.report.glossary import meaning
from counterpoint.report.numbers import figure, interval, is_count, is_share, points
from counterpoint.report.run import ENCODERS, Measure, Run
from counterpoint.report.verdict import comparable, difference, paired

__all__ = ["best", "groups", "hero", "row", "span"]

PROJECTED = " of the projection z"


def row(measure: Measure, low: float, high: float) -> dict[str, Any]:
    """A number with its interval, as text and as a place on a track from low to high."""

    def place(value: float) -> float:
        return round(100 * (value - low) / (high - low), 2) if high > low else 50.0

    held = measure.low is not None and measure.high is not None
    return {
        "text": figure(measure.value, is_share(measure), is_count(measure)),
        "interval": interval(measure),
        "at": place(measure.value),
        "from": place(measure.low) if held and measure.low is not None else None,
        "to": place(measure.high) if held and measure.high is not None else None,
    }


def span(measures: Sequence[Measure], pad: float) -> tuple[float, float]:
    """The ends of a track that holds all values and bounds, with some room."""
    ends = [v for m in measures for v in (m.value, m.low, m.high) if v is not None]
    low, high = min(ends), max(ends)
    room = (high - low) * pad or abs(high) * 0.05 or 0.05
    return low - room, high + room


def hero(run: Run, name: str) -> dict[str, Any]:
    """A leading score: one track for each encoder, and the difference from raw pixels."""
    found = {encoder: m for encoder in ENCODERS if (m := run.measure(encoder, name)) is not None}
    low, high = span(list(found.values()), 0.12)
    ours = found["learned"]
    if is_share(ours):
        low, high = max(0.0, low), min(1.0, high)
    gap = paired(run, name, "pixels")
    return {
        "label": ours.label,
        "rows": [{"encoder": encoder, **row(m, low, high)} for encoder, m in found.items()],
        "gap": points(gap, is_share(ours)) if gap else "",
        "verdict": gap.verdict if gap else "",
        "ends": (figure(low, is_share(ours)), figure(high, is_share(ours))),
    }


def groups(run: Run) -> list[dict[str, Any]]:
    """Measures under their headings, one row each, all encoders side by side."""
    order = dict.fromkeys(m.name for encoder in ENCODERS for m in run.measures.get(encoder, ()))
    under: dict[str, list[dict[str, Any]]] = {}
    for name in order:
        found = {encoder: m for encoder in ENCODERS if (m := run.measure(encoder, name)) is not None}
        if not found:
            continue
        first = next(iter(found.values()))
        low, high = span(list(found.values()), 0.08)
        leaders = best(found)
        gap = paired(run, name, "pixels") if comparable(first) else None
        heading = f"{first.group}{PROJECTED}" if name.endswith("_z") else first.group
        under.setdefault(heading, []).append(
            {
                "label": first.label,
                "meaning": meaning(name),
                "note": _shared([m.note for m in found.values()]),
                "better": first.better if comparable(first) else "",
                "cells": {e: {**row(m, low, high), "best": e in leaders, "note": m.note} for e, m in found.items()},
                "verdict": gap.verdict if gap else "",
                "gap": points(gap, is_share(first)) if gap else "",
            }
        )
    return [{"name": name, "rows": rows, "aside": name.endswith(PROJECTED)} for name, rows in under.items()]


def best(found: Mapping[str, Measure]) -> set[str]:
    """The encoders with the best value of a measure, and those that its intervals cannot tell from the best."""
    first = next(iter(found.values()))
    if len(found) < 2 or not comparable(first):
        return set()
    pick = max if first.better == "higher" else min
    leader = pick(found, key=lambda encoder: found[encoder].value)
    gaps = {encoder: difference(found[leader], m) for encoder, m in found.items() if encoder != leader}
    return {leader} | {encoder for encoder, gap in gaps.items() if gap is not None and gap.verdict == "alike"}


def _shared(notes: Sequence[str]) -> str:
    """What the notes of all encoders have in common, part by part; each cell has its own note in full."""
    split = [note.split("; ") for note in notes]
    return "; ".join(part for part in split[0] if all(part in other for other in split[1:]))
