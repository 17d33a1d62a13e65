"""Alignment and uniformity: views of an image are near, and images spread over the sphere."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from counterpoint.errors import RecipeError
from counterpoint.objectives._aligned import aligned, precise, same_shape
from counterpoint.objectives._blocks import Scores, weighed
from counterpoint.relations import Keyed
from counterpoint.sphere import Cosine, unit
from counterpoint.types import Columns, Loss, Match

__all__ = ["AlignUniform", "align_uniform"]


def align_uniform(
    x: Float[Tensor, "row dim"],
    y: Float[Tensor, "other width"],
    *,
    align: float = 1.0,
    uniform: float = 1.0,
    alpha: float = 2.0,
    t: float = 2.0,
) -> Float[Tensor, ""]:
    """Of unit rows: align * mean_i |x_i - y_i|^alpha + uniform * (u(x) + u(y)) / 2.

    u(x) is the log of the mean of exp(-t |x_i - x_j|^2) over pairs of different rows of one view, never of two. It is
    computed by blocks of rows, without their matrix.

    Source: Wang and Isola 2020, section 4.1; the mean of both views' potentials is the authors' code's.

    Args:
        x: one view, a row for each image.
        y: the other; row i of both are views of one image. Lengths do not matter.
        align: weight, >= 0.
        uniform: weight, >= 0.
        alpha: >= 1, the power of a distance.
        t: in (0, 20], of the Gaussian potential.

    Raises:
        ShapeError: the rows do not fit, or are fewer than two.
        RecipeError: a number out of its range.

    See also: `counterpoint.evaluation.alignment` and `uniformity`, which measure the same.

    Example:
        Two images whose views agree, at a right angle: exp(-2 * 2) between them.

        >>> x = torch.eye(2)
        >>> round(align_uniform(x, x).item(), 4)
        -4.0
    """
    _check(align, uniform, alpha, t)
    terms = _terms(x, y, alpha, t)
    return align * terms["align"] + uniform * terms["uniform"]


@dataclass(frozen=True)
class AlignUniform:
    """`align_uniform` of the two sides of each match.

    No mean over anchors: give it matches that hold the rows of all ranks, `OtherViews(both_ways=False, gathered=True)`.
    Terms: `align` and `uniform`, without their weights.

    Args:
        align, uniform: weights, >= 0.
        alpha: >= 1, the power of a distance.
        t: in (0, 20], of the Gaussian potential.
    """

    holds: ClassVar[str] = "uniform"
    align: float = 1.0
    uniform: float = 1.0
    alpha: float = 2.0
    t: float = 2.0

    def __post_init__(self) -> None:
        _check(self.align, self.uniform, self.alpha, self.t)

    def __call__(self, matches: Sequence[Match]) -> Loss:
        """The weighted mean over matches."""
        return aligned("alignment and uniformity", matches, self._cost)

    def _cost(self, x: Tensor, y: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        terms = _terms(x, y, self.alpha, self.t)
        return self.align * terms["align"] + self.uniform * terms["uniform"], terms


def _check(align: float, uniform: float, alpha: float, t: float) -> None:
    if not (align >= 0 and uniform >= 0):
        raise RecipeError(f"align_uniform got the weights {align} and {uniform}; neither may be negative")
    if not alpha >= 1:
        raise RecipeError(f"align_uniform got alpha {alpha}; below 1 two equal rows have no slope, give 1 or more")
    if not 0 < t <= 20:
        raise RecipeError(
            f"align_uniform got t {t}; give a number above 0 and at most 20, so that float32 holds exp(-4 t)"
        )


def _terms(x: Tensor, y: Tensor, alpha: float, t: float) -> dict[str, Tensor]:
    same_shape("align_uniform", x, y, fewest=2)
    one, other = precise(x, y)
    distance = torch.linalg.vector_norm(unit(one) - unit(other), dim=1)
    return {"align": distance.pow(alpha).mean(), "uniform": (_uniformity(one, t) + _uniformity(other, t)) / 2}


def _uniformity(rows: Tensor, t: float) -> Tensor:
    row = torch.arange(len(rows), device=rows.device)
    nobody = torch.full_like(row, -1)
    match = Match(rows, (Columns(rows, Keyed(nobody, nobody, row, row), Cosine()),))

    def potential(of: Scores) -> dict[str, Tensor]:
        # |x - y|^2 = 2 - 2 cos.
        near = (2 * t * (of.score - 1)).exp().masked_fill(~of.negative, 0.0)
        return {"cost": near.sum(), "count": of.negative.sum()}

    return weighed([match], potential)[0].total.log()
