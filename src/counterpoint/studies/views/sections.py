"""The page: accuracy by operation, in pairs and by strength; what views share; what is ignored; which bits survive."""

from collections.abc import Mapping
from dataclasses import dataclass

from counterpoint.report.charts import Axis, Chart, Line
from counterpoint.report.exhibits import Bars, Exhibit, Heat, Points, Section, Series, Table
from counterpoint.report.numbers import per_cent
from counterpoint.studies.league.claims import BASELINES
from counterpoint.studies.negatives.reading import ACCURACY, mean_of
from counterpoint.studies.statistics import Estimate, estimate, paired
from counterpoint.studies.study import Results
from counterpoint.studies.views.bit_section import bit_section
from counterpoint.studies.views.bits import Bits
from counterpoint.studies.views.evaluators import KINDS
from counterpoint.studies.views.grid import NOTHING, WHOLE, Chances, Grid, left_out, strong
from counterpoint.studies.views.reading import NEAR, accuracy, at_ceiling, moved, nats

__all__ = ["About", "study_sections"]

Row = tuple[str | float | int | bool | None, ...]
PROBE = Axis("linear probe accuracy", percent=True)


@dataclass(frozen=True, eq=False)
class About:
    """What the page needs to know of the study beside its results.

    Args:
        grid: views of the main data.
        other: of the data on which only the flip is asked; None: there is none.
        bits: made-up source; None: it is left out.
        chances: at which its bits are drawn anew.
    """

    grid: Grid
    other: Grid | None
    bits: Bits | None
    chances: tuple[Chances, ...]


def study_sections(results: Results, about: About) -> list[Section]:
    """All that can be made of what is there."""
    made = [
        _pairs(results, about.grid),
        _changes(results, about),
        _shared(results, about.grid),
        _ignored(results, about.grid),
        None if about.bits is None else bit_section(results, about.bits, about.chances),
        _every(results, about),
    ]
    return [section for section in made if section is not None]


def _mean(found: Estimate | None) -> float | None:
    return None if found is None else found.mean


def _bars(title: str, note: str, y: Axis, groups: Mapping[str, Mapping[str, Estimate | None]]) -> Bars:
    """Bars of several groups side by side, each name in one group."""
    names = tuple(name for group in groups.values() for name in group)

    def values(end: str) -> dict[str, tuple[float | None, ...]]:
        return {
            label: tuple(None if (one := group.get(name)) is None else getattr(one, end) for name in names)
            for label, group in groups.items()
        }

    return Bars(title, note, names, values("mean"), y, values("low"), values("high"))


# ---------------------------------------------------------------- pairs


def _pairs(results: Results, grid: Grid) -> Section | None:
    names = grid.single
    means = {name: mean_of(accuracy(results, grid, name)) for name in (*names, *grid.pairs)}
    known = {name: mean for name, mean in means.items() if mean is not None}
    if not known:
        return None

    def cell(first: str, second: str) -> float | None:
        both = [name for name in (f"{first}+{second}", f"{second}+{first}") if name in means]
        return means[first] if first == second else means[both[0]]

    heat = Heat(
        "Two operations",
        "Linear probe accuracy of encoders whose views are made by two operations; on the diagonal by one alone.",
        names,
        names,
        tuple(tuple(cell(first, second) for second in names) for first in names),
        percent=True,
    )
    best = max(known, key=lambda name: known[name])
    order = sorted((name for name in known if name in grid.pairs), key=lambda name: -known[name])
    rows: list[Row] = []
    for name in order:
        first, second = name.split("+")
        alone = [v for v in (means[first], means[second]) if v is not None]
        gain = None if not alone else 100 * (known[name] - max(alone))
        rows.append((name, known[name], *alone, *([None] * (2 - len(alone))), gain, len(accuracy(results, grid, name))))
    table = Table(
        "pairs",
        "All pairs, by accuracy",
        ("pair", "accuracy", "first alone", "second alone", "gain over the better [points]", "seeds"),
        tuple(rows),
        "A pair of one seed is not beyond chance of its seed; claims rest on those of several.",
        percent=("accuracy", "first alone", "second alone"),
        folded=len(rows) > 12,
    )
    floor = mean_of(accuracy(results, grid, NOTHING))
    words = [] if floor is None else [f"Without any operation, two equal views, the accuracy is {per_cent(floor)}."]
    title = f"Of one or two operations {best.replace('+', ' and ')} came out highest: {per_cent(known[best])}"
    return Section("pairs", title, tuple(words), (heat, table))


