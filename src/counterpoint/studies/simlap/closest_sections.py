"""The page of `simlap-closest`: accuracy against the number of classes, and the distances themselves."""

from collections.abc import Mapping
from dataclasses import dataclass

from counterpoint.report.charts import Axis, Chart, Line
from counterpoint.report.exhibits import Exhibit, Section, Table
from counterpoint.report.numbers import in_points, per_cent
from counterpoint.studies.simlap.classes import by_kin, short
from counterpoint.studies.simlap.closest_claims import PLAIN, SIMLAP, SUPCON, at_count
from counterpoint.studies.simlap.judged import FLOOR, KNN, PROBE
from counterpoint.studies.simlap.nearness import Near, agreement, nearest
from counterpoint.studies.simlap.page import likeness
from counterpoint.studies.statistics import estimate, paired
from counterpoint.studies.study import Results

__all__ = ["About", "closest_sections"]

NAMES: Mapping[str, Mapping[str, str]] = {
    "SimLAP": SIMLAP,
    "SupCon": SUPCON,
    "SimLAP without its gate": PLAIN,
}
BY = {"encoder": "by the encoder", "hierarchy": "by the hierarchy"}
STYLES = {"encoder": "s-0", "hierarchy": "s-1"}
MEASURES = {"kNN": KNN, "linear probe": PROBE}
Row = tuple[str | float | int | bool | None, ...]


@dataclass(frozen=True, eq=False)
class About:
    """What the page needs to know of the study beside its results.

    Args:
        counts: N, beside none and all.
        kinds: of distances.
        classes: names.
        near: the distances.
        bare: at whose runs raw pixels and the untrained encoder were judged.
        targets: names of the data that are transferred to.
    """

    counts: tuple[int, ...]
    kinds: tuple[str, ...]
    classes: tuple[str, ...]
    near: Near
    bare: Mapping[str, str]
    targets: tuple[str, ...]

    def drawn(self, which: Mapping[str, str]) -> list[tuple[int | None, str]]:
        """N and distance of the runs of a method, in the order of a table."""
        between = [(count, by) for by in self.kinds for count in self.counts] if which != PLAIN else []
        return [(0, "any"), *between, (None, "any")]


def closest_sections(results: Results, about: About) -> list[Section]:
    """All that can be made of what is there."""
    return [_accuracy(results, about), _distances(about)]


def _accuracy(results: Results, about: About) -> Section:
    title = "What positives of more classes cost"
    lost: list[str] = []
    for name, which in NAMES.items():
        found = paired(at_count(results, which, 0), at_count(results, which, None))
        if found is not None:
            seeds = "" if found.low is not None else ", one seed" if found.seeds == 1 else ""
            lost.append(f"{name} {in_points(found.mean)}{seeds}")
    words = [f"From positives of the own class to positives of any class is lost: {'; '.join(lost)}."] if lost else []
    if lost:
        title = "Lost by positives of any class: " + "; ".join(lost[:2])
    bare = estimate(results.values(*FLOOR["untrained"], "mean", "knn", **about.bare))
    if bare is not None:
        words.append(f"The untrained encoder has {per_cent(bare.mean)} by its neighbours.")
    exhibits: list[Exhibit] = [*_charts(results, about, bare.mean if bare else None), _table(results, about)]
    return Section("closest", title, tuple(words), (*exhibits, _each(results, about)))


def _charts(results: Results, about: About, level: float | None) -> list[Exhibit]:
    """Accuracy over N, a chart for each method, all of one height."""
    held: dict[str, list[tuple[str, list[tuple[float, float]]]]] = {}
    for name, which in NAMES.items():
        for by in about.kinds if which != PLAIN else ("encoder",):
            between = [] if which == PLAIN else list(about.counts)
            points: list[tuple[float, float]] = []
            for count in (0, *between, None):
                found = estimate(at_count(results, which, count, by))
                if found is not None:
                    points.append((float(len(about.classes) if count is None else count + 1), found.mean))
            if points:
                held.setdefault(name, []).append((by, points))
    every = [y for lines in held.values() for _, points in lines for _, y in points]
    if not every:
        return []
    low, high = min(every) if level is None else min(level, *every), max(every)
    room = max(0.005, 0.08 * (high - low))
    charts: list[Exhibit] = []
    for name, lines in held.items():
        drawn = [
            Line(
                BY[by] if NAMES[name] != PLAIN else name,
                tuple(x for x, _ in points),
                tuple(y for _, y in points),
                STYLES[by],
            )
            for by, points in lines
        ]
        if level is not None:
            drawn.append(Line("untrained", (1.0, float(len(about.classes))), (level, level), "s-untrained"))
        charts.append(
            Chart(
                name,
                "The own class counts as one; the ends are the same for both distances.",
                tuple(drawn),
                Axis("classes that positives come from", log=True, low=0.9, high=1.1 * len(about.classes)),
                Axis(
                    "kNN accuracy, mean over sets", percent=True, low=max(0.0, low - room), high=min(1.0, high + room)
                ),
            )
        )
    return charts


