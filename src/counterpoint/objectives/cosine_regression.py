"""Cosine regression: a row points where another points, and nothing repels."""

from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from counterpoint.errors import RecipeError
from counterpoint.objectives._aligned import aligned, precise, same_shape
from counterpoint.sphere import Cosine, unit
from counterpoint.types import Loss, Match

__all__ = ["CosineRegression", "cosine_regression"]


def cosine_regression(
    p: Float[Tensor, "row dim"], z: Float[Tensor, "other width"], *, scale: float = 1.0, offset: float = 0.0
) -> Float[Tensor, ""]:
    """Mean over rows of scale * (offset - cos(p, z)).

    With scale 2 and offset 1 it is |p - z|^2 of unit rows. By itself it is best where all rows point one way: what
    keeps them apart is a z that takes no gradient, and a predictor that made p.

    Source: Grill et al. 2020, equation 2 (scale 2, offset 1); Chen and He 2021, equation 1 (scale 1, offset 0).

    Args:
        p: predictions.
        z: what they shall equal; row i of both belong together. Lengths do not matter.
        scale: > 0.
        offset: the cosine at which it is 0.

    Raises:
        ShapeError: the rows do not fit.
        RecipeError: a scale that is not above 0.

    Example:
        >>> import torch
        >>> p, z = torch.tensor([[2.0, 0.0]]), torch.tensor([[3.0, 4.0]])
        >>> round(cosine_regression(p, z, scale=2.0, offset=1.0).item(), 6)
        0.8
    """
    same_shape("cosine_regression", p, z)
    _check(scale)
    one, other = precise(p, z)
    return scale * (offset - (unit(one) * unit(other)).sum(1)).mean()


@dataclass(frozen=True)
class CosineRegression:
    """`cosine_regression` of all matches: the mean over anchors.

    SimSiam is `CosineRegression()`: -(cos(p1, z2) + cos(p2, z1)) / 2. BYOL is `CosineRegression(scale=4, offset=1)`:
    (2 - 2 cos(p1, z2)) + (2 - 2 cos(p2, z1)), the sum of both directions. So BYOL = 4 + 4 SimSiam.

    Args:
        scale: > 0, of the mean over anchors.
        offset: the cosine at which the loss is 0.
    """

    scale: float = 1.0
    offset: float = 0.0

    def __post_init__(self) -> None:
        _check(self.scale)

    def __call__(self, matches: Sequence[Match]) -> Loss:
        """The weighted mean."""
        if not all(isinstance(group.score, Cosine) for match in matches for group in match.columns):
            raise RecipeError("the cosine regression is one of cosines; set score=counterpoint.scores:Cosine")
        return aligned("the cosine regression", matches, self._cost)

    def _cost(self, p: Tensor, z: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        return cosine_regression(p, z, scale=self.scale, offset=self.offset), {}


def _check(scale: float) -> None:
    if not scale > 0:
        raise RecipeError(f"the scale is {scale}, but it must be above 0, else the rows are driven apart; 1 is usual")
