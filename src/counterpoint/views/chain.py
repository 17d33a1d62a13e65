"""Operations in order, one of several operations, and the views of an image."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from counterpoint.errors import RecipeError, ShapeError
from counterpoint.random import Stream
from counterpoint.types import Policy
from counterpoint.views.blocks import in_blocks
from counterpoint.views.boxes import Box
from counterpoint.views.colour import ColourJitter, Greyscale
from counterpoint.views.crops import ResizedCrop, crop
from counterpoint.views.flips import HFlip, VFlip
from counterpoint.views.op import Images, as_float, chosen, rows, shaped
from counterpoint.views.tiles import EachTile, Tiles, cut
from counterpoint.views.warps import Warp, warp

__all__ = ["Chain", "OneOf", "OneOfDraw", "Views", "cropped"]


class _Run(NamedTuple):
    """Neighbours in a chain that are computed together."""

    first: int
    last: int
    compute: Callable[[Tensor, tuple[Policy, ...], tuple[Any, ...]], Tensor]


def _one(images: Tensor, ops: tuple[Policy, ...], drawn: tuple[Any, ...]) -> Tensor:
    return ops[0].apply(images, drawn[0])


def cropped(images: Tensor, ops: tuple[Policy, ...], drawn: tuple[Any, ...], *, clip: bool = True) -> Tensor:
    """A crop and the flips after it: the flips reverse rows of its matrices."""
    head, box = ops[0], drawn[0]
    assert isinstance(head, ResizedCrop)
    assert isinstance(box, Box)
    turned: dict[type, Tensor] = {}
    for op, flip in zip(ops[1:], drawn[1:], strict=True):
        turned[type(op)] = turned[type(op)] ^ flip if type(op) in turned else flip
    return crop(
        images,
        box,
        head.size,
        interpolation=head.interpolation,
        upside_down=turned.get(VFlip),
        mirrored=turned.get(HFlip),
        clip=clip,
    )


def _warped(images: Tensor, ops: tuple[Policy, ...], drawn: tuple[Any, ...]) -> Tensor:
    return warp(images, [op for op in ops if isinstance(op, Warp)], drawn)


def _movement(op: Policy) -> bool:
    return isinstance(op, Warp) and not isinstance(op, ResizedCrop)


@lru_cache(maxsize=256)
def _plan(ops: tuple[Policy, ...]) -> tuple[_Run, ...]:
    """Cut a chain into runs: crop with flips, movements that share a grid, single operations."""
    runs: list[_Run] = []
    first = 0
    while first < len(ops):
        last = first + 1
        if isinstance(ops[first], ResizedCrop):
            while last < len(ops) and isinstance(ops[last], HFlip | VFlip):
                last += 1
            runs.append(_Run(first, last, cropped))
        else:
            modes: set[str] = set()
            last = first
            while last < len(ops):
                op = ops[last]
                if not isinstance(op, Warp) or not _movement(op):
                    break
                mode = {op.interpolation} if op.interpolation else set[str]()
                if len(modes | mode) > 1:
                    break
                modes |= mode
                last += 1
            if modes:
                runs.append(_Run(first, last, _warped))
            else:
                last = first + 1
                runs.append(_Run(first, last, _one))
        first = last
    return tuple(runs)


@dataclass(frozen=True)
class Chain:
    """Operations in order, itself an operation.

    A crop takes the flips behind it into its own pass, and neighbouring movements (rotate, translate, scale, elastic,
    and flips, pads, centre crops among them) share one resampling grid; everything else is computed as written.

    Args:
        ops: first to last; none leaves the image as it is.
    """

    ops: tuple[Policy, ...] = ()

    def after(self, height: int, width: int) -> tuple[int, int]:
        """Through all operations."""
        for op in self.ops:
            height, width = op.after(height, width)
        return height, width

    def draw(self, images: Tensor, stream: Stream) -> tuple[Any, ...]:
        """The draws of each operation, for images of the size that reaches it."""
        drawn: list[Any] = []
        height, width = images.shape[-2:]
        for op in self.ops:
            drawn.append(op.draw(shaped(images, height, width), stream))
            height, width = op.after(height, width)
        return tuple(drawn)

    def apply(self, images: Images, drawn: tuple[Any, ...]) -> Float[Tensor, "batch plane tall wide"]:
        """All operations; on a CPU block by block of samples that stay in its cache."""
        if len(images) == 0 or images.device.type != "cpu":
            return self._through(images, drawn)
        grouping = [op.alike(own) for op, own in zip(self.ops, drawn, strict=True) if isinstance(op, ColourJitter)]
        order = grouping[0].argsort(stable=True) if grouping else None
        size = self.after(*images.shape[-2:])
        return in_blocks(images, size, lambda some, which: self._through(some, rows(drawn, which)), order)

    def _through(self, images: Tensor, drawn: tuple[Any, ...]) -> Tensor:
        x = as_float(images)
        for run in _plan(self.ops):
            op = self.ops[run.first]
            if isinstance(op, ColourJitter | Greyscale) and _own(x, images):
                x = op.apply_(x, drawn[run.first])
            else:
                x = run.compute(x, self.ops[run.first : run.last], drawn[run.first : run.last])
        return x


def _own(x: Tensor, images: Tensor) -> bool:
    """Whether x is no part of the caller's images and no gradient needs it, so that it may be overwritten."""
    if x.requires_grad or not x.is_contiguous():
        return False
    return x.untyped_storage().data_ptr() != images.untyped_storage().data_ptr()


