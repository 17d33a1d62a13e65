"""Intervals: how far a score would move had other images been drawn for the test set."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import sqrt
from typing import Literal

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from counterpoint.errors import ShapeError
from counterpoint.evaluation.arrays import CELLS, Values, values
from counterpoint.random import Streams

__all__ = [
    "Estimate",
    "Measure",
    "bootstrap",
    "centred",
    "from_influence",
    "of_draws",
    "percentiles",
    "resamples",
    "wilson",
]

Z = 1.959963984540054  # 97.5 % point of the standard normal


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Measure:
    """One score of one encoder.

    Args:
        name: stable identifier.
        label: for people.
        value, low, high: the score and its 95 % interval.
        better: `higher`, `lower`, or empty where neither is.
        group: `classification`, `few labels`, `retrieval`, `clusters`, `geometry` or `theory`.
        note: how the interval was made, and what else a reader should know.
    """

    name: str
    label: str
    value: float
    low: float
    high: float
    better: Literal["higher", "lower", ""]
    group: str
    note: str = ""


def resamples(rows: int, draws: int, seed: int, cells: int = CELLS) -> Iterator[Float[Tensor, "draw row"]]:
    """How often each row occurs in each bootstrap resample: multinomial counts, a block of draws at a time.

    The counts do not depend on the block size.
    """
    stream = Streams(seed).at("bootstrap", rows)
    step = max(1, cells // max(1, rows))
    for start in range(0, draws, step):
        count = min(step, draws - start)
        drawn = stream.integers(0, rows, count * rows)
        drawn += torch.arange(count).repeat_interleave(rows) * rows
        yield torch.bincount(drawn, minlength=count * rows).view(count, rows).float()


def percentiles(draws: Float[Tensor, "draw stat"]) -> Float[Tensor, "2 stat"]:
    """The 2.5 % and 97.5 % points of each column, draws that are not numbers left out."""
    return torch.nanquantile(draws.double(), torch.tensor([0.025, 0.975], dtype=torch.float64), dim=0)


def centred(
    value: Float64[Tensor, "1 stat"], draws: Float64[Tensor, "draw stat"], low: float, high: float
) -> list[Estimate]:
    """Percentile intervals of statistics that resampling biases, moved so that the draws' mean is the value.

    Repeated rows make clusters agree more and histograms overlap less than new rows would.

    Source: Efron & Tibshirani 1993, section 10.6.
    """
    shift = value - draws.nanmean(0, keepdim=True)
    bounds = (percentiles(draws) + shift).clamp(low, high)
    return [Estimate(*map(float, column)) for column in torch.cat((value, bounds)).T]


def bootstrap(
    scores: Values, *, weight: Values | None = None, draws: int = 1000, seed: int = 0, cells: int = CELLS
) -> Estimate:
    """The mean of per-row scores with its percentile bootstrap interval over the rows.

    All draws are one product of multinomial counts with the scores. With `weight`, the ratio sum(w s) / sum(w).

    Source: Efron 1979, "Bootstrap methods: another look at the jackknife".

    Args:
        scores: for each test row, for example 1.0 where it was classified correctly.
        weight: >= 0, of each row.
        draws: resamples.
        seed: of the resampling.
        cells: most counts held at once.

    Raises:
        ShapeError: no rows.

    Example:
        >>> bootstrap(torch.ones(10)).low
        1.0
    """
    score = values(scores)
    mass = torch.ones_like(score) if weight is None else values(weight)
    if len(score) == 0 or len(score) != len(mass):
        raise ShapeError(f"{len(score)} scores with {len(mass)} weights arrived; expected as many, at least one")
    both = torch.stack((score * mass, mass), 1)
    sums = torch.cat([counts.double() @ both for counts in resamples(len(score), draws, seed, cells)])
    low, high = percentiles(sums[:, :1] / sums[:, 1:])[:, 0].tolist()
    total = both.sum(0)
    return Estimate(float(total[0] / total[1]), low, high)


def from_influence(value: float, variance: float, low: float, high: float) -> Estimate:
    """A normal interval from the variance of a smooth statistic, cut to the range that the statistic can take.

    The variance is the sum of squared influences of the rows over n^2 (infinitesimal jackknife, delta method).

    Source: Jaeckel 1972; Efron 1982, chapter 6.
    """
    reach = Z * sqrt(max(0.0, variance))
    return Estimate(value, max(low, value - reach), min(high, value + reach))


def of_draws(scores: Values) -> tuple[Estimate, float]:
    """Mean of a few draws in [0, 1] with Student's t interval of that mean, and their standard deviation."""
    from scipy.stats import t

    score = values(scores)
    mean = float(score.mean())
    if len(score) < 2:
        return Estimate(mean, 0.0, 1.0), 0.0
    spread = float(score.std())
    reach = float(t.ppf(0.975, len(score) - 1)) * spread / sqrt(len(score))
    return Estimate(mean, max(0.0, mean - reach), min(1.0, mean + reach)), spread


def wilson(hits: int | float, rows: int | float) -> Estimate:
    """A share of few rows with Wilson's interval, which stays honest at 0 and 1; as many rows as its variance tells.

    Source: Wilson 1927, "Probable inference, the law of succession, and statistical inference".
    """
    share = hits / rows
    middle = (share + Z * Z / (2 * rows)) / (1 + Z * Z / rows)
    reach = Z / (1 + Z * Z / rows) * sqrt(share * (1 - share) / rows + Z * Z / (4 * rows * rows))
    return Estimate(share, max(0.0, min(share, middle - reach)), min(1.0, max(share, middle + reach)))
