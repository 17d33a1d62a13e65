"""Directions, inner products and distances: the arithmetic that scores, objectives and evaluation share."""

from dataclasses import dataclass
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

__all__ = ["Cosine", "Dot", "Euclidean", "factor", "products", "unit"]

_SMALLEST = 1e-12


def unit(rows: Float[Tensor, "*row dim"]) -> Float[Tensor, "*row dim"]:
    """Rows of length one, in float32 or better.

    A row shorter than 1e-12 has no direction: it becomes zero and gets no gradient.

    Example:
        >>> unit(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
        tensor([[0.6000, 0.8000],
                [0.0000, 0.0000]])
    """
    return cast(Tensor, _Unit.apply(rows.to(torch.promote_types(rows.dtype, torch.float32))))


class _Unit(torch.autograd.Function):
    """u = x / |x|, and dx = (g - u <u, g>) / |x|: no more than the rows themselves is kept."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        length = torch.linalg.vector_norm(rows, dim=-1, keepdim=True)
        alive = length > _SMALLEST
        shrink = torch.where(alive, torch.where(alive, length, 1.0).reciprocal(), 0.0)
        directions = rows * shrink
        ctx.save_for_backward(directions, shrink)
        return directions

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        directions, shrink = cast(tuple[Tensor, Tensor], ctx.saved_tensors)
        along = torch.linalg.vecdot(directions, upstream).unsqueeze(-1)
        return torch.addcmul(upstream, directions, along, value=-1).mul_(shrink)


def products(
    anchors: Float[Tensor, "anchor dim"], candidates: Float[Tensor, "*candidate dim"]
) -> Float[Tensor, "anchor candidates"]:
    """Inner products of anchors with shared [candidate, dim] or private [anchor, candidate, dim] rows."""
    if candidates.ndim == 3:
        return torch.bmm(candidates, anchors.unsqueeze(-1)).squeeze(-1)
    return anchors @ candidates.mT


@dataclass(frozen=True)
class Cosine:
    """cos(u, v) = <u, v> / (|u| |v|), in [-1, 1].

    A row of length below 1e-12 has no direction: it scores 0 and gets no gradient.

    Example:
        >>> score = Cosine()
        >>> u = score.prepare(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
        >>> score.tile(u, score.prepare(torch.tensor([[2.0, 0.0]])))
        tensor([[0.6000],
                [0.0000]])
    """

    def prepare(self, rows: Float[Tensor, "*row dim"]) -> Float[Tensor, "*row dim"]:
        """Rows of length one, in float32 or better."""
        return unit(rows)

    def tile(
        self, anchors: Float[Tensor, "anchor dim"], candidates: Float[Tensor, "*candidate dim"]
    ) -> Float[Tensor, "anchor candidates"]:
        """Cosines of prepared rows."""
        return products(anchors, candidates)


@dataclass(frozen=True)
class Dot:
    """scale * <u, v>: the logits of a linear layer whose rows are the candidates.

    Args:
        scale: of every score, dimensionless.
    """

    scale: float = 1.0

    def prepare(self, rows: Float[Tensor, "*row dim"]) -> Float[Tensor, "*row dim"]:
        """As they are."""
        return rows

    def tile(
        self, anchors: Float[Tensor, "anchor dim"], candidates: Float[Tensor, "*candidate dim"]
    ) -> Float[Tensor, "anchor candidates"]:
        """Scaled products."""
        return products(anchors if self.scale == 1.0 else anchors * self.scale, candidates)


@dataclass(frozen=True)
class Euclidean:
    """-|u - v|, or -|u - v|^2: the nearer two rows are, the higher they score; 0 is the highest.

    Rows are compared as they are; of unit length they are where the projector ends in a normalisation. Differences are
    formed before they are squared, so that near rows keep their digits.

    Args:
        squared: the square of the distance (FaceNet).
        eps: >= 0, added to each coordinate of the difference, as in torch.nn.functional.pairwise_distance.

    Example:
        >>> score = Euclidean(eps=0.0)
        >>> score.tile(torch.tensor([[0.0, 0.0]]), torch.tensor([[3.0, 4.0], [0.0, 1.0]]))
        tensor([[-5., -1.]])
    """

    squared: bool = False
    eps: float = 1e-6

    def prepare(self, rows: Float[Tensor, "*row dim"]) -> Float[Tensor, "*row dim"]:
        """As they are, in float32 or better."""
        return rows.to(torch.promote_types(rows.dtype, torch.float32))

    def tile(
        self, anchors: Float[Tensor, "anchor dim"], candidates: Float[Tensor, "*candidate dim"]
    ) -> Float[Tensor, "anchor candidates"]:
        """Negative distances of prepared rows; the gradient at distance 0 is finite."""
        if candidates.ndim == 3:
            distance = torch.linalg.vector_norm(anchors.unsqueeze(1) - candidates + self.eps, dim=-1)
        else:
            distance = torch.cdist(anchors + self.eps, candidates, compute_mode="donot_use_mm_for_euclid_dist")
        return -distance.square() if self.squared else -distance


def factor(score: object) -> float | None:
    """The number c of a score whose tile is c * <u, v> of its prepared rows; None for any other score.

    Of such scores an objective knows the derivative. A subclass may have changed its tile, so it counts as another.
    """
    if type(score) is Cosine:
        return 1.0
    return score.scale if type(score) is Dot else None
