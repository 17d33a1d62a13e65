"""A part of the training images in the test images' place, so that choices are made without these."""

from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from jaxtyping import Bool
from torch import Tensor

from counterpoint.errors import SourceError
from counterpoint.random import Stream, Streams
from counterpoint.studies.restricted import Restricted
from counterpoint.types import Dataset, Source, Split

__all__ = ["HeldOut", "whole_of"]


@dataclass(frozen=True)
class HeldOut:
    """The training images of a source, a seeded share of them as test images; the source's own test is not read.

    Images of one group (a patient, a burst) stay on one side.

    Args:
        source: of the images.
        share: of the training images that is held out, in (0, 1).
        seed: of the draw.
    """

    source: Source
    share: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise SourceError(f"HeldOut(share={self.share}): give a share of the training images between 0 and 1")

    def load(self) -> Dataset:
        """The data with another split.

        Raises:
            SourceError: too few training images, or groups, for both sides.
        """
        whole = self.source.load()
        held = _held(whole.train, self.share, Streams(self.seed).at("held out"))
        if not 0 < int(held.sum()) < len(held):
            raise SourceError(
                f"{whole.name!r} has {len(whole.train)} training images, and {self.share:g} of them cannot be held out "
                "so that both sides have some; give more images, or another share"
            )
        return replace(
            whole,
            train=whole.train.rows(torch.nonzero(~held)[:, 0]),
            test=whole.train.rows(torch.nonzero(held)[:, 0]),
            split=f"{self.share:.0%} of the training images held out by seed {self.seed}; the test images are not used",
        )


@lru_cache(maxsize=2)
def whole_of(source: Source) -> Dataset:
    """The data of which a source is a part, with all its classes and its own test images."""
    while isinstance(source, HeldOut | Restricted):
        source = source.source
    return source.load()


def _held(train: Split, share: float, stream: Stream) -> Bool[Tensor, " image"]:
    """Whether an image is held out: so many images drawn, or so many groups."""
    if train.groups is None:
        units, member = len(train), torch.arange(len(train))
    else:
        found, member = train.groups.unique(return_inverse=True)
        units = len(found)
    chosen = torch.zeros(units, dtype=torch.bool)
    chosen[stream.permutation(units)[: round(share * units)]] = True
    return chosen[member]
