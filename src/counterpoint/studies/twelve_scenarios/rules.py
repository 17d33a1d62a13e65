"""The rules that decide the practicum's sentences, written before the runs.

"In every setting" is asked of the smallest difference over the settings, seed by seed: it holds where the 95 % interval
of that smallest difference lies above zero. It does not hold where the own interval of one of the differences lies
below zero, Holm over all of them; between the two it is undecided.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

from counterpoint.report.numbers import Unit, in_points, in_unit, per_cent
from counterpoint.studies.statistics import (
    above,
    apart,
    below,
    between,
    each,
    estimate,
    holm,
    paired,
    related,
    spearman,
)
from counterpoint.studies.study import Decision
from counterpoint.studies.twelve_scenarios.answers import Answers, Seeds
from counterpoint.studies.twelve_scenarios.grid import DATA, LOSSES, POLICIES
from counterpoint.studies.twelve_scenarios.published import (
    ANIMALS,
    BEST,
    CIFAR10,
    NAMED,
    SCENARIOS,
    SETS,
    published,
)

__all__ = [
    "animals",
    "best_classes",
    "clearest",
    "easier",
    "figure",
    "heavier",
    "hurts",
    "lines",
    "map_ranks",
    "monotone",
    "neighbours",
    "order",
    "peak",
    "poor",
    "table",
    "triplet_above",
]

_STEPS = (("none", "fer"), ("fer", "simclr"))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _every(
    measures: Mapping[str, Seeds],
    bound: float,
    what: str,
    *,
    side: Literal["above", "below"] = "above",
    unit: Unit = "points",
) -> Decision:
    """Does every one of some measures lie on one side of a bound?

    Held by the interval of the extreme one, seed by seed. The smallest of several that scatter tends to lie below all
    their means, so it cannot say that they do not: for that, one measure's own interval must lie on the other side.

    Source: Holm 1979 over the measures' one-sided tests of Student, at 2.5 % as the ends of a 95 % interval are.
    """
    sign, pick, decide = (1, min, above) if side == "above" else (-1, max, below)
    decided = decide(each(pick, list(measures.values())), bound, unit=unit, what=what)
    if decided.value is None or decided.verdict == "held":
        return decided
    beyond = [_against({seed: sign * (v - bound) for seed, v in own.items()}) for own in measures.values()]
    wrong = [name for name, rejected in zip(measures, holm(beyond, 0.025), strict=True) if rejected]
    other = f"{'below' if side == 'above' else 'above'} {in_unit(bound, unit) if bound else 'zero'}"
    told = f"{what} is {in_unit(decided.value, unit)} on average"
    if wrong:
        said = f"{told}: {', '.join(wrong)} {'lies' if len(wrong) == 1 else 'lie'} {other}, Holm over {len(measures)}"
        return replace(decided, verdict="not held", said=said)
    if decided.verdict == "not held":
        said = f"{told}, as it tends to be where {len(measures)} scatter; none of them alone is surely {other}"
        return replace(decided, verdict="undecided", said=said)
    return decided


def _against(beyond: Seeds) -> float:
    """Chance of so low a mean over seeds if the true one were zero; 1 where the seeds do not say."""
    found = paired(beyond, dict.fromkeys(beyond, 0.0))
    if found is None or found.p is None:
        return 1.0
    return found.p / 2 if found.mean < 0 else 1 - found.p / 2


def _gains(gains: Mapping[str, Seeds], what: str) -> Decision:
    """Is every one of some gains positive?"""
    return replace(_every(gains, 0.0, f"the smallest {what}"), effect=_told(gains))


def _told(gains: Mapping[str, Seeds]) -> str:
    """The mean of each gain."""
    told = [f"{name} {100 * found.mean:+.1f}" for name, gain in gains.items() if (found := estimate(gain))]
    return f"in points: {', '.join(told)}" if told else ""


def _with_d(decided: Decision) -> Decision:
    """The same, with the size of the effect against the spread over seeds."""
    if decided.value is None or not decided.spread:
        return decided
    return replace(decided, effect=f"{in_points(decided.value)}, d = {decided.value / decided.spread:.1f}")


def _per_class(answers: Answers) -> dict[int, dict[str, float]]:
    """Accuracy of each CIFAR-10 class for each seed, the mean over its six scenarios."""
    cells = [answers.listed("cifar10", loss, policy, "per_class") for loss in LOSSES for policy in POLICIES]
    names = [answers.listed("cifar10", loss, policy, "classes") for loss in LOSSES for policy in POLICIES]
    found: dict[int, dict[str, float]] = {}
    for seed in set(cells[0]).intersection(*cells[1:]):
        if all(tuple(one[seed]) == CIFAR10 for one in names) and all(None not in one[seed] for one in cells):
            found[seed] = {name: _mean([one[seed][i] for one in cells]) for i, name in enumerate(CIFAR10)}
    return found


def _among_animals(answers: Answers) -> dict[int, float]:
    """Share of the wrong answers for animals that name another animal, for each seed, over six scenarios."""
    animals = [CIFAR10.index(name) for name in ANIMALS]
    cells = [answers.listed("cifar10", loss, policy, "confusion") for loss in LOSSES for policy in POLICIES]
    names = [answers.listed("cifar10", loss, policy, "classes") for loss in LOSSES for policy in POLICIES]
    found: dict[int, float] = {}
    for seed in set(cells[0]).intersection(*cells[1:]):
        if not all(tuple(one[seed]) == CIFAR10 for one in names):
            continue
        wrong = [(i, j, one[seed][i][j]) for one in cells for i in animals for j in range(len(CIFAR10)) if i != j]
        total = sum(count for _, _, count in wrong)
        if total:
            found[seed] = sum(count for _, j, count in wrong if j in animals) / total
    return found


def triplet_above(answers: Answers) -> Decision:
    """Is the triplet loss better in all six settings?"""
    gains = {
        f"{SETS[data]} {NAMED[policy]}": each(
            lambda v: v[1] - v[0], [answers.of(data, loss, policy, "accuracy") for loss in LOSSES]
        )
        for data in DATA
        for policy in POLICIES
    }
    return _gains(gains, "advantage of the triplet loss over six settings")


def monotone(answers: Answers, data: str) -> Decision:
    """Does each stronger augmentation help the triplet loss on a data set, in accuracy and in neighbours?"""
    gains = {
        f"{measure} {NAMED[before]} to {NAMED[after]}": answers.gain(data, "triplet", after, before, measure)
        for measure in ("accuracy", "knn")
        for before, after in _STEPS
    }
    return _gains(gains, "gain by a stronger augmentation")


def peak(answers: Answers, data: str) -> Decision:
    """Is pad, rotate, scale the best for the pairwise loss on a data set, in accuracy and in neighbours?"""
    gains = {
        f"{measure} over {NAMED[other]}": answers.gain(data, "pairwise", "fer", other, measure)
        for measure in ("accuracy", "knn")
        for other in ("none", "simclr")
    }
    return _gains(gains, "lead of pad, rotate, scale")


def hurts(answers: Answers) -> Decision:
    """Does SimCLR's augmentation cost the pairwise loss something on MNIST, in accuracy and in neighbours?"""
    gains = {m: answers.gain("mnist", "pairwise", "none", "simclr", m) for m in ("accuracy", "knn")}
    return _gains(gains, "loss by SimCLR's augmentation")