class OneOfDraw(NamedTuple):
    """Which operation each sample gets, and the draws of every operation."""

    which: Int64[Tensor, " batch"]
    drawn: tuple[Any, ...]


@dataclass(frozen=True)
class OneOf:
    """Exactly one of several operations for each sample, each as likely.

    Args:
        ops: of equal size after; give them p = 1, or a sample may stay as it is.
    """

    ops: tuple[Policy, ...]

    def __post_init__(self) -> None:
        if not self.ops:
            raise RecipeError("OneOf() has nothing to choose from: give at least one operation")

    def after(self, height: int, width: int) -> tuple[int, int]:
        """Unchanged; an operation that changes the size cannot be one of several."""
        for op in self.ops:
            if op.after(height, width) != (height, width):
                raise RecipeError(f"OneOf cannot hold {op}: it changes the size of some samples only")
        return height, width

    def draw(self, images: Tensor, stream: Stream) -> OneOfDraw:
        """Choice, and the draws of all."""
        self.after(*images.shape[-2:])
        which = stream.integers(0, len(self.ops), len(images)).to(images.device)
        return OneOfDraw(which, tuple(op.draw(images, stream) for op in self.ops))

    def apply(self, images: Images, drawn: OneOfDraw) -> Float[Tensor, "batch channel height width"]:
        """Each sample through its operation."""
        x = as_float(images)
        for position, (op, own) in enumerate(zip(self.ops, drawn.drawn, strict=True)):

            def change(part: Tensor, index: Tensor, op: Policy = op, own: Any = own) -> Tensor:
                return op.apply(part, rows(own, index))

            x = chosen(x, drawn.which == position, change)
        return x


@dataclass(frozen=True)
class Views:
    """How each image of a batch is seen: one policy for each view, each with draws of its own.

    Args:
        policies: at least one. Views may differ in size (multi-crop).
        grids: into how many tiles a side each policy's image is cut, every tile a view (patches); empty: none is cut.

    Example:
        >>> views = Views.twice(Chain((HFlip(),)))
        >>> [tuple(v.shape) for v in views(torch.zeros(4, 1, 8, 8, dtype=torch.uint8), Stream(0))]
        [(4, 1, 8, 8), (4, 1, 8, 8)]
    """

    policies: tuple[Policy, ...]
    grids: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not self.policies:
            raise RecipeError("Views() has no policy: give one for each view")
        if self.grids and (len(self.grids) != len(self.policies) or min(self.grids) < 1):
            raise RecipeError(
                f"Views(grids={self.grids}) has {len(self.policies)} policies: give each the tiles a side that its "
                "image is cut into, 1 to leave it whole"
            )

    @staticmethod
    def once(policy: Policy) -> "Views":
        """One view."""
        return Views((policy,))

    @staticmethod
    def twice(policy: Policy) -> "Views":
        """Two views, drawn separately from one policy."""
        return Views((policy, policy))

    @staticmethod
    def tiled(policy: Policy, patch: int, stride: int, size: int, each: tuple[Policy, ...] = ()) -> "Views":
        """Each image once, seen as its overlapping patches: a view for each place, row by row.

        Args:
            policy: of the whole image; it leaves a square.
            patch: its side, in pixels.
            stride: between neighbours, in pixels.
            size: side of what the policy leaves.
            each: done to each patch by itself.
        """
        grid = (size - patch) // stride + 1
        ops = (*(policy.ops if isinstance(policy, Chain) else (policy,)), Tiles(patch, stride))
        own = (EachTile(grid, each[0] if len(each) == 1 else Chain(each)),) if each else ()
        return Views((Chain((*ops, *own)),), (grid,))

    def __len__(self) -> int:
        return sum(grid**2 for grid in self.cuts)

    @property
    def cuts(self) -> tuple[int, ...]:
        """Into how many tiles a side each policy's image is cut; 1: it is left whole."""
        return self.grids or (1,) * len(self.policies)

    def size(self, height: int, width: int) -> tuple[tuple[int, int], ...]:
        """Height and width of each view of an image of this height and width."""
        sizes: list[tuple[int, int]] = []
        for policy, grid in zip(self.policies, self.cuts, strict=True):
            tall, wide = policy.after(height, width)
            sizes += [(tall // grid, wide // grid)] * grid**2
        return tuple(sizes)

    def draw(self, images: Tensor, stream: Stream) -> tuple[Any, ...]:
        """Parameters of every view, in order; `apply` with them gives the same views again."""
        _check(images)
        return tuple(policy.draw(images, stream) for policy in self.policies)

    def apply(self, images: Images, drawn: tuple[Any, ...]) -> list[Tensor]:
        """One float32 tensor in [0, 1] for each view, from parameters drawn before; autocast has no say."""
        with torch.autocast(images.device.type, enabled=False):
            seen = [as_float(policy.apply(images, own)) for policy, own in zip(self.policies, drawn, strict=True)]
            return [view for sheet, grid in zip(seen, self.cuts, strict=True) for view in cut(sheet, grid)]

    def __call__(self, images: Tensor, stream: Stream) -> list[Tensor]:
        """Draw and apply: one float tensor [batch, channel, height, width] in [0, 1] for each view, not normalised."""
        return self.apply(images, self.draw(images, stream))


def _check(images: Tensor) -> None:
    if images.ndim != 4:
        raise ShapeError(
            "views need a batch of images [batch, channel, height, width], but got a tensor of shape "
            f"{list(images.shape)}"
        )
