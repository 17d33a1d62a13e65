"""The page of `simlap-collapse`: transfer over time, and the spectrum over time."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from counterpoint.report.charts import Axis, Chart, Line
from counterpoint.report.exhibits import Exhibit, Section, Table
from counterpoint.report.numbers import in_points, per_cent
from counterpoint.studies.simlap.collapse_claims import RANK, lost, reached
from counterpoint.studies.simlap.judged import FLOOR, KNN, PROBE
from counterpoint.studies.statistics import Estimate, estimate, paired
from counterpoint.studies.study import Results

__all__ = ["METHODS", "About", "collapse_sections"]

NAMES: Mapping[str, str] = {"simclr": "SimCLR", "supcon": "SupCon", "simlap": "SimLAP"}
METHODS = tuple(NAMES)
STYLES = {"simclr": "s-1", "supcon": "s-2", "simlap": "s-0"}
SHADES = ("s-5", "s-2", "s-1", "s-0", "s-3", "s-6")
Row = tuple[str | float | int | bool | None, ...]


@dataclass(frozen=True, eq=False)
class About:
    """What the page needs to know of the study beside its results.

    Args:
        lengths: durations in epochs of a method of two views, ascending.
        bare: at whose runs raw pixels and the untrained encoder were judged.
        targets: names of the data that are transferred to.
        classes: how many are trained on.
        steps: of an epoch.
    """

    lengths: tuple[int, ...]
    bare: Mapping[str, str]
    targets: tuple[str, ...]
    classes: int
    steps: int

    def views(self, length: int) -> float:
        """How often each image was seen."""
        return 2.0 * length


def collapse_sections(results: Results, about: About) -> list[Section]:
    """All that can be made of what is there."""
    return [_transfer(results, about), _spectrum(results, about)]


def _over(results: Results, about: About, path: tuple[str, ...]) -> dict[str, list[tuple[float, Estimate]]]:
    """Of each method what is known, over how often an image was seen."""
    found: dict[str, list[tuple[float, Estimate]]] = {}
    for method in METHODS:
        for length in about.lengths:
            one = estimate(reached(results, method, length, path))
            if one is not None:
                found.setdefault(method, []).append((about.views(length), one))
    return found


def _time(about: About) -> Axis:
    low, high = about.views(about.lengths[0]), about.views(about.lengths[-1])
    return Axis("times that each image was seen", log=True, low=0.9 * low, high=1.1 * high)


def _chart(title: str, note: str, held: Mapping[str, list[tuple[float, Estimate]]], x: Axis, y: Axis) -> Chart:
    lines = tuple(
        Line(NAMES[method], tuple(at for at, _ in points), tuple(one.mean for _, one in points), STYLES[method])
        for method, points in held.items()
    )
    return Chart(title, note, lines, x, y)


def _transfer(results: Results, about: About) -> Section:
    exhibits: list[Exhibit] = []
    for name, path in (("Nearest neighbours", KNN), ("Linear probe", PROBE)):
        held = _over(results, about, path)
        if held:
            axis = Axis("accuracy, mean over transfer sets", percent=True)
            chart = _chart(name, "Each point is the end of runs of that duration.", held, _time(about), axis)
            level = estimate(results.values(*FLOOR["untrained"], "mean", path[-1], **about.bare))
            if level is not None:
                ends = about.views(about.lengths[0]), about.views(about.lengths[-1])
                untrained = Line("untrained", ends, (level.mean, level.mean), "s-untrained")
                chart = Chart(chart.title, chart.note, (*chart.lines, untrained), chart.x, chart.y)
            exhibits.append(chart)
    exhibits.append(_table(results, about))
    exhibits.append(_each(results, about))
    told: list[str] = []
    for method, name in NAMES.items():
        values = lost(results, method, about.lengths)
        if values:
            change = -sum(values.values()) / len(values)
            told.append(f"{name} {'gains' if change >= 0 else 'loses'} {in_points(abs(change))}")
    title = "Nothing is judged yet"
    if told:
        before, last = (f"{about.views(length):,.0f}" for length in about.lengths[-2:])
        title = f"From {before} to {last} views of each image: {', '.join(told)}"
    words: list[str] = []
    if told:
        seeds = max(len(lost(results, method, about.lengths)) for method in METHODS)
        much = "One seed does not say how much seeds differ." if seeds == 1 else f"Means over {seeds} seeds."
        words.append(
            f"Trained on {about.classes} classes, judged on other data; from {about.views(about.lengths[-2]):,.0f} to "
            f"{about.views(about.lengths[-1]):,.0f} views of each image. {much}"
        )
    bare = estimate(results.values(*FLOOR["untrained"], "mean", "knn", **about.bare))
    if bare is not None:
        words.append(f"The untrained encoder has {per_cent(bare.mean)} by its neighbours.")
    return Section("transfer", title, tuple(words), tuple(exhibits))


def _pair(found: Estimate | None) -> tuple[float | None, float | None]:
    return (None, None) if found is None else (found.mean, found.spread)


def _table(results: Results, about: About) -> Table:
    rows: list[Row] = []
    for method, name in NAMES.items():
        for i, length in enumerate(about.lengths):
            values = [estimate(reached(results, method, length, path)) for path in (KNN, PROBE, RANK)]
            change = None
            if i:
                change = paired(reached(results, method, length), reached(results, method, about.lengths[i - 1]))
            gains = (None, None, None) if change is None else (change.mean, change.low, change.high)
            pairs = [number for one in values for number in _pair(one)]
            seeds = max((one.seeds for one in values if one), default=0)
            rows.append((name, int(about.views(length)), *pairs, *gains, seeds))
    shares = ("kNN", "± kNN", "probe", "± probe")
    change = ("against the one before", "low", "high")
    return Table(
        "time",
        "Transfer and directions by duration",
        ("method", "views of an image", *shares, "effective rank of h", "± rank", *change, "seeds"),
        tuple(rows),
        "Mean over transfer sets and seeds, and standard deviation over seeds; differences of kNN in pairs over seeds, "
        "with Student's 95 % interval.",
        percent=(*shares, *change),
    )


def _each(results: Results, about: About) -> Table:
    heads = tuple(f"{target}, {measure}" for target in about.targets for measure in ("kNN", "probe"))
    keys = [(target, measure) for target in about.targets for measure in ("knn", "probe")]
    rows: list[Row] = []
    for method, name in NAMES.items():
        for length in about.lengths:
            found = [estimate(reached(results, method, length, ("transfer", "learned", *key))) for key in keys]
            rows.append((name, int(about.views(length)), *(None if one is None else one.mean for one in found)))
    for key, said in (("untrained", "the untrained encoder"), ("pixels", "raw pixels")):
        found = [estimate(results.values(*FLOOR[key], *each, **about.bare)) for each in keys]
        rows.append((said, None, *(None if one is None else one.mean for one in found)))
    return Table(
        "targets",
        "Every transfer set",
        ("method", "views of an image", *heads),
        tuple(rows),
        "Means over seeds.",
        percent=heads,
        folded=True,
    )


# ---------------------------------------------------------------- spectrum


def _spectrum(results: Results, about: About) -> Section:
    exhibits: list[Exhibit] = []
    held = _over(results, about, RANK)
    if held:
        exhibits.append(
            _chart(
                "Directions that h uses",
                "Effective rank on test images, at the end of runs of each duration.",
                held,
                _time(about),
                Axis("effective rank of h"),
            )
        )
    exhibits += _on_the_way(results, about)
    exhibits += _singular(results, about)
    told = [
        f"{NAMES[method]} from {points[-2][1].mean:.1f} to {points[-1][1].mean:.1f}"
        for method, points in held.items()
        if len(points) > 1
    ]
    title = "Directions of h: " + ", ".join(told) if told else "How many directions are used"
    words = (
        "The effective rank is the exponential of the entropy of the singular values: as many equal ones would have "
        "it. Singular values of the covariance are shares of the largest, so that a cliff is a collapse.",
    )
    return Section("spectrum", title, words if exhibits else ("No spectrum was read yet.",), tuple(exhibits))


def _answers(results: Results, method: str, length: int) -> list[Mapping[str, Any]]:
    found = results.at(method=method, passes=str(length))
    return [result.found["directions"] for result in found if "directions" in result.found]


def _on_the_way(results: Results, about: About) -> list[Exhibit]:
    """What the longest runs read of themselves, of the first seed."""
    lines: list[Line] = []
    for method, name in NAMES.items():
        answers = _answers(results, method, about.lengths[-1])
        course = answers[0]["course"] if answers else {"step": [], "h": []}
        # A method of one view has as many steps for as many views of an image, in twice the epochs.
        views = 1.0 if method == "simlap" else 2.0
        points = [(step * views / about.steps, rank) for step, rank in zip(course["step"], course["h"], strict=True)]
        if points:
            x, y = zip(*points, strict=True)
            lines.append(Line(name, tuple(x), tuple(y), STYLES[method]))
    if not lines:
        return []
    note = "Effective rank of h in a batch of views, as the longest run read it on its way; one seed."
    return [
        Chart("On the way", note, tuple(lines), Axis("times that each image was seen"), Axis("effective rank of h"))
    ]


def _singular(results: Results, about: About) -> list[Exhibit]:
    charts: list[Exhibit] = []
    for method, name in NAMES.items():
        lines: list[Line] = []
        for style, length in zip(SHADES, about.lengths, strict=False):
            answers = _answers(results, method, length)
            if answers:
                values = [v for v in answers[0]["h"]["singular"] if v > 0]
                x = tuple(float(i + 1) for i in range(len(values)))
                lines.append(Line(f"{about.views(length):,.0f} views", x, tuple(values), style))
        if lines:
            charts.append(
                Chart(
                    f"Spectrum of {name}",
                    "Singular values of the covariance of h, by duration; one seed.",
                    tuple(lines),
                    Axis("rank of the singular value"),
                    Axis("share of the largest", log=True, low=1e-5, high=1.0),
                )
            )
    return charts
