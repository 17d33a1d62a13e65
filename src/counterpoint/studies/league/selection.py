"""Would scores without labels have picked the best run?"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from counterpoint.studies.statistics import Correlation, spearman
from counterpoint.studies.study import Results

__all__ = [
    "CRITERIA",
    "TOGETHER",
    "Criterion",
    "Observed",
    "Pick",
    "judged",
    "left_out",
    "observed",
    "picks",
    "together",
]

TOGETHER = "all scores of h together"
PENALTY = 1.0  # of the ridge regression, on standardised scores


def _lower(value: float) -> float:
    return -value


def _near_one(value: float) -> float:
    return -abs(value - 1)


@dataclass(frozen=True)
class Criterion:
    """A score that needs no labels.

    Args:
        measure: by which the protocol has it.
        label: in words, with what is thought to be better.
        worth: of a value; the larger, the better.
    """

    measure: str
    label: str
    worth: Callable[[float], float]


_OF_H = (
    Criterion("uniformity", "uniformity of h, lower", _lower),
    Criterion("view_alignment", "view alignment of h, lower", _lower),
    Criterion("effective_rank", "effective rank of h, higher", float),
    Criterion("rank_me", "RankMe of h, higher", float),
    Criterion("alpha_req", "alpha-ReQ of h, nearer to 1", _near_one),
)
CRITERIA = (
    *_OF_H,
    *(Criterion(f"{one.measure}_z", one.label.replace("of h", "of z"), one.worth) for one in _OF_H),
)


@dataclass(frozen=True)
class Observed:
    """A run, as it is seen with and without labels.

    Args:
        method: of the run.
        seed: likewise.
        accuracy: of the linear probe.
        worths: by measure, of those that it has.
    """

    method: str
    seed: int
    accuracy: float
    worths: Mapping[str, float]


@dataclass(frozen=True)
class Pick:
    """What a way to choose is worth.

    Args:
        label: of the way.
        runs: how many had what it needs.
        over_runs: Spearman's correlation with the accuracy over runs.
        over_methods: the same of means over seeds, one pair for each method.
        best: the run it would have picked: method and seed.
        regret: accuracy of the best of all runs less that of the picked one.
        by_seed: the same among the runs of each seed.
    """

    label: str
    runs: int
    over_runs: Correlation | None
    over_methods: Correlation | None
    best: str
    regret: float
    by_seed: Mapping[int, float]


def observed(results: Results, methods: Sequence[str]) -> list[Observed]:
    """The finished runs of some methods, in order."""
    found: list[Observed] = []
    for method in methods:
        for result in results.at(method=method):
            accuracy = result.number("scores", "learned", "linear_probe")
            values = {one.measure: result.number("scores", "learned", one.measure) for one in CRITERIA}
            worths = {one.measure: one.worth(v) for one in CRITERIA if (v := values[one.measure]) is not None}
            if accuracy is not None:
                found.append(Observed(method, result.cell.seed, accuracy, worths))
    return found


def left_out(
    x: Float[np.ndarray, "run score"], y: Float[np.ndarray, " run"], methods: Sequence[str]
) -> Float[np.ndarray, " run"]:
    """Accuracies as a ridge regression tells them that was fitted on the runs of all other methods.

    Scores are standardised by the runs that are fitted on; one that does not vary among these has no say. The minimum
    of |y - x w - b|^2 + |w|^2.

    Source: Hoerl & Kennard 1970.

    Args:
        x: of each run.
        y: accuracies.
        methods: of each run, at least two different ones.
    """
    names = np.asarray(methods)
    told = np.empty(len(y))
    for name in dict.fromkeys(methods):
        out = names == name
        seen, target = x[~out], y[~out]
        mean, scale = seen.mean(0), seen.std(0)
        still = scale <= 1e-9 * (np.abs(mean) + 1)
        rows, others = ((part - mean) / np.where(still, 1.0, scale) * ~still for part in (seen, x[out]))
        gram = rows.T @ rows + PENALTY * np.eye(x.shape[1])
        told[out] = target.mean() + others @ np.linalg.solve(gram, rows.T @ (target - target.mean()))
    return told


def judged(label: str, worths: Sequence[tuple[Observed, float]], every: Sequence[Observed]) -> Pick | None:
    """What it is worth to choose among runs by a number of each; None with fewer than two runs.

    Args:
        label: of the way.
        worths: runs that have the number, with it.
        every: runs that might have been chosen, those without the number too: the best of them is what is lost.
    """
    if len(worths) < 2:
        return None
    pairs = {m: [(worth, run.accuracy) for run, worth in worths if run.method == m] for m in _methods(worths)}
    over_runs = spearman(*zip(*(pair for own in pairs.values() for pair in own), strict=True))
    over_methods = spearman(*zip(*(_mean(own) for own in pairs.values()), strict=True))
    lost, best = _lost(worths, every)
    by_seed: dict[int, float] = {}
    for seed in sorted({run.seed for run, _ in worths}):
        own = [(run, worth) for run, worth in worths if run.seed == seed]
        if len(own) > 1:
            by_seed[seed] = _lost(own, [run for run in every if run.seed == seed])[0]
    return Pick(label, len(worths), over_runs, over_methods, f"{best.method}, seed {best.seed}", lost, by_seed)


def _methods(worths: Sequence[tuple[Observed, float]]) -> list[str]:
    return list(dict.fromkeys(run.method for run, _ in worths))


def _mean(pairs: Sequence[tuple[float, float]]) -> tuple[float, float]:
    worths, accuracies = zip(*pairs, strict=True)
    return math.fsum(worths) / len(pairs), math.fsum(accuracies) / len(pairs)


def _lost(worths: Sequence[tuple[Observed, float]], every: Sequence[Observed]) -> tuple[float, Observed]:
    """How much accuracy is lost by taking the run of the greatest worth, and that run; of equals the first."""
    taken = max(worths, key=lambda pair: pair[1])[0]
    return max(run.accuracy for run in every) - taken.accuracy, taken


def together(label: str, runs: Sequence[Observed], measures: Sequence[str]) -> Pick | None:
    """All of some scores at once, by `left_out`; None with runs of fewer than three methods.

    Args:
        label: of the way.
        runs: to choose from; those that lack a score are left out.
        measures: of the scores.
    """
    kept = [run for run in runs if all(name in run.worths for name in measures)]
    if len({run.method for run in kept}) < 3:
        return None
    x = np.array([[run.worths[name] for name in measures] for run in kept])
    told = left_out(x, np.array([run.accuracy for run in kept]), [run.method for run in kept])
    return judged(label, [(run, float(worth)) for run, worth in zip(kept, told, strict=True)], runs)


def picks(runs: Sequence[Observed]) -> list[Pick]:
    """Each score by itself, then all of h together, and all of h and z; those that can be judged."""
    each = [
        judged(one.label, [(run, run.worths[one.measure]) for run in runs if one.measure in run.worths], runs)
        for one in CRITERIA
    ]
    names = [one.measure for one in CRITERIA]
    of_h = together(TOGETHER, runs, names[: len(_OF_H)])
    of_both = together(f"{TOGETHER}, and of z", runs, names)
    return [pick for pick in (*each, of_h, of_both) if pick is not None]
