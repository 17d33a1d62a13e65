"""Arbitrary against instance pairs at several training durations, on both bases.

What it costs at full scale, with `conv` on 16,350 images of 32 pixels and four sets that are transferred to: 4 methods
x 3 seeds x 136 epochs of two views at 6.2 s of one core, 2.8 hours, of which 12 runs of 32 epochs (.7 hours) are those
of `simlap-transfer`; 60 s to read each of 36 runs, .6 hours. Together 1.7 hours of two cores, 1.3 after that study.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from counterpoint.errors import RecipeError
from counterpoint.report.charts import Axis, Chart
from counterpoint.report.charts import Line as Curve
from counterpoint.report.exhibits import Exhibit, Section
from counterpoint.report.numbers import in_points
from counterpoint.studies.ruled import BLIND
from counterpoint.studies.simlap.claims import ASKED, PAPER, claim
from counterpoint.studies.simlap.compared import MEASURES, Line, better, differences, floors, looked_at
from counterpoint.studies.simlap.judged import floors_of, judged_on
from counterpoint.studies.simlap.page import table_of, title_of
from counterpoint.studies.simlap.runs import EPOCHS, dials_said, runs, sized
from counterpoint.studies.statistics import above, each, estimate, paired
from counterpoint.studies.study import SEEDS, Claim, Decision, Results, Scale, Study
from counterpoint.studies.transfer import Target, Transfer
from counterpoint.types import Source

__all__ = ["simlap_durations"]

BASES = {"simlap": "simclr", "simlap_moco": "moco_v3"}  # arbitrary pairs, and the instance pairs that they replace
TIMES = (0.25, 1.0, 3.0)  # of the usual budget: 8, 32 and 96 epochs at full scale
FIGURE = f"{PAPER}, the figure of kNN on CIFAR-10 over training, which prints no numbers"
Lines = Mapping[tuple[str, float], Line]


@dataclass(frozen=True, eq=False)
class About:
    """What the page needs to know of the study beside its results.

    Args:
        durations: epochs of a method of two views, ascending.
        targets: names of the data that are transferred to.
    """

    durations: tuple[float, ...]
    targets: tuple[str, ...]

    @property
    def at(self) -> dict[str, str]:
        """The place at which what needs no training is judged: SimLAP's runs of a usual length, if they are there."""
        usual = [long for long in self.durations if long in EPOCHS.values()]
        return _place("simlap", max(usual, default=self.durations[0]))

    @property
    def lines(self) -> Lines:
        """Of each method at each duration."""
        methods = [name for pair in BASES.items() for name in reversed(pair)]
        return {
            (name, long): Line(f"{title_of(name)}, {long:g} epochs", title_of(name), _place(name, long))
            for name in methods
            for long in self.durations
        }


def _place(method: str, long: float) -> dict[str, str]:
    return {"epochs": f"{long:g}", "method": method}


