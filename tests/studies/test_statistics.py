import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from counterpoint.studies import statistics
from counterpoint.studies.statistics import above, below, between, estimate, greater, paired, sign_test, spearman

VALUES = {0: 0.90, 1: 0.92, 2: 0.94}
EQUAL = dict.fromkeys(range(3), 0.9)


def test_an_interval_is_that_of_student():
    found = estimate(VALUES)
    low, high = stats.t.interval(0.95, 2, loc=0.92, scale=stats.sem(list(VALUES.values())))
    assert (found.mean, found.seeds) == (pytest.approx(0.92), 3)
    assert (found.spread, found.low, found.high) == (pytest.approx(0.02), pytest.approx(low), pytest.approx(high))
    assert found.told() == "0.92 ± 0.02 (3 seeds)"


def test_one_seed_has_no_spread():
    found = estimate({7: 0.5})
    assert (found.mean, found.spread, found.low, found.high, found.seeds) == (0.5, None, None, None, 1)
    assert "one seed" in found.told()
    assert estimate({}) is None


@given(st.lists(st.tuples(st.floats(-1, 1), st.floats(-1, 1)), min_size=2, max_size=8))
def test_pairs_are_those_of_scipy(pairs):
    first, second = ({i: p[k] for i, p in enumerate(pairs)} for k in (0, 1))
    gains = np.array([a - b for a, b in pairs])
    found = paired(first, second)
    assert found.mean == pytest.approx(gains.mean(), abs=1e-12)
    assert (found.wins, found.losses) == ((gains > 0).sum(), (gains < 0).sum())
    if gains.std() > 1e-6:
        theirs = stats.ttest_rel(list(first.values()), list(second.values()))
        interval = theirs.confidence_interval(0.95)
        assert found.p == pytest.approx(theirs.pvalue, abs=1e-9)
        assert (found.low, found.high) == (pytest.approx(interval.low), pytest.approx(interval.high))
        assert found.d == pytest.approx(gains.mean() / gains.std(ddof=1))
    n = found.wins + found.losses
    assert found.sign_p == pytest.approx(stats.binomtest(found.wins, n).pvalue if n else 1.0)


def test_only_seeds_that_both_have_are_paired():
    found = paired({0: 1.0, 1: 2.0, 2: 9.0}, {1: 1.0, 2: 8.0, 3: 0.0})
    assert (found.mean, found.seeds, found.spread, found.d) == (1.0, 2, 0.0, None)
    assert paired({0: 1.0}, {1: 1.0}) is None
    alone = paired({0: 3.0}, {0: 1.0})
    assert (alone.mean, alone.low, alone.p) == (2.0, None, None)
    assert alone.told() == "+2, greater in 1 of 1 seed"
    equal = dict.fromkeys(range(3), 1.0)
    assert paired(equal, equal).p == 1.0


def test_two_seeds_that_agree_have_no_interval():
    assert (estimate({0: 0.93, 1: 0.93}).low, estimate({0: 0.93, 1: 0.93}).spread) == (None, 0.0)
    agreeing = paired({0: 0.9312, 1: 0.9311}, {0: 0.9102, 1: 0.9101})  # equal but for rounding
    assert (agreeing.spread, agreeing.low, agreeing.high, agreeing.p, agreeing.d) == (0.0, None, None, None, None)
    found = greater({0: 0.9312, 1: 0.9311}, {0: 0.9102, 1: 0.9101})
    assert (found.verdict, found.seeds) == ("undecided", 2)
    assert "two seeds that agree do not say how much seeds differ" in found.said
    assert paired({0: 1.0, 1: 1.0, 2: 1.0}, {0: 0.5, 1: 0.5, 2: 0.5}).low == 0.5


def test_few_signs_prove_little():
    assert sign_test(3, 0) == 0.25
    assert sign_test(0, 0) == 1.0
    assert sign_test(2, 3) == 1.0


def test_ranks_correlate_as_scipy_says():
    rng = np.random.default_rng(0)
    x = rng.normal(size=30)
    y = x + rng.normal(size=30)
    found = spearman(list(x), list(y))
    theirs = stats.spearmanr(x, y)
    assert (found.rho, found.p) == (pytest.approx(theirs.statistic), pytest.approx(theirs.pvalue))
    assert found == spearman(list(x), list(y)), "the bootstrap is seeded"
    draws = stats.bootstrap(
        (x, y), lambda a, b: stats.spearmanr(a, b).statistic, paired=True, vectorized=False, method="percentile",
        n_resamples=1000, rng=1,
    )  # fmt: skip
    assert found.low == pytest.approx(draws.confidence_interval.low, abs=0.06)
    assert found.high == pytest.approx(draws.confidence_interval.high, abs=0.06)


