"""The page: the ranking first, then what it rests on."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from counterpoint.app.doctor import ended_early
from counterpoint.report.axes import Axis
from counterpoint.report.exhibits import Bars, Points, Section, Series, Table
from counterpoint.report.numbers import in_points, per_cent
from counterpoint.studies.exhibit import averaged
from counterpoint.studies.league.claims import BASELINES, mean_over, untrained
from counterpoint.studies.league.methods import Entry
from counterpoint.studies.league.selection import CRITERIA, Pick, observed, picks
from counterpoint.studies.league.standing import Crossed, baseline, crossed, gap, hits, learned, standing
from counterpoint.studies.statistics import Correlation, estimate, holm
from counterpoint.studies.study import Result, Results

__all__ = ["About", "league_sections"]

Row = tuple[str | float | int | bool | None, ...]

GROUPS = ("no labels", "labels", "control", "baseline")

_LEARNED = ("scores", "learned")
_PLANE = ("view_alignment", "uniformity")


@dataclass(frozen=True, eq=False)
class About:
    """What the page needs to know of the study beside its results.

    Args:
        entries: methods that take part.
        at: the one at whose runs raw pixels and the untrained encoder were read.
        reasons: why others do not, by method.
        images: trained on.
        tuning: how the dials were chosen, in words; empty where they were not.
    """

    entries: tuple[Entry, ...]
    at: str
    reasons: Mapping[str, str]
    images: int
    tuning: str


def league_sections(results: Results, about: About) -> list[Section]:
    """All that can be made of what is there."""
    ranked = _ranked(results, about.entries)
    made = [
        _ranking(results, about, ranked),
        _scores(results, about),
        _differences(results, ranked),
        _plane(results, about),
        _selection(results, about),
        _separable(results, about, ranked),
        _cost(results, about),
        _settings(about),
    ]
    return [section for section in made if section is not None]


Ranked = list[tuple[Entry, Crossed]]


def _ranked(results: Results, entries: Sequence[Entry]) -> Ranked:
    """Methods whose accuracy is known: group by group, the best first."""
    known = [(entry, found) for entry in entries if (found := standing(results, entry.name)) is not None]
    groups = list(dict.fromkeys(entry.group for entry in entries))
    return sorted(known, key=lambda pair: (groups.index(pair[0].group), -pair[1].mean))


def _number(results: Results, method: str, *path: str) -> float | None:
    found = estimate(averaged(results, path, {"method": method}))
    return None if found is None else found.mean


def _baseline_of(results: Results, at: str, encoder: str, measure: str) -> float | None:
    return _number(results, at, "baselines", encoder, measure)


# ---------------------------------------------------------------- ranking


def _doctor(runs: Sequence[Result]) -> str:
    """The doctor's word on some runs, the findings by name."""
    told: dict[str, int] = {}
    for run in runs:
        course = run.found.get("course")
        if course is not None:
            read, steps = course["read"], course["steps"]
            well = f"healthy to step {read:,} of {steps:,}" if ended_early(read, steps) else "healthy"
            held = course["findings"] or [well if course["healthy"] else "too short to judge"]
            for name in held:
                told[name] = told.get(name, 0) + 1
    whole = sum(run.found.get("course") is not None for run in runs)
    return ", ".join(name if count == whole else f"{name} ({count} of {whole})" for name, count in told.items())