def simlap_durations(
    *,
    source: Source | None = None,
    scale: Scale = "full",
    seeds: Sequence[int] | None = None,
    encoder: str | None = None,
    images: int | None = None,
    durations: str | float | Iterable[float] | None = None,
    classes: str | Iterable[str] = (),
    targets: str | Sequence[Target] = "",
) -> Study:
    """SimCLR against SimLAP, and MoCo v3 against SimLAP-MoCo, trained for 8, 32 and 96 epochs; judged on other data.

    Args:
        source: labelled images; the embedded digits at smoke scale where None.
        scale: `full`, `small` (a quarter of the budget) or `smoke` (an epoch or three of few images, of an mlp).
        seeds: of the runs; three at full scale, else one, where None.
        encoder: that all share; `conv`, or `mlp` at smoke scale, where None.
        images: trained on, equally many of each class; None: all.
        durations: epochs of a method of two views of an image, as `8,32,96`; others get as many views.
        classes: names of classes, super-classes or subsets that are kept, apart by `;`; none: all.
        targets: data that are transferred to, as `cifar10=FOLDER,emnist:letters=FOLDER`.

    Raises:
        CounterpointError: an option that is none, or no data.
    """
    plan = sized(source, scale=scale, encoder=encoder, images=images, classes=classes)
    judges = judged_on("simlap-durations", targets, scale)
    usual = (1.0, 3.0) if scale == "smoke" else tuple(EPOCHS[scale] * times for times in TIMES)
    about = About(_durations(durations) or usual, tuple(target.label for target in judges))
    seeds = SEEDS[scale] if seeds is None else tuple(seeds)
    c = 0.01 if scale == "smoke" else None
    methods = [name for pair in BASES.items() for name in reversed(pair)]
    return Study(
        name="simlap-durations",
        title=f"Arbitrary against instance pairs on {plan.dataset.name}, over training",
        about=(
            "Does a signal from arbitrary pairs of classes only learn faster than one from two views of an image, or "
            "does it stay ahead? Two bases, SimCLR and MoCo v3, each against its own form with arbitrary pairs, which "
            "needs labels.",
            f"All train the encoder `{plan.encoder}` on {len(plan.dataset.train):,} images of {plan.dataset.name} in "
            f"batches of {plan.batch}. A duration is counted in epochs of two views: SimLAP, which sees one view, "
            "passes twice as often over the images. Each duration is a run of its own, whose rate falls to zero at its "
            "end; a value in the midst of a longer run would be of a rate that is still high.",
            f"Judged by ten neighbours and by a linear probe of h on {', '.join(about.targets)}, which had no part in "
            "training.",
            dials_said(plan, methods, judges),
            BLIND,
        ),
        source=PAPER,
        cells=tuple(
            cell
            for long in about.durations
            for cell in runs(replace(plan, epochs=long), methods, seeds, place={"epochs": f"{long:g}"})
        ),
        evaluators=(Transfer(judges, c=c), *floors_of(partial(Transfer, judges, c=c), about.at, seeds)),
        claims=duration_claims(about),
        sections=partial(duration_sections, about=about),
    )


def _durations(given: str | float | Iterable[float] | None) -> tuple[float, ...]:
    if given is None:
        return ()
    try:
        listed = given.split(",") if isinstance(given, str) else [given] if isinstance(given, int | float) else given
        found = tuple(sorted({float(value) for value in listed}))
    except (ValueError, TypeError) as error:
        raise RecipeError(f"simlap-durations: durations is {given!r}; give epochs, as 8,32,96") from error
    # Of a part of an epoch methods of one view and of two would see other numbers of views, and two might be one run.
    if not found or found[0] < 1 or any(value != int(value) for value in found):
        raise RecipeError(f"simlap-durations: durations is {given!r}; give whole numbers of epochs, 1 or more")
    return found


# ---------------------------------------------------------------- claims


def duration_claims(about: About) -> tuple[Claim, ...]:
    """Better at every duration, and at each; on both bases."""
    made: list[Claim] = []
    for first, second in BASES.items():
        made += [_always(about, first, second, measure) for measure in ("knn", "probe")]
        made += [
            better(
                f"{first.replace('_', '-')}-at-{long:g}",
                f"Trained for {long:g} {'epoch' if long == 1 else 'epochs'}, {title_of(first)} is better than "
                f"{title_of(second)} on other data.",
                about.lines[first, long],
                about.lines[second, long],
                where=FIGURE,
            )
            for long in about.durations
        ]
    return tuple(made)


def _gains(results: Results, about: About, first: str, second: str, measure: str) -> list[dict[int, float]]:
    """Arbitrary less instance pairs for each seed, at each duration."""
    return [
        each(
            lambda pair: pair[0] - pair[1],
            [about.lines[name, long].on(results, "mean", measure) for name in (first, second)],
        )
        for long in about.durations
    ]