def test_what_has_no_rank_correlation():
    assert spearman([1, 2, 3], [1, 2, 3]) is None
    assert spearman([1, 1, 1, 1], [1, 2, 3, 4]) is None
    perfect = spearman([1, 2, 3, 4, 5], [10, 20, 30, 40, 50])
    assert (perfect.rho, perfect.high) == (pytest.approx(1.0), pytest.approx(1.0))
    with pytest.raises(ValueError, match="as many of each"):
        spearman([1, 2, 3, 4], [1, 2, 3])


@pytest.mark.parametrize(
    ("decision", "verdict"),
    [
        (above(VALUES, 0.8), "held"),
        (above(VALUES, 0.99), "not held"),
        (above(VALUES, 0.92), "undecided"),
        (below(VALUES, 0.99), "held"),
        (below(VALUES, 0.8), "not held"),
        (between(VALUES, 0.8, 1.0), "held"),
        (between(VALUES, 0.0, 0.8), "not held"),
        (between(VALUES, 0.9, 0.93), "undecided"),
        (above({0: 0.9}, 0.8), "undecided"),
        (above({0: 0.9}, 0.8, alone=True), "held"),
        (below({0: 0.9}, 0.8, alone=True), "undecided"),
        (above({0: 0.9, 1: 0.9}, 0.8), "undecided"),
        (above(EQUAL, 0.9), "not held"),
        (below(EQUAL, 0.9), "not held"),
        (above(EQUAL, 0.89), "held"),
        (below(EQUAL, 0.91), "held"),
        (between(EQUAL, 0.9, 0.95), "held"),
        (between(EQUAL, 0.85, 0.9), "held"),
        (above({0: 0.9}, 0.9, alone=True), "undecided"),
        (below({0: 0.9}, 0.9, alone=True), "undecided"),
        (above({}, 0.8), "undecided"),
        (greater(VALUES, {s: v - 0.1 - 0.01 * s for s, v in VALUES.items()}), "held"),
        (greater({s: v - 0.1 - 0.01 * s for s, v in VALUES.items()}, VALUES), "not held"),
        (greater(VALUES, {s: v - 0.1 - 0.01 * s for s, v in VALUES.items()}, by=0.5), "not held"),
        (greater(VALUES, {0: 0.95, 1: 0.85, 2: 0.99}), "undecided"),
        (greater(VALUES, {0: 0.5}), "undecided"),
        (greater(VALUES, {0: 0.5}, alone=True), "held"),
        (greater(VALUES, {0: 0.5}, by=0.5, alone=True), "undecided"),
        (greater({0: 0.5}, VALUES, alone=True), "undecided"),
        (greater({0: 0.9, 1: 0.9}, {0: 0.5, 1: 0.5}), "undecided"),
        (greater({s: v + 0.5 for s, v in EQUAL.items()}, EQUAL), "held"),
        (greater(VALUES, {9: 0.5}), "undecided"),
        (greater(VALUES, VALUES), "not held"),
        (statistics.related(spearman([1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 5, 6])), "held"),
        (statistics.related(spearman([1, 2, 3, 4, 5, 6], [6, 5, 4, 3, 2, 1])), "not held"),
        (statistics.related(None), "undecided"),
    ],
)
def test_an_interval_decides(decision, verdict):
    assert decision.verdict == verdict
    assert decision.said
    assert decision.low is None or decision.low <= decision.value <= decision.high


def test_one_seed_that_does_not_hold_says_so():
    found = greater({0: 0.59}, {0: 0.5}, by=0.1, alone=True)
    assert found.said.endswith("one seed does not say how much seeds differ, and it is not above 0.1")


def test_a_correlation_has_pairs_and_no_seeds():
    assert statistics.related(spearman([1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 6, 5])).seeds == 0


def test_a_decision_says_what_was_found():
    found = greater({0: 0.5, 1: 0.7}, {0: 0.4, 1: 0.4}, what="the gain", unit="points")
    assert (found.value, found.seeds) == (pytest.approx(0.2), 2)
    assert found.spread == pytest.approx(math.sqrt(2) / 10)
    assert found.effect == "+20.0 points, 95 % interval −107.1 to 147.1 points, d = 1.4, greater in 2 of 2 seeds"
    assert found.said.startswith("the gain is +20.0 points")
    assert found.unit == "points"
