"""How many directions a representation uses."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from counterpoint.errors import ShapeError
from counterpoint.evaluation.arrays import CELLS, Features, blocks, features, sampled
from counterpoint.evaluation.resampling import Estimate, from_influence
from counterpoint.random import Streams
from counterpoint.sphere import unit
from counterpoint.types import Embeddings

__all__ = ["Spectra", "alpha_req", "effective_rank", "rank_me", "spectra", "spectrum"]

WIDEST = 4096  # above this width a sample of as many rows stands for all, so that no matrix is larger than this squared
RANK_ME_ROWS = 25_600
FLOOR = 1e-4

Matrix = Features | Float[Tensor, " _"] | Float[np.ndarray, " _"]


@dataclass(frozen=True, eq=False)
class _Axes:
    """Principal axes: eigenvalues of the second moment, descending, and the rows that they were made of."""

    eigenvalues: Float64[Tensor, " dim"]
    rows: Float[Tensor, "row width"]
    mean: Float[Tensor, " width"]
    vectors: Float[Tensor, "_ dim"]
    dual: bool
    divisor: int

    def squares(self) -> Iterator[Float[Tensor, "row dim"]]:
        """Squared coordinates of the rows on the axes, a block at a time; their mean is the eigenvalue."""
        if self.dual:
            yield self.vectors.square() * self.eigenvalues * self.divisor
            return
        vectors, mean = self.vectors.to(self.rows), self.mean.to(self.rows)
        for part in blocks(len(self.rows), self.rows.shape[1], CELLS // 4):
            yield ((self.rows[part] - mean) @ vectors).square()


def _axes(rows: Tensor, *, centre: bool, seed: int) -> _Axes:
    dual = rows.shape[1] > WIDEST
    if dual:
        rows = rows[sampled(len(rows), WIDEST, Streams(seed).at("spectrum")).to(rows.device)]
    n, width = rows.shape
    if n < 2:
        raise ShapeError(f"a spectrum needs at least 2 rows, but {n} arrived")
    mean = rows.mean(0, dtype=torch.float64) if centre else rows.new_zeros(width, dtype=torch.float64)
    divisor = n - 1 if centre else n
    side = n if dual else width
    moment = torch.zeros(side, side, dtype=torch.float64, device=rows.device)
    for part in blocks(width if dual else n, side, CELLS // 4):
        block = rows[:, part].double() - mean[part] if dual else (rows[part].double() - mean).T
        moment.addmm_(block, block.T)
    eigenvalues, vectors = torch.linalg.eigh(moment / divisor)
    eigenvalues, vectors = eigenvalues.flip(0), vectors.flip(1)
    noise = float(eigenvalues[0]) * side * torch.finfo(torch.float64).eps
    eigenvalues = torch.where(eigenvalues > noise, eigenvalues, 0.0)
    if dual and n < width:
        eigenvalues, vectors = eigenvalues[: min(n, width)], vectors[:, : min(n, width)]
    return _Axes(eigenvalues, rows, mean, vectors, dual, divisor)


def _entropy_rank(singular: Tensor, floor: float = 0.0) -> Tensor:
    """The exponential of the entropy of singular values as shares of their sum."""
    kept = singular[singular > 0] if floor == 0.0 else singular
    share = kept / kept.sum() + floor
    return (-(share * share.log()).sum()).exp()


def _root(eigenvalues: Tensor) -> Tensor:
    """Singular values; the root of a zero has no slope."""
    positive = eigenvalues > 0
    return torch.where(positive, torch.where(positive, eigenvalues, 1.0).sqrt(), 0.0)


def _participation(eigenvalues: Tensor) -> Tensor:
    return eigenvalues.sum().square() / eigenvalues.square().sum()


def _decay(eigenvalues: Tensor) -> Tensor | None:
    last = min(100, len(eigenvalues) // 2, int((eigenvalues > 0).sum()))
    if last < 6:
        return None
    rank = torch.arange(4, last + 1, dtype=torch.float64, device=eigenvalues.device)
    weight = 1 / rank
    weight = weight / weight.sum()
    x, y = -rank.log(), eigenvalues[3:last].log()
    x = x - (weight * x).sum()
    return (weight * x * (y - (weight * y).sum())).sum() / (weight * x * x).sum()


def spectrum(x: Features, *, seed: int = 0) -> Float64[Tensor, " dim"]:
    """Singular values of the covariance of the unit rows, descending.

    Centred, divisor n - 1, in float64. A cliff in log(s / s_1) is dimensional collapse.

    Source: Jing et al. 2022, section 3.

    Args:
        x: at least 2 rows. Where the width is above 4,096, as many rows are drawn and stand for all.
        seed: of that draw.

    Raises:
        ShapeError: fewer than 2 rows.
    """
    return _axes(unit(features(x)), centre=True, seed=seed).eigenvalues


def effective_rank(x: Matrix) -> float:
    """The exponential of the entropy of the singular values as shares of their sum: in [1, min(n, D)].

    Source: Roy & Vetterli 2007.

    Args:
        x: singular values, or a matrix whose singular values are taken as it stands (nothing is centred or normalised).

    Raises:
        ShapeError: all are zero.

    Example:
        >>> round(effective_rank(torch.tensor([3.0, 1.0])), 6)
        1.754765
    """
    singular = _singular_values(x)
    if not (singular > 0).any():
        raise ShapeError("the effective rank of a matrix of zeros is undefined; every row that arrived is zero")
    return float(_entropy_rank(singular))


def _singular_values(x: Matrix) -> Tensor:
    if isinstance(x, Embeddings) or x.ndim == 2:
        rows = features(x)
        return torch.linalg.svdvals(rows.double()) if rows.numel() <= CELLS // 8 else _root(_uncentred(rows, 0))
    return torch.as_tensor(x).double()


def _uncentred(rows: Tensor, seed: int) -> Tensor:
    return _axes(rows, centre=False, seed=seed).eigenvalues


def rank_me(x: Features, *, rows: int = RANK_ME_ROWS, seed: int = 0) -> float:
    """The effective rank of the uncentred features, shares raised by 1e-7; it follows accuracy without labels.

    Source: Garrido et al. 2023, eq. 1.

    Args:
        x: at least 2 rows, better more than the width.
        rows: at most so many, drawn without replacement.
        seed: of that draw.

    Raises:
        ShapeError: fewer than 2 rows, or all are zero.
    """
    every = features(x)
    kept = every[sampled(len(every), rows, Streams(seed).at("rank_me")).to(every.device)]
    singular = _root(_uncentred(kept, seed))
    if not (singular > 0).any():
        raise ShapeError("RankMe of a matrix of zeros is undefined; every row that arrived is zero")
    return float(_entropy_rank(singular, 1e-7))


def alpha_req(x: Matrix) -> float:
    """How fast the eigenvalues decay: lambda_i ~ i^-alpha. Near 1 is favourable.

    Least squares of log lambda_i on -log i with weights 1/i, over ranks 4 to min(100, D/2).

    Source: Agrawal et al. 2022; the range of ranks is that of the authors' code, shortened for small widths.

    Args:
        x: eigenvalues in descending order, or features, whose unit rows' covariance is taken.

    Raises:
        ShapeError: fewer than 12 dimensions, or fewer than 6 that vary.
    """
    plain = not isinstance(x, Embeddings) and x.ndim == 1
    eigenvalues = torch.as_tensor(x).double() if plain else spectrum(features(x))
    alpha = _decay(eigenvalues)
    if alpha is None:
        raise ShapeError(
            f"alpha-ReQ fits ranks 4 to D/2 and needs at least 12 dimensions of which 6 vary; {len(eigenvalues)} "
            f"arrived, {int((eigenvalues > 0).sum())} of them above zero"
        )
    return float(alpha)


@dataclass(frozen=True, eq=False)
class Spectra:
    """All that the spectrum says, with intervals; None where it is undefined.

    Args:
        singular: of the covariance of the unit rows, descending.
        effective_rank: of the centred unit rows.
        rank_me: of the features as they are.
        alpha_req: decay of the covariance's eigenvalues.
        dimensions: how many singular values of the covariance are above 1e-4 of the largest.
        participation: (sum lambda)^2 / sum lambda^2.
    """

    singular: Float64[Tensor, " dim"]
    effective_rank: Estimate | None
    rank_me: Estimate | None
    alpha_req: Estimate | None
    dimensions: Estimate | None
    participation: Estimate | None


def _smooth(axes: _Axes, statistics: list[tuple[Tensor | None, float, float]], known: Tensor) -> list[Estimate | None]:
    """Values of functions of the eigenvalues with intervals from the influence of each row.

    Row i moves eigenvalue k by (v_k . x_i)^2 - lambda_k, to first order in 1/n.
    """
    there = [value for value, _, _ in statistics if value is not None]
    slopes = torch.stack([torch.autograd.grad(value, known, retain_graph=True)[0] for value in there], 1)
    n, variance = 0, torch.zeros(len(there), dtype=torch.float64, device=slopes.device)
    centre = known.detach() @ slopes
    for squares in axes.squares():
        variance += (squares.double() @ slopes - centre).square().sum(0)
        n += len(squares)
    found = iter((variance / n**2).tolist())
    return [
        None if value is None else from_influence(float(value.detach()), next(found), low, high)
        for value, low, high in statistics
    ]


def _dimensions(axes: _Axes) -> Estimate:
    """How many eigenvalues are surely, and possibly, above the floor: each log ratio with its own interval."""
    eigenvalues = axes.eigenvalues
    alive = eigenvalues > 0
    relative = torch.where(alive, 1 / torch.where(alive, eigenvalues, 1.0), 0.0)
    variance = torch.zeros_like(eigenvalues)
    n = 0
    for squares in axes.squares():
        share = squares * relative.to(squares)
        variance += (share - share[:, :1]).square().sum(0, dtype=torch.float64)
        n += len(squares)
    reach = 1.959964 * variance.sqrt() / n
    ratio = torch.where(alive, eigenvalues / eigenvalues[0], 0.0).log() - torch.tensor(FLOOR).double().log()
    count = [int((ratio > 0).sum()), int((ratio > reach).sum()), int((ratio > -reach).sum())]
    return Estimate(float(count[0]), float(max(1, count[1])), float(count[2]))


def spectra(x: Features, *, seed: int = 0) -> Spectra:
    """Every measure of the spectrum, with intervals from the influence of each row: two eigendecompositions in all."""
    every = features(x)
    axes = _axes(unit(every), centre=True, seed=seed)
    largest = float(min(len(axes.rows), every.shape[1]))
    if not bool(axes.eigenvalues[0] > 0):
        return Spectra(axes.eigenvalues, None, None, None, None, None)
    known = axes.eigenvalues.clone().requires_grad_()
    with torch.enable_grad():
        statistics = [
            (_entropy_rank(_root(known)), 1.0, largest),
            (_decay(known), 0.0, float("inf")),
            (_participation(known), 1.0, largest),
        ]
        rank, alpha, participation = _smooth(axes, statistics, known)
    dimensions = _dimensions(axes)

    kept = every[sampled(len(every), RANK_ME_ROWS, Streams(seed).at("rank_me")).to(every.device)]
    raw = _axes(kept, centre=False, seed=seed)
    known = raw.eigenvalues.clone().requires_grad_()
    with torch.enable_grad():
        [rank_me_] = _smooth(raw, [(_entropy_rank(_root(known), 1e-7), 1.0, largest)], known)
    return Spectra(axes.eigenvalues, rank, rank_me_, alpha, dimensions, participation)
