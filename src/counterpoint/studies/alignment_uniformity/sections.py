"""The page: the plane with its accuracy first, then what moves a run on it, then the theory."""

from collections.abc import Sequence

from counterpoint.report.charts import Axis, Chart, Line
from counterpoint.report.exhibits import Bars, Exhibit, Points, Section, Series, Table
from counterpoint.report.numbers import in_points, per_cent
from counterpoint.studies.alignment_uniformity.grid import ALIGN_UNIFORM, NT_XENT, OBJECTIVES, Setting, three_to_one
from counterpoint.studies.alignment_uniformity.reading import (
    MEASURES,
    best,
    correlation,
    mean_of,
    objective_of,
    of,
    ranked,
    settled,
)
from counterpoint.studies.alignment_uniformity.theory_sections import STYLES, Row, course, exact, limit
from counterpoint.studies.statistics import Estimate, estimate, paired
from counterpoint.studies.study import Results

__all__ = ["study_sections"]

PROBE = ("quality", "test", "probe")


def study_sections(results: Results, every: Sequence[Setting]) -> list[Section]:
    """All that can be made of what is there.

    Args:
        results: of the study.
        every: settings.
    """
    made = [
        _plane(results, every),
        _agreement(results, every),
        _against(results, every),
        _moved(results, every),
        limit(results, every),
        course(results, every),
        exact(results, every),
        _table(results, every),
    ]
    return [section for section in made if section is not None]


def _pair(found: Estimate | None) -> tuple[float | None, float | None]:
    return (None, None) if found is None else (found.mean, found.spread)


def _named(setting: Setting) -> str:
    return f"{setting.name}, batch {setting.batch}"


# ---------------------------------------------------------------- the plane


def _plane(results: Results, every: Sequence[Setting]) -> Section:
    figures: list[Exhibit] = []
    for layer, said in (("z", "the projection, which the losses see"), ("h", "the representation, which is probed")):
        series: list[Series] = []
        for objective in OBJECTIVES:
            x = ranked(results, objective_of(every, objective), ("plane", layer, "alignment"), PROBE)
            y = {s: v for s, v, _ in ranked(results, every, ("plane", layer, "uniformity"), PROBE)}
            if x:
                series.append(
                    Series(
                        objective,
                        tuple(v for _, v, _ in x),
                        tuple(y[s] for s, *_ in x),
                        tuple(f"{_named(s)}: {per_cent(a)}" for s, _, a in x),
                        tuple(100 * a for *_, a in x),
                    )
                )
        if series:
            figures.append(
                Points(
                    f"The plane of {layer}, {said}",
                    "Each point is a setting, mean over seeds; both are best at the lower left, and the deeper the "
                    "colour, the higher the accuracy.",
                    tuple(series),
                    Axis("alignment: mean squared distance of two views"),
                    Axis("uniformity: log mean potential of two images"),
                    Axis("linear probe accuracy (%)"),
                )
            )
    accuracies = {s: a for s in every if (a := mean_of(of(results, s, *PROBE))) is not None}
    if not accuracies:
        return Section("plane", "Nothing is scored yet")
    top = max(accuracies, key=lambda s: accuracies[s])
    words = [f"The highest of {len(accuracies)} settings on test images is {_named(top)}; it was not chosen by them."]
    floor = mean_of(of(results, every[0], "quality", "untrained", "test", "probe"))
    if floor is not None:
        beyond = sum(a > floor for a in accuracies.values())
        words.append(
            f"{beyond} of {len(accuracies)} settings are above the untrained encoder, whose linear probe has "
            f"{per_cent(floor)}."
        )
    title = f"Accuracy over the plane: from {per_cent(min(accuracies.values()))} to {per_cent(accuracies[top])}"
    return Section("plane", title, tuple(words), tuple(figures))


def _agreement(results: Results, every: Sequence[Setting]) -> Section | None:
    said = {"sum": "sum of both", "alignment": "alignment", "uniformity": "uniformity"}
    names: list[str] = []
    rho: dict[str, list[float | None]] = {label: [] for label in MEASURES.values()}
    low: dict[str, list[float | None]] = {label: [] for label in MEASURES.values()}
    high: dict[str, list[float | None]] = {label: [] for label in MEASURES.values()}
    rows: list[Row] = []
    for layer in ("z", "h"):
        for measure, words in said.items():
            names.append(f"{words} of {layer}")
            for path, label in MEASURES.items():
                for objective in ("", *OBJECTIVES):
                    found = correlation(results, objective_of(every, objective), ("plane", layer, measure), path)
                    if not objective:
                        rho[label].append(None if found is None else found.rho)
                        low[label].append(None if found is None else found.low)
                        high[label].append(None if found is None else found.high)
                    if found is not None:
                        told = (found.rho, found.low, found.high, found.p, found.count)
                        rows.append((f"{words} of {layer}", label, objective or "both", *told))
    if not rows:
        return None
    there = [label for label, values in rho.items() if any(v is not None for v in values)]
    bars = Bars(
        "Rank correlation with accuracy over all settings",
        "Of the measure with its sign turned, so that above 0 a lower one goes with a better encoder; 95 % intervals "
        "of a bootstrap over settings.",
        tuple(names),
        {label: tuple(rho[label]) for label in there},
        Axis("Spearman's rho", low=-1, high=1),
        {label: tuple(low[label]) for label in there},
        {label: tuple(high[label]) for label in there},
    )
    table = Table(
        "agreement",
        "Spearman's rank correlation with accuracy",
        ("measure, negated", "accuracy", "settings of", "rho", "low", "high", "p", "settings"),
        tuple(rows),
        "Means over seeds of each setting are ranked. p is of no correlation, each by itself.",
        folded=True,
    )
    whole = next((r for r in rows if r[0] == "sum of both of z" and r[2] == "both"), None)
    title = "How well the plane tells the accuracy"
    if whole is not None:
        title = f"The sum of both, of z, ranks settings by accuracy with rho = {whole[3]:.2f}"
    return Section("agreement", title, exhibits=(bars, table))


