"""Patches: an image as a sheet of tiles, an operation on each tile, and a sheet cut into views."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from counterpoint.errors import RecipeError, ShapeError
from counterpoint.random import Stream
from counterpoint.types import Policy
from counterpoint.views.crops import patches
from counterpoint.views.op import Images, as_float

__all__ = ["EachTile", "Tiles", "cut"]


@dataclass(frozen=True)
class Tiles:
    """Square patches at even distances, overlapping where the stride is below the patch, laid out as one sheet.

    Of an image of side n the sheet has (n - patch) // stride + 1 tiles a side. `Views(grids=…)` cuts it into views.

    Source: van den Oord et al. 2018, arXiv:1807.03748, section 3.2 (7 x 7 patches of 64 px, stride 32).

    Args:
        patch: side of a tile, in pixels.
        stride: between neighbours, in pixels.

    Example:
        >>> Tiles(8, 4).after(32, 32)
        (56, 56)
    """

    patch: int
    stride: int

    def __post_init__(self) -> None:
        if min(self.patch, self.stride) < 1:
            raise RecipeError(f"Tiles(patch={self.patch}, stride={self.stride}): both must be at least 1 pixel")

    def after(self, height: int, width: int) -> tuple[int, int]:
        """The sheet's."""
        if min(height, width) < self.patch:
            raise ShapeError(
                f"Tiles(patch={self.patch}) cannot be cut from an image of {height} x {width}; take smaller patches"
            )
        return tuple(((side - self.patch) // self.stride + 1) * self.patch for side in (height, width))  # type: ignore[return-value]

    def draw(self, images: Tensor, stream: Stream) -> tuple[()]:
        """Nothing."""
        return ()

    def apply(self, images: Images, drawn: tuple[()]) -> Float[Tensor, "batch channel tall wide"]:
        """The sheets."""
        x = as_float(images)
        tall, wide = self.after(*x.shape[-2:])
        tiles = x.unfold(2, self.patch, self.stride).unfold(3, self.patch, self.stride)
        return tiles.permute(0, 1, 2, 4, 3, 5).reshape(*x.shape[:2], tall, wide)


@dataclass(frozen=True)
class EachTile:
    """An operation on every tile of a sheet, each tile with a draw of its own.

    Args:
        grid: tiles along a side of the sheet.
        op: what is done; it may change the tiles' size.
    """

    grid: int
    op: Policy

    def __post_init__(self) -> None:
        if self.grid < 1:
            raise RecipeError(f"EachTile(grid={self.grid}): a sheet has at least 1 tile a side")

    def _tile(self, height: int, width: int) -> tuple[int, int]:
        if height % self.grid or width % self.grid:
            raise ShapeError(
                f"a sheet of {height} x {width} pixels cannot be cut into {self.grid} x {self.grid} tiles of one size"
            )
        return height // self.grid, width // self.grid

    def after(self, height: int, width: int) -> tuple[int, int]:
        """As many tiles of the new size."""
        tall, wide = self.op.after(*self._tile(height, width))
        return tall * self.grid, wide * self.grid

    def draw(self, images: Tensor, stream: Stream) -> Any:
        """The operation's draws, [batch, tile, …]."""
        batch, channels, height, width = images.shape
        cells = self.grid**2
        one = torch.empty(1, channels, 1, 1, dtype=images.dtype, device=images.device)
        drawn = self.op.draw(one.expand(batch * cells, -1, *self._tile(height, width)), stream)
        return _each(drawn, lambda t: t.view(batch, cells, *t.shape[1:]))

    def apply(self, images: Images, drawn: Any) -> Float[Tensor, "batch channel tall wide"]:
        """The sheets with their tiles changed."""
        x = as_float(images)
        self._tile(*x.shape[-2:])
        made = self.op.apply(patches(x, self.grid), _each(drawn, lambda t: t.flatten(0, 1)))
        tiles = made.unflatten(0, (len(x), self.grid, self.grid)).permute(0, 3, 1, 4, 2, 5)
        return tiles.reshape(len(x), made.shape[1], self.grid * made.shape[2], self.grid * made.shape[3])


def _each(drawn: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """The same structure with every tensor changed."""
    if isinstance(drawn, Tensor):
        return change(drawn)
    if isinstance(drawn, tuple):
        parts = [_each(part, change) for part in drawn]
        return type(drawn)(*parts) if hasattr(drawn, "_fields") else tuple(parts)
    return drawn


def cut(sheet: Float[Tensor, "batch channel height width"], grid: int) -> list[Tensor]:
    """The tiles of a sheet as views, row by row: each is one tile of every image.

    Raises:
        ShapeError: the sheet is not divisible by the grid.
    """
    if grid == 1:
        return [sheet]
    return list(patches(sheet, grid).unflatten(0, (len(sheet), grid**2)).unbind(1))
