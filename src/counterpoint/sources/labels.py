"""From what a column says to class indices and names."""

import math
from collections.abc import Iterable, Sequence

import torch
from jaxtyping import Int64
from torch import Tensor

from counterpoint.errors import SourceError

__all__ = ["group_names", "group_numbers", "hierarchy", "index_labels"]


def _cleaned(value: object) -> int | str | None:
    """A label as an integer, a text, or None where it is unknown (empty, NaN, negative)."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, float):
        if math.isnan(value):
            return None
        if not value.is_integer():
            return repr(value)
        value = int(value)
    if value is None or isinstance(value, int):
        return None if value is None or value < 0 else int(value)
    return str(value).strip() or None


def index_labels(
    columns: Sequence[Iterable[object]], where: str, names: Sequence[str] | None = None
) -> tuple[list[Int64[Tensor, " _"]], tuple[str, ...]]:
    """Class indices of several columns (train, test, …) that share their classes.

    Unknown is None, an empty text, NaN or a negative number: index -1. With names, integers index them. Without,
    classes are the values that occur, in order: numbers by value, texts by alphabet.

    Raises:
        SourceError: a value that the names do not have, numbers mixed with texts, or no label at all.
    """
    cleaned = [[_cleaned(value) for value in column] for column in columns]
    found = {value for column in cleaned for value in column if value is not None}
    if not found:
        raise SourceError(f"no image of {where} has a label, though a label column was found; use labels='none'")
    numbers = sorted(value for value in found if isinstance(value, int))
    texts = sorted(value for value in found if isinstance(value, str))
    if texts and numbers:
        raise SourceError(
            f"the labels of {where} mix numbers ({numbers[0]}, …) with texts ({texts[0]!r}, …); all must be of one kind"
        )
    index: dict[int | str | None, int] = {None: -1}
    if names is not None and numbers:
        if numbers[-1] >= len(names):
            raise SourceError(
                f"label {numbers[-1]} of {where} has no name: the {len(names)} names are for 0 to {len(names) - 1}"
            )
        classes = tuple(names)
        index.update((value, value) for value in numbers)
    elif names is not None and set(texts) <= set(names):
        classes = tuple(names)
        index.update((value, classes.index(value)) for value in texts)
    elif names is not None:
        odd = next(value for value in texts if value not in names)
        raise SourceError(f"label {odd!r} of {where} is not among its {len(names)} class names ({names[0]!r}, …)")
    else:
        order = numbers or (sorted(texts, key=int) if all(_is_integer(text) for text in texts) else texts)
        classes = tuple(str(value) for value in order)
        index.update((value, i) for i, value in enumerate(order))
    return [torch.tensor([index[v] for v in column], dtype=torch.int64) for column in cleaned], classes


def _is_integer(text: str) -> bool:
    return text.isascii() and text.isdigit()


def hierarchy(
    labels: Sequence[Int64[Tensor, " _"]],
    supers: Sequence[Int64[Tensor, " _"]],
    classes: Sequence[str],
    super_classes: Sequence[str],
    where: str,
) -> Int64[Tensor, " class"]:
    """The super-class of each class, from the images that carry both.

    Raises:
        SourceError: a class with two super-classes, or with none.
    """
    pairs = torch.cat([torch.stack((label, above), 1) for label, above in zip(labels, supers, strict=True)])
    pairs = pairs[(pairs >= 0).all(1)].unique(dim=0)
    super_of = torch.full((len(classes),), -1, dtype=torch.int64)
    for label, above in pairs.tolist():
        if super_of[label] >= 0:
            first, second = super_classes[int(super_of[label])], super_classes[above]
            raise SourceError(
                f"class {classes[label]!r} of {where} has two super-classes, {first!r} and {second!r}; a class has "
                "one: "
                "mend the column, or use super_labels='none'"
            )
        super_of[label] = above
    if (super_of < 0).any():
        orphan = classes[int(torch.nonzero(super_of < 0)[0, 0])]
        raise SourceError(f"class {orphan!r} of {where} has no super-class; name one, or use super_labels='none'")
    return super_of


def group_names(values: Iterable[object]) -> list[str | None]:
    """A group column as texts; None where an image has no group (empty, NaN)."""
    missing = (None, "", "nan")
    texts = (value if value is None else str(value).strip() for value in values)
    return [None if text in missing else text for text in texts]


def group_numbers(columns: Sequence[Sequence[str | None]]) -> tuple[list[Int64[Tensor, " _"]], int]:
    """Group numbers of several columns, and how many groups are in more than one.

    Who has no group gets a number of its own.
    """
    known = sorted({value for column in columns for value in column if value is not None})
    index = {value: i for i, value in enumerate(known)}
    free = len(known)
    numbers: list[Int64[Tensor, " _"]] = []
    for column in columns:
        row: list[int] = []
        for value in column:
            row.append(free if value is None else index[value])
            free += value is None
        numbers.append(torch.tensor(row, dtype=torch.int64))
    seen = [{value for value in column if value is not None} for column in columns]
    shared = sum(sum(value in one for one in seen) > 1 for value in known)
    return numbers, shared