# ---------------------------------------------------------------- which is better


def _against(results: Results, every: Sequence[Setting]) -> Section | None:
    first = three_to_one(every)
    contrast, direct = best(results, every), best(results, every, ALIGN_UNIFORM)
    sides = {
        f"{first.name}": {path: of(results, first, *path) for path in MEASURES},
        "best align + uniform": {path: settled(results, direct, *path) for path in MEASURES},
        "best NT-Xent": {path: settled(results, contrast, *path) for path in MEASURES},
    }
    found = {name: estimate(values[PROBE]) for name, values in sides.items()}
    if found["best NT-Xent"] is None:
        return None
    bars = Bars(
        "Linear probe accuracy on test images",
        "Means over seeds with Student's 95 % interval; the best were chosen on training images that were held out.",
        tuple(found),
        {"accuracy": tuple(None if e is None else e.mean for e in found.values())},
        Axis("linear probe accuracy", percent=True),
        {"accuracy": tuple(None if e is None else e.low for e in found.values())},
        {"accuracy": tuple(None if e is None else e.high for e in found.values())},
    )
    rows: list[Row] = []
    for name in list(sides)[:2]:
        for path, label in MEASURES.items():
            gain = paired(sides[name][path], sides["best NT-Xent"][path])
            if gain is not None:
                rows.append((name, label, gain.mean, gain.low, gain.high, gain.d, gain.wins, gain.seeds))
    table = Table(
        "against",
        "Less the best NT-Xent, in pairs over seeds",
        ("setting", "accuracy", "difference", "low", "high", "Cohen's d", "greater in", "of seeds"),
        tuple(rows),
        "Student's 95 % interval over seeds; one seed decides nothing.",
        percent=("difference", "low", "high"),
    )
    picks = Table(
        "chosen",
        "What was chosen",
        ("objective", "seed", "setting", "batch"),
        tuple(
            (objective, seed, setting.name, setting.batch)
            for objective, chosen in ((ALIGN_UNIFORM, direct), (NT_XENT, contrast))
            for seed, setting in chosen.items()
        ),
    )
    gain = paired(sides[first.name][PROBE], sides["best NT-Xent"][PROBE])
    title = "3 align + uniform against the best NT-Xent"
    if gain is not None:
        way = "above" if gain.mean > 0 else "below"
        title = f"{title}: {in_points(abs(gain.mean))} {way} it"
    return Section("against", title, exhibits=(bars, table, picks))


def _moved(results: Results, every: Sequence[Setting]) -> Section | None:
    """Accuracy and both measures by weight, temperature and batch."""
    sizes = sorted({s.batch for s in every}, reverse=True)
    charts: list[Exhibit] = []
    for path, label, percent in (
        (PROBE, "linear probe accuracy", True),
        (("plane", "z", "alignment"), "alignment of z", False),
        (("plane", "z", "uniformity"), "uniformity of z", False),
    ):
        for objective in OBJECTIVES:
            lines: list[Line] = []
            for size, style in zip(sizes, STYLES, strict=False):
                own = [s for s in objective_of(every, objective) if s.batch == size and (s.alpha, s.t) == (2, 2)]
                axis = {s: s.temperature if objective == NT_XENT else s.align for s in own if s.uniform and s.align}
                points = sorted((x, v) for s, x in axis.items() if (v := mean_of(of(results, s, *path))) is not None)
                if points:
                    lines.append(Line(f"batch {size}", tuple(x for x, _ in points), tuple(y for _, y in points), style))
            if lines:
                x = Axis("temperature" if objective == NT_XENT else "weight of alignment, of uniformity 1", log=True)
                charts.append(
                    Chart(f"{label}, {objective}", "Means over seeds.", tuple(lines), x, Axis(label, percent=percent))
                )
    return Section("moved", "What weight, temperature and batch do", exhibits=tuple(charts)) if charts else None


def _table(results: Results, every: Sequence[Setting]) -> Section:
    paths = {
        **MEASURES,
        ("quality", "held out", "probe"): "probe on held-out images",
        ("plane", "z", "alignment"): "alignment of z",
        ("plane", "z", "uniformity"): "uniformity of z",
        ("plane", "z", "gap"): "gap to a uniform spread",
        ("plane", "h", "alignment"): "alignment of h",
        ("plane", "h", "uniformity"): "uniformity of h",
    }
    there = {p: h for p, h in paths.items() if any(r.number(*p) is not None for r in results)}
    rows: list[Row] = []
    for setting in every:
        found = [estimate(of(results, setting, *path)) for path in there]
        seeds = max((e.seeds for e in found if e), default=0)
        rows.append((setting.objective, setting.name, setting.batch, seeds, *(v for e in found for v in _pair(e))))
    heads = tuple(head for label in there.values() for head in (label, f"± {label}"))
    shares = tuple(h for p, label in there.items() if p[0] == "quality" for h in (label, f"± {label}"))
    table = Table(
        "settings",
        "Every setting",
        ("objective", "setting", "batch", "seeds", *heads),
        tuple(rows),
        "Means over seeds, and standard deviation over seeds.",
        percent=shares,
        folded=True,
    )
    return Section("settings", "Every setting", exhibits=(table,))
