"""A fully connected encoder."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from torch import nn

from counterpoint.errors import RecipeError
from counterpoint.types import Facts

__all__ = ["MLP"]


@dataclass(frozen=True)
class MLP:
    """Pixels in one row, then linear layers with an activation after each; the last hidden layer is the representation.

    Source: Nissani's hyper-separability study has 784-400-400 and a last linear layer, 400-100, which is the projector
    here. The activation is not stated there; ReLU is our choice.

    Args:
        hidden: widths, at least one.
        activation: after each layer.
    """

    hidden: tuple[int, ...] = (400, 400)
    activation: Literal["relu", "tanh"] = "relu"

    def __post_init__(self) -> None:
        if not self.hidden or any(width < 1 for width in self.hidden):
            raise RecipeError(f"MLP(hidden={self.hidden}): give at least one width, each 1 or more")
        if self.activation not in ("relu", "tanh"):
            raise RecipeError(f"MLP(activation={self.activation!r}): take relu or tanh")

    @property
    def width(self) -> int:
        """Of the last hidden layer."""
        return self.hidden[-1]

    def build(self, facts: Facts) -> nn.Sequential:
        """A module from [row, channel, size, size] to [row, width]."""
        layers: list[nn.Module] = [nn.Flatten()]
        for before, after in pairwise((facts.channels * facts.size**2, *self.hidden)):
            layers += [nn.Linear(before, after), nn.ReLU(inplace=True) if self.activation == "relu" else nn.Tanh()]
        return nn.Sequential(*layers)
