"""Few classes with many images, many with few."""

from dataclasses import dataclass, replace

import torch

from counterpoint.errors import SourceError
from counterpoint.types import Dataset, Source

__all__ = ["LongTailed", "tail"]


def tail(largest: int, classes: int, ratio: float) -> list[int]:
    """Images of each class, falling by one factor from class to class.

    Source: Cao et al. 2019, arXiv:1906.07413, section 4.1 (the exponential profile).

    Args:
        largest: images of the first class.
        classes: how many, at least 2.
        ratio: of the first class to the last.

    Example:
        >>> tail(1000, 3, 100)
        [1000, 100, 10]
    """
    return [max(1, int(largest * ratio ** (-k / (classes - 1)))) for k in range(classes)]


@dataclass(frozen=True)
class LongTailed:
    """A source of which the training split keeps the first images of each class, ever fewer; the test stays as it is.

    Args:
        source: of the images, with labels.
        ratio: training images of the first class for one of the last, at least 1.
    """

    source: Source
    ratio: float = 100.0

    def __post_init__(self) -> None:
        if not self.ratio >= 1:
            raise SourceError(f"LongTailed(ratio={self.ratio:g}): give 1 or more, the first class for one of the last")

    def load(self) -> Dataset:
        """The part.

        Raises:
            SourceError: no labels, or fewer than two classes.
        """
        whole = self.source.load()
        labels, classes = whole.train.labels, len(whole.classes)
        if labels is None or classes < 2:
            raise SourceError(f"{whole.name!r} has no labels of two classes; a long tail needs classes")
        rows = [torch.nonzero(labels == label)[:, 0] for label in range(classes)]
        most = tail(max(map(len, rows)), classes, self.ratio)
        kept = torch.cat([found[:count] for found, count in zip(rows, most, strict=True)]).sort().values
        told = f"{whole.split}; training images of the classes fall by {self.ratio:g} from the first to the last"
        return replace(whole, train=whole.train.rows(kept), unlabelled=None, split=told)
