"""Grey glyphs in a colour that says nothing about what they are."""

import math
from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from counterpoint.errors import SourceError
from counterpoint.random import Streams
from counterpoint.types import Dataset, Images, Source, Split

__all__ = ["Tinted", "colours", "tints"]

Side = Literal["train", "test", "unlabelled"]

SATURATION = 0.8
_ROWS = 4096


def tints(count: int, seed: int = 0, split: Side = "train") -> Float[Tensor, " image"]:
    """Hue of each image of a split, an angle of HSV's circle in [0, 2 pi): drawn uniformly, whatever the images show.

    Args:
        count: images of the split.
        seed: of the source.
        split: which one; each has draws of its own.
    """
    return Streams(seed).at(f"tints {split}").uniform(count) * (2 * math.pi)


def colours(hue: Float[Tensor, " image"]) -> Float[Tensor, "image 3"]:
    """Red, green and blue of hues at full value and the saturation of the tints.

    Args:
        hue: angles of HSV's circle, in radians.
    """
    sixth = hue[:, None] * (3 / math.pi)
    distance = ((sixth - torch.tensor([0.0, 2.0, 4.0]) + 3) % 6 - 3).abs()
    return 1 - SATURATION * (distance - 1).clamp(0, 1)


@dataclass(frozen=True)
class Tinted:
    """The images of a source of grey ones, each tinted by a hue drawn independently of its class.

    Saturation is 0.8 and value 1, so that the largest channel is the grey image itself: nothing but the hue is added,
    and the dark ground stays dark.

    Args:
        source: of images of one channel.
        seed: of the hues.
    """

    source: Source
    seed: int = 0

    def load(self) -> Dataset:
        """The tinted data set, in memory.

        Raises:
            SourceError: the images have colours already, or views that were made once.
        """
        dataset = self.source.load()
        channels = dataset.train.images.shape[1]
        if channels != 1:
            raise SourceError(
                f"Tinted needs grey images of one channel, but {dataset.name!r} has {channels}; name a grey source"
            )
        if dataset.train.views:
            raise SourceError(
                f"Tinted cannot tint the views that {dataset.name!r} has made already; tint the source inside of it"
            )
        return replace(
            dataset,
            name=f"tinted {dataset.name}",
            train=self._tinted(dataset.train, "train"),
            test=self._tinted(dataset.test, "test"),
            unlabelled=None if dataset.unlabelled is None else self._tinted(dataset.unlabelled, "unlabelled"),
        )

    def _tinted(self, split: Split, side: Side) -> Split:
        return replace(split, images=_painted(split.images, colours(tints(len(split), self.seed, side))))


def _painted(images: Tensor | Images, colours: Float[Tensor, "image 3"]) -> UInt8[Tensor, "image 3 height width"]:
    painted = torch.empty(len(images), 3, *images.shape[2:], dtype=torch.uint8)
    for start in range(0, len(images), _ROWS):
        rows = slice(start, start + _ROWS)
        painted[rows] = (images[rows] * colours[rows, :, None, None]).round().to(torch.uint8)
    return painted
