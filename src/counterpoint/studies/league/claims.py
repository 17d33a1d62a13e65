"""What the league decides, by rules written before any of its runs: who learned, what selects, what is separable."""

from collections.abc import Callable, Sequence

from counterpoint.report.numbers import in_points
from counterpoint.studies.exhibit import averaged
from counterpoint.studies.league.methods import Entry, Group
from counterpoint.studies.league.selection import CRITERIA, TOGETHER, Pick, judged, observed, together
from counterpoint.studies.league.standing import baseline, crossed, learned, standing
from counterpoint.studies.statistics import below, each, greater, related
from counterpoint.studies.study import Claim, Decision, Results

__all__ = ["BASELINES", "league_claims", "mean_over", "untrained"]

ASKED = "asked here; the survey leaves it open"
OVER_SEEDS = "by the 95 % interval over seeds; undecided with one seed"
BASELINES = {"pixels": "raw pixels", "untrained": "the untrained encoder"}
NEAR = 0.01  # of an accuracy, within which a pick is as good as the best
_SEPARABLE = {
    "below": (True, "share of super-classes read with fewer errors than the classes"),
    "balanced error": (False, "mean balanced error over super-classes"),
}


def league_claims(entries: Sequence[Entry], at: str) -> tuple[Claim, ...]:
    """All claims about these methods.

    Args:
        entries: that take part.
        at: the method at whose runs raw pixels and the untrained encoder were read.
    """
    return (*_separable(entries, at), *_selection(entries), *(_learned(entry, at) for entry in entries))


# ---------------------------------------------------------------- hyper-separability


def mean_over(results: Results, entries: Sequence[Entry], *path: str) -> dict[int, float]:
    """A measure for each seed, its mean over the methods that have it at every seed at which any has it."""
    found = [averaged(results, path, {"method": entry.name}) for entry in entries]
    seeds = {seed for values in found for seed in values}
    return each(lambda values: sum(values) / len(values), [values for values in found if values.keys() == seeds])


def untrained(results: Results, at: str, measure: str) -> dict[int, float]:
    """Of the super-classes of the encoder as its weights were drawn, which was read at the runs of one method."""
    return results.values("super-classes", "untrained", measure, method=at)


def _separable(entries: Sequence[Entry], at: str) -> tuple[Claim, ...]:
    def group(name: Group) -> list[Entry]:
        return [entry for entry in entries if entry.group == name]

    def of(name: Group | None) -> Callable[[Results, str], dict[int, float]]:
        if name is None:
            return lambda results, measure: untrained(results, at, measure)
        return lambda results, measure: mean_over(results, group(name), "super-classes", measure)

    sides: tuple[tuple[str, str, Group | None, Group | None], ...] = (
        ("labels", "methods without labels than by methods with labels", "no labels", "labels"),
        ("control", "methods without labels than by an autoencoder", "no labels", "control"),
        ("control-labels", "an autoencoder than by methods with labels", "control", "labels"),
        ("untrained", "methods without labels than by their encoder before training", "no labels", None),
    )
    made: list[Claim] = []
    for key, said, first, second in sides:
        if any(side is not None and not group(side) for side in (first, second)):
            continue
        for measure, (more, label) in _SEPARABLE.items():
            name = f"{key}-{measure.replace(' ', '-')}"
            made.append(_compared(name, said, measure, label, of(first), of(second), more=more))
    return tuple(made)


def _compared(
    key: str,
    said: str,
    measure: str,
    label: str,
    first: Callable[[Results, str], dict[int, float]],
    second: Callable[[Results, str], dict[int, float]],
    *,
    more: bool,
) -> Claim:
    def decide(results: Results) -> Decision:
        sides = first(results, measure), second(results, measure)
        return greater(*(sides if more else sides[::-1]), unit="points", what=f"the difference in the {label}")

    order = "first less second" if more else "second less first"
    return Claim(
        f"separable-{key}",
        f"Super-classes are separated better by {said} ({label}).",
        ASKED,
        "",
        "",
        f"The {label}, of ten-epoch heads on h, its mean over the methods of a group; {order}.",
        f"Held if the difference is above 0, {OVER_SEEDS}.",
        decide,
    )