def _ranking(results: Results, about: About, ranked: Ranked) -> Section:
    beaten = {key: crossed(baseline(results, about.at, key)) for key in BASELINES}
    rows: list[Row] = []
    failed: list[str] = []
    places: dict[str, int] = {}
    for entry, found in ranked:
        places[entry.group] = places.get(entry.group, 0) + 1
        verdict, why = learned(found, {BASELINES[key]: one for key, one in beaten.items()})
        word = "learned" if verdict else why if verdict is None else f"failed: not above {why}"
        failed += [entry.signature.title] if verdict is False else []
        rows.append(
            (
                places[entry.group], entry.signature.title, entry.group, *_told(found), word,
                _doctor(results.at(method=entry.name)), found.seeds, "tuned" if entry.dials is not None else "untuned",
                entry.encoder or "shared",
            )
        )  # fmt: skip
    lost = [entry for entry in about.entries if all(entry is not one for one, _ in ranked)]
    for entry in lost:
        why = next((r.error for r in results.asked(method=entry.name) if r.error), "not scored")
        rows.append((None, entry.signature.title, entry.group, *[None] * 4, f"no score: {why}", "", *[None] * 3))
    for key, said in BASELINES.items():
        one = beaten[key]
        seeds = None if one is None else one.seeds
        rows.append((None, said, "baseline", *([None] * 4 if one is None else _told(one)), "", "", seeds, None, None))
    table = Table(
        "ranking",
        "Linear probe on h",
        (
            *("rank", "method", "group", "accuracy", "spread", "low", "high"),
            *("learned?", "doctor", "seeds", "dials", "encoder"),
        ),
        tuple(rows),
        "Spread: standard deviation over seeds. Low and high: 95 % over seeds and test images together. Learned: low "
        "is above raw pixels and the untrained encoder.",
        percent=("accuracy", "spread", "low", "high"),
    )
    shown = sorted(
        [(entry.signature.title, entry.group, found) for entry, found in ranked]
        + [(said, "baseline", one) for key, said in BASELINES.items() if (one := beaten[key]) is not None],
        key=lambda line: -line[2].mean,
    )

    def by_group(take: Callable[[Crossed], float | None]) -> dict[str, tuple[float | None, ...]]:
        groups = dict.fromkeys(group for _, group, _ in sorted(shown, key=lambda line: GROUPS.index(line[1])))
        return {name: tuple(take(found) if group == name else None for _, group, found in shown) for name in groups}

    bars = Bars(
        "Linear probe accuracy",
        "Means over seeds with 95 % intervals over seeds and test images; the best first.",
        tuple(name for name, _, _ in shown),
        by_group(lambda found: found.mean),
        Axis("linear probe accuracy", percent=True, low=0.0),
        by_group(lambda found: found.low),
        by_group(lambda found: found.high),
    )
    words = [
        "Methods of the group labels are told the classes of all training images and are ranked apart; a control "
        "compares nothing. With one seed an interval says only how other test images would move the value."
    ]
    words += [f"Failed by the rule: {', '.join(failed)}."] if failed else []
    words += [f"Without any score: {', '.join(entry.signature.title for entry in lost)}."] if lost else []
    apart = {"no labels": " without labels", "labels": " with labels", "control": " of the controls"}
    title = "Nothing is ranked yet"
    if ranked:
        first = ranked[0][0]
        title = f"{first.signature.title} leads the {places[first.group]} methods{apart[first.group]}"
    return Section("ranking", title, tuple(words), (bars, table) if shown else (table,))


def _told(found: Crossed) -> tuple[float | None, ...]:
    return found.mean, found.spread, found.low, found.high


def _points(found: Crossed) -> tuple[float | None, ...]:
    return tuple(None if value is None else value * 100 for value in _told(found))


# ---------------------------------------------------------------- all scores


def _measures(results: Results) -> dict[str, str]:
    """All measures of learned encoders, with their labels."""
    found: dict[str, str] = {}
    for result in results:
        found |= {name: of["label"] for name, of in result.found.get("scores", {}).get("measures", {}).items()}
    return found


_GEOMETRY = ("view_alignment", "class_alignment", "uniformity", "effective_rank", "rank_me", "alpha_req")
_SHARES = ("knn", "probe", "few_label", "recall", "map_at_r", "mrr", "auroc", "eer", "nmi", "ari", "overlap")


