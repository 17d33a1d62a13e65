"""The page: accuracy by source, number and temperature, then which negatives it came from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from counterpoint.report.charts import Axis, Chart, Line
from counterpoint.report.exhibits import Exhibit, Section, Table
from counterpoint.report.numbers import in_points, per_cent
from counterpoint.studies.league.claims import BASELINES
from counterpoint.studies.negatives.evaluators import TENTHS
from counterpoint.studies.negatives.grid import NONE, SAID, Mixing, Place
from counterpoint.studies.negatives.reading import ACCURACY, at, carried, chosen, mean_of, of, regret, trial
from counterpoint.studies.statistics import Estimate, estimate
from counterpoint.studies.study import Results

__all__ = ["About", "study_sections"]

Row = tuple[str | float | int | bool | None, ...]
KNN = ("accuracy", "learned", "knn")
STYLES = ("s-1", "s-2", "s-0", "s-3", "s-5", "s-6", "s-7")


@dataclass(frozen=True, eq=False)
class About:
    """What the page needs to know of the study beside its results.

    Args:
        places: of the grid.
        bare: at whose runs raw pixels and the untrained encoder were read.
        data: on which MoCHi's dials are tuned.
        mixings: that are tried.
        epochs: of a method of two views.
    """

    places: tuple[Place, ...]
    bare: Place
    data: tuple[str, ...]
    mixings: tuple[Mixing, ...]
    epochs: float

    @property
    def sources(self) -> list[str]:
        """In order."""
        return list(dict.fromkeys(place.source for place in self.places))

    @property
    def temperatures(self) -> list[float]:
        """From cold to hot."""
        return sorted({place.temperature for place in self.places})


def study_sections(results: Results, about: About) -> list[Section]:
    """All that can be made of what is there."""
    made = [_accuracy(results, about), _gradient(results, about), _false(results, about), _mixing(results, about)]
    return [section for section in made if section is not None]


def _pair(found: Estimate | None) -> tuple[float | None, float | None]:
    return (None, None) if found is None else (found.mean, found.spread)


# ---------------------------------------------------------------- accuracy


def _accuracy(results: Results, about: About) -> Section:
    found = {place: [estimate(of(results, place, *path)) for path in (ACCURACY, KNN)] for place in about.places}
    means = {place: probe.mean for place, (probe, _) in found.items() if probe is not None}
    bare = {
        said: [estimate(of(results, about.bare, "accuracy", name, path[-1])) for path in (ACCURACY, KNN)]
        for name, said in BASELINES.items()
    }
    words = [_moves(means)] if len(means) > 1 else []
    floor = bare["the untrained encoder"][0]
    if floor is not None and means:
        above = sum(mean > floor.mean for mean in means.values())
        words.append(
            f"{above} of {len(means)} settings are above the untrained encoder, whose linear probe has "
            f"{per_cent(floor.mean)}."
        )
    tables = (_by_temperature(about, found), _every(found, bare))
    return Section("accuracy", _best(means), tuple(words), (*_by_number(about, means), *tables))


def _by_temperature(about: About, found: Mapping[Place, Sequence[Estimate | None]]) -> Table:
    rows = dict.fromkeys((place.source, place.number) for place in about.places)
    heads = tuple(head for t in about.temperatures for head in (f"at {t:g}", f"± at {t:g}"))
    return Table(
        "accuracy",
        "Linear probe on h by temperature",
        ("negatives from", "number", *heads),
        tuple((*row, *(v for t in about.temperatures for v in _pair(found[Place(*row, t)][0]))) for row in rows),
        "Means over seeds, and standard deviation over seeds. Of mixtures the number is that of the keys.",
        percent=heads,
    )


def _every(found: Mapping[Place, Sequence[Estimate | None]], bare: Mapping[str, Sequence[Estimate | None]]) -> Table:
    rows: list[Row] = []
    places = [(p.source, p.number, f"{p.temperature:g}") for p in found]
    named: list[Row] = [*places, *((said, None, None) for said in bare)]
    for name, (probe, knn) in zip(named, [*found.values(), *bare.values()], strict=True):
        seeds = max((one.seeds for one in (probe, knn) if one), default=0)
        rows.append((*name, *_pair(probe), *_pair(knn), seeds))
    heads = ("linear probe", "± probe", "kNN", "± kNN")
    return Table(
        "every",
        "Every setting, raw pixels and the untrained encoder",
        ("negatives from", "number", "temperature", *heads, "seeds"),
        tuple(rows),
        "Accuracy on test images; means over seeds, and standard deviation over seeds.",
        percent=heads,
        folded=True,
    )


def _best(means: Mapping[Place, float]) -> str:
    if not means:
        return "Nothing is scored yet"
    best = max(means, key=lambda place: means[place])
    return (
        f"Best is {best.source} with {best.number:,} negatives at temperature {best.temperature:g}: "
        f"{per_cent(means[best])}"
    )


def _moves(means: Mapping[Place, float]) -> str:
    """How far each axis moves the accuracy, the others held still."""

    def span(axis: str) -> float:
        others: dict[tuple[object, ...], list[float]] = {}
        for place, mean in means.items():
            key = tuple(v for k, v in vars(place).items() if k != axis and not (axis == "source" and k == "number"))
            others.setdefault(key, []).append(mean)
        spans = [max(held) - min(held) for held in others.values() if len(held) > 1]
        return sum(spans) / len(spans) if spans else 0.0

    return (
        "From the worst to the best of its values, the other two held still, the temperature moves the linear probe by "
        f"{in_points(span('temperature'))} on average and the number of negatives by {in_points(span('number'))}; from "
        f"one source to another, whatever the number, it is {in_points(span('source'))}."
    )


def _by_number(about: About, means: Mapping[Place, float]) -> list[Exhibit]:
    if not means:
        return []
    low, high = min(means.values()), max(means.values())
    room = max(0.005, 0.08 * (high - low))
    numbers = [place.number for place in about.places]
    charts: list[Exhibit] = []
    for source in about.sources:
        lines: list[Line] = []
        for style, temperature in zip(STYLES, about.temperatures, strict=False):
            own = [p for p in at(about.places, source) if p.temperature == temperature and p in means]
            x, y = tuple(float(p.number) for p in own), tuple(means[p] for p in own)
            lines.append(Line(f"temperature {temperature:g}", x, y, style))
        charts.append(
            Chart(
                title=source.capitalize(),
                note=SAID[source][0].upper() + SAID[source][1:] + ".",
                lines=tuple(line for line in lines if line.x),
                x=Axis("negatives of an anchor", log=True, low=0.8 * min(numbers), high=1.25 * max(numbers)),
                y=Axis("linear probe accuracy", percent=True, low=max(0.0, low - room), high=min(1.0, high + room)),
            )
        )
    return charts


# ---------------------------------------------------------------- gradient


def _curve(results: Results, place: Place, key: str) -> list[float] | None:
    """The mean over seeds of each tenth; None where nobody answered."""
    held = [r.found["hardness"][key] for r in results.at(**place.axes) if "hardness" in r.found]
    known = [values for values in held if None not in values]
    return [sum(values) / len(known) for values in zip(*known, strict=True)] if known else None


def _most(about: About, source: str) -> list[Place]:
    own = at(about.places, source)
    return [place for place in own if place.number == own[-1].number]


def _by_tenth(results: Results, about: About, key: str, label: str, level: float | None, said: str) -> list[Exhibit]:
    """A chart for each source at its largest number, a line for each temperature, and a level to hold them against."""
    x = tuple(float(tenth) for tenth in range(1, TENTHS + 1))
    curves = {p: _curve(results, p, key) for source in about.sources for p in _most(about, source)}
    top = max((max(curve) for curve in curves.values() if curve), default=0.0)
    charts: list[Exhibit] = []
    for source in about.sources:
        lines = [
            Line(f"temperature {place.temperature:g}", x, tuple(curve), style)
            for place in _most(about, source)
            for style in [STYLES[about.temperatures.index(place.temperature) % len(STYLES)]]
            if (curve := curves[place]) is not None
        ]
        if lines and level is not None:
            lines.append(Line(said, (x[0], x[-1]), (level, level), "chance"))
        if lines:
            charts.append(
                Chart(
                    f"{source.capitalize()}, {_most(about, source)[0].number:,}",
                    "",
                    tuple(lines),
                    Axis("tenth of the negatives, 1 the hardest"),
                    Axis(label, percent=True, low=0.0, high=min(1.0, 1.05 * max(top, level or 0.0))),
                )
            )
    return charts


def _gradient(results: Results, about: About) -> Section | None:
    shares = {place: estimate(of(results, place, "hardness", "hardest")) for place in about.places}
    if not any(shares.values()):
        return None
    charts = _by_tenth(
        results,
        about,
        "gradient",
        "share of the gradient",
        1 / TENTHS,
        "all alike",
    )
    names = tuple(str(tenth) for tenth in range(1, TENTHS + 1))
    rows: list[Row] = []
    for place in about.places:
        curve = _curve(results, place, "gradient")
        share = shares[place]
        if curve is not None and share is not None:
            rows.append((place.source, place.number, f"{place.temperature:g}", *curve, share.spread))
    table = Table(
        "gradient",
        "Share of the gradient by tenth of the negatives",
        ("negatives from", "number", "temperature", *names, "± of 1"),
        tuple(rows),
        "1 is the hardest tenth. Means over seeds, with the standard deviation over seeds of the first.",
        percent=(*names, "± of 1"),
        folded=True,
    )
    by = {
        temperature: [s.mean for p, s in shares.items() if s is not None and p.temperature == temperature]
        for temperature in about.temperatures
    }
    told = [f"{per_cent(sum(v) / len(v))} at temperature {t:g}" for t, v in by.items() if v]
    words = [
        "How strongly a negative pushes is the derivative of the loss by its similarity: for a softmax its weight "
        "among all candidates, divided by the temperature. The hardest tenth of the negatives has, on average over "
        f"sources and numbers, {', '.join(told)} of it.",
        "The figures show each source with its most negatives, means over seeds. Each encoder is read under its own "
        "temperature: a cold one also learns to spread its negatives otherwise.",
    ]
    if any(place.source == "mixed" for place in about.places):
        place = _most(about, "mixed")[0]
        own, push = (mean_of(of(results, place, "hardness", key)) for key in ("mixtures", "gradient on mixtures"))
        if own is not None and push is not None:
            words.append(
                f"Of {place.number:,} keys and their mixtures at temperature {place.temperature:g} the mixtures are "
                f"{per_cent(own)} and have {per_cent(push)} of the gradient."
            )
    cold = [s.mean for p, s in shares.items() if s is not None and p.temperature == about.temperatures[0]]
    title = "Which negatives the gradient comes from"
    if cold:
        share = per_cent(sum(cold) / len(cold))
        title = f"At temperature {about.temperatures[0]:g} a tenth of the negatives has {share} of the gradient"
    return Section("gradient", title, tuple(words), (*charts, table))


# ---------------------------------------------------------------- false negatives


def _false(results: Results, about: About) -> Section | None:
    keys = ("false overall", "false hardest", "gradient on false")
    rows: list[Row] = []
    held: list[tuple[float, float, float]] = []
    for place in about.places:
        found = [estimate(of(results, place, "hardness", key)) for key in keys]
        if any(found):
            rows.append(
                (place.source, place.number, f"{place.temperature:g}", *(v for one in found for v in _pair(one)))
            )
            if all(found):
                held.append(tuple(one.mean for one in found if one is not None))  # pyright: ignore[reportArgumentType]
    if not rows:
        return None
    chance = mean_of(
        {i: v for i, place in enumerate(about.places) for v in of(results, place, "hardness", "chance").values()}
    )
    charts = _by_tenth(
        results,
        about,
        "false",
        "share that is false",
        chance,
        "by chance",
    )
    heads = tuple(
        head for name in ("of all", "of the hardest tenth", "of the gradient") for head in (name, f"± {name}")
    )
    table = Table(
        "false",
        "Share that is false",
        ("negatives from", "number", "temperature", *heads),
        tuple(rows),
        "Negatives of the anchor's class, of those whose class is known: mixtures have none. Means and standard "
        "deviations over seeds.",
        percent=heads,
        folded=True,
    )
    title = "How many negatives are false"
    words: list[str] = []
    if held:
        overall, hardest, push = (sum(values) / len(held) for values in zip(*held, strict=True))
        title = f"{per_cent(overall)} of all negatives are false, and {per_cent(hardest)} of the hardest tenth"
        words.append(
            f"On average over all settings the hardest tenth is false {hardest / overall:.2g} times as often as all "
            f"negatives are, and false negatives get {per_cent(push)} of the gradient. The figures show each source "
            "with its most negatives, means over seeds."
        )
    return Section("false", title, tuple(words), (*charts, table))


# ---------------------------------------------------------------- MoCHi's dials


def _mixing(results: Results, about: About) -> Section | None:
    found = {
        (data, mixing): [estimate(trial(results, data, mixing, key)) for key in ("held out", "test")]
        for data in about.data
        for mixing in about.mixings
    }
    if not any(any(pair) for pair in found.values()):
        return None
    picked = {data: list(chosen(results, data, about.mixings).values()) for data in about.data}
    rows: list[Row] = [
        (data, mixing.name if mixing != NONE else "none", *_pair(held), *_pair(test), picked[data].count(mixing))
        for (data, mixing), (held, test) in found.items()
    ]
    heads = ("held out", "± held out", "test", "± test")
    tables = [_carried(results, about)] if len(about.data) > 1 else []
    tables.append(
        Table(
            "mixing",
            "Every (N, s, s')",
            ("data", "(N, s, s')", *heads, "best in seeds"),
            tuple(rows),
            "kNN accuracy, means and standard deviations over seeds. Held out: a tenth of the training images, by "
            "which the best is chosen, seed by seed; the test images choose nothing.",
            percent=heads,
        )
    )
    words = [
        "N keys of the queue, those nearest to a query, are mixed: s mixtures of two of them, s' of one with the "
        f"query. {len(about.mixings)} settings, the queue alone among them, each for {about.epochs:g} epochs on data "
        "of which a tenth was held out."
    ]
    title = "What (N, s, s') does"
    losses = {
        (tuned, used): mean_of(regret(results, tuned, used, about.mixings))
        for tuned in about.data
        for used in about.data
        if tuned != used
    }
    told = [f"{in_points(v)} on {used} by those of {tuned}" for (tuned, used), v in losses.items() if v is not None]
    if told:
        title = "What is lost by carried dials: " + "; ".join(told)
    return Section("mixing", title, tuple(words), tuple(tables))


def _carried(results: Results, about: About) -> Table:
    rows: list[Row] = []
    for used in about.data:
        for tuned in (used, *(data for data in about.data if data != used)):
            said = "itself" if tuned == used else tuned
            names = dict.fromkeys(m.name for m in chosen(results, tuned, about.mixings).values())
            value = estimate(carried(results, tuned, used, about.mixings))
            rows.append((used, f"tuned on {said}", ", ".join(names) or None, *_pair(value)))
        for mixing in (about.mixings[0], NONE):
            said = "none" if mixing == NONE else "the recipe's own"
            own = estimate(trial(results, used, mixing, "test"))
            rows.append((used, said, None if mixing == NONE else mixing.name, *_pair(own)))
    return Table(
        "carried",
        "Dials that were tuned elsewhere",
        ("tested on", "dials", "(N, s, s')", "test", "± test"),
        tuple(rows),
        "kNN accuracy on test images, means and standard deviations over seeds; each seed has its own choice.",
        percent=("test", "± test"),
    )
