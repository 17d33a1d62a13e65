"""The least that alignment and uniformity can be on the unit sphere, and how far embeddings are from it."""

from dataclasses import dataclass
from math import exp, log, log1p

from counterpoint.errors import ShapeError
from counterpoint.evaluation.arrays import Features, features
from counterpoint.evaluation.geometry import alignment_rows, uniformity_estimate
from counterpoint.evaluation.resampling import Estimate, bootstrap

__all__ = ["Gaps", "gaps", "least_uniformity", "uniform_logit", "uniform_uniformity"]


def uniform_logit(dim: int, concentration: float) -> float:
    """Of v spread uniformly over the unit sphere of R^dim: log E exp(c u.v) = log 0F1(; dim/2; c^2 / 4).

    With the inverse temperature it is the least that the second term of the contrastive loss's limit can be of any law.

    Source: Wang & Isola 2020, theorem 1 and appendix A; the moment generating function of the von Mises-Fisher law.

    Args:
        dim: >= 2.
        concentration: c, in [0, 500]; above, the function leaves the range of float64.

    Raises:
        ShapeError: a number out of its range.

    Example:
        On the sphere of R^3 it is sinh(c) / c.

        >>> from math import log, sinh
        >>> round(uniform_logit(3, 2.0), 9) == round(log(sinh(2.0) / 2.0), 9)
        True
    """
    from scipy.special import hyp0f1

    if dim < 2 or not 0 <= concentration <= 500:
        raise ShapeError(
            f"the uniform spread was asked for in {dim} dimensions with concentration {concentration:g}; "
            "expected 2 or more, and 0 to 500"
        )
    return log(float(hyp0f1(dim / 2, concentration**2 / 4)))


def uniform_uniformity(dim: int, t: float = 2.0) -> float:
    """Uniformity of a spread without end over the unit sphere of R^dim: -2t + log 0F1(; dim/2; t^2).

    It is the least that a law of points can have, and what many points tend to.

    Source: Wang & Isola 2020, propositions 1 and 2.

    Args:
        dim: >= 2.
        t: > 0, at most 250.

    Example:
        >>> round(uniform_uniformity(128), 6)
        -3.93753
    """
    return -2 * t + uniform_logit(dim, 2 * t)


def least_uniformity(rows: int, dim: int, t: float = 2.0) -> float:
    """The least uniformity of so many points, over distinct pairs; for more than dim + 1 points, a bound below it.

    The mean squared distance of n unit vectors is at most 2n / (n - 1), and the potential is convex in it: equal
    distances, a regular simplex, are best, which fits where n <= dim + 1. With more points the potential over all n^2
    pairs, each point with itself among them, is at least that of the uniform law, because the kernel is positive
    definite; the larger of both bounds is given.

    Args:
        rows: >= 2.
        dim: >= 2.
        t: > 0, at most 250.

    Raises:
        ShapeError: fewer than two points.

    Example:
        Two points do best as antipodes.

        >>> least_uniformity(2, 8)
        -8.0
    """
    if rows < 2:
        raise ShapeError(f"uniformity is over pairs of points, but {rows} was asked for; expected at least 2")
    simplex = -2 * t * rows / (rows - 1)
    mass = rows * exp(uniform_uniformity(dim, t)) - 1
    return simplex if rows <= dim + 1 or mass <= 0 else max(simplex, log(mass) - log1p(rows - 2))


@dataclass(frozen=True)
class Gaps:
    """How far embeddings are from both minima.

    Args:
        alignment: mean squared distance of positive pairs; its minimum is 0.
        uniformity: of the first view.
        gap: of the uniformity, to that of a uniform spread; it may be a little below 0 for few points, which can repel.
        uniform: the uniformity of a uniform spread.
        least: no more rows than these, of this width, can have a uniformity below it.
    """

    alignment: Estimate
    uniformity: Estimate
    gap: Estimate
    uniform: float
    least: float


def gaps(x: Features, y: Features, *, t: float = 2.0, rows: int = 10_000, draws: int = 1000, seed: int = 0) -> Gaps:
    """Alignment of two views and uniformity of the first, beside the least that they can be.

    Args:
        x: one view of each image.
        y: another; row i of both is one image.
        t: of the Gaussian potential.
        rows: at most so many are compared for uniformity.
        draws: bootstrap resamples of the alignment.
        seed: of both.

    Raises:
        ShapeError: other shapes, or fewer than two rows.
    """
    near = bootstrap(alignment_rows(x, y), draws=draws, seed=seed)
    spread = uniformity_estimate(x, t=t, rows=rows, seed=seed)
    count, dim = features(x).shape
    goal = uniform_uniformity(dim, t)
    gap = Estimate(spread.value - goal, spread.low - goal, spread.high - goal)
    return Gaps(near, spread, gap, goal, least_uniformity(min(count, rows), dim, t))