def _table(results: Results, about: About) -> Table:
    rows: list[Row] = []
    for name, which in NAMES.items():
        own = at_count(results, which, 0)
        for count, by in about.drawn(which):
            row: list[str | float | int | None] = [name, "all" if count is None else str(count), BY.get(by)]
            for path in MEASURES.values():
                found = estimate(at_count(results, which, count, by, path))
                row += [None, None] if found is None else [found.mean, found.spread]
            found = None if count == 0 else paired(at_count(results, which, count, by), own)
            row += [None] * 3 if found is None else [found.mean, found.low, found.high]
            rows.append((*row, len(at_count(results, which, count, by))))
    heads = tuple(head for name in MEASURES for head in (name, f"± {name}"))
    change = ("against N = 0", "low", "high")
    return Table(
        "closest",
        "Transfer by the number of classes",
        ("method", "N", "distance", *heads, *change, "seeds"),
        tuple(rows),
        "Mean over transfer sets and seeds, and standard deviation over seeds; the difference of kNN from positives of "
        "the own class alone, in pairs over seeds, with Student's 95 % interval.",
        percent=(*heads, *change),
    )


def _each(results: Results, about: About) -> Table:
    rows: list[Row] = []
    heads = tuple(f"{target}, {measure}" for target in about.targets for measure in ("kNN", "probe"))
    for name, which in NAMES.items():
        for count, by in about.drawn(which):
            found = [
                estimate(at_count(results, which, count, by, ("transfer", "learned", target, measure)))
                for target in about.targets
                for measure in ("knn", "probe")
            ]
            n = "all" if count is None else str(count)
            rows.append((name, n, BY.get(by), *(None if one is None else one.mean for one in found)))
    for key, said in (("untrained", "the untrained encoder"), ("pixels", "raw pixels")):
        bare = [
            estimate(results.values(*FLOOR[key], target, measure, **about.bare))
            for target in about.targets
            for measure in ("knn", "probe")
        ]
        rows.append((said, None, None, *(None if one is None else one.mean for one in bare)))
    return Table(
        "targets",
        "Every transfer set",
        ("method", "N", "distance", *heads),
        tuple(rows),
        "Means over seeds.",
        percent=heads,
        folded=True,
    )


# ---------------------------------------------------------------- distances


def _distances(about: About) -> Section:
    near = about.near
    above = near.super_of
    order = list(range(len(about.classes))) if above is None else by_kin(above)
    names = [short(about.classes[i]) for i in order]
    words = [
        f"By the frozen encoder ({near.frozen}) two classes are as near as their images point one way, on average and "
        "after the mean of all images was taken away: 0 is as any two images, below 0 farther apart than these."
    ]
    heats: list[Exhibit] = [
        likeness(
            "By the frozen encoder",
            "Mean cosine of an image of one class and one of the other"
            + ("; classes of a super-class stand together." if above is not None else "."),
            names,
            near.cosine[order][:, order].tolist(),
        )
    ]
    tables: list[Exhibit] = []
    if near.path is not None:
        heats.append(
            likeness(
                "By the hierarchy",
                "Steps of the hierarchy that two classes have in common: 2 of a class with itself, 1 within a "
                "super-class; the path between two classes has two edges for each that they lack.",
                names,
                (2 - near.path / 2)[order][:, order].tolist(),
            )
        )
        first, second = nearest(near.cosine), nearest(near.cosine, near.path)
        rows: list[Row] = []
        for count in about.counts:
            share, chance = agreement(first, second, count)
            rows.append((count, share, chance))
        tables.append(
            Table(
                "agreement",
                "Do both name the same classes?",
                ("N", "shared", "by chance"),
                tuple(rows),
                "Share of the N nearest classes by the encoder that are among the N nearest by the hierarchy, whose "
                "ties the encoder breaks.",
                percent=("shared", "by chance"),
            )
        )
        words.append(f"By the hierarchy the {len(near.super_classes)} super-classes are all that tells classes apart.")
    return Section("distances", "How far the classes lie apart", tuple(words), (*heats, *tables))
