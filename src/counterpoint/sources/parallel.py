"""Many encoded images at once, decoded by threads on all cores."""

import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from counterpoint.errors import SourceError
from counterpoint.sources.decode import Encoded, plain_pillow, to_array
from counterpoint.sources.storage import current, told
from counterpoint.types import Images, Skipped

__all__ = ["Decoded", "Shelf", "Tally", "decode", "reader", "stream"]

_TELL_EVERY = 30.0  # seconds
_TASK = 2**22  # bytes of pixels that a thread makes at a time, where an image has no more


@dataclass(frozen=True, eq=False)
class Shelf:
    """Encoded images where they lie.

    Args:
        where: what a person calls the set.
        names: what a person calls each image.
        chunks: all images, in order, some at a time.
        pick: the images at these positions.
        identity: texts of which one differs where the images do.
        held: bytes that stay in memory once images have been picked.
    """

    where: str
    names: Sequence[str]
    chunks: Callable[[], Iterator[Sequence[Encoded]]]
    pick: Callable[[Sequence[int]], Sequence[Encoded]]
    identity: Callable[[], Iterator[str]]
    held: int = 0


@dataclass(frozen=True, eq=False)
class Decoded:
    """What came out of some encoded images.

    Args:
        images: those that could be used, in order.
        kept: their positions among all.
        digests: of their pixels before the resize; empty where none was asked for.
        skipped: the others.
    """

    images: UInt8[Tensor, "image channel size size"] | Images
    kept: tuple[int, ...]
    digests: tuple[bytes, ...]
    skipped: tuple[Skipped, ...]


@dataclass(eq=False)
class Tally:
    """What came out so far, but the pixels: positions among all, digests, and reasons by position."""

    kept: list[int] = field(default_factory=list[int])
    digests: list[bytes] = field(default_factory=list[bytes])
    reasons: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])

    def add(self, other: "Tally") -> None:
        """What came out of the images that follow."""
        self.kept += other.kept
        self.digests += other.digests
        self.reasons += other.reasons

    def decoded(self, images: Tensor | Images, names: Sequence[str], hashed: bool) -> Decoded:
        """With the pixels, and the names of all images."""
        skipped = tuple(Skipped(names[position], reason) for position, reason in self.reasons)
        return Decoded(images, tuple(self.kept), tuple(self.digests) if hashed else (), skipped)


_Part = tuple[UInt8[np.ndarray, "image channel size size"], Tally]


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _decode_part(start: int, items: Sequence[Encoded], size: int, channels: int, hashed: bool) -> _Part:
    pixels = np.empty((len(items), channels, size, size), np.uint8)
    tally = Tally()
    for i, item in enumerate(items):
        try:
            array, content = to_array(item, size, channels, hashed=hashed)
        except SourceError as error:
            tally.reasons.append((start + i, str(error)))
            continue
        pixels[len(tally.kept)] = array.transpose(2, 0, 1)
        tally.kept.append(start + i)
        tally.digests.append(content)
    return pixels[: len(tally.kept)], tally


def stream(chunks: Iterable[Sequence[Encoded]], total: int, size: int, channels: int, hashed: bool) -> Iterator[_Part]:
    """All images in order. A few tasks are under way at a time, so that memory is bounded whatever the set."""
    workers, together = _cores(), max(1, _TASK // (channels * size * size))
    waiting: deque[Future[_Part]] = deque()
    done, mark = 0, time.monotonic()

    def oldest() -> _Part:
        nonlocal done, mark
        pixels, tally = waiting.popleft().result()
        done += len(tally.kept) + len(tally.reasons)
        if time.monotonic() - mark > _TELL_EVERY:
            mark = time.monotonic()
            current().tell(f"  decoded  {done:,} of {total:,} images")
        return pixels, tally

    start = 0
    with plain_pillow(), ThreadPoolExecutor(workers) as pool:
        for items in (chunk[first : first + together] for chunk in chunks for first in range(0, len(chunk), together)):
            waiting.append(pool.submit(_decode_part, start, items, size, channels, hashed))
            start += len(items)
            if len(waiting) > 2 * workers:
                yield oldest()
        while waiting:
            yield oldest()


def decode(
    chunks: Iterable[Sequence[Encoded]], names: Sequence[str], size: int, channels: int = 3, *, hashed: bool = False
) -> Decoded:
    """Decode all images, in order, by threads on all cores, into memory.

    Args:
        chunks: encoded images; together as many as there are names.
        names: what a person calls each.
        size: of the square, in pixels.
        channels: 1 or 3.
        hashed: also digest the pixels before the resize, for a split by content.
    """
    try:
        images = torch.empty(len(names), channels, size, size, dtype=torch.uint8)
    except RuntimeError as error:
        need = told(len(names) * channels * size * size)
        raise SourceError(f"{len(names):,} images of {size} pixels need {need}; ask for a smaller size") from error
    filled, tally = images.numpy(), Tally()
    for pixels, part in stream(chunks, len(names), size, channels, hashed):
        filled[len(tally.kept) : len(tally.kept) + len(pixels)] = pixels
        tally.add(part)
    return tally.decoded(images[: len(tally.kept)], names, hashed)


@lru_cache(maxsize=1)
def _pool(workers: int, process: int) -> ThreadPoolExecutor:
    """Threads that wait for work. A forked process has none of its parent's, hence its number."""
    return ThreadPoolExecutor(workers, "decode")


def reader(shelf: Shelf, size: int, channels: int) -> Callable[[Tensor], Tensor]:
    """From positions to pixels, decoded anew whenever they are asked for; all of them must be usable."""

    def read(index: Tensor) -> Tensor:
        positions = index.tolist()
        images = torch.empty(len(positions), channels, size, size, dtype=torch.uint8)
        filled = images.numpy()
        items = shelf.pick(positions)
        workers = _cores()
        step = max(1, len(items) // (4 * workers))

        def some(start: int) -> None:
            for i in range(start, min(start + step, len(items))):
                try:
                    filled[i] = to_array(items[i], size, channels)[0].transpose(2, 0, 1)
                except SourceError as error:
                    name = shelf.names[positions[i]]
                    raise SourceError(
                        f"{name} of {shelf.where} could be decoded when the data was loaded, but cannot be now: "
                        f"{error}; restore it, then go on with --resume"
                    ) from error

        with plain_pillow():
            list(_pool(workers, os.getpid()).map(some, range(0, len(items), step)))
        return images

    return read
