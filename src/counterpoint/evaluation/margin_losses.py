"""The losses of the theory of contrastive learning, of margins: both are 1 where nothing is told apart."""

from dataclasses import dataclass
from math import log, sqrt

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["HINGE", "Hinge", "Logistic", "MarginLoss"]


@dataclass(frozen=True)
class Hinge:
    """max(0, 1 + max_i -v_i): the worst margin counts.

    `reach` is half the largest slope times sqrt(2): r of `bound`.

    Source: Arora et al. 2019, section 2.

    Example:
        >>> Hinge()(torch.tensor([[0.0], [1.0], [-2.0]]))
        tensor([1., 0., 3.])
    """

    name = "hinge"
    reach = 1 / sqrt(2)

    def __call__(self, margin: Float[Tensor, "*row other"]) -> Float[Tensor, "*row"]:
        """Of each row of margins; one of +inf takes no part."""
        return (1 - margin.amin(-1)).clamp_min(0)

    def at_zero(self, others: Float[Tensor, "*row"]) -> Float[Tensor, "*row"]:
        """The loss of so many margins of 0."""
        return torch.ones_like(others)


@dataclass(frozen=True)
class Logistic:
    """log2(1 + sum_i exp(-v_i)): base 2, so that one margin of 0 costs 1.

    Source: Arora et al. 2019, section 2.
    """

    name = "logistic"
    reach = 1 / (sqrt(2) * log(2))

    def __call__(self, margin: Float[Tensor, "*row other"]) -> Float[Tensor, "*row"]:
        """Of each row of margins; one of +inf takes no part."""
        return torch.cat((torch.zeros_like(margin[..., :1]), -margin), -1).logsumexp(-1) / log(2)

    def at_zero(self, others: Float[Tensor, "*row"]) -> Float[Tensor, "*row"]:
        """The loss of so many margins of 0."""
        return torch.log2(1 + others)


MarginLoss = Hinge | Logistic
HINGE = Hinge()
