"""Images with a cue painted onto them: a cast of colour, or a patch in a corner; tied to the class, or to nothing."""

import math
from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from counterpoint.errors import SourceError
from counterpoint.random import Streams
from counterpoint.studies.tinted import colours
from counterpoint.types import Dataset, Images, Source, Split

__all__ = ["Cue", "Planted", "cues"]

Cue = Literal["cast", "patch"]
Side = Literal["train", "test", "unlabelled"]

CORNER = 0.25  # side of the patch, as a share of the image's
_ROWS = 4096


def cues(
    labels: Int64[Tensor, " image"], values: int, agreement: float | None, *, seed: int = 0, side: Side = "train"
) -> Int64[Tensor, " image"]:
    """The cue's value for each image, in [0, values).

    Args:
        labels: class of each image, in [0, values) where the cue is tied to it.
        values: how many there are.
        agreement: share of the images whose value is their class, drawn for each; all other values are as likely as one
            another. None: values are drawn whatever the class.
        seed: of the draws.
        side: of the source, each with draws of its own.

    Example:
        >>> cues(torch.tensor([2, 0, 1]), 3, 1.0).tolist()
        [2, 0, 1]
    """
    streams, n = Streams(seed), len(labels)
    if agreement is None:
        return streams.at(f"cues {side}").integers(0, values, n)
    other = streams.at(f"other cues {side}").integers(1, values, n)
    kept = streams.at(f"cues {side}").uniform(n) < agreement
    return torch.where(kept, labels, (labels + other) % values)


def _colour(value: Int64[Tensor, " image"], values: int) -> Float[Tensor, "image 3"]:
    return 255 * colours(value * (2 * math.pi / values))


@dataclass(frozen=True)
class Planted:
    """A source whose images carry a cue of so many values; the test images always carry one that is tied to nothing.

    Each value has a hue of its own, evenly around the circle. Grey images become coloured ones.

    Args:
        source: of the images.
        cue: `cast`: the whole image is mixed with the colour; `patch`: the upper left corner is painted with it, a
            quarter of the side.
        agreement: of the training images, share whose value is their class, in [0, 1]; None: tied to nothing.
        values: how many; one looks alike on all images and tells nothing; None: as many as there are classes.
        strength: share of the colour in a pixel, in [0, 1]; with 0 the images have colours and no cue.
        seed: of the values.
    """

    source: Source
    cue: Cue = "cast"
    agreement: float | None = None
    values: int | None = None
    strength: float = 0.3
    seed: int = 0

    def __post_init__(self) -> None:
        if self.cue not in ("cast", "patch"):
            raise SourceError(f"Planted(cue={self.cue!r}): take cast or patch")
        if self.agreement is not None and not 0 <= self.agreement <= 1:
            raise SourceError(f"Planted(agreement={self.agreement:g}): give a share in [0, 1]")
        if not 0 <= self.strength <= 1:
            raise SourceError(f"Planted(strength={self.strength:g}): give a share in [0, 1]")
        if self.values is not None and self.values < 1:
            raise SourceError(f"Planted(values={self.values}): a cue has at least one value")

    def load(self) -> Dataset:
        """The painted data set, in memory.

        Raises:
            SourceError: views that were made once, or a cue that is tied to classes without any, or to more of them
                than it has values.
        """
        whole = self.source.load()
        values = self.values or len(whole.classes)
        if whole.train.views:
            raise SourceError(f"Planted cannot paint the views that {whole.name!r} has made already")
        if values < 1 or (self.agreement is not None and values < len(whole.classes)):
            raise SourceError(
                f"{whole.name!r} has {len(whole.classes)} classes and the cue {values} values; give at least one, and "
                "as many as classes where it is tied to them"
            )
        if self.agreement is not None and whole.train.labels is None:
            raise SourceError(f"{whole.name!r} has no labels that a cue can be tied to; leave the agreement out")

        def painted(split: Split, side: Side) -> Split:
            return replace(split, images=self._painted(split.images, _colour(self.of(split, values, side), values)))

        return replace(
            whole,
            train=painted(whole.train, "train"),
            test=painted(whole.test, "test"),
            unlabelled=None if whole.unlabelled is None else painted(whole.unlabelled, "unlabelled"),
        )

    def of(self, split: Split, values: int, side: Side) -> Int64[Tensor, " image"]:
        """The cue of each image of a split, painted or not.

        Args:
            split: of the source.
            values: how many there are.
            side: which split it is.
        """
        labels = torch.zeros(len(split), dtype=torch.int64) if split.labels is None else split.labels
        return cues(labels, values, self.agreement if side == "train" else None, seed=self.seed, side=side)

    def _painted(
        self, images: Tensor | Images, colour: Float[Tensor, "image 3"]
    ) -> UInt8[Tensor, "image 3 height width"]:
        height, width = images.shape[2:]
        painted = torch.empty(len(images), 3, height, width, dtype=torch.uint8)
        corner = (..., slice(max(1, round(CORNER * height))), slice(max(1, round(CORNER * width))))
        where = (..., slice(None), slice(None)) if self.cue == "cast" else corner
        for start in range(0, len(images), _ROWS):
            rows = slice(start, start + _ROWS)
            part = images[rows].float().expand(-1, 3, -1, -1).clone()
            part[where] = torch.lerp(part[where], colour[rows, :, None, None], self.strength)
            painted[rows] = part.round().to(torch.uint8)
        return painted
