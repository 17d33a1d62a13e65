"""VICReg: views are near, every dimension varies, and no two dimensions vary together."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from counterpoint.errors import RecipeError
from counterpoint.objectives._aligned import aligned, precise, same_shape, square_sum
from counterpoint.types import Loss, Match

__all__ = ["VICReg", "vicreg"]


def vicreg(
    x: Float[Tensor, "row dim"],
    y: Float[Tensor, "other width"],
    *,
    invariance: float = 25.0,
    variance: float = 25.0,
    covariance: float = 1.0,
) -> Float[Tensor, ""]:
    """Of two views: invariance * s + variance * (v(x) + v(y)) / 2 + covariance * (c(x) + c(y)).

    s is the mean square of x - y over rows and dimensions; v the mean over dimensions of max(0, 1 - deviation), with
    deviation = sqrt(variance + 1e-4); c the squares of the covariances of different dimensions, summed and divided by
    the number of dimensions. Variances and covariances are unbiased. Rows are compared as they are, at any length.

    Source: Bardes et al. 2022, equations 1 to 6, with the means and halves of the authors' code, which divides s
    by rows and dimensions, the paper by rows alone, and which halves v.

    Args:
        x: one view, a row for each image.
        y: the other; row i of both are views of one image.
        invariance: weight, >= 0.
        variance: weight, >= 0.
        covariance: weight, >= 0.

    Raises:
        ShapeError: the rows do not fit, or are fewer than two.
        RecipeError: a negative weight.

    Example:
        All rows are 0: only the deviations cost, 25 * (1 - 0.01).

        >>> round(vicreg(torch.zeros(4, 2), torch.zeros(4, 2)).item(), 4)
        24.75
    """
    _check(invariance, variance, covariance)
    terms = _terms(x, y)
    return invariance * terms["invariance"] + variance * terms["variance"] + covariance * terms["covariance"]


@dataclass(frozen=True)
class VICReg:
    """`vicreg` of the two sides of each match; geometry and the other rows are not asked for.

    No mean over anchors: give it matches that hold the rows of all ranks, `OtherViews(both_ways=False, gathered=True)`.
    Terms: `invariance`, `variance` and `covariance`, without their weights.

    Args:
        invariance, variance, covariance: weights, >= 0.
    """

    holds: ClassVar[str] = "variance"
    invariance: float = 25.0
    variance: float = 25.0
    covariance: float = 1.0

    def __post_init__(self) -> None:
        _check(self.invariance, self.variance, self.covariance)

    def __call__(self, matches: Sequence[Match]) -> Loss:
        """The weighted mean over matches."""
        return aligned("VICReg", matches, self._cost)

    def _cost(self, x: Tensor, y: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        terms = _terms(x, y)
        weights = {"invariance": self.invariance, "variance": self.variance, "covariance": self.covariance}
        return torch.stack([weights[name] * term for name, term in terms.items()]).sum(), terms


# Of the authors' code: keeps the slope of a deviation finite at variance 0.
_EPS = 1e-4


def _check(invariance: float, variance: float, covariance: float) -> None:
    if not all(weight >= 0 for weight in (invariance, variance, covariance)):
        raise RecipeError(
            f"vicreg got the weights {invariance}, {variance} and {covariance} for invariance, variance and "
            "covariance; none may be negative"
        )


def _terms(x: Tensor, y: Tensor) -> dict[str, Tensor]:
    same_shape("vicreg", x, y, fewest=2)
    one, other = precise(x, y)
    spreads, overlaps = zip(*(_spread(rows) for rows in (one, other)), strict=True)
    return {
        "invariance": (one - other).square().mean(),
        "variance": torch.stack(spreads).mean(),
        "covariance": torch.stack(overlaps).sum(),
    }


def _spread(rows: Tensor) -> tuple[Tensor, Tensor]:
    """What the deviations lack of 1, and the squares of the covariances."""
    centred = rows - rows.mean(0)
    variances = centred.square().sum(0) / (len(rows) - 1)
    lack = torch.relu(1 - (variances + _EPS).sqrt()).mean()
    off = square_sum(centred, centred) / (len(rows) - 1) ** 2 - variances.square().sum()
    return lack, off / rows.shape[1]
