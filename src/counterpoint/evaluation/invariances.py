"""What a change of the images does to a representation: how far it moves, and which units go on firing.

A unit fires for an image where it is above a threshold that a small share of all images passes. Of the images that it
fires for, its local rate is how many it still fires for once they are changed; of a unit that the change makes blind,
this is its global rate. Their ratio is the unit's invariance score, and a constant unit has none: it tells nothing, so
that its being unmoved says nothing.

Source: Goodfellow et al. 2009, "Measuring invariances in deep networks", section 3. Ours differs: the change is one
operation at one strength rather than all steps of a path (rates of several strengths may be averaged); the image itself
is no step of it; a threshold leaves at least ten images, of small test sets more than the usual hundredth; and what is
chosen, thresholds, the end at which a unit fires and the best units, is chosen on one half of the images and judged on
the other, as the best of many units would be good by chance.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from counterpoint.errors import ShapeError
from counterpoint.evaluation.arrays import Features, Labels, features
from counterpoint.evaluation.resampling import Estimate, bootstrap, wilson
from counterpoint.random import Streams
from counterpoint.sphere import unit

__all__ = ["Invariance", "class_partners", "invariance"]

FEWEST = 10  # images that a unit fires for, where it can
TOP = 0.2  # of the units, the most invariant ones, make the overall score
NOTHING = Estimate(float("nan"), float("nan"), float("nan"))


@dataclass(frozen=True, eq=False)
class Invariance:
    """What one change does.

    Args:
        moved: squared distance from an image to its changed self, over that of two images, of unit rows: 0 unmoved, 1
            as far as another image. The latter distance counts as known. nan where all images are in one place.
        kept: local rate, mean of the units that fire.
        score: mean invariance score of the best fifth of the units; 1 is chance, 1 / rate about perfect.
        rate: global rate, mean of the units that fire.
        unit_kept: by unit, its local rate; nan where it never fires.
        unit_score: by unit, local over global rate, the latter as (fired + 1) / (images + 1), whose inverse is right on
            average; nan likewise.
        unit_moved: by unit, the mean square of its change over twice its variance; nan where constant.
    """

    moved: Estimate
    kept: Estimate
    score: Estimate
    rate: float
    unit_kept: Float64[Tensor, " unit"]
    unit_score: Float64[Tensor, " unit"]
    unit_moved: Float64[Tensor, " unit"]


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
        draws: bootstrap resamples over images, for the movement; the other intervals are Wilson's, of as many images as
            each image's influence tells, with what was chosen held fixed.
        seed: of the halves and of the resamples.

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
    moved = bootstrap((before - after).square().sum(1) / apart, draws=draws, seed=seed) if apart > 1e-12 else NOTHING
    variance = one.var(0)
    constant = variance <= 1e-12 * one.square().mean(0)
    unit_moved = ((one - other).square().mean(0) / (2 * variance)).masked_fill(constant, torch.nan)
    order = Streams(seed).at("halves").permutation(n).to(one.device)
    choose, judge = order[: n // 2], order[n // 2 :]
    sign, threshold, promised = _chosen(one[choose], other[choose], rate)
    fired, still = ((sign * x[judge] > threshold).double() for x in (one, other))
    return Invariance(moved, *_told(fired, fired * still, promised), unit_moved=unit_moved)


def _chosen(still: Tensor, changed: Tensor, rate: float) -> tuple[Tensor, Tensor, Tensor]:
    """Of each unit the end at which it is the more invariant, +1 or -1, its threshold there, and its local rate.

    Above the threshold that so many images pass a unit fires, of equal values for none or all.
    """
    passed = min(len(still) // 2, max(1, round(rate * len(still)), FEWEST))
    ends: list[tuple[Tensor, Tensor]] = []
    for sign in (1.0, -1.0):
        threshold = (sign * still).kthvalue(len(still) - passed, dim=0).values
        fired, held = sign * still > threshold, sign * changed > threshold
        ends.append((threshold, (fired & held).double().sum(0) / fired.sum(0)))
    threshold, kept = (torch.stack(each) for each in zip(*ends, strict=True))
    end = kept.nan_to_num(-1.0).argmax(0)
    return 1.0 - 2.0 * end, threshold.gather(0, end[None])[0], kept.gather(0, end[None])[0]


def _told(
    fired: Tensor, held: Tensor, promised: Tensor
) -> tuple[Estimate, Estimate, float, Float64[Tensor, " unit"], Float64[Tensor, " unit"]]:
    """Mean local rate of the living units, mean score of the best, mean global rate, and both first by unit."""
    n, total = len(fired), fired.sum(0)
    kept, inverse = held.sum(0) / total, (n + 1) / (total + 1)
    live = total > 0
    if not bool(live.any()):
        return NOTHING, NOTHING, 0.0, kept, kept.clone()
    best = promised.masked_fill(~live, -1.0).nan_to_num(-1.0).topk(max(1, round(TOP * int(live.sum())))).indices
    moved = (held - kept * fired) / total
    pulled = inverse * (moved - kept * (fired - total / n) / (total + 1))
    score = kept * inverse

    def mean(each: Tensor, by: Tensor, which: Tensor, most: float) -> Estimate:
        """Of so many independent images as its variance tells, or as any unit fires for where it tells none."""
        share, variance = float(each[which].mean()) / most, float(by[:, which].mean(1).square().sum()) / most**2
        seen = int(fired[:, which].any(1).sum())
        rows = share * (1 - share) / variance if variance > 0 and 0 < share < 1 else seen
        found = wilson(share * rows, rows)
        return Estimate(found.value * most, found.low * most, found.high * most)

    local, overall = mean(kept, moved, live, 1.0), mean(score, pulled, best, float(inverse[best].mean()))
    return local, overall, float(total[live].mean()) / n, kept, score


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