def easier(answers: Answers) -> Decision:
    """Is MNIST above CIFAR-10 in all six settings?"""
    gains = {
        f"{loss} {NAMED[policy]}": apart(*(answers.of(data, loss, policy, "accuracy") for data in DATA))
        for loss in LOSSES
        for policy in POLICIES
    }
    return _gains(gains, "lead of MNIST over six settings")


def best_classes(answers: Answers) -> Decision:
    """Are the five classes that the captions name the first five?"""
    classes = _per_class(answers)
    gaps: dict[str, Seeds] = {
        f"{one} over {other}": {seed: found[one] - found[other] for seed, found in classes.items()}
        for one in BEST
        for other in CIFAR10
        if other not in BEST
    }
    decided = _every(gaps, 0.0, "the worst of the five less the best of the other five")
    mean = {name: _mean([found[name] for found in classes.values()]) for name in CIFAR10} if classes else {}
    order = sorted(mean, key=lambda name: -mean[name])
    return replace(decided, effect=f"in order: {', '.join(f'{n} {per_cent(mean[n])}' for n in order)}" if mean else "")


def animals(answers: Answers) -> Decision:
    """Are animals taken for animals more often than by chance?"""
    chance = (len(ANIMALS) - 1) / (len(CIFAR10) - 1)
    what = "the share of wrong answers for animals that name another animal"
    decided = above(_among_animals(answers), chance, unit="share", what=what)
    return replace(decided, effect="" if decided.value is None else f"{decided.value / chance:.2f} times chance")


def heavier(answers: Answers) -> Decision:
    """Does no loss gain, over both data sets, by SimCLR's augmentation in place of pad, rotate, scale?"""
    by_loss = {
        loss: each(_mean, [answers.gain(data, loss, "simclr", "fer", "accuracy") for data in DATA]) for loss in LOSSES
    }
    what = "the larger of both losses' mean gains from pad, rotate, scale to SimCLR"
    return replace(_every(by_loss, 0.0, what, side="below"), effect=_told(by_loss))