# ---------------------------------------------------------------- selection without labels


def _selection(entries: Sequence[Entry]) -> tuple[Claim, ...]:
    names = [entry.name for entry in entries if entry.group == "no labels"]
    if len(names) < 2:
        return ()
    of_h = [one for one in CRITERIA if not one.measure.endswith("_z")]

    def alone(measure: str, label: str) -> Callable[[Results], Pick | None]:
        def pick(results: Results) -> Pick | None:
            runs = observed(results, names)
            return judged(label, [(run, run.worths[measure]) for run in runs if measure in run.worths], runs)

        return pick

    def all_of_h(results: Results) -> Pick | None:
        return together(TOGETHER, observed(results, names), [one.measure for one in of_h])

    ways = [(one.measure, one.label, alone(one.measure, one.label)) for one in of_h]
    made: list[Claim] = []
    for key, label, pick in (*ways, ("together", TOGETHER, all_of_h)):
        fitted = ", as ridge regression on the runs of all other methods reads them" if key == "together" else ""
        made.append(_ranks(key, label, fitted, pick))
        made.append(_picks(key, label, fitted, pick))
    return tuple(made)


def _ranks(key: str, label: str, fitted: str, pick: Callable[[Results], Pick | None]) -> Claim:
    def decide(results: Results) -> Decision:
        found = pick(results)
        return related(None if found is None else found.over_methods, what=f"the rank correlation with {label}")

    return Claim(
        f"ranks-{key.replace('_', '-')}",
        f"Without labels, methods are ranked as the linear probe ranks them ({label}{fitted}).",
        ASKED,
        "",
        "",
        "Spearman's correlation with the linear probe's accuracy, of means over seeds, over methods without labels.",
        "Held if the 95 % interval of the bootstrap over methods lies above 0, not held if none of it does.",
        decide,
    )


def _picks(key: str, label: str, fitted: str, pick: Callable[[Results], Pick | None]) -> Claim:
    def decide(results: Results) -> Decision:
        found = pick(results)
        return below({} if found is None else found.by_seed, NEAR, unit="points", what="the accuracy that is lost")

    return Claim(
        f"picks-{key.replace('_', '-')}",
        f"The run that is picked without labels is as good as the best ({label}{fitted}).",
        ASKED,
        "",
        "",
        "Regret among the runs of a seed: the linear probe's accuracy of the best less that of the picked one.",
        f"Held if it is below {in_points(NEAR)}, {OVER_SEEDS}.",
        decide,
    )


# ---------------------------------------------------------------- who learned


def _learned(entry: Entry, at: str) -> Claim:
    def decide(results: Results) -> Decision:
        found = standing(results, entry.name)
        if found is None:
            return Decision("undecided", said="it was not measured")
        beaten = {said: crossed(baseline(results, at, key)) for key, said in BASELINES.items()}
        verdict, why = learned(found, beaten)
        if verdict is None:
            return Decision("undecided", said=why)
        said = "the lower end is above both baselines" if verdict else f"the lower end is not above {why}"
        return Decision(
            "held" if verdict else "not held",
            found.mean, found.low, found.high, found.seeds, found.spread, said=said, unit="share",
        )  # fmt: skip

    return Claim(
        f"learned-{entry.name}",
        f"{entry.signature.title} learns: its encoder knows more than raw pixels and than it knew untrained.",
        "asked of every method here",
        "",
        "",
        "Linear probe accuracy of h on test images, with its 95 % interval over seeds and test images together.",
        "Held if the lower end is above the means of raw pixels and of the untrained encoder, else not held.",
        decide,
    )
