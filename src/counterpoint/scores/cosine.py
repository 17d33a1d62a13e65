"""The angle between two rows."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from counterpoint.sphere import products, unit

__all__ = ["Cosine"]


@dataclass(frozen=True)
class Cosine:
    """cos(u, v) = <u, v> / (|u| |v|), in [-1, 1].

    A row of length below 1e-12 has no direction: it scores 0 and gets no gradient.

    Example:
        >>> import torch
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
