"""Is one number really better than another? Differences with 95 % intervals, and a rule for many of them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from counterpoint.report.run import Measure, Run

__all__ = ["Difference", "comparable", "difference", "holm", "matched", "paired", "right", "sign_test"]

DRAWS = 2000
BEHIND = {"knn_accuracy": "nearest"}  # where a measure's predictions are kept; those of the probe are `prediction`
BALANCED = "linear_probe_balanced"  # a mean over classes, of the same predictions
FOUND = "recall_at_1"  # kept image by image by itself
SEPARATION = ("overlap", "d_prime")  # how well similarity alone tells classes apart, whatever the width


@dataclass(frozen=True)
class Difference:
    """Of a measure between two encoders, in the measure's own unit.

    Args:
        value: first minus second.
        low, high: of the 95 % interval.
        paired: drawn over the same test images; otherwise put together from two separate intervals, which is wider.
        better: `higher` or `lower`.
        p: two-sided, of no difference: exact over the images on which the two disagree (McNemar), or from the interval.
    """

    value: float
    low: float
    high: float
    paired: bool
    better: str
    p: float

    @property
    def verdict(self) -> str:
        """`better`, `worse`, or `alike` where the interval holds zero."""
        if self.low <= 0.0 <= self.high:
            return "alike"
        return "better" if (self.low > 0.0) == (self.better == "higher") else "worse"


def comparable(measure: Measure) -> bool:
    """Whether encoders can be ranked by a measure: it has a direction, and neither width nor collapse decides it.

    A collapsed encoder has the best alignment of all, and wide embeddings have high ranks and a low uniformity.
    """
    return bool(measure.better) and (measure.group != "geometry" or measure.name in SEPARATION)


def difference(first: Measure | None, second: Measure | None) -> Difference | None:
    """The difference of two measures that were taken separately; None where one has no interval or no direction.

    The distances from the values to their bounds add in quadrature, which needs no symmetric interval (MOVER).

    Source: Newcombe 1998, method 10; Zou and Donner 2008. The test images are shared, so the interval is too wide
    rather than too narrow wherever the two encoders err on the same images.
    """
    if first is None or second is None or not first.better:
        return None
    if first.low is None or first.high is None or second.low is None or second.high is None:
        return None
    value = first.value - second.value
    low = value - math.hypot(first.value - first.low, second.high - second.value)
    high = value + math.hypot(first.high - first.value, second.value - second.low)
    near = value - low if value > 0 else high - value  # to the bound on the side of zero
    z = 1.959964 * abs(value) / near if near > 0 else math.inf if value else 0.0
    return Difference(value, low, high, False, first.better, math.erfc(z / math.sqrt(2)))


def paired(run: Run, name: str, other: str) -> Difference | None:
    """The difference of a measure between the learned encoder of a run and one of its baselines."""
    first, second = run.measure("learned", name), run.measure(other, name)
    return matched(first, second, run.details("learned"), run.details(other))


def matched(
    first: Measure | None, second: Measure | None, ours: Mapping[str, Any], theirs: Mapping[str, Any]
) -> Difference | None:
    """The difference of an accuracy between two encoders, bootstrapped over the shared test images.

    Falls back on `difference` where the predictions behind this measure are not there for the same images.

    Args:
        first: measure of the one.
        second: the same measure of the other.
        ours: details of the scores of the one.
        theirs: details of the scores of the other.
    """
    import numpy as np

    apart = difference(first, second)
    if first is None or second is None or apart is None:
        return apart
    column = BEHIND.get(first.name, "prediction")
    hits, others = (_recalled(d) if first.name == FOUND else right(d, column) for d in (ours, theirs))
    if not hits or not others or hits.keys() != others.keys():
        return apart
    if first.name == BALANCED:
        return _balanced(first, second, ours, hits, others) or apart
    means = (np.mean(list(hits.values())), np.mean(list(others.values())))
    if abs(means[0] - first.value) > 1e-6 or abs(means[1] - second.value) > 1e-6:
        return apart  # the predictions are those of another measure
    gain = np.array([hits[s] - others[s] for s in hits], np.float64)
    # A mean over a resample only needs how often each of the values -1, 0, 1 was drawn.
    share = np.array([(gain == v).mean() for v in (-1, 0, 1)])
    counts = np.random.default_rng(0).multinomial(len(gain), share / share.sum(), size=DRAWS)
    draws = (counts[:, 2] - counts[:, 0]) / len(gain)
    low, high = np.quantile(draws, [0.025, 0.975])
    p = sign_test(int((gain > 0).sum()), int((gain < 0).sum()))
    return Difference(float(gain.mean()), float(low), float(high), True, first.better, p)


def _balanced(
    first: Measure, second: Measure, details: Mapping[str, Any], hits: Mapping[int, bool], others: Mapping[int, bool]
) -> Difference | None:
    """The difference of two mean recalls, bootstrapped over the shared test images; None where they are of others.

    How often each class gains, loses or stays in a resample is multinomial, so no resample is drawn image by image.
    """
    import numpy as np

    predicted = details["predicted"]
    label_of = dict(zip(predicted["sample"], predicted["label"], strict=True))
    _, label = np.unique([label_of[sample] for sample in hits], return_inverse=True)
    ours, theirs = np.array(list(hits.values()), np.int64), np.array([others[s] for s in hits], np.int64)
    rows = np.bincount(label)
    means = [float((np.bincount(label, weights=each) / rows).mean()) for each in (ours, theirs)]
    if abs(means[0] - first.value) > 1e-6 or abs(means[1] - second.value) > 1e-6:
        return None
    cells = np.bincount(3 * label + 1 + ours - theirs, minlength=3 * len(rows))
    random = np.random.default_rng(0)
    draws: list[Any] = []
    for _ in range(0, DRAWS, 100):
        drawn = random.multinomial(len(label), cells / len(label), size=100).reshape(100, -1, 3)
        with np.errstate(invalid="ignore"):
            draws.append(np.nanmean((drawn[:, :, 2] - drawn[:, :, 0]) / drawn.sum(2), axis=1))
    every, value = np.concatenate(draws), means[0] - means[1]
    low, high = np.quantile(every, [0.025, 0.975])
    spread = float(every.std())
    p = math.erfc(abs(value) / spread / math.sqrt(2)) if spread > 0 else float(value == 0)
    return Difference(value, float(low), float(high), True, first.better, p)


def holm(p: Sequence[float], level: float = 0.05) -> list[bool]:
    """Which of several differences hold together: all are true with a probability of 1 - level, however they depend.

    Source: Holm 1979.

    Args:
        p: of each, in any order.
        level: chance that any of them is called a difference wrongly.
    """
    held = [False] * len(p)
    for rank, i in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
        if p[i] > level / (len(p) - rank):
            break
        held[i] = True
    return held


def right(details: Mapping[str, Any], column: str = "prediction") -> dict[int, bool] | None:
    """Whether each test image was named rightly, by the linear probe or by its `nearest`; None where nobody kept it."""
    predicted = details.get("predicted")
    if not predicted or column not in predicted:
        return None
    triples = zip(predicted["sample"], predicted["label"], predicted[column], strict=True)
    return {int(sample): label == prediction for sample, label, prediction in triples}


def _recalled(details: Mapping[str, Any]) -> dict[int, bool] | None:
    """Whether the nearest other test image of each is of its class; None where nobody kept it."""
    kept = details.get("recalled")
    return {int(s): bool(hit) for s, hit in zip(kept["sample"], kept["hit"], strict=True)} if kept else None


def sign_test(wins: int, losses: int) -> float:
    """Exact two-sided sign test; ties are left out before.

    Example:
        Three of three: twice 1/8.

        >>> sign_test(3, 0)
        0.25
    """
    n = wins + losses
    term = tail = 1  # of the binomial coefficients, from none of n on
    for k in range(min(wins, losses)):
        term = term * (n - k) // (k + 1)
        tail += term
    return min(1.0, 2 * tail / 2**n)
