"""A context for each patch of a grid, from the patches above it and to its left."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from counterpoint.errors import RecipeError, ShapeError
from counterpoint.heads.heads import OfRows
from counterpoint.types import Facts, Rows

__all__ = ["CausalContext"]


class _Causal(nn.Module):
    """A convolution that sees the row above, one place to each side, and of its own row the left and itself."""

    mask: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner = nn.Conv2d(width, width, (2, 3))
        self.register_buffer("mask", torch.tensor([[1.0, 1.0, 1.0], [1.0, 1.0, 0.0]]), persistent=False)

    def forward(self, x: Float[Tensor, "batch width down across"]) -> Float[Tensor, "batch width down across"]:
        return F.conv2d(F.pad(x, (1, 1, 1, 0)), self.inner.weight * self.mask, self.inner.bias)


class _Block(nn.Module):
    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(width, hidden, 1),
            nn.ReLU(inplace=True),
            _Causal(hidden),
            nn.ReLU(inplace=True),
            nn.Conv2d(hidden, width, 1),
        )

    def forward(self, x: Float[Tensor, "batch width down across"]) -> Float[Tensor, "batch width down across"]:
        return x + self.branch(x)


class _Context(OfRows):
    def __init__(self, width: int, hidden: int, grid: int, layers: int) -> None:
        super().__init__()
        self.grid = grid
        self.blocks = nn.Sequential(*(_Block(width, hidden) for _ in range(layers)))

    def forward(self, x: Float[Tensor, "row width"], rows: Rows | None = None) -> Float[Tensor, "row dim"]:
        batch, rest = divmod(len(x), self.grid**2)
        if rest:
            raise ShapeError(
                f"a context of {self.grid} x {self.grid} patches got {len(x)} rows, no multiple of {self.grid**2}; "
                "views and context must speak of one grid"
            )
        maps = x.unflatten(0, (self.grid, self.grid, batch)).permute(2, 3, 0, 1)
        return self.blocks(maps).permute(2, 3, 0, 1).flatten(0, 2)


@dataclass(frozen=True)
class CausalContext:
    """c at a place of the grid is a function of the patches in the rows above and up to that place in its own row.

    Residual blocks of masked convolutions, 1 x 1 to `hidden`, 2 x 3, 1 x 1 back; each sees one row further up. There is
    no norm: one over places would tell of the rows below. The views are the patches of the grid, row by row.

    Source: van den Oord et al. 2018, arXiv:1807.03748, section 3.2: an autoregressive net in the manner of PixelCNN
    (van den Oord et al. 2016, arXiv:1606.05328), of which it gives no sizes.

    Args:
        grid: patches along a side.
        hidden: channels of a masked convolution.
        layers: blocks.
    """

    grid: int = 7
    hidden: int = 128
    layers: int = 3

    def __post_init__(self) -> None:
        if min(self.grid, self.hidden, self.layers) < 1:
            raise RecipeError(
                f"CausalContext(grid={self.grid}, hidden={self.hidden}, layers={self.layers}): each is at least 1"
            )

    @property
    def width(self) -> int:
        """0: as wide as the input."""
        return 0

    def build(self, facts: Facts) -> nn.Module:
        """A module from [row, facts.width] to as much."""
        return _Context(facts.width, self.hidden, self.grid, self.layers)
