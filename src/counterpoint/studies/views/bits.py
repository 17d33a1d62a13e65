"""A made-up source whose images are bits, some of which are the class, and views that share chosen ones."""

from dataclasses import dataclass
from math import log
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from counterpoint.errors import RecipeError, SourceError
from counterpoint.random import Stream, Streams
from counterpoint.types import Dataset, Images, Split
from counterpoint.views import Chain, Noise, Views, as_float

__all__ = ["Bits", "Redrawn", "bit_views", "bits_of", "shared_nats"]

GRID, BLOCK = 4, 4  # blocks of a side, pixels of a block's side
DARK, BRIGHT = 102, 153  # of a block whose bit is 0 or 1
NOISE = 0.3  # standard deviation in a view, against 0.2 between dark and bright


@dataclass(frozen=True)
class Bits:
    """Images of 4 x 4 blocks, each dark or bright by a fair coin; the first bits are the class, those unused are dark.

    Args:
        relevant: bits that are the class, at least 1.
        irrelevant: further ones, at least 1; at most 16 in all.
        train, test: images.
        seed: of the coins.
    """

    relevant: int = 3
    irrelevant: int = 9
    train: int = 4096
    test: int = 2048
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.relevant, self.irrelevant, self.train, self.test) < 1:
            raise SourceError(f"{self}: give 1 or more of each")
        if self.relevant + self.irrelevant > GRID**2:
            raise SourceError(f"{self}: an image has room for {GRID**2} bits")

    def load(self) -> Dataset:
        """The images, in memory."""
        train, test = (self._split(side, count) for side, count in (("train", self.train), ("test", self.test)))
        classes = tuple(f"{i:0{self.relevant}b}" for i in range(2**self.relevant))
        return Dataset("bits", "glyphs", train, test, classes, split="drawn apart; the same bits may be on both sides")

    def _split(self, side: str, count: int) -> Split:
        bits = Streams(self.seed).at(f"bits {side}").uniform(count, self.relevant + self.irrelevant) < 0.5
        label = (bits[:, : self.relevant].long() * 2 ** torch.arange(self.relevant - 1, -1, -1)).sum(1)
        level = torch.full((count, GRID**2), DARK, dtype=torch.uint8)
        level[:, : bits.shape[1]][bits] = BRIGHT
        return Split(_blown(level.view(count, 1, GRID, GRID)), label)


def _blown(blocks: Tensor) -> Tensor:
    return blocks.repeat_interleave(BLOCK, -2).repeat_interleave(BLOCK, -1)


def bits_of(images: Tensor | Images, count: int) -> Bool[Tensor, "image bit"]:
    """The bits that images of `Bits` show.

    Args:
        images: without noise.
        count: bits of an image.
    """
    return (images[:][:, 0, ::BLOCK, ::BLOCK].flatten(1) == BRIGHT)[:, :count]


class RedrawnDraw(NamedTuple):
    """Parameters of `Redrawn` for each sample and bit."""

    fresh: Bool[Tensor, "batch bit"]
    bright: Bool[Tensor, "batch bit"]


@dataclass(frozen=True)
class Redrawn:
    """Some bits are drawn anew, each with a chance of its own, whatever they were.

    Args:
        first, last: bits that may be, from `first` to before `last`.
        chance: for each, in [0, 1].
    """

    first: int
    last: int
    chance: float

    def __post_init__(self) -> None:
        if not 0 <= self.first < self.last <= GRID**2 or not 0 <= self.chance <= 1:
            raise RecipeError(f"{self} is not possible: give bits within {GRID**2} and a chance in [0, 1]")

    def after(self, height: int, width: int) -> tuple[int, int]:
        """Unchanged."""
        return height, width

    def draw(self, images: Tensor, stream: Stream) -> RedrawnDraw:
        """Which bits are drawn anew, and what they become."""
        shape = (len(images), self.last - self.first)
        draws = [stream.uniform(*shape).to(images.device) for _ in range(2)]
        return RedrawnDraw(draws[0] < self.chance, draws[1] < 0.5)

    def apply(self, images: Images | Tensor, drawn: RedrawnDraw) -> Float[Tensor, "batch channel height width"]:
        """Blocks painted anew."""
        seen = as_float(images[:])
        shape = (len(seen), GRID**2)
        fresh, level = (torch.zeros(shape, device=seen.device) for _ in range(2))
        fresh[:, self.first : self.last] = drawn.fresh.float()
        level[:, self.first : self.last] = torch.where(drawn.bright, BRIGHT / 255, DARK / 255)
        square = (len(seen), 1, GRID, GRID)
        return torch.where(_blown(fresh.view(square)) > 0, _blown(level.view(square)), seen)


def bit_views(relevant: int, irrelevant: int, first: float, second: float) -> Views:
    """Two views, in each of which bits are drawn anew, under noise of its own.

    Args:
        relevant: bits, as in `Bits`.
        irrelevant: likewise.
        first: chance that a relevant bit is drawn anew.
        second: that an irrelevant one is.
    """
    ops = (
        Redrawn(0, relevant, first),
        Redrawn(relevant, relevant + irrelevant, second),
        Noise((NOISE, NOISE)),
    )
    return Views.twice(Chain(ops))


def shared_nats(bits: int, chance: float) -> float:
    """What two views share of so many fair bits, each drawn anew with a chance in either view, were there no noise.

    Args:
        bits: how many.
        chance: in [0, 1].

    Example:
        >>> round(shared_nats(3, 0.0), 4), shared_nats(3, 1.0)
        (2.0794, 0.0)
    """
    differ = chance * (1 - chance / 2)
    entropy = -sum(p * log(p) for p in (differ, 1 - differ) if p > 0)
    return max(0.0, bits * (log(2) - entropy))