# ---------------------------------------------------------------- left out, and strength


def _changes(results: Results, about: About) -> Section | None:
    grid = about.grid
    out = {name: estimate(accuracy(results, grid, left_out(name))) for name in grid.own}
    whole, alone = accuracy(results, grid, WHOLE), {s: estimate(accuracy(results, grid, s)) for s in grid.single}
    if not whole and not any(out.values()) and not any(alone.values()):
        return None
    usual, base = estimate(whole), f"the usual views ({grid.policy})"
    groups = {
        "the usual views": {WHOLE: usual},
        "one left out": {left_out(name): found for name, found in out.items()},
        "one alone": {**alone, NOTHING: estimate(accuracy(results, grid, NOTHING))},
    }
    note = "Means over seeds with Student's 95 % interval, where there are several."
    exhibits: list[Exhibit] = [_bars("Left out, and alone", note, PROBE, groups)]
    rows: list[Row] = []
    flips = [(one, *one.flips) for one in (grid, about.other) if one is not None]
    listed = [(grid, WHOLE, left_out(name)) for name in grid.own]
    listed += [flip for flip in flips if flip not in listed]
    for where, first, second in listed:
        found = paired(accuracy(results, where, first), accuracy(results, where, second))
        if found is not None:
            ends = [None if end is None else 100 * end for end in (found.low, found.high)]
            rows.append((where.data, second, 100 * found.mean, *ends, found.seeds))
    exhibits.append(
        Table(
            "differences",
            "What each operation is worth",
            ("data", "views", "the usual views are better by [points]", "low", "high", "seeds"),
            tuple(rows),
            "Differences in pairs over seeds, with Student's 95 % interval; one seed has none.",
        )
    )
    at = sorted({*grid.strengths, 1.0})
    line = [(s, mean_of(accuracy(results, grid, WHOLE if s == 1 else strong(s)))) for s in at]
    held = [(s, v) for s, v in line if v is not None]
    if len(held) > 1:
        x, y = zip(*held, strict=True)
        axis = Axis("strength of the usual views", log=True)
        exhibits.append(Chart("Strength", "Means over seeds; 1 is as usual.", (Line("", x, y, "s-1"),), axis, PROBE))
    title = f"With {base} the accuracy is {per_cent(usual.mean)}" if usual is not None else "Left out, and alone"
    return Section("changes", title, (), tuple(exhibits))


# ---------------------------------------------------------------- what views share


def _shared(results: Results, grid: Grid) -> Section | None:
    groups = {
        "alone": [NOTHING, *grid.single],
        "pairs": grid.pairs,
        "one left out": [*grid.flips[1:], *map(left_out, grid.own)],
        "the usual views": [WHOLE],
        "weaker or stronger": [strong(s) for s in grid.strengths],
    }
    series: list[Series] = []
    rows: list[Row] = []
    for label, names in groups.items():
        points: list[tuple[str, float, float]] = []
        for name in dict.fromkeys(names):
            x, y = (estimate(of(results, grid, name)) for of in (nats, accuracy))
            if x is not None and y is not None:
                points.append((name, x.mean, y.mean))
                rows.append((name, x.mean, x.spread, y.mean, y.spread, y.seeds))
        if points:
            listed, xs, ys = zip(*points, strict=True)
            series.append(Series(label, xs, ys, listed))
    if not series:
        return None
    ceilings = [
        c for r in results if (c := r.number("shared", "ceiling")) is not None and r.cell.place.get("data") == grid.data
    ]
    figure = Points(
        "The curve of good views",
        "Each point is an encoder's views: what two of them share against how good the encoder is; means over seeds.",
        tuple(series),
        Axis("mutual information of two views of z, at least [nats]"),
        PROBE,
    )
    table = Table(
        "shared",
        "What two views share, and accuracy",
        ("views", "nats", "± nats", "accuracy", "± accuracy", "seeds"),
        tuple(rows),
        "± is the standard deviation over seeds.",
        percent=("accuracy", "± accuracy"),
        folded=True,
    )
    words = [
        "InfoNCE on the run's own projection of its own views bounds what two views share from below: a poor encoder "
        "makes the bound loose, so that the left end of the axis also holds encoders that see little. And the points "
        "are of several kinds, single operations, pairs and changes of the usual views, so that what is compared "
        "along the axis is not the amount alone.",
    ]
    if ceilings:
        names = {row[0] for row in rows}
        full = sum(any(at_ceiling(results, grid, str(name)).values()) for name in names)
        words.append(
            f"No value exceeds {max(ceilings):.2f} nats, the logarithm of InfoNCE's batch. Of {len(names)} kinds of "
            f"views {full} come within {NEAR:g} of that: they may share any amount more, and their order says nothing."
        )
    return Section("shared", "What views share, and accuracy", tuple(words), (figure, table))


