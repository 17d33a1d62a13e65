"""What a few seeds allow to be said: intervals, differences in pairs, rank correlation, and decisions made of them."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from counterpoint.report.numbers import Unit, in_unit, ranged
from counterpoint.report.verdict import holm, sign_test
from counterpoint.studies.study import Decision

__all__ = [
    "OVER_SEEDS",
    "Correlation",
    "Estimate",
    "Paired",
    "above",
    "apart",
    "below",
    "between",
    "each",
    "estimate",
    "greater",
    "holm",
    "paired",
    "related",
    "sign_test",
    "spearman",
]

Inside = Callable[[float, float], tuple[bool, bool]]
Verdict = Literal["held", "not held", "undecided"]

OVER_SEEDS = "by the 95 % interval over seeds; undecided with one seed"  # as a claim says how it is decided

_ROUNDING = 1e-9  # of a value; what differs by less is equal


# ---------------------------------------------------------------- numbers


@dataclass(frozen=True)
class Estimate:
    """A measure over seeds.

    Args:
        mean: over seeds.
        spread: sample standard deviation; None with one seed.
        low, high: Student's 95 % interval of the mean; None with one seed, or two that agree.
        seeds: how many.
    """

    mean: float
    spread: float | None
    low: float | None
    high: float | None
    seeds: int

    def told(self, unit: Unit = "number") -> str:
        """`0.921 ± 0.004 (3 seeds)`: mean and standard deviation."""
        if self.spread is None:
            return f"{in_unit(self.mean, unit)} (one seed)"
        return f"{in_unit(self.mean, unit)} ± {in_unit(self.spread, unit)} ({self.seeds} seeds)"


def _t_interval(values: Sequence[float]) -> tuple[float, float | None, float | None]:
    """Standard deviation, and the ends of Student's 95 % interval of the mean; of at least two values.

    Two values that agree have no interval: measures are multiples of one over the test images, so two agree by chance.
    """
    from scipy.stats import t

    n, mean = len(values), math.fsum(values) / len(values)
    spread = math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (n - 1))
    if spread <= _ROUNDING * max(map(abs, values)):
        spread = 0.0
    if n == 2 and spread == 0:
        return spread, None, None
    half = float(t.ppf(0.975, n - 1)) * spread / math.sqrt(n)
    return spread, mean - half, mean + half


def estimate(values: Mapping[int, float]) -> Estimate | None:
    """Mean, spread and interval of one value for each seed; None without any.

    Example:
        Student's t of 97.5 % with one degree of freedom is 12.706.

        >>> found = estimate({0: 1.0, 1: 3.0})
        >>> found.mean, round(found.spread, 4), round(found.high, 3)
        (2.0, 1.4142, 14.706)
    """
    if not values:
        return None
    every = list(values.values())
    if len(every) == 1:
        return Estimate(every[0], None, None, None, 1)
    spread, low, high = _t_interval(every)
    return Estimate(math.fsum(every) / len(every), spread, low, high, len(every))


def each(rule: Callable[[Sequence[float]], float], measures: Sequence[Mapping[int, float]]) -> dict[int, float]:
    """One number for each seed that all measures have.

    Args:
        rule: from the measures' values at a seed, in their order.
        measures: a value for each seed.
    """
    shared = set(measures[0]).intersection(*measures[1:]) if measures else set[int]()
    return {seed: rule([measure[seed] for measure in measures]) for seed in sorted(shared)}


def apart(first: Mapping[int, float], second: Mapping[int, float]) -> dict[int, float]:
    """The difference, for each seed that both have."""
    return each(lambda v: v[0] - v[1], [first, second])


@dataclass(frozen=True)
class Paired:
    """A difference of two measures of the same seeds.

    Args:
        mean: difference, first less second.
        spread: standard deviation of the differences; None with one pair.
        low, high: Student's 95 % interval of the mean difference; None with one pair, or two that agree.
        p: of Student's test of pairs, two-sided; None where there is no interval.
        sign_p: of the exact sign test, two-sided, which assumes no distribution; with n pairs it is at least 2^(1-n).
        d: Cohen's d of pairs, the mean difference over its standard deviation; None where that is not defined.
        wins, losses: pairs in which the first is greater, or smaller.
        seeds: pairs.
    """

    mean: float
    spread: float | None
    low: float | None
    high: float | None
    p: float | None
    sign_p: float
    d: float | None
    wins: int
    losses: int
    seeds: int

    def told(self, unit: Unit = "number") -> str:
        """`+0.012, 95 % interval 0.004 to 0.020, d = 1.9, greater in 3 of 3 seeds`."""
        sign = "+" if self.mean >= 0 else "−"
        parts = [f"{sign}{in_unit(abs(self.mean), unit)}"]
        if self.low is not None and self.high is not None:
            parts.append(f"95 % interval {ranged(self.low, self.high, unit)}")
        if self.d is not None:
            parts.append(f"d = {self.d:.1f}")
        parts.append(f"greater in {self.wins} of {self.seeds} {'seed' if self.seeds == 1 else 'seeds'}")
        return ", ".join(parts)


def paired(first: Mapping[int, float], second: Mapping[int, float]) -> Paired | None:
    """The difference over the seeds that both have; None where they share none.

    Args:
        first: a value for each seed.
        second: likewise.
    """
    from scipy.stats import t

    shared = sorted(first.keys() & second.keys())
    if not shared:
        return None
    gains = [first[seed] - second[seed] for seed in shared]
    wins, losses = sum(g > 0 for g in gains), sum(g < 0 for g in gains)
    mean, n = math.fsum(gains) / len(gains), len(gains)
    if n == 1:
        return Paired(mean, None, None, None, None, sign_test(wins, losses), None, wins, losses, 1)
    spread, low, high = _t_interval(gains)
    if spread > 0:
        d = mean / spread
        p = 2 * float(t.sf(abs(d) * math.sqrt(n), n - 1))
    else:
        d, p = None, None if low is None else float(mean == 0)
    return Paired(mean, spread, low, high, p, sign_test(wins, losses), d, wins, losses, n)


@dataclass(frozen=True)
class Correlation:
    """Spearman's rank correlation.

    Args:
        rho: in [-1, 1].
        low, high: percentiles of a bootstrap over the pairs, 95 %.
        p: two-sided, of no correlation.
        count: pairs.
    """

    rho: float
    low: float
    high: float
    p: float
    count: int

    def told(self) -> str:
        """`rho = 0.81, 95 % interval 0.42 to 0.95, over 12 pairs`."""
        return f"rho = {self.rho:.2f}, 95 % interval {self.low:.2f} to {self.high:.2f}, over {self.count} pairs"


def spearman(x: Sequence[float], y: Sequence[float], *, draws: int = 2000, seed: int = 0) -> Correlation | None:
    """Does one measure rank as the other does? Ties take their mean rank.

    Args:
        x: values.
        y: as many others, in the same order.
        draws: of the bootstrap over pairs; draws in which either measure is constant are left out.
        seed: of the bootstrap.

    Returns:
        None with fewer than four pairs, or where a measure is constant.
    """
    import numpy as np
    from scipy.stats import rankdata, spearmanr

    a, b = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if len(a) != len(b):
        raise ValueError(f"got {len(a)} values and {len(b)}, expected as many of each")
    if len(a) < 4 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return None
    found: Any = spearmanr(a, b)
    index = np.random.default_rng(seed).integers(0, len(a), (draws, len(a)))
    ranks = [rankdata(values[index], axis=1) for values in (a, b)]
    ranks = [r - r.mean(1, keepdims=True) for r in ranks]
    norms = np.sqrt((ranks[0] ** 2).sum(1) * (ranks[1] ** 2).sum(1))
    drawn = (ranks[0] * ranks[1]).sum(1)[norms > 0] / norms[norms > 0]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Correlation(float(found.statistic), float(low), float(high), float(found.pvalue), len(a))


# ---------------------------------------------------------------- decisions


def _undecided(said: str) -> Decision:
    return Decision("undecided", said=said)


def _too_few(seeds: int) -> str:
    """Why there is no interval."""
    held = "one seed does" if seeds == 1 else "two seeds that agree do"
    return f"{held} not say how much seeds differ"


def _verdict(
    interval: tuple[float | None, float | None], mean: float, seeds: int, rule: str, inside: Inside, *, alone: bool
) -> tuple[Verdict, str]:
    """Held where the rule holds in the whole interval, not held where it holds nowhere in it; and why.

    Args:
        interval: its ends; None where there is none.
        mean: which takes its place if it may be `alone`: that can show that a rule holds, and not that it does not.
        seeds: how many.
        rule: in words.
        inside: whether it holds at all of low to high, and whether at some of it.
        alone: whether a mean without an interval is enough.
    """
    low, high = interval
    if low is None or high is None:
        if alone and inside(mean, mean)[0]:
            return "held", rule
        return "undecided", f"{_too_few(seeds)}{f', and it is not {rule}' if alone else ''}"
    all_of_it, some_of_it = inside(low, high)
    if all_of_it:
        return "held", rule
    return ("undecided", f"its interval holds both answers to {rule}") if some_of_it else ("not held", f"not {rule}")


def _beyond(bound: float) -> Inside:
    """What is equal to the bound is not above it."""

    def inside(low: float, high: float) -> tuple[bool, bool]:
        return low > bound, high > bound

    return inside


def _inside(values: Mapping[int, float], rule: str, inside: Inside, *, alone: bool, unit: Unit, what: str) -> Decision:
    found = estimate(values)
    if found is None:
        return _undecided(f"{what} was not measured")
    verdict, why = _verdict((found.low, found.high), found.mean, found.seeds, rule, inside, alone=alone)
    told = f"{what} is {found.told(unit)}"
    if found.low is not None and found.high is not None:
        told += f", 95 % interval {ranged(found.low, found.high, unit)}"
    return Decision(
        verdict,
        found.mean,
        found.low,
        found.high,
        found.seeds,
        found.spread,
        said=f"{told}: {why}",
        unit=unit,
    )


def above(
    values: Mapping[int, float], bound: float, *, alone: bool = False, unit: Unit = "number", what: str = "the measure"
) -> Decision:
    """Held where the interval over seeds lies above a bound, not held where none of it does, else undecided.

    What is equal to the bound is not above it.

    Args:
        values: one for each seed.
        bound: to be exceeded.
        alone: whether one seed is enough for the rule to hold, its value taken as it is.
        unit: of the values.
        what: was measured, the subject of the sentence.
    """
    return _inside(
        values, f"above {in_unit(bound, unit) if bound else 'zero'}", _beyond(bound), alone=alone, unit=unit, what=what
    )


def below(
    values: Mapping[int, float], bound: float, *, alone: bool = False, unit: Unit = "number", what: str = "the measure"
) -> Decision:
    """As `above`, the other way round."""

    def inside(low: float, high: float) -> tuple[bool, bool]:
        return high < bound, low < bound

    return _inside(
        values, f"below {in_unit(bound, unit) if bound else 'zero'}", inside, alone=alone, unit=unit, what=what
    )


def between(
    values: Mapping[int, float],
    low: float,
    high: float,
    *,
    alone: bool = False,
    unit: Unit = "number",
    what: str = "the measure",
) -> Decision:
    """Held where the interval over seeds lies between two bounds or reaches them, not held where it lies outside."""

    def inside(least: float, most: float) -> tuple[bool, bool]:
        return low <= least and most <= high, most >= low and least <= high

    rule = f"between {in_unit(low, unit)} and {in_unit(high, unit)}"
    return _inside(values, rule, inside, alone=alone, unit=unit, what=what)


def greater(
    first: Mapping[int, float],
    second: Mapping[int, float],
    *,
    by: float = 0.0,
    alone: bool = False,
    unit: Unit = "number",
    what: str = "the difference",
) -> Decision:
    """Is the first greater than the second, in pairs over seeds? By the interval of the mean difference.

    Args:
        first: a value for each seed.
        second: likewise; seeds that only one has are left out.
        by: how much greater, at least.
        alone: whether one pair is enough for the rule to hold, its difference taken as it is.
        unit: of the values.
        what: the difference is, the subject of the sentence.
    """
    found = paired(first, second)
    if found is None:
        return _undecided(f"{what} was not measured: no seed has both values")
    rule = f"above {in_unit(by, unit)}" if by else "above zero"
    verdict, why = _verdict((found.low, found.high), found.mean, found.seeds, rule, _beyond(by), alone=alone)
    told = found.told(unit)
    return Decision(
        verdict, found.mean, found.low, found.high, found.seeds, found.spread, told, f"{what} is {told}: {why}", unit
    )


def related(found: Correlation | None, bound: float = 0.0, *, what: str = "the rank correlation") -> Decision:
    """Held where the interval of a rank correlation lies above a bound, not held where none of it does, else undecided.

    Its pairs are not seeds: how many of these there were is for the rule to say.

    Args:
        found: by `spearman`.
        bound: to be exceeded.
        what: the subject of the sentence.
    """
    if found is None:
        return _undecided(f"{what} needs at least four pairs of values that differ")
    rule = f"above {bound:g}"
    verdict, why = _verdict((found.low, found.high), found.rho, found.count, rule, _beyond(bound), alone=False)
    return Decision(
        verdict,
        found.rho,
        found.low,
        found.high,
        effect=found.told(),
        said=f"{what}: {found.told()}; {why}",
    )
