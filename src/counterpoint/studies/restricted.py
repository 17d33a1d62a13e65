"""A part of a data set: fewer classes, fewer images of each."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Int64
from torch import Tensor

from counterpoint.errors import SourceError
from counterpoint.types import Dataset, Source, Split

__all__ = ["Restricted"]


@dataclass(frozen=True)
class Restricted:
    """The first classes of a source, and of the training split the first images of each.

    Args:
        source: of the images, with labels.
        classes: how many; None keeps all.
        per_class: training images of each class, in the order of the data, fewer where a class has fewer; None: all.
    """

    source: Source
    classes: int | None = None
    per_class: int | None = None

    def load(self) -> Dataset:
        """The part.

        Raises:
            SourceError: no labels, or fewer classes than are asked for.
        """
        whole = self.source.load()
        count = len(whole.classes) if self.classes is None else self.classes
        if not 2 <= count <= len(whole.classes):
            raise SourceError(
                f"{count} classes were asked for, but {whole.name!r} has {len(whole.classes)}; ask for 2 up to that"
            )
        train, test = (
            split.rows(_kept(split, count, most)) for split, most in ((whole.train, self.per_class), (whole.test, None))
        )
        each = "" if self.per_class is None else f", at most {self.per_class:,} training images of each"
        return replace(
            whole,
            train=train,
            test=test,
            classes=whole.classes[:count],
            super_classes=(),
            super_of=None,
            unlabelled=None,
            split=f"{whole.split}; the first {count} classes{each}",
        )


def _kept(split: Split, classes: int, most: int | None) -> Int64[Tensor, " kept"]:
    labels = split.labels
    if labels is None:
        return torch.arange(0)
    found = [torch.nonzero(labels == label)[:most, 0] for label in range(classes)]
    return torch.cat(found).sort().values
