"""A part of a data set: fewer classes, fewer images of each."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Int64
from torch import Tensor

from counterpoint.errors import SourceError, nearest
from counterpoint.studies.subsets import SUBSETS
from counterpoint.types import Dataset, Source, Split

__all__ = ["Restricted", "first_of_each"]


@dataclass(frozen=True)
class Restricted:
    """Some classes of a source, and of the training split the first images of each.

    Args:
        source: of the images, with labels.
        classes: how many, the first ones; or which: names of classes, of super-classes, or of `SUBSETS`; None keeps
            all. Of a class that has several names, as `koala, koala bear`, one is enough, if no other class has it.
        per_class: training images of each class, in the order of the data, fewer where a class has fewer; None: all.
    """

    source: Source
    classes: int | tuple[str, ...] | None = None
    per_class: int | None = None

    def load(self) -> Dataset:
        """The part, with what it has of the super-classes.

        Raises:
            SourceError: no labels, fewer classes than are asked for, or a name that is none.
        """
        whole = self.source.load()
        if isinstance(self.classes, tuple):
            kept = _named(whole, self.classes)
        else:
            kept = tuple(range(len(whole.classes) if self.classes is None else self.classes))
        if not 2 <= len(kept) <= len(whole.classes):
            raise SourceError(
                f"{len(kept)} classes were asked for, but {whole.name!r} has {len(whole.classes)}; ask for 2 up to that"
            )
        train, test = (_part(split, kept, most) for split, most in ((whole.train, self.per_class), (whole.test, None)))
        each = "" if self.per_class is None else f", at most {self.per_class:,} training images of each"
        supers, super_of = (), None
        if whole.super_of is not None:
            above, super_of = whole.super_of[list(kept)].unique(return_inverse=True)
            supers = tuple(whole.super_classes[int(i)] for i in above)
        which = f"the first {len(kept)} classes" if not isinstance(self.classes, tuple) else ", ".join(self.classes)
        return replace(
            whole,
            train=train,
            test=test,
            classes=tuple(whole.classes[i] for i in kept),
            super_classes=supers,
            super_of=super_of,
            unlabelled=None,
            split=f"{whole.split}; {which}{each}",
        )


def _named(whole: Dataset, asked: Sequence[str]) -> tuple[int, ...]:
    """Numbers of the classes, in the data's order."""
    by_name: dict[str, set[int]] = {}
    for i, full in enumerate(whole.classes):
        for name in {full, *full.split(", ")}:
            by_name.setdefault(name, set()).add(i)
    by_name |= {full: {i} for i, full in enumerate(whole.classes) if whole.classes.count(full) == 1}
    several = {name for name, own in by_name.items() if len(own) > 1} - set(whole.super_classes)
    for i, above in enumerate([] if whole.super_of is None else whole.super_of.tolist()):
        by_name.setdefault(whole.super_classes[above], set()).add(i)
    chosen: set[int] = set()
    for name in asked:
        for each in SUBSETS.get(name, (name,)):
            if each not in by_name:
                of = f" (of {name})" if name in SUBSETS else ""
                raise SourceError(f"{whole.name!r} has no class {each!r}{of}; {nearest(each, by_name)}")
            if each in several:
                full = "; ".join(whole.classes[i] for i in sorted(by_name[each]))
                raise SourceError(f"{each!r} is the name of several classes of {whole.name!r} ({full}); give another")
            chosen |= by_name[each]
    return tuple(sorted(chosen))


def _part(split: Split, classes: Sequence[int], most: int | None) -> Split:
    labels = split.labels
    if labels is None:
        return split.rows(torch.arange(0))
    number = torch.full((max(max(classes), int(labels.max())) + 1 if len(labels) else 1,), -1, dtype=labels.dtype)
    number[list(classes)] = torch.arange(len(classes), dtype=labels.dtype)
    rows = _first_rows(labels, classes, most)
    return replace(split.rows(rows), labels=number[labels[rows]])


def _first_rows(labels: Int64[Tensor, " image"], classes: Sequence[int], most: int | None) -> Int64[Tensor, " kept"]:
    return torch.cat([torch.nonzero(labels == label)[:most, 0] for label in classes]).sort().values


def first_of_each(labels: Int64[Tensor, " image"], most: int) -> Int64[Tensor, " kept"]:
    """The first images of each class, in the data's order: as many of each as go into `most`, at least one.

    Args:
        labels: -1 for images without one, which are left out.
        most: images of all classes together.

    Example:
        >>> first_of_each(torch.tensor([0, 0, 1, 0, 1, 1]), 4)
        tensor([0, 1, 2, 4])
    """
    classes = labels[labels >= 0].unique().tolist()
    return _first_rows(labels, classes, max(1, most // max(1, len(classes))))
