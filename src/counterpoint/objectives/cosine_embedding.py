"""Cosine embedding: pairs are pulled to one direction, or pushed until their cosine is below a margin."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from counterpoint.errors import RecipeError
from counterpoint.objectives._blocks import Scores, pair_sums, pairs
from counterpoint.objectives._plain import require_pairs
from counterpoint.sphere import Cosine
from counterpoint.types import Loss, Match

__all__ = ["CosineEmbedding", "cosine_embedding"]


def cosine_embedding(
    x1: Float[Tensor, "pair dim"], x2: Float[Tensor, "other width"], target: Int64[Tensor, " label"], *, margin: float
) -> Float[Tensor, ""]:
    """Mean over pairs of 1 - cos for similar ones, and of max(0, cos - margin) for dissimilar ones.

    Lengths do not matter. Where no coordinate is negative (after a ReLU or a sigmoid) a cosine is at least 0, so that
    margin 0 asks dissimilar rows to have nothing in common.

    Source: torch.nn.CosineEmbeddingLoss, which it equals; a row without a direction has cosine 0 here.

    Args:
        x1: one row of each pair.
        x2: the other.
        target: 1 for similar, -1 for dissimilar.
        margin: in [-1, 1].

    Raises:
        ShapeError: the rows do not fit.
        RecipeError: a margin outside [-1, 1], or another target.

    See also: `CosineEmbedding`, as a part of a recipe; `margin_contrastive`, of distances.

    Example:
        >>> a, b = torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 1.0]])
        >>> round(cosine_embedding(a, b, torch.tensor([1]), margin=0.0).item(), 6)
        0.292893
    """
    require_pairs("cosine_embedding", x1=x1, x2=x2, target=target)
    _check(margin)
    if bool((target.abs() != 1).any()):
        raise RecipeError("cosine_embedding got a target other than 1 (similar) and -1 (dissimilar)")
    score = Cosine()
    cosine = score.tile(score.prepare(x1), score.prepare(x2)[:, None])[:, 0]
    return torch.where(target > 0, 1 - cosine, (cosine - margin).clamp_min(0)).mean()


@dataclass(frozen=True)
class CosineEmbedding:
    """`cosine_embedding` of all pairs of the matches: anchors with their positives, and with their negatives.

    The mean over pairs, each counted once and with its match's weight; one positive and one negative for each anchor
    make both halves weigh the same. Terms: `active`, the share of negative pairs whose cosine is above the margin;
    `positive` and `negative`, the mean cosines.

    Args:
        margin: in [-1, 1], a cosine.
    """

    holds: ClassVar[str] = "negatives"
    margin: float = 0.0

    def __post_init__(self) -> None:
        _check(self.margin)

    def __call__(self, matches: Sequence[Match]) -> Loss:
        """The weighted mean over pairs."""
        if not all(isinstance(group.score, Cosine) for match in matches for group in match.columns):
            raise RecipeError("the cosine embedding loss is one of cosines; set score=counterpoint.scores:Cosine")
        return pairs(matches, self._tally)

    def _tally(self, of: Scores) -> dict[str, Tensor]:
        above = (of.score - self.margin).clamp_min(0).masked_fill(~of.negative, 0.0)
        below = (1 - of.score).masked_fill(~of.positive, 0.0)
        return pair_sums(of, below.sum() + above.sum(), above > 0, of.score)


def _check(margin: float) -> None:
    if not -1 <= margin <= 1:
        raise RecipeError(f"the margin is {margin}, but it is a cosine; give a number in [-1, 1]")