def _scores(results: Results, about: About) -> Section | None:
    labels = _measures(results)
    if not labels:
        return None
    few = [m for m in labels if m.startswith("few_label")]
    leading = [m for m in ("knn_accuracy", "linear_probe", *few, *_GEOMETRY) if m in labels]
    rows: list[Row] = []
    every: list[Row] = []
    for entry in about.entries:
        found = {m: estimate(averaged(results, (*_LEARNED, m), {"method": entry.name})) for m in labels}
        if any(found.values()):
            rows.append((entry.signature.title, *(None if (one := found[m]) is None else one.mean for m in leading)))
            every += [
                (entry.signature.title, labels[m], one.mean, one.spread, one.seeds)
                for m, one in found.items()
                if one is not None
            ]
    for key, said in BASELINES.items():
        means = {m: _baseline_of(results, about.at, key, m) for m in labels}
        rows.append((said, *(means[m] for m in leading)))
        every += [(said, labels[m], mean, None, None) for m, mean in means.items() if mean is not None]
    heads = tuple(labels[m] for m in leading)
    percent = tuple(labels[m] for m in leading if any(part in m for part in _SHARES))
    tables = (
        Table("scores", "Leading scores, means over seeds", ("method", *heads), tuple(rows), percent=percent),
        Table(
            "all-scores",
            "Every score",
            ("method", "score", "mean", "spread", "seeds"),
            tuple(every),
            "One row for each score of a method.",
            folded=True,
        ),
    )
    words = (
        "View alignment is that of two views which one policy drew for all methods alike, whatever they were trained "
        "with, on h.",
    )
    return Section("scores", "Every score", words, tables)


# ---------------------------------------------------------------- what is beyond chance


def _differences(results: Results, ranked: Ranked) -> Section | None:
    pairs = [
        (first, second, found)
        for (first, _), (second, _) in pairwise(ranked)
        if first.group == second.group
        and (found := gap(hits(results, first.name), hits(results, second.name))) is not None
    ]
    if not pairs:
        return None
    together = holm([found.p for *_, found in pairs])
    rows: list[Row] = [
        (f"{first.signature.title} less {second.signature.title}", *_points(found), found.seeds, found.p, held)
        for (first, second, found), held in zip(pairs, together, strict=True)
    ]
    table = Table(
        "differences",
        "Neighbours in the ranking, in pairs",
        ("difference", *(f"{name} [points]" for name in ("mean", "spread", "low", "high")), "seeds", "p", "after Holm"),
        tuple(rows),
        "In pairs of seeds and of test images. After Holm: whether it holds with all differences of this table "
        "together, at 5 %.",
    )
    beyond = sum(together)
    words = (
        f"Of {len(pairs)} pairs of neighbours {beyond} {'differs' if beyond == 1 else 'differ'} beyond chance. What is "
        "not beyond chance may change its place with other seeds or other test images; methods farther apart differ "
        "more than their neighbours do.",
    )
    return Section("differences", f"{beyond} of {len(pairs)} neighbours differ beyond chance", words, (table,))


# ---------------------------------------------------------------- alignment and uniformity


def _plane(results: Results, about: About) -> Section | None:
    measures = (*_PLANE, "linear_probe")
    where = [
        (entry.group, entry.signature.title, [_number(results, entry.name, *_LEARNED, m) for m in measures])
        for entry in about.entries
    ]
    for key, said in BASELINES.items():
        where.append(("baseline", said, [_baseline_of(results, about.at, key, m) for m in measures]))
    groups: dict[str, list[tuple[str, float, float, float]]] = {}
    for group, name, (x, y, shade) in where:
        if x is not None and y is not None and shade is not None:
            groups.setdefault(group, []).append((name, x, y, shade))
    if not groups:
        return None
    series = tuple(
        Series(group, x, y, names, values)
        for group, held in groups.items()
        for names, x, y, values in [zip(*held, strict=True)]
    )
    points = Points(
        "Alignment and uniformity of h",
        "Means over seeds; to the left views of one image lie together, at the bottom images fill the sphere.",
        series,
        Axis("view alignment of h, lower is closer"),
        Axis("uniformity of h, lower is more even"),
        Axis("linear probe accuracy", percent=True),
    )
    words = (
        "Both distances are those of the unit sphere in h; a collapsed encoder has the best alignment of all and no "
        "uniformity.",
    )
    return Section("plane", "The plane of alignment and uniformity", words, (points,))


