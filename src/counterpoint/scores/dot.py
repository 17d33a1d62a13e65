"""The inner product of two rows."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from counterpoint.sphere import products

__all__ = ["Dot"]


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
