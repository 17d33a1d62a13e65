"""Squared error: a row equals another row, number by number."""

from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from counterpoint.objectives._aligned import aligned, precise, same_shape
from counterpoint.types import Loss, Match

__all__ = ["SquaredError", "squared_error"]


def squared_error(p: Float[Tensor, "row dim"], z: Float[Tensor, "other width"]) -> Float[Tensor, ""]:
    """Mean over rows and dimensions of (p - z)^2.

    Against answers that are fixed (an image's pixels) its least value by one row for all is their variance.

    Source: Hinton and Salakhutdinov 2006 train autoencoders by reconstruction; the squared error is the usual choice.

    Args:
        p: predictions.
        z: what they shall equal; row i of both belong together.

    Raises:
        ShapeError: the rows do not fit.

    Example:
        >>> import torch
        >>> squared_error(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 2.0]])).item()
        2.5
    """
    same_shape("squared_error", p, z)
    one, other = precise(p, z)
    return (one - other).square().mean()


@dataclass(frozen=True)
class SquaredError:
    """`squared_error` of all matches: the mean over anchors. It reads rows as they are, whatever the score."""

    def __call__(self, matches: Sequence[Match]) -> Loss:
        """The weighted mean."""
        return aligned("the squared error", matches, self._cost)

    def _cost(self, p: Tensor, z: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        return squared_error(p, z), {}
