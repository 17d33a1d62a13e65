"""What a change of the images does to a representation: how far it moves, and which units go on firing.

A unit fires for an image where it is above a threshold that a small share of all images passes. Of the images that it
fires for, its local rate is how many it still fires for once they are changed; of a unit that the change makes blind,
this is its global rate. Their ratio is the unit's invariance score, and a constant unit has none: it tells nothing, so
that its being unmoved says nothing.

Source: Goodfellow et al. 2009, "Measuring invariances in deep networks", section 3. Ours differs: the change is one
operation at one strength rather than all steps of a path (rates of several strengths may be averaged); the image itself
is no step of it; and a threshold leaves at least ten images, of small test sets more than the usual hundredth.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from counterpoint.errors import ShapeError
from counterpoint.evaluation.arrays import Features, Labels, features
from counterpoint.evaluation.resampling import Estimate, bootstrap, percentiles, resamples
from counterpoint.random import Streams
from counterpoint.sphere import unit

__all__ = ["Invariance", "class_partners", "invariance"]

FEWEST = 10  # images that a unit fires for, where it can
TOP = 0.2  # of the units, the most invariant ones, make the overall score


@dataclass(frozen=True, eq=False)
class Invariance:
    """What one change does.

    Args:
        moved: squared distance from an image to its changed self, over that of two images, of unit rows: 0 unmoved, 1
            as far as another image. The latter distance counts as known.
        kept: local rate, mean of the units that fire.
        score: mean invariance score of the best fifth of the units; 1 would be chance, 1 / rate perfect.
        rate: global rate, mean of the units that fire.
        unit_moved: by unit, the mean square of its change over twice its variance; nan where constant.
        unit_kept: by unit, its local rate; nan where it never fires.
        unit_score: by unit, local over global rate; nan likewise.
    """

    moved: Estimate
    kept: Estimate
    score: Estimate
    rate: float
    unit_moved: Float64[Tensor, " unit"]
    unit_kept: Float64[Tensor, " unit"]
    unit_score: Float64[Tensor, " unit"]


def invariance(
    still: Features, changed: Features, *, rate: float = 0.01, draws: int = 200, seed: int = 0
) -> Invariance:
    """Compare a representation of images with that of the same images changed.

    Args:
        still: of the images as they are.
        changed: row i is the same image, changed.
        rate: share of the images that a unit's threshold lets pass, in (0, 0.5]; more where that is fewer than ten.
            Above a threshold counts as firing and so does below one at the other end: the end is taken at which the
            unit is the more invariant.
        draws: bootstrap resamples over images, with thresholds held fixed.
        seed: of the resamples.

    Raises:
        ShapeError: other shapes, fewer than two images, or a rate out of its range.

    See also: `class_partners`, for another image of the same class as the change.
    """
    one, other = features(still), features(changed)
    if one.shape != other.shape or len(one) < 2:
        raise ShapeError(
            f"invariance got {tuple(one.shape)} and {tuple(other.shape)}; expected the same images twice, at least 2"
        )
    if not 0 < rate <= 0.5:
        raise ShapeError(f"invariance got a firing rate of {rate}; expected a share in (0, 0.5]")
    one, other = one.double(), other.double()
    n = len(one)
    before, after = unit(one), unit(other)
    apart = 2 - 2 * (float(before.sum(0).square().sum()) - n) / (n * (n - 1))
    moved = (before - after).square().sum(1) / apart if apart > 1e-12 else torch.zeros(n, dtype=torch.float64)
    variance = one.var(0)
    constant = variance <= 1e-12 * one.square().mean(0)
    unit_moved = ((one - other).square().mean(0) / (2 * variance)).masked_fill(constant, torch.nan)

    passed = min(n // 2, max(1, round(rate * n), FEWEST))
    ends = [_fires(sign * one, sign * other, passed) for sign in (1.0, -1.0)]
    kept = torch.stack([(fired & still_fires).double().sum(0) / fired.sum(0) for fired, still_fires in ends])
    often = torch.stack([fired.double().mean(0) for fired, _ in ends])
    score = kept / often
    end = score.nan_to_num(-1.0).argmax(0)
    fired, held = (torch.where(end == 0, ends[0][i], ends[1][i]) for i in (0, 1))
    unit_kept, unit_score, often = (t.gather(0, end[None])[0] for t in (kept, score, often))
    live = ~unit_kept.isnan()
    nothing = Estimate(float("nan"), float("nan"), float("nan"))
    overall = (nothing, nothing)
    if bool(live.any()):
        best = unit_score.nan_to_num(-1.0).topk(max(1, round(TOP * int(live.sum())))).indices
        overall = _means(fired.double(), (fired & held).double(), often, live, best, draws, seed)
    return Invariance(
        bootstrap(moved, draws=draws, seed=seed),
        *overall,
        float(often[live].mean()) if bool(live.any()) else 0.0,
        unit_moved,
        unit_kept,
        unit_score,
    )


def _fires(still: Tensor, changed: Tensor, passed: int) -> tuple[Tensor, Tensor]:
    """Above the threshold that so many images pass, before and after; of equal values none or all."""
    threshold = still.kthvalue(len(still) - passed, dim=0).values
    return still > threshold, changed > threshold


def _means(
    fired: Tensor, held: Tensor, often: Tensor, live: Tensor, best: Tensor, draws: int, seed: int
) -> tuple[Estimate, Estimate]:
    """Mean local rate of the living units, and mean score of the best, by resampled images."""

    def of(counts: Tensor) -> Tensor:
        share = (counts @ held) / (counts @ fired)  # nan in a draw without an image that the unit fires for
        return torch.stack((share[:, live].nanmean(1), (share / often)[:, best].nanmean(1)), 1)

    value = of(fired.new_ones(1, len(fired)))[0].tolist()
    low, high = percentiles(torch.cat([of(c.to(fired)) for c in resamples(len(fired), draws, seed)])).tolist()
    kept, score = (Estimate(v, min(v, a), max(v, b)) for v, a, b in zip(value, low, high, strict=True))
    return kept, score


def class_partners(labels: Labels, *, seed: int = 0) -> tuple[Int64[Tensor, " row"], Int64[Tensor, " row"]]:
    """Rows that have another of their class, and for each such another one: every row is once the other.

    Args:
        labels: class of each row, -1 where unknown; those have no partner.
        seed: of the order in which a class is gone round.

    Example:
        >>> [t.tolist() for t in class_partners(torch.tensor([3, 7, 3, -1]))]
        [[0, 2], [2, 0]]
    """
    known = torch.as_tensor(labels).to(torch.int64)
    order = Streams(seed).at("partners").permutation(len(known)).to(known.device)
    order = order[known[order].argsort(stable=True)]
    order = order[known[order] >= 0]
    _, index, size = known[order].unique(return_inverse=True, return_counts=True)
    start = (size.cumsum(0) - size)[index]
    place = torch.arange(len(order), device=known.device) - start
    partner = order[start + (place + 1) % size[index]]
    kept = size[index] > 1
    rows, which = order[kept].sort()
    return rows, partner[kept][which]
