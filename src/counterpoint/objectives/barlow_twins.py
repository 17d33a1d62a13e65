"""Barlow Twins: each dimension agrees with itself in the other view, and with no other dimension."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from counterpoint.errors import RecipeError
from counterpoint.objectives._aligned import aligned, precise, same_shape, square_sum
from counterpoint.types import Loss, Match

__all__ = ["BarlowTwins", "barlow_twins"]


def barlow_twins(
    x: Float[Tensor, "row dim"], y: Float[Tensor, "other width"], *, redundancy: float = 0.0051, eps: float = 1e-5
) -> Float[Tensor, ""]:
    """sum_j (1 - C_jj)^2 + redundancy * sum_{j != k} C_jk^2, where C_jk is the correlation of x_j and y_k over rows.

    Columns are standardised by the batch's own mean and biased deviation, so that their scale and offset do not matter.
    C is not formed where it is larger than the products of rows, from which the sum of its squares follows.

    Source: Zbontar et al. 2021, equations 1 and 2; lambda and eps of the authors' code.

    Args:
        x: one view, a row for each image.
        y: the other; row i of both are views of one image.
        redundancy: lambda, >= 0: weight of what lies off the diagonal.
        eps: >= 0, added to a variance, so that a constant dimension correlates with none.

    Raises:
        ShapeError: the rows do not fit.
        RecipeError: a negative number.

    Example:
        Two dimensions that are always equal, in both views: the two entries off the diagonal are 1.

        >>> x = torch.tensor([[1.0, 1.0], [1.0, 1.0], [-1.0, -1.0], [-1.0, -1.0]])
        >>> round(barlow_twins(x, x, redundancy=0.0051).item(), 4)
        0.0102
    """
    _check(redundancy, eps)
    total, _ = _parts(x, y, redundancy, eps)
    return total


@dataclass(frozen=True)
class BarlowTwins:
    """`barlow_twins` of the two sides of each match; geometry and the other rows are not asked for.

    No mean over anchors: give it matches that hold the rows of all ranks, `OtherViews(both_ways=False, gathered=True)`.
    Terms: `invariance`, the sum of (1 - C_jj)^2, and `redundancy`, that of the squares off the diagonal, both without
    weight.

    Args:
        redundancy: lambda, >= 0.
        scale: > 0, of the whole loss, which grows with the dimensions; 0.1 or 1/32 suit the usual learning rates of
            optimisers that do not adapt.
        eps: >= 0, added to a variance.
    """

    holds: ClassVar[str] = "itself"
    redundancy: float = 0.0051
    scale: float = 1.0
    eps: float = 1e-5

    def __post_init__(self) -> None:
        _check(self.redundancy, self.eps)
        if not self.scale > 0:
            raise RecipeError(f"BarlowTwins(scale={self.scale}): give a number above 0")

    def __call__(self, matches: Sequence[Match]) -> Loss:
        """The weighted mean over matches."""
        return aligned("Barlow Twins", matches, self._cost)

    def _cost(self, x: Tensor, y: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        total, terms = _parts(x, y, self.redundancy, self.eps)
        return self.scale * total, terms


def _check(redundancy: float, eps: float) -> None:
    if not (redundancy >= 0 and eps >= 0):
        raise RecipeError(f"barlow_twins got redundancy {redundancy} and eps {eps}; neither may be negative")


def _parts(x: Tensor, y: Tensor, redundancy: float, eps: float) -> tuple[Tensor, dict[str, Tensor]]:
    same_shape("barlow_twins", x, y)
    one, other = (_standard(rows, eps) for rows in precise(x, y))
    diagonal = (one * other).mean(0)
    invariance = (1 - diagonal).square().sum()
    off = square_sum(one, other) / len(x) ** 2 - diagonal.square().sum()
    return invariance + redundancy * off, {"invariance": invariance, "redundancy": off}


def _standard(rows: Tensor, eps: float) -> Tensor:
    variance, mean = torch.var_mean(rows, 0, correction=0)
    return (rows - mean) * (variance + eps).rsqrt()
