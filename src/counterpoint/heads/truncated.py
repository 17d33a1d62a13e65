"""A part of the representation stands for it."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from counterpoint.errors import RecipeError
from counterpoint.types import Facts

__all__ = ["Truncated"]


class _First(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, rows: Float[Tensor, "row dim"]) -> Float[Tensor, "row width"]:
        return rows[:, : self.width]


@dataclass(frozen=True)
class Truncated:
    """The first dimensions of what comes in; the others get no gradient from the loss, and nothing is trained here.

    Source: Jing et al. 2022, section 6 (DirectCLR).

    Args:
        width: dimensions kept, >= 1.

    See also: `Identity`, which keeps all.
    """

    width: int

    def __post_init__(self) -> None:
        if self.width < 1:
            raise RecipeError(f"Truncated(width={self.width}): give at least 1 dimension")

    def build(self, facts: Facts) -> nn.Module:
        """A module from [row, facts.width] to [row, width]."""
        if self.width > facts.width:
            raise RecipeError(
                f"a truncated head keeps {self.width} dimensions, but the representation has {facts.width}; give at "
                "most as many"
            )
        return _First(self.width)