# ---------------------------------------------------------------- selection without labels


def _picked(found: Sequence[Pick]) -> tuple[Row, ...]:
    def ends(one: Correlation | None) -> tuple[float | None, float | None, float | None]:
        return (None, None, None) if one is None else (one.rho, one.low, one.high)

    return tuple(
        (
            pick.label,
            pick.runs,
            None if pick.over_runs is None else pick.over_runs.rho,
            *ends(pick.over_methods),
            pick.best,
            pick.regret * 100,
            None if (lost := estimate(pick.by_seed)) is None else lost.mean * 100,
        )
        for pick in found
    )


def _selection(results: Results, about: About) -> Section | None:
    apart = {
        "methods without labels": [e.name for e in about.entries if e.group == "no labels"],
        "all runs": [e.name for e in about.entries],
    }
    tables: list[Table] = []
    leading: list[Pick] = []
    heads = (
        "score",
        "runs",
        "rho, runs",
        "rho, methods",
        "low",
        "high",
        "picks",
        "regret [points]",
        "within a seed [points]",
    )
    for said, names in apart.items():
        found = picks(observed(results, names))
        if found:
            leading = leading or found
            tables.append(
                Table(
                    f"selection-{said.replace(' ', '-')}",
                    f"Selection among {said}",
                    heads,
                    _picked(found),
                    "rho: Spearman's correlation with the linear probe; low and high by a bootstrap over methods. "
                    "Regret: accuracy of the best run less that of the picked one, of all runs and within a seed.",
                )
            )
    if not tables:
        return None
    best = min(leading, key=lambda pick: pick.regret)
    words = (
        f"A run that is chosen without labels by {len(CRITERIA)} scores, each alone, and by all of h together: ridge "
        "regression on standardised scores, fitted on the accuracies of all methods but the one that is judged. Runs "
        "of one method are alike, so the interval is over methods. Methods without a projector have no scores of z.",
        f"Least is lost by {best.label}: {in_points(best.regret)}, by taking {best.best}.",
    )
    return Section("selection", "Would scores without labels have picked the best?", words, tuple(tables))


# ---------------------------------------------------------------- super-classes


_SEPARABLE = ("multi-class", "below", "error", "balanced error")


def _common_bar(results: Results, methods: Sequence[str]) -> dict[str, dict[int, float]]:
    """Of each method and seed the share of super-classes with fewer errors than the best method's classes have."""
    found: dict[str, dict[int, float]] = {name: {} for name in methods}
    answers = {
        (name, result.cell.seed): result.found["super-classes"]
        for name in methods
        for result in results.at(method=name)
        if "super-classes" in result.found
    }
    for seed in {seed for _, seed in answers}:
        bar = min(answer["multi-class"] for (_, at), answer in answers.items() if at == seed)
        for (name, at), answer in answers.items():
            if at == seed:
                found[name][seed] = sum(error < bar for error in answer["each"]) / len(answer["each"])
    return found


