"""Triplets: a positive is to be nearer than a negative, by a margin."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from counterpoint.errors import RecipeError
from counterpoint.objectives._blocks import Scores, mean, weighed
from counterpoint.objectives._plain import require_pairs
from counterpoint.sphere import Euclidean
from counterpoint.types import Loss, Match

__all__ = ["Triplet", "triplet_margin"]


def triplet_margin(
    anchor: Float[Tensor, "triplet dim"],
    positive: Float[Tensor, "near width"],
    negative: Float[Tensor, "far depth"],
    *,
    margin: float,
    swap: bool = False,
    squared: bool = False,
) -> Float[Tensor, ""]:
    """Mean over triplets of max(0, d(a, p) - d(a, n) + margin).

    A loss that stays at the margin means collapse: all rows are one.

    Source: Weinberger and Saul 2009 for the hinge; Schroff et al. 2015 (FaceNet), eq. 2, squared and of unit rows;
    Balntas et al. 2016 for the swap. Equals torch's triplet_margin_loss where not squared.

    Args:
        anchor: one row of each triplet.
        positive: what is to be near it.
        negative: what is to be farther.
        margin: > 0, a distance, or a squared one.
        swap: the negative is compared with the anchor or the positive, whichever is nearer to it.
        squared: distances are squared.

    Raises:
        ShapeError: the rows do not fit.
        RecipeError: the margin is not above 0.

    See also: `Triplet`, as a part of a recipe, with mining.

    Example:
        >>> a, p, n = torch.tensor([[0.0, 0.0]]), torch.tensor([[3.0, 4.0]]), torch.tensor([[0.0, 1.0]])
        >>> round(triplet_margin(a, p, n, margin=1.0).item(), 4)
        5.0
    """
    require_pairs("triplet_margin", anchor=anchor, positive=positive, negative=negative)
    _check(margin)
    score = Euclidean(squared)
    a, p, n = (score.prepare(rows) for rows in (anchor, positive, negative))
    near, far = score.tile(a, p[:, None]), score.tile(a, n[:, None])
    if swap:
        far = torch.maximum(far, score.tile(p, n[:, None]))
    return (far - near + margin).clamp_min(0).mean()


@dataclass(frozen=True)
class Triplet:
    """Mean over triplets of max(0, s(a, n) - s(a, p) + margin), s being the match's score.

    With `Euclidean` scores this is `triplet_margin`, with `Euclidean(squared=True)` FaceNet's, with `Cosine` the
    similarity form. Of each anchor's positives and negatives, `mining` says which triplets the mean is over:

        all                 every pair of a positive and a negative
        hard                the farthest positive with the nearest negative: one triplet for each anchor
        semi-hard           for each positive the nearest negative that is farther than it. Beyond the margin it costs
                            nothing; where no negative is farther, the farthest of them
        distance-weighted   for each positive all negatives, weighted by min(1/q(d), 1/q(0.5)), where d is the distance
                            of directions and q(d) = d^(n-2) (1 - d^2/4)^((n-3)/2) how frequent it is among points on
                            the sphere in n dimensions

    A loss that stays at the margin means collapse: all rows are one. Terms: `active`, the share of these triplets that
    cost something; `positive` and `negative`, their mean distances (squared, or cosines, as the score is).

    Source: Weinberger and Saul 2009; Hermans et al. 2017, eq. 5 (hard, there "batch hard"); Schroff et al. 2015,
    section 3.2 (semi-hard: it takes some negative of the band, here stands the nearest; it says nothing of an empty
    band); Wu et al. 2017, eq. 3 (distance-weighted: it draws one negative, here stands the expectation over the draw).

    Args:
        margin: > 0, in the units of the score.
        swap: a negative is compared with the anchor or the positive, whichever is nearer; for candidates that are
            private to their anchor, with mining "all".
        mining: `all`, `hard`, `semi-hard` or `distance-weighted`.
    """

    holds: ClassVar[str] = "negatives"
    margin: float = 1.0
    swap: bool = False
    mining: Literal["all", "hard", "semi-hard", "distance-weighted"] = "all"

    def __post_init__(self) -> None:
        _check(self.margin)
        if self.mining not in _MINING:
            raise RecipeError(f"mining is {self.mining!r}, expected one of {', '.join(_MINING)}")

    def __call__(self, matches: Sequence[Match]) -> Loss:
        """The weighted mean over triplets."""
        if self.swap and self.mining != "all":
            raise RecipeError(f"swap goes with mining='all', but mining is {self.mining!r}; give swap=false")
        mined = _swapped if self.swap else _MINING[self.mining]
        loss, total = weighed(matches, lambda of: mined(of, self.margin))
        distances = all(isinstance(group.score, Euclidean) for match in matches for group in match.columns)
        sign = -1.0 if distances else 1.0
        terms = {
            "active": mean(total["active"], total["count"]),
            "positive": sign * mean(total["positive"], total["count"]),
            "negative": sign * mean(total["negative"], total["count"]),
        }
        return Loss(loss.total, terms, loss.anchors)


def _check(margin: float) -> None:
    if not margin > 0:
        raise RecipeError(f"the margin is {margin}, but a positive is to be nearer by it; give a number above 0")


def _every(of: Scores, margin: float) -> dict[str, Tensor]:
    return _met(of, of.negative.to(of.score.dtype), margin)


def _met(of: Scores, weight: Float[Tensor, "anchor candidate"], margin: float) -> dict[str, Tensor]:
    """Every positive against every negative, by sorting in place of a cube.

    With b_p = s_p - margin, a triplet costs something where s_n > b_p. Hence cost = sum_n w_n C_n s_n - sum_p W_p b_p,
    where C_n counts the positives with b_p < s_n, and W_p sums the weights of the negatives with s_n > b_p: those that
    stand above p in the order of the positives.

    Args:
        of: scores.
        weight: of each negative; 0 for every other candidate.
        margin: of the hinge.
    """
    positives = of.positives
    bar = of.score.gather(1, positives.column) - margin
    with torch.no_grad():
        ordered, order = bar.masked_fill(~positives.there, torch.inf).sort(1)
        count = torch.searchsorted(ordered, of.score)
        # In float64 from here on, because large sums are subtracted.
        weight, score = weight.double(), of.score.double()
        binned = weight.new_zeros(len(bar), bar.shape[1] + 1).scatter_add_(1, count, weight)
        above = binned.flip(1).cumsum(1).flip(1)
        mass = above[:, :1]
        met = torch.zeros_like(above[:, 1:]).scatter_(1, order, above[:, 1:]).mul_(positives.there)
        number = positives.there.sum(1, keepdim=True)
        near = (bar + margin).masked_fill(~positives.there, 0.0).sum(1, keepdim=True)
        far = torch.linalg.vecdot(weight, score)[:, None]
    return {
        "cost": (weight.mul_(count) * of.score).sum() - (met * bar).sum(),
        "count": (number * mass).sum(),
        "active": met.sum(),
        "positive": (near * mass).sum(),
        "negative": (far * number).sum(),
    }


def _hardest(of: Scores, margin: float) -> dict[str, Tensor]:
    positive = of.score.masked_fill(~of.positive, torch.inf).amin(1)
    negative = of.score.masked_fill(~of.negative, -torch.inf).amax(1)
    return _triplets(positive, negative, of.positive.any(1) & of.negative.any(1), margin)


def _semi_hard(of: Scores, margin: float) -> dict[str, Tensor]:
    positives = of.positives
    positive = of.score.gather(1, positives.column)
    with torch.no_grad():
        ordered, order = of.score.masked_fill(~of.negative, -torch.inf).sort(1)
        farthest = (~of.negative).sum(1, keepdim=True)
        nearest_beyond = torch.searchsorted(ordered, positive) - 1
        place = torch.maximum(nearest_beyond, farthest).clamp_max(of.score.shape[1] - 1)
        chosen = order.gather(1, place)
    whole = positives.there & of.negative.any(1, keepdim=True)
    return _triplets(positive, of.score.gather(1, chosen), whole, margin)


def _distance_weighted(of: Scores, margin: float) -> dict[str, Tensor]:
    square = (2 - 2 * of.cosine()).clamp_min(0).double()
    width = of.width
    log_weight = -_log_density(square, width).clamp_min(_log_density(square.new_tensor(_NEAREST**2), width))
    weight = log_weight.masked_fill(~of.negative, -torch.inf).softmax(1)
    # An anchor without a negative.
    return _met(of, weight.nan_to_num(0.0), margin)


# As far as the density is followed down; the paper's lambda is its inverse there.
_NEAREST = 0.5


def _log_density(square: Float[Tensor, "*pair"], width: int) -> Float[Tensor, "*pair"]:
    """Of squared distances between points spread evenly over the sphere, but for a constant."""
    beyond = (1 - square / 4).clamp_min(1e-12)
    return (width - 2) / 2 * square.clamp_min(1e-24).log() + (width - 3) / 2 * beyond.log()


def _swapped(of: Scores, margin: float) -> dict[str, Tensor]:
    positive, negative = of.score[:, :, None], torch.maximum(of.score[:, None], of.between())
    return _triplets(positive.expand_as(negative), negative, of.positive[:, :, None] & of.negative[:, None], margin)


def _triplets(positive: Tensor, negative: Tensor, whole: Tensor, margin: float) -> dict[str, Tensor]:
    """Scores of triplets, where there is one."""
    cost = (negative - positive + margin).masked_fill(~whole, 0.0).clamp_min(0)
    return {
        "cost": cost.sum(),
        "count": whole.sum(),
        "active": (cost > 0).sum(),
        "positive": positive.detach().masked_fill(~whole, 0.0).sum(),
        "negative": negative.detach().masked_fill(~whole, 0.0).sum(),
    }


_MINING = {"all": _every, "hard": _hardest, "semi-hard": _semi_hard, "distance-weighted": _distance_weighted}
