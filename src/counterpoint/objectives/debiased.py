"""Debiased contrast: what is drawn as a negative may be of the anchor's class, and the loss knows how often."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from counterpoint.errors import RecipeError
from counterpoint.objectives._blocks import Scores, mean, weighed
from counterpoint.objectives._plain import twins
from counterpoint.objectives._prepared import FLOOR, check, divides, settled
from counterpoint.sphere import Cosine
from counterpoint.types import Columns, Loss, Match, Number

__all__ = ["Debiased", "debiased"]


def debiased(z: Float[Tensor, "row dim"], *, temperature: float, tau_plus: float) -> Float[Tensor, ""]:
    """`nt_xent` with the negatives corrected for those that are positives unknown.

    Mean over rows of -log pos / (pos + N g), with pos = exp(s+ / t) of the twin, N rows of other images, and

        N g = max((sum_n exp(s_n / t) - N tau_plus pos) / (1 - tau_plus), N exp(-1 / t))

    The second is the least that it could be; where it stands, no gradient reaches the negatives.

    Source: Chuang et al. 2020, eq. 7 and 8, and their appendix for more than one positive.

    Args:
        z: rows i and i + n are the two views of image i; their lengths do not matter.
        temperature: > 0, divides a cosine.
        tau_plus: chance that another image is of the anchor's class, in [0, 1): 1 / classes where they are even.
            At 0 this is `nt_xent`; larger than the chance is, it holds most anchors at the bound.

    Raises:
        ShapeError: an odd number of rows.
        RecipeError: a temperature or a chance out of range.

    See also: `Debiased`, as a part of a recipe.

    Example:
        Two identical views of two orthogonal images: log(1 + (2 - 0.2 e^2) / 0.9 / e^2).

        >>> z = torch.eye(2).repeat(2, 1)
        >>> round(debiased(z, temperature=0.5, tau_plus=0.1).item(), 6)
        0.075592
    """
    match = Match(z, (Columns(z, twins("debiased", z), Cosine()),))
    return Debiased(temperature, tau_plus)([match]).total


@dataclass(frozen=True)
class Debiased:
    """`debiased` of any match of cosines: the mean over anchors that have a positive.

    Of several positives each has a term, -log pos / (pos + N g), of which the anchor's is the mean; the correction
    takes the mean of their exponentials. Without any negative the loss is 0. Exact, in memory linear in the rows.
    Term: `bounded`, the share of anchors whose N g stands at its bound; many mean that `tau_plus` is too large.

    Source: Chuang et al. 2020, eq. 7 and 8.

    Args:
        temperature: > 0, dimensionless, divides a cosine.
        tau_plus: chance that a negative is of the anchor's class, in [0, 1).
    """

    holds: ClassVar[str] = "negatives"
    temperature: Number = 0.5
    tau_plus: float = 0.1

    def __post_init__(self) -> None:
        divides(self.temperature)
        if not 0 <= self.tau_plus < 1:
            raise RecipeError(f"tau_plus is {self.tau_plus}, but it is a chance; give a number in [0, 1)")

    def __call__(self, matches: Sequence[Match]) -> Loss:
        """The weighted mean over anchors."""
        temperature = settled(self.temperature)
        for match in matches:
            check(match, temperature)
        if not all(isinstance(group.score, Cosine) for match in matches for group in match.columns):
            raise RecipeError("the debiased loss is bounded for cosines only; set score=counterpoint.scores:Cosine")
        loss, total = weighed(matches, lambda of: _tally(of, temperature, self.tau_plus))
        return Loss(loss.total, {"bounded": mean(total["bounded"], total["count"])}, loss.anchors)


def _tally(of: Scores, temperature: float, tau_plus: float) -> dict[str, Tensor]:
    """All in logarithms: no exponential of a score is ever formed."""
    there = of.positives.there
    number, own = (mask.sum(1).to(of.score.dtype) for mask in (of.negative, there))
    # Without a negative there is nothing to correct, and no cost.
    whole = (own > 0) & (number > 0)
    positive = of.score.gather(1, of.positives.column) / temperature
    level = (of.score / temperature).masked_fill_(~of.negative, FLOOR).logsumexp(1)
    pull = positive.masked_fill(~there, FLOOR).logsumexp(1) - own.clamp_min(1).log() if there.shape[1] else level
    log_number = number.clamp_min(1).log()
    below = pull + log_number + (math.log(tau_plus) if tau_plus else -math.inf) - level
    corrected = level + (-torch.expm1(torch.where(below < 0, below, -1.0))).log() - math.log1p(-tau_plus)
    least = log_number - 1 / temperature
    free = (below < 0) & (corrected >= least)
    repulsion = torch.where(free, corrected, least)
    cost = functional.softplus(repulsion[:, None] - positive).masked_fill(~there, 0.0).sum(1) / own.clamp_min(1)
    return {
        "cost": cost.masked_fill(~whole, 0.0).sum(),
        "count": (own > 0).sum(),
        "bounded": (whole & ~free).sum(),
    }
