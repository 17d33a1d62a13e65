"""Is one number really better than another? Differences with 95 % intervals."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from counterpoint.report.run import Measure, Run

__all__ = ["Difference", "comparable", "difference", "paired"]

DRAWS = 2000
SEPARATION = ("overlap", "d_prime")  # how well similarity alone tells classes apart, whatever the width


@dataclass(frozen=True)
class Difference:
    """Of a measure between two encoders, in the measure's own unit.

    Args:
        value: first minus second.
        low, high: of the 95 % interval.
        paired: drawn over the same test images; otherwise put together from two separate intervals, which is wider.
        better: `higher` or `lower`.
    """

    value: float
    low: float
    high: float
    paired: bool
    better: str

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
    return Difference(value, low, high, False, first.better)


def paired(run: Run, name: str, other: str) -> Difference | None:
    """The difference of an accuracy between the learned encoder and another, bootstrapped over the shared test images.

    Falls back on `difference` where the predictions behind this measure are not in the run folder.
    """
    import numpy as np

    first, second = run.measure("learned", name), run.measure(other, name)
    apart = difference(first, second)
    ours, theirs = _right(run.details("learned")), _right(run.details(other))
    if first is None or second is None or apart is None or ours is None or theirs is None:
        return apart
    shared = sorted(ours.keys() & theirs.keys())
    if len(shared) < len(ours) or len(shared) < len(theirs) or not shared:
        return apart
    gain = np.array([ours[s] - theirs[s] for s in shared], np.float64)
    means = (np.mean(list(ours.values())), np.mean(list(theirs.values())))
    if abs(means[0] - first.value) > 1e-6 or abs(means[1] - second.value) > 1e-6:
        return apart  # the predictions are those of another measure
    # A mean over a resample only needs how often each of the values -1, 0, 1 was drawn.
    share = np.array([(gain == v).mean() for v in (-1, 0, 1)])
    counts = np.random.default_rng(0).multinomial(len(gain), share / share.sum(), size=DRAWS)
    draws = (counts[:, 2] - counts[:, 0]) / len(gain)
    low, high = np.quantile(draws, [0.025, 0.975])
    return Difference(float(gain.mean()), float(low), float(high), True, first.better)


def _right(details: Mapping[str, Any]) -> dict[int, bool] | None:
    predicted = details.get("predicted")
    if not predicted:
        return None
    triples = zip(predicted["sample"], predicted["label"], predicted["prediction"], strict=True)
    return {int(sample): label == prediction for sample, label, prediction in triples}
