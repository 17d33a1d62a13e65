"""Methods side by side on data that they were not trained on: figures, tables, differences, and claims about these."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from counterpoint.report.charts import Axis
from counterpoint.report.exhibits import Exhibit, Section, Table
from counterpoint.report.numbers import in_points, per_cent
from counterpoint.studies.simlap.claims import ASKED, claim
from counterpoint.studies.simlap.judged import FLOOR
from counterpoint.studies.simlap.page import bars_of, table_of
from counterpoint.studies.statistics import below, each, estimate, greater, holm, paired
from counterpoint.studies.study import Claim, Decision, Results

__all__ = [
    "FLOORS",
    "MEASURES",
    "Line",
    "as_well",
    "better",
    "differences",
    "floors",
    "looked_at",
    "sentence",
    "side_by_side",
    "told",
]

MEASURES = {"probe": "linear probe", "knn": "kNN, k = 10"}
FLOORS = {"untrained": "untrained encoder", "pixels": "raw pixels"}
FEW = 12  # rows of a table that is not folded
AS_WELL = 0.01  # of an accuracy, within which one method is as good as another
Seeds = dict[int, float]


@dataclass(frozen=True, eq=False)
class Line:
    """What stands in one row of a page.

    Args:
        label: in tables and figures.
        group: by which it is coloured.
        place: of its runs in the grid.
        path: where an answer has its accuracies: evaluator and encoder.
    """

    label: str
    group: str
    place: Mapping[str, str]
    path: tuple[str, str] = ("transfer", "learned")

    def on(self, results: Results, target: str = "mean", measure: str = "probe") -> Seeds:
        """Accuracy for each seed.

        Args:
            results: of the study.
            target: its label; `mean`: of all targets.
            measure: of `MEASURES`.
        """
        return results.values(*self.path, target, measure, **self.place)


def floors(at: Mapping[str, str]) -> tuple[Line, ...]:
    """The rows of what needs no training.

    Args:
        at: the place whose runs were asked, as of `floors_of`.
    """
    return tuple(Line(label, "untrained", at, FLOOR[name]) for name, label in FLOORS.items())


# ---------------------------------------------------------------- on the page


def told(results: Results, lines: Sequence[Line], measure: str) -> list[tuple[str, float]]:
    """Labels and means over targets and seeds of what was measured, the best first."""
    found = [(line.label, estimate(line.on(results, "mean", measure))) for line in lines]
    return sorted(((label, one.mean) for label, one in found if one is not None), key=lambda pair: -pair[1])


def best_of(results: Results, lines: Sequence[Line], by: str, measure: str) -> str:
    """A title: who is best on other data, and which of the floors nobody reaches.

    Args:
        results: of the study.
        lines: of the page, the floors among them.
        by: how it is judged, in words.
        measure: of `MEASURES`.
    """
    trained = told(results, [line for line in lines if line.group != "untrained"], measure)
    if not trained:
        return "Nothing is scored yet"
    best, reached = trained[0]
    floor = told(results, [line for line in lines if line.group == "untrained"], measure)
    above = [label for label, value in floor if value > reached]
    return f"By {by} on other data {best} is best{', below ' + ' and '.join(above) if above else ''}"


def side_by_side(
    results: Results, lines: Sequence[Line], targets: Sequence[str], measure: str, *, name: str = "transfer"
) -> list[Exhibit]:
    """A figure of the means over targets, and a table of each target.

    Args:
        results: of the study.
        lines: in the order of the table.
        targets: their labels.
        measure: of `MEASURES`.
        name: of the table's files, before the measure.
    """
    said, many = MEASURES[measure], len(targets) > 1
    across = f"mean over {len(targets)} data sets" if many else targets[0]
    groups = {
        group: [line.on(results, "mean", measure) if line.group == group else {} for line in lines]
        for group in dict.fromkeys(line.group for line in lines)
    }
    bars = bars_of(
        f"{said[0].upper()}{said[1:]}: {across}",
        "Accuracy on test images of data that no encoder was trained on.",
        tuple(line.label for line in lines),
        groups,
        Axis(f"{said} accuracy", percent=True, low=0.0),
    )
    shown = (*targets, "mean") if many else tuple(targets)
    table = table_of(
        f"{name}-{measure}",
        f"{said[0].upper()}{said[1:]} on each data set",
        ("encoder", "group"),
        shown,
        [((line.label, line.group), [line.on(results, target, measure) for target in shown]) for line in lines],
        "Accuracy on test images.",
        percent=True,
    )
    return [*bars, table]


def differences(
    results: Results, pairs: Sequence[tuple[Line, Line]], targets: Sequence[str], measures: Sequence[str] = (*MEASURES,)
) -> Section | None:
    """Differences on each target in pairs over seeds; Holm over all of them.

    Args:
        results: of the study.
        pairs: first less second.
        targets: their labels.
        measures: of `MEASURES`.
    """
    shown = (*targets, "mean") if len(targets) > 1 else tuple(targets)
    rows: list[tuple[str | float | int | None, ...]] = []
    chances: list[float] = []
    for measure in measures:
        for first, second in pairs:
            for target in shown:
                found = paired(first.on(results, target, measure), second.on(results, target, measure))
                if found is None:
                    continue
                ends = (None if end is None else 100 * end for end in (found.mean, found.low, found.high))
                what = (MEASURES[measure], f"{first.label} less {second.label}", target)
                rows.append((*what, *ends, found.wins, found.seeds, found.p))
                chances.append(1.0 if found.p is None else found.p)
    if not rows:
        return None
    held = holm(chances)
    known = any(row[4] is not None for row in rows)
    table = Table(
        "differences",
        "Differences in accuracy, in pairs over seeds",
        (
            *("measure", "difference", "data", "mean [points]", "low [points]", "high [points]"),
            *("greater in", "of seeds", "p", "after Holm"),
        ),
        tuple((*row, one if row[4] is not None else None) for row, one in zip(rows, held, strict=True)),
        "Student's 95 % interval over seeds. After Holm: whether it holds with all differences of this table together, "
        "at 5 %. One seed decides nothing.",
        folded=len(rows) > FEW,
    )
    beyond = [
        f"{what}, {measure}: {'+' if mean > 0 else '−'}{abs(mean):.1f} points"
        for (measure, what, target, mean, *_), one in zip(rows, held, strict=True)
        if one and target == shown[-1] and isinstance(mean, float)
    ]
    words = (f"Beyond chance on {_across(shown)}: {'; '.join(beyond)}.",) if beyond else ()
    title = f"{sum(held)} of {len(held)} differences are beyond chance" if known else "Differences, of one seed each"
    return Section("differences", title, words, (table,))


def _across(shown: Sequence[str]) -> str:
    return f"the mean over {len(shown) - 1} data sets" if shown[-1] == "mean" else shown[-1]


def looked_at(results: Results) -> Section | None:
    """How many images of each target are looked at."""
    found = next((r.found["transfer"]["images"] for r in results if "transfer" in r.found), None)
    if found is None:
        return None
    table = Table(
        "images",
        "Images of the data that is transferred to",
        ("data", "training images", "test images"),
        tuple((label, count["train"], count["test"]) for label, count in found.items()),
        "Probe and neighbours learn from the training images and are judged on the test images. No encoder was trained "
        "on these data.",
        folded=True,
    )
    return Section("images", "What is transferred to", (), (table,))


# ---------------------------------------------------------------- claims


def _measured(first: Line, second: Line, measure: str, target: str) -> str:
    where = "its mean over the data sets" if target == "mean" else target
    return f"Accuracy by {MEASURES[measure]} on data not trained on, {where}: {first.label} less {second.label}."


def better(
    key: str,
    statement: str,
    first: Line,
    second: Line,
    *,
    measure: str = "knn",
    target: str = "mean",
    where: str = ASKED,
    published: str = "",
) -> Claim:
    """The first is above the second on what was not trained on.

    Args:
        key: of the claim, and `statement`, `where` and `published`.
        statement: in our words.
        first: that is to be greater.
        second: that it is held against.
        measure: of `MEASURES`.
        target: its label, or `mean`.
        where: the sentence stands.
        published: figures of the paper.
    """

    def decide(results: Results) -> Decision:
        return greater(
            first.on(results, target, measure),
            second.on(results, target, measure),
            unit="points",
            what=f"the accuracy, {first.label} less {second.label},",
        )

    return claim(
        key,
        statement,
        _measured(first, second, measure, target),
        "the difference is above 0",
        decide,
        where=where,
        published=published,
        origin="paper" if published else "",
    )


def as_well(
    key: str,
    statement: str,
    first: Line,
    second: Line,
    *,
    measure: str = "probe",
    where: str = ASKED,
    published: str = "",
) -> Claim:
    """The first is not worse than the second by more than a point.

    Args:
        key: as of `better`, and all others.
        statement: in our words.
        first: that is to be as good.
        second: as that one.
        measure: of `MEASURES`.
        where: the sentence stands.
        published: figures of the paper.
    """

    def decide(results: Results) -> Decision:
        sides = [line.on(results, "mean", measure) for line in (second, first)]
        lost = each(lambda pair: pair[0] - pair[1], sides)
        return below(lost, AS_WELL, unit="points", what=f"the accuracy, {second.label} less {first.label},")

    return claim(
        key,
        statement,
        _measured(second, first, measure, "mean"),
        f"the difference is below {in_points(AS_WELL)}",
        decide,
        where=where,
        published=published,
        origin="paper" if published else "",
    )


def sentence(pairs: Sequence[tuple[str, float]]) -> str:
    """`SimLAP 41.2 %, SimCLR 40.1 %`."""
    return ", ".join(f"{label} {per_cent(value)}" for label, value in pairs)
