"""Directions and inner products: the arithmetic that scores, objectives and evaluation share."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["Cosine", "products", "unit"]

_SMALLEST = 1e-12


def unit(rows: Float[Tensor, "*row dim"]) -> Float[Tensor, "*row dim"]:
    """Rows of length one, in float32 or better.

    A row shorter than 1e-12 has no direction: it becomes zero and gets no gradient.

    Example:
        >>> unit(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
        tensor([[0.6000, 0.8000],
                [0.0000, 0.0000]])
    """
    rows = rows.to(torch.promote_types(rows.dtype, torch.float32))
    square = rows.square().sum(-1, keepdim=True)
    alive = square > _SMALLEST**2
    return rows * torch.where(alive, torch.where(alive, square, 1.0).rsqrt(), 0.0)


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
