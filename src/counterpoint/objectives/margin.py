"""Margin contrast: pairs are pulled together, or pushed until they are a margin apart."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from counterpoint.errors import RecipeError
from counterpoint.objectives._blocks import Scores, pair_sums, pairs
from counterpoint.objectives._plain import require_pairs
from counterpoint.sphere import Euclidean
from counterpoint.types import Loss, Match

__all__ = ["Margin", "margin_contrastive"]


def margin_contrastive(
    x1: Float[Tensor, "pair dim"],
    x2: Float[Tensor, "other width"],
    dissimilar: Bool[Tensor, " label"],
    *,
    margin: float,
) -> Float[Tensor, ""]:
    """Mean over pairs of D^2 / 2 for similar ones, and of max(0, margin - D)^2 / 2 for dissimilar ones.

    Source: Hadsell et al. 2006, eq. 4, which sums over pairs; this is the mean. D is torch's pairwise distance, with
    1e-6 added to each difference, so that the gradient is finite where two rows are one.

    Args:
        x1: one row of each pair.
        x2: the other.
        dissimilar: the paper's Y.
        margin: > 0, a distance; below 2 where rows have length one.

    Raises:
        ShapeError: the rows do not fit.
        RecipeError: the margin is not above 0.

    See also: `Margin`, as a part of a recipe; `cosine_embedding`, of directions.

    Example:
        A dissimilar pair half a margin apart: (1 - 0.5)^2 / 2.

        >>> a, b = torch.tensor([[0.0, 0.0]]), torch.tensor([[0.5, 0.0]])
        >>> round(margin_contrastive(a, b, torch.tensor([True]), margin=1.0).item(), 5)
        0.125
    """
    require_pairs("margin_contrastive", x1=x1, x2=x2, dissimilar=dissimilar)
    _check(margin)
    score = Euclidean()
    distance = -score.tile(score.prepare(x1), score.prepare(x2)[:, None])[:, 0]
    return torch.where(dissimilar, (margin - distance).clamp_min(0), distance).square().mean() / 2


@dataclass(frozen=True)
class Margin:
    """`margin_contrastive` of all pairs of the matches: anchors with their positives, and with their negatives.

    The mean over pairs, each counted once and with its match's weight. Terms: `active`, the share of negative pairs
    nearer than the margin; `positive` and `negative`, the mean distances.

    Source: Hadsell et al. 2006, eq. 4.

    Args:
        margin: > 0, a distance.
    """

    holds: ClassVar[str] = "negatives"
    margin: float = 1.0

    def __post_init__(self) -> None:
        _check(self.margin)

    def __call__(self, matches: Sequence[Match]) -> Loss:
        """The weighted mean over pairs."""
        scores = {group.score for match in matches for group in match.columns}
        if not all(isinstance(score, Euclidean) and not score.squared for score in scores):
            raise RecipeError("the margin loss is one of distances; set score=counterpoint.scores:Euclidean")
        return pairs(matches, self._tally)

    def _tally(self, of: Scores) -> dict[str, Tensor]:
        distance = -of.score
        short = (self.margin - distance).clamp_min(0).masked_fill(~of.negative, 0.0)
        apart = distance.masked_fill(~of.positive, 0.0)
        return pair_sums(of, (apart.square().sum() + short.square().sum()) / 2, short > 0, distance)


def _check(margin: float) -> None:
    if not margin > 0:
        raise RecipeError(f"the margin is {margin}, but it is a distance; give a number above 0")