def neighbours(answers: Answers) -> Decision:
    """Are neighbours better than the classifier by as much as the text says?"""
    leads = [
        apart(answers.of(*cell, "knn_by_k", k), answers.of(*cell, "accuracy"))
        for cell in SCENARIOS
        for k in ("20", "50", "100")
    ]
    what = "the mean lead of 20, 50 and 100 neighbours over the classifier, twelve scenarios"
    return _with_d(between(each(_mean, leads), 0.01, 0.03, unit="points", what=what))


def table(answers: Answers) -> Decision:
    """Are all twelve accuracies near the published ones?"""
    gaps: dict[str, Seeds] = {
        f"{SETS[cell[0]]} {cell[1]} {NAMED[cell[2]]}": {
            seed: abs(value - published(cell, "accuracy")) for seed, value in answers.of(*cell, "accuracy").items()
        }
        for cell in SCENARIOS
    }
    return _every(gaps, 0.05, "the largest distance of an accuracy from its published figure", side="below")


def _of_seeds(decided: Decision, answers: Answers) -> Decision:
    """A correlation over scenarios says how many seeds its means are of."""
    return replace(decided, seeds=min(len(answers.of(*cell, "accuracy")) for cell in SCENARIOS))


def order(answers: Answers) -> Decision:
    """Do the scenarios rank as published?"""
    ours = {cell: found.mean for cell in SCENARIOS if (found := estimate(answers.of(*cell, "accuracy")))}
    if len(ours) < len(SCENARIOS):
        return Decision("undecided", said=f"{len(ours)} of twelve scenarios were measured")
    theirs = [published(cell, "accuracy") for cell in SCENARIOS]
    found = spearman(theirs, [ours[cell] for cell in SCENARIOS])
    decided = related(found, 0.8, what="the rank correlation of published and measured accuracy")
    return _of_seeds(decided, answers)


def map_ranks(answers: Answers, *, within: bool) -> Decision:
    """Does the purity of maps rank the scenarios as accuracy does, over all or within each data set?"""
    cells: list[tuple[str, float, float]] = []
    for cell in SCENARIOS:
        purity, accuracy = estimate(answers.map(*cell, "purity")), estimate(answers.of(*cell, "accuracy"))
        if purity is not None and accuracy is not None:
            cells.append((cell[0], purity.mean, accuracy.mean))
    if len(cells) < len(SCENARIOS):
        return Decision("undecided", said=f"{len(cells)} of twelve scenarios have a map and an accuracy")
    x, y = [purity for _, purity, _ in cells], [accuracy for _, _, accuracy in cells]
    if not within:
        decided = related(spearman(x, y), 0.8, what="the rank correlation of map purity and accuracy, twelve cells")
        return _of_seeds(decided, answers)
    sets = [data for data, _, _ in cells]
    found = spearman(_own_ranks(x, sets), _own_ranks(y, sets))
    return _of_seeds(related(found, 0.0, what="the rank correlation within each data set"), answers)


def _own_ranks(values: Sequence[float], sets: Sequence[str]) -> list[float]:
    """The rank of each value among those of its set."""
    return [
        float(sum(other < value for other, theirs in zip(values, sets, strict=True) if theirs == own))
        for value, own in zip(values, sets, strict=True)
    ]


def clearest(answers: Answers) -> Decision:
    """Has the pairwise loss with SimCLR's augmentation the purest map of CIFAR-10?"""
    own = answers.map("cifar10", "pairwise", "simclr", "purity")
    gains = {
        f"over {loss} {NAMED[policy]}": apart(own, answers.map("cifar10", loss, policy, "purity"))
        for loss in LOSSES
        for policy in POLICIES
        if (loss, policy) != ("pairwise", "simclr")
    }
    return _gains(gains, "lead in map purity")


def lines(answers: Answers) -> Decision:
    """Are the maps of the cosine loss more line-like in all six settings?"""
    gains = {
        f"{SETS[data]} {NAMED[policy]}": apart(*(answers.map(data, loss, policy, "linearity") for loss in LOSSES))
        for data in DATA
        for policy in POLICIES
    }
    return _gains(gains, "lead of the cosine loss in line-likeness")


def poor(answers: Answers) -> Decision:
    """Are the maps of the triplet loss on CIFAR-10 such that most neighbours are of another class?"""
    purities = {NAMED[policy]: answers.map("cifar10", "triplet", policy, "purity") for policy in POLICIES}
    return _every(purities, 0.5, "the purity of the purest of the three maps", side="below", unit="share")


def figure(answers: Answers, low: float, high: float) -> Decision:
    """Does MNIST with triplets and SimCLR's augmentation lie between two figures?"""
    found = answers.of("mnist", "triplet", "simclr", "accuracy")
    return between(found, low, high, unit="share", what="the accuracy on MNIST, triplet, SimCLR")