def _always(about: About, first: str, second: str, measure: str) -> Claim:
    def decide(results: Results) -> Decision:
        least = each(min, _gains(results, about, first, second, measure))
        return above(least, 0.0, unit="points", what=f"the least gain of {title_of(first)} at any duration")

    told = ", ".join(f"{long:g}" for long in about.durations)
    return claim(
        f"{first.replace('_', '-')}-always-{measure}",
        f"Arbitrary pairs are better than instance pairs at every duration: {title_of(first)} against "
        f"{title_of(second)}, by {MEASURES[measure]}.",
        f"Mean accuracy on other data, {title_of(first)} less {title_of(second)}, after {told} epochs; of each seed "
        "the least of these differences.",
        "the least difference is above 0",
        decide,
        where=FIGURE if measure == "knn" else ASKED,
    )


# ---------------------------------------------------------------- page


def duration_sections(results: Results, about: About) -> list[Section]:
    """All that can be made of what is there."""
    pairs = [(about.lines[a, long], about.lines[b, long]) for a, b in BASES.items() for long in about.durations]
    made = [_over_time(results, about), differences(results, pairs, about.targets), looked_at(results)]
    return [section for section in made if section is not None]


def _over_time(results: Results, about: About) -> Section:
    words: list[str] = []
    titles: list[str] = []
    for first, second in BASES.items():
        for measure, said in MEASURES.items():
            gains = [
                (long, found.mean)
                for long in about.durations
                if (
                    found := paired(*(about.lines[name, long].on(results, "mean", measure) for name in (first, second)))
                )
                is not None
            ]
            if not gains:
                continue
            told = ", ".join(f"{in_points(gain)} after {long:g}" for long, gain in gains)
            words.append(f"By {said}, {title_of(first)} less {title_of(second)}: {told} epochs.")
            if measure == "knn":
                ahead = sum(gain > 0 for _, gain in gains)
                titles.append(f"{title_of(first)} is ahead of {title_of(second)} at {ahead} of {len(gains)} durations")
    exhibits = [*_charts(results, about), *_tables(results, about)]
    return Section("durations", "; ".join(titles) or "Nothing is scored yet", tuple(words), tuple(exhibits))


def _charts(results: Results, about: About) -> list[Exhibit]:
    """Accuracy over duration, a chart for each base and measure; of one measure all of one height."""
    charts: list[Exhibit] = []
    for measure, said in MEASURES.items():
        means = {
            key: found.mean
            for key, line in about.lines.items()
            if (found := estimate(line.on(results, "mean", measure)))
        }
        floor = estimate(floors(about.at)[0].on(results, "mean", measure))
        every = [*means.values(), *([floor.mean] if floor else [])]
        if not means:
            continue
        low, high = min(every), max(every)
        room = max(0.005, 0.08 * (high - low))
        ends = (about.durations[0], about.durations[-1])
        for pair in BASES.items():
            curves: list[Curve] = []
            for name, style in zip(pair, ("s-0", "s-1"), strict=True):
                x = tuple(long for long in about.durations if (name, long) in means)
                if x:
                    curves.append(Curve(title_of(name), x, tuple(means[name, long] for long in x), style))
            if not curves:
                continue
            if floor is not None:
                curves.append(Curve("untrained", ends, (floor.mean, floor.mean), "s-untrained"))
            charts.append(
                Chart(
                    f"{title_of(pair[0])} and {title_of(pair[1])}: {said}",
                    "Each point is a run of that length; means over seeds and over the data that is transferred to.",
                    tuple(curves),
                    Axis("epochs of two views", log=len(about.durations) > 1),
                    Axis(f"{said} accuracy", percent=True, low=max(0.0, low - room), high=min(1.0, high + room)),
                )
            )
    return charts


def _tables(results: Results, about: About) -> list[Exhibit]:
    shown = (*about.targets, "mean") if len(about.targets) > 1 else about.targets
    bare = [((line.label, None), line) for line in floors(about.at)]
    lines = [*(((title_of(name), f"{long:g}"), line) for (name, long), line in about.lines.items()), *bare]
    return [
        table_of(
            f"durations-{measure}",
            f"{said[0].upper()}{said[1:]} on each data set",
            ("encoder", "epochs"),
            shown,
            [(what, [line.on(results, target, measure) for target in shown]) for what, line in lines],
            "Accuracy on test images.",
            percent=True,
        )
        for measure, said in MEASURES.items()
    ]
