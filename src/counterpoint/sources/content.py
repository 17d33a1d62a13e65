"""A split made from content: whole groups together, exact duplicates never on both sides."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int64, UInt8
from torch import Tensor

from counterpoint.errors import SourceError
from counterpoint.types import Images, Split

__all__ = ["Sides", "digest", "digests_of", "divide", "sides"]

_TOGETHER = 2**24  # bytes of images looked at together


def digest(pixels: bytes | memoryview, shape: Sequence[int]) -> bytes:
    """Sixteen bytes that stand for decoded pixels of this shape."""
    hashed = hashlib.blake2b(repr(tuple(shape)).encode(), digest_size=16)
    hashed.update(pixels)
    return hashed.digest()


def _together(images: Tensor | Images) -> int:
    return max(1, _TOGETHER // max(1, images.shape[1:].numel()))


def digests_of(images: UInt8[Tensor, "image channel height width"] | Images) -> list[bytes]:
    """The digest of each image."""
    height, width = images.shape[-2:]
    shape = (height, width, images.shape[1])
    found: list[bytes] = []
    together = _together(images)
    for start in range(0, len(images), together):
        part = images[start : start + together].permute(0, 2, 3, 1).contiguous().numpy()
        found += [digest(image.data.cast("B"), shape) for image in part]
    return found


@dataclass(frozen=True, eq=False)
class Sides:
    """Who goes where.

    Args:
        test: whether an image is on the test side.
        groups: images with one number are on one side; None where each image stands for itself.
        said: how it came about, one sentence.
    """

    test: Bool[Tensor, " image"]
    groups: Int64[Tensor, " image"] | None
    said: str


def sides(
    digests: Sequence[bytes],
    share: float,
    where: str,
    groups: Sequence[str | None] | None = None,
    salt: bytes = b"split",
) -> Sides:
    """Divide images by a hash of what they are.

    Images of one group, and images of the same decoded pixels, are tied; ties carry over. What is tied has one key: the
    smallest hash of its groups, or of its pixels where it has no group. A key, as a number in [0, 1), below `share` is
    on the test side. So the side depends on nothing but content: not on names, order or size, nor on what is added
    later (unless it ties what was apart).

    Args:
        digests: of the decoded pixels of each image.
        share: of the test side, in [0, 1); met on average. At 0 there is no test side, else both have an image.
        where: the source, for messages.
        groups: of each image, None where it has none.
        salt: a second split of one side needs another (at most 16 bytes): by the same hash nobody would be left over.

    Raises:
        SourceError: everything is tied together.
    """
    if not 0 <= share < 1:
        raise SourceError(
            f"test_share={share:g} of {where} is not a share: give a number from 0 up to, not including, 1"
        )
    if groups is not None and all(group is None for group in groups):
        raise SourceError(f"none of the {len(groups)} images of {where} has a group; leave the option group out")
    parent = list(range(len(digests)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    first: dict[object, int] = {}
    duplicates = 0
    keys: list[bytes] = []
    for i, content in enumerate(digests):
        group = None if groups is None else groups[i]
        keys.append(b"\1" + content if group is None else b"\0" + digest(group.encode(), ()))
        seen = first.setdefault(content, i)
        duplicates += seen != i
        parent[root(i)] = root(seen)
        if group is not None:
            parent[root(i)] = root(first.setdefault(group, i))

    tied: dict[int, list[int]] = {}
    for i in range(len(digests)):
        tied.setdefault(root(i), []).append(i)
    parts = list(tied.values())

    def key(part: list[int]) -> float:
        smallest = min(keys[i] for i in part)
        hashed = hashlib.blake2b(smallest, digest_size=8, person=salt).digest()
        return int.from_bytes(hashed, "big") / 2**64

    order = sorted((key(part), n) for n, part in enumerate(parts))
    below = sum(number < share for number, _ in order)
    if share > 0:
        if len(parts) < 2:
            tie = "are of one group" if groups is not None else "have the same pixels"
            raise SourceError(
                f"all {len(digests)} images of {where} {tie}, so no test side can be made; add other images, or set "
                "test_share to 0"
            )
        below = min(max(1, below), len(parts) - 1)
    test = torch.zeros(len(digests), dtype=torch.bool)
    for _, n in order[:below]:
        test[parts[n]] = True

    number = torch.empty(len(digests), dtype=torch.int64)
    for n, part in enumerate(parts):
        number[part] = n
    count = int(test.sum())
    part = f"{count:,} of {len(digests):,} images ({count / len(digests):.0%})"
    said = f"made by a hash of content: {part} are the test side"
    if share == 0:
        said = f"none: all {len(digests):,} images are for training"
    if groups is not None:
        said += f", whole groups together ({len({group for group in groups if group is not None}):,} groups)"
    if duplicates:
        said += f", {duplicates:,} exact {'duplicate' if duplicates == 1 else 'duplicates'} on the side of the original"
    return Sides(test, number if groups is not None or duplicates else None, said)


def divide(
    whole: Split,
    digests: Sequence[bytes],
    share: float,
    where: str,
    groups: Sequence[str | None] | None = None,
    *,
    reorder: bool = False,
) -> tuple[Split, Split, str]:
    """(train, test, how it came about) of images that have no split of their own; see `sides`.

    With `reorder` a tensor of images is given up: the two sides are views of it, its rows moved, so that there is no
    second copy.
    """
    made = sides(digests, share, where, groups)
    train, test = torch.nonzero(~made.test)[:, 0], torch.nonzero(made.test)[:, 0]
    images = whole.images
    whole = Split(images, whole.labels, whole.names, made.groups)
    if not reorder or isinstance(images, Images):
        return whole.rows(train), whole.rows(test), made.said
    last, together = images[test], _together(images)
    for start in range(0, len(train), together):
        # Rows move towards the front only, so none is written over that is still to be moved.
        moved = train[start : start + together]
        images[start : start + len(moved)] = images[moved]
    images[len(train) :] = last
    split = len(train)
    return whole.rows(train, images[:split]), whole.rows(test, images[split:]), made.said