# ---------------------------------------------------------------- invariances


def _ignored(results: Results, grid: Grid) -> Section | None:
    names = [n for n in dict.fromkeys([NOTHING, *grid.single, WHOLE]) if any(moved(results, grid, n, k) for k in KINDS)]
    if not names:
        return None
    heat = Heat(
        "How far h moves",
        "Squared distance of a test image to itself once changed, in per cent of that to another image; rows are "
        "what the encoder was trained with, the lower the more invariant.",
        tuple(names),
        KINDS,
        tuple(tuple(mean_of(moved(results, grid, name, kind)) for kind in KINDS) for name in names),
        percent=True,
        row_label="trained with",
        column_label="changed by",
    )
    rows: list[Row] = []
    for name in names:
        for kind in KINDS:
            held = [
                r.found["invariances"].get(kind) for r in results.at(**grid.place(name)) if "invariances" in r.found
            ]
            found = [
                estimate(results.values("invariances", kind, key, **grid.place(name)))
                for key in ("moved", "kept", "score")
            ]
            if any(found):
                units = [one["units"] for one in held if one and one["units"]]
                best = mean_of({i: values[0] for i, values in enumerate(units)})
                tenth = mean_of({i: values[-1] for i, values in enumerate(units)})
                rows.append((name, kind, *map(_mean, found), best, tenth, max(f.seeds for f in found if f)))
    table = Table(
        "invariances",
        "Invariance panel",
        ("trained with", "changed by", "moved", "goes on firing", "score", "best unit", "tenth best", "seeds"),
        tuple(rows),
        "Score: of the most invariant fifth of the units, how much more often one fires for the changed image than for "
        "any; 1 is chance. Best and tenth best unit by the same score. Means over strengths and seeds.",
        percent=("moved", "goes on firing"),
        folded=True,
    )
    words = ("Occlusion, turn and light at two strengths each; instance is another image of the same class.",)
    return Section("invariances", "What each encoder ignores", words, (heat, table))


# ---------------------------------------------------------------- all


def _every(results: Results, about: About) -> Section:
    rows: list[Row] = []
    for grid in (about.grid, *([] if about.other is None else [about.other])):
        for name in grid.every if grid is about.grid else grid.flips:
            right = estimate(accuracy(results, grid, name))
            knn = estimate(results.values("accuracy", "learned", "knn", **grid.place(name)))
            seeds = 0 if right is None else right.seeds
            spread = None if right is None else right.spread
            rows.append((grid.data, name, _mean(right), spread, _mean(knn), seeds))
    for key, said in BASELINES.items():
        found = [mean_of(results.values(ACCURACY[0], key, at, **about.grid.place(NOTHING))) for at in ("probe", "knn")]
        rows.append((about.grid.data, said, found[0], None, found[1], None))
    table = Table(
        "every",
        "All views, raw pixels and the untrained encoder",
        ("data", "views", "linear probe", "± probe", "kNN", "seeds"),
        tuple(rows),
        "Accuracy of h on test images; means and standard deviations over seeds.",
        percent=("linear probe", "± probe", "kNN"),
        folded=True,
    )
    return Section("every", "Every run", (), (table,))
