"""What the league decides, by rules written before any of its runs: who learned, what selects, what is separable."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from counterpoint.report.numbers import in_points
from counterpoint.studies.exhibit import averaged
from counterpoint.studies.league.methods import Entry, Group
from counterpoint.studies.league.selection import CRITERIA, TOGETHER, Pick, judged, observed, together
from counterpoint.studies.league.standing import baseline, crossed, learned, standing
from counterpoint.studies.statistics import OVER_SEEDS, below, each, greater, related
from counterpoint.studies.study import Claim, Decision, Results

__all__ = ["BASELINES", "league_claims", "mean_over", "untrained"]

ASKED = "asked here; the survey leaves it open"
BASELINES = {"pixels": "raw pixels", "untrained": "the untrained encoder"}
NEAR = 0.01  # of an accuracy, within which a pick is as good as the best
_GROUPS: dict[Group, str] = {
    "no labels": "Every method without labels",
    "labels": "Every method with labels",
    "control": "The autoencoder",
}
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
    groups: list[Group] = list(dict.fromkeys(entry.group for entry in entries))
    return (*(_learned(name, entries, at) for name in groups), *_separable(entries, at), *_selection(entries))


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
        found = greater(*(sides if more else sides[::-1]), unit="points", what=f"the difference in the {label}")
        if more and found.seeds and all(value == 1 for side in sides for value in side.values()):
            said = "all super-classes are read so by every method of both sides, so that no difference can show"
            return replace(found, verdict="undecided", effect="", said=said)
        return found

    ends = "; undecided where it is 100 % on both sides" if more else ""
    order = "first less second" if more else "second less first"
    return Claim(
        f"separable-{key}",
        f"Super-classes are separated better by {said} ({label}).",
        ASKED,
        "",
        "",
        f"The {label}, of ten-epoch heads on h, its mean over the methods of a group; {order}.",
        f"Held if the difference is above 0, {OVER_SEEDS}{ends}.",
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


def _learned(name: Group, entries: Sequence[Entry], at: str) -> Claim:
    members = [entry for entry in entries if entry.group == name]

    def decide(results: Results) -> Decision:
        beaten = {said: crossed(baseline(results, at, key)) for key, said in BASELINES.items()}
        words: dict[bool | None, list[str]] = {}
        for entry in members:
            found = standing(results, entry.name)
            verdict = None if found is None else learned(found, beaten)[0]
            words.setdefault(verdict, []).append(entry.signature.title)
        failed, open_ = words.get(False, []), words.get(None, [])
        said = [f"{len(words.get(True, []))} of {len(members)} learned"]
        said += [f"failed: {', '.join(failed)}"] if failed else []
        said += [f"not known: {', '.join(open_)}"] if open_ else []
        verdict = "not held" if failed else "undecided" if open_ else "held"
        return Decision(verdict, len(words.get(True, [])) / len(members), said="; ".join(said), unit="share")

    return Claim(
        f"learned-{name.replace(' ', '-')}",
        f"{_GROUPS[name]} learns: its encoder knows more than raw pixels and than it knew untrained.",
        "asked of every method here",
        "",
        "",
        "The share of methods whose linear probe accuracy of h on test images, by the lower end of its 95 % interval "
        "over seeds and test images together, is above the means of raw pixels and of the untrained encoder.",
        "Held if that is so of all, not held if it is not of one.",
        decide,
    )
