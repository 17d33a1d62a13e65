"""How well numbers can be read from frozen features by a linear map."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from counterpoint.errors import ShapeError
from counterpoint.random import Streams

__all__ = ["Ridge", "fit_ridge", "r_squared"]

PENALTIES = tuple(10.0**power for power in range(-6, 4))
HELD = 5  # one row of so many chooses the penalty


@dataclass(frozen=True, eq=False)
class Ridge:
    """Fitted linear maps from features to numbers.

    Args:
        weight: on standardised features.
        bias: of each number.
        mean, scale: of the standardisation.
        penalty: that was chosen for each number, per row.
    """

    weight: Float64[Tensor, "width number"]
    bias: Float64[Tensor, " number"]
    mean: Float64[Tensor, " width"]
    scale: Float64[Tensor, " width"]
    penalty: Float64[Tensor, " number"]

    def read(self, rows: Float[Tensor, "row width"]) -> Float64[Tensor, "row number"]:
        """The numbers, as far as the features tell them."""
        return (rows.double() - self.mean) / self.scale @ self.weight + self.bias


def fit_ridge(rows: Float[Tensor, "row width"], numbers: Float[Tensor, "row number"], *, seed: int = 0) -> Ridge:
    """Ridge regression of several numbers at once:  mean_i (w x_i + b - y_i)^2 + penalty |w|^2,  x standardised.

    One decomposition of the features' covariance serves all penalties and all numbers. Each number gets the penalty
    that does best on a fifth of the rows, drawn by `seed`, and is then fitted on all of them.

    Source: Hoerl & Kennard 1970.

    Args:
        rows: training features; one that does not vary has no say.
        numbers: what is to be read.
        seed: of the rows that choose the penalty.

    Raises:
        ShapeError: fewer than ten rows.
    """
    if len(rows) < 2 * HELD:
        raise ShapeError(f"a ridge regression got {len(rows)} rows; it needs at least {2 * HELD}")
    x, y = rows.double(), numbers.double()
    mean, scale = x.mean(0), x.std(0, correction=0)
    still = scale <= 1e-7 * (mean.abs() + 1)
    scale = torch.where(still, torch.inf, scale)
    x, centre = (x - mean) / scale, y.mean(0)
    y = y - centre
    order = Streams(seed).at("ridge").permutation(len(x)).to(x.device)
    held, kept = order[: len(x) // HELD], order[len(x) // HELD :]
    gram, cross = x[kept].T @ x[kept], x[kept].T @ y[kept]
    values, vectors = _spectrum(gram / len(kept))
    told = vectors.T @ cross / len(kept)
    seen = x[held] @ vectors
    errors = torch.stack([((seen @ (told / (values + p)[:, None]) - y[held]) ** 2).mean(0) for p in PENALTIES])
    penalty = torch.tensor(PENALTIES, dtype=torch.float64, device=x.device)[errors.argmin(0)]
    values, vectors = _spectrum((gram + x[held].T @ x[held]) / len(x))
    told = vectors.T @ (x.T @ y) / len(x)
    weight = vectors @ (told / (values[:, None] + penalty))
    return Ridge(weight, centre, mean, scale, penalty)


def _spectrum(matrix: Tensor) -> tuple[Tensor, Tensor]:
    values, vectors = torch.linalg.eigh(matrix)
    return values.clamp(min=0), vectors


def r_squared(
    read: Float[Tensor, "row number"],
    numbers: Float[Tensor, "row number"],
    mean: Float[Tensor, " number"] | None = None,
) -> float:
    """Share of the variance that was read:  1 - sum |y - read|^2 / sum |y - mean|^2;  nan where nothing varies.

    Below 0 the mean alone would have done better.

    Args:
        read: from test rows; several numbers are the coordinates of one vector.
        numbers: that are true of them.
        mean: to compare with, where it is not that of these rows.

    Example:
        >>> r_squared(torch.tensor([[1.0], [2.0]]), torch.tensor([[1.0], [3.0]]))
        0.5
    """
    y = numbers.double()
    spread = float(((y - (y.mean(0) if mean is None else mean.double())) ** 2).sum())
    rest = float(((y - read.double()) ** 2).sum())
    return 1 - rest / spread if spread > 1e-12 * len(y) else float("nan")
