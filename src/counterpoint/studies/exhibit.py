"""What any grid can show: all cells, means over seeds, a figure of one measure, and differences in pairs."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from counterpoint.report.charts import Axis
from counterpoint.report.exhibits import Bars, Section, Table
from counterpoint.studies.statistics import Estimate, estimate, holm, paired
from counterpoint.studies.study import Results

__all__ = ["averaged", "measures_of", "sections_of"]

_LEADING = ("knn_accuracy", "linear_probe", "recall_at_1", "map_at_r", "nmi", "uniformity", "effective_rank")
_BASELINES = ("pixels", "untrained")

Path = tuple[str, ...]


def averaged(results: Results, path: Sequence[str], place: Mapping[str, str]) -> dict[int, float]:
    """A measure for each seed, the mean over all cells at a place; seeds at which one of them lacks it are left out.

    Args:
        results: of a study.
        path: evaluator, and keys of its answer.
        place: values of some axes.
    """
    held: dict[int, list[float | None]] = {}
    for result in results.asked(**place):
        held.setdefault(result.cell.seed, []).append(result.number(*path))
    found: dict[int, float] = {}
    for seed, values in sorted(held.items()):
        known = [v for v in values if v is not None]
        if len(known) == len(values):
            found[seed] = sum(known) / len(known)
    return found


def measures_of(results: Results, first: Path) -> dict[Path, str]:
    """The measures that tables show, with their headings: the study's own first, then the protocol's leading ones."""
    answers = [r.found["scores"] for r in results if "scores" in r.found]
    labels: Mapping[str, Any] = answers[0].get("measures", {}) if answers else {}
    paths = [first, *(("scores", "learned", name) for name in _LEADING if name in labels)]
    return {path: str(labels.get(path[-1], {}).get("label", path[-1])) for path in dict.fromkeys(paths)}


def sections_of(results: Results, measure: Path, axes: Sequence[str]) -> list[Section]:
    """The sections of a page about a grid.

    Args:
        results: of its cells.
        measure: of the figure and of the differences: evaluator, and keys of its answer; where no cell has it (without
            labels there is no accuracy), the first leading one that is there takes its place.
        axes: of the grid, in order.
    """
    shown = measures_of(results, measure)
    there = [path for path in shown if any(result.number(*path) is not None for result in results)]
    if there and measure not in there:
        measure = there[0]
        del shown[next(iter(shown))]
    places = list({tuple(r.cell.place.items()): dict(r.cell.place) for r in results.every}.values())
    label = shown[measure]
    made = [_means(results, places, axes, shown), _figure(results, places, measure, label)]
    differences = _differences(results, axes, measure, label)
    made += [differences] if differences else []
    return [*made, _cells(results, axes, shown)]


def _named(place: Mapping[str, str]) -> str:
    return " · ".join(place.values()) or "all"


def _means(
    results: Results, places: Sequence[Mapping[str, str]], axes: Sequence[str], shown: Mapping[Path, str]
) -> Section:
    rows: list[tuple[Any, ...]] = []
    for place in places:
        row: list[Any] = [place.get(axis) for axis in axes]
        found = [estimate(averaged(results, path, place)) for path in shown]
        row.append(max((f.seeds for f in found if f), default=0))
        for each in found:
            row += [None, None] if each is None else [each.mean, each.spread]
        rows.append(tuple(row))
    headings = [heading for name in shown.values() for heading in (name, f"± {name}")]
    table = Table(
        "means",
        "Mean over seeds, and standard deviation",
        (*axes, "seeds", *headings),
        tuple(rows),
        "± is the sample standard deviation over seeds; a dash where it is not known.",
    )
    return Section("means", "Every place of the grid", exhibits=(table,))


def _ends(found: Sequence[Estimate | None], end: str) -> tuple[float | None, ...]:
    return tuple(None if each is None else getattr(each, end) for each in found)


def _figure(results: Results, places: Sequence[Mapping[str, str]], measure: Path, label: str) -> Section:
    groups: dict[str, tuple[float | None, ...]] = {}
    low: dict[str, tuple[float | None, ...]] = {}
    high: dict[str, tuple[float | None, ...]] = {}
    paths = {"learned": measure}
    if measure[:2] == ("scores", "learned"):
        paths |= {name: ("scores", name, *measure[2:]) for name in _BASELINES}
    for name, path in paths.items():
        found = [estimate(averaged(results, path, place)) for place in places]
        if any(found):
            groups[name], low[name], high[name] = _ends(found, "mean"), _ends(found, "low"), _ends(found, "high")
    if not groups:
        return Section("figure", label, ("No cell has this measure yet.",))
    bars = Bars(
        label,
        "Means over seeds with Student's 95 % interval, beside raw pixels and the untrained encoder.",
        tuple(_named(place) for place in places),
        groups,
        Axis(label),
        low,
        high,
    )
    return Section("figure", f"{label}, side by side", exhibits=(bars,))


def _differences(results: Results, axes: Sequence[str], measure: Path, label: str) -> Section | None:
    """Each two values of an axis, over all other axes; Holm over all of them."""
    rows: list[tuple[Any, ...]] = []
    for axis in axes:
        values = dict.fromkeys(r.cell.place[axis] for r in results.every if axis in r.cell.place)
        for first, second in itertools.combinations(values, 2):
            found = paired(averaged(results, measure, {axis: first}), averaged(results, measure, {axis: second}))
            if found is not None:
                p = 1.0 if found.p is None else found.p
                name = f"{first} less {second}"
                rows.append((axis, name, found.mean, found.low, found.high, found.d, found.wins, found.seeds, p))
    if not rows:
        return None
    held = holm([row[-1] for row in rows])
    table = Table(
        "differences",
        f"Differences in {label}, in pairs over seeds",
        ("axis", "difference", "mean", "low", "high", "Cohen's d", "greater in", "of seeds", "p", "after Holm"),
        tuple(
            (*row[:-1], row[-1] if row[3] is not None else None, together)
            for row, together in zip(rows, held, strict=True)
        ),
        "Of each seed, the mean over all other axes; Student's 95 % interval over seeds. After Holm: whether it holds "
        "with all differences of this table together, at 5 %. One seed decides nothing.",
    )
    return Section("differences", "What makes a difference", exhibits=(table,))


def _cells(results: Results, axes: Sequence[str], shown: Mapping[Path, str]) -> Section:
    rows = tuple(
        (
            *(r.cell.place.get(axis) for axis in axes),
            r.cell.seed,
            *(r.number(*path) for path in shown),
            round(r.seconds, 1) if r.folder else None,
            r.error or None,
        )
        for r in results.every
    )
    table = Table(
        "cells",
        "All cells",
        (*axes, "seed", *shown.values(), "training [s]", "missing"),
        rows,
        "One row for each run.",
        folded=len(rows) > 12,
    )
    return Section("cells", "Every run", exhibits=(table,))