def _separable(results: Results, about: About, ranked: Ranked) -> Section | None:
    order = [entry for entry, _ in ranked]
    common = _common_bar(results, [entry.name for entry in order])
    rows: list[Row] = []
    for entry in order:
        values = [_number(results, entry.name, "super-classes", m) for m in _SEPARABLE]
        bar = estimate(common[entry.name])
        if any(value is not None for value in values):
            rows.append((entry.signature.title, entry.group, *values, None if bar is None else bar.mean))
    bare = [estimate(untrained(results, about.at, m)) for m in _SEPARABLE]
    if any(bare):
        rows.append(("the untrained encoder", "baseline", *(None if b is None else b.mean for b in bare), None))
    if not rows:
        return None
    heads = ("multi-class error", "sets below it", "mean error", "mean balanced error", "sets below the common bar")
    table = Table(
        "separable",
        "Super-classes, read from h",
        ("method", "group", *heads),
        tuple(rows),
        "Ten-epoch heads for every set of classes. Sets below it: with fewer errors than the method's own classes; the "
        "common bar is the smallest multi-class error of all methods at a seed.",
        percent=heads,
    )
    groups: dict[str, list[Entry]] = {}
    for entry in about.entries:
        groups.setdefault(entry.group, []).append(entry)
    means = {g: estimate(mean_over(results, held, "super-classes", "balanced error")) for g, held in groups.items()}
    told = [f"{per_cent(found.mean)} for {group}" for group, found in means.items() if found is not None]
    words = (
        "A method whose classes are hard to read has an easy bar, so that the share of sets below a method's own error "
        "says little by itself; the errors themselves, balanced for the size of a set, compare methods. Their means "
        f"are {', '.join(told)}.",
    )
    return Section("separable", "How separable any set of classes is", words, (table,))


# ---------------------------------------------------------------- time and memory


def _cost(results: Results, about: About) -> Section | None:
    rows: list[Row] = []
    for entry in about.entries:
        seconds, steps = (_number(results, entry.name, "course", key) for key in ("seconds", "steps"))
        memory = [_number(results, entry.name, "memory", key) for key in ("all", "kept", "weights", "states")]
        if seconds is not None or any(memory):
            each = None if not seconds or not steps else 1000 * seconds / steps
            megabytes = [None if value is None else value / 2**20 for value in memory]
            seen = about.images * entry.epochs * entry.views
            rows.append(
                (entry.signature.title, entry.views, entry.batch, entry.epochs, seen, seconds, each, *megabytes)
            )
    if not rows:
        return None
    table = Table(
        "cost",
        "Time and memory",
        (
            *("method", "views", "batch", "epochs", "views seen", "training [s]", "step [ms]"),
            *("step [MiB]", "activations [MiB]", "weights [MiB]", "states [MiB]"),
        ),
        tuple(rows),
        "Seconds by the run's log, on a machine that had other work too. Memory is counted, not measured: activations "
        "that the backward pass waits for; weights with gradients and the optimizer's moments; buffers, queues, banks.",
    )
    words = (
        "The budget is views seen: a method of V views of an image has 2 / V times the epochs of one of two. What a "
        "second network or a further pass costs shows in its step.",
    )
    return Section("cost", "What each method costs", words, (table,))


# ---------------------------------------------------------------- settings


def _settings(about: About) -> Section:
    rows: list[Row] = [
        (
            entry.signature.title,
            entry.name,
            ", ".join(f"{k} {v:g}" for k, v in (entry.dials or {}).items()) or "the recipe's own",
            "tuned" if entry.dials is not None else "untuned",
            entry.encoder or "shared",
            entry.signature.source,
        )
        for entry in about.entries
    ]
    tables = [
        Table(
            "settings",
            "Methods and their dials",
            ("method", "recipe", "dials", "chosen", "encoder", "source"),
            tuple(rows),
            folded=len(rows) > 12,
        )
    ]
    if about.reasons:
        left = tuple((name, why) for name, why in about.reasons.items())
        tables.append(Table("left-out", "Methods that cannot take part", ("recipe", "why"), left))
    plain = [entry.signature.title for entry in about.entries if entry.dials is None]
    words = [about.tuning] if about.tuning else []
    words += [f"Untuned, with the recipe's own dials: {', '.join(plain)}."] if plain else []
    return Section("settings", "How each was trained", tuple(words), tuple(tables))
