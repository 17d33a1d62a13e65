"""All images of a set, decoded on all cores, to where there is room for them."""

import hashlib
import json
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from counterpoint.errors import SourceError
from counterpoint.sources import cache
from counterpoint.sources.decode import Encoded, decoder_versions, plain_pillow, to_array
from counterpoint.sources.ondemand import OnDemand
from counterpoint.sources.places import default_root
from counterpoint.sources.storage import current, told
from counterpoint.types import Images, Skipped

__all__ = ["Decoded", "Shelf", "check_skipped", "collect", "decode"]

_TELL_EVERY = 30.0  # seconds


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
class _Tally:
    """What came out, but the pixels: positions among all, digests, and reasons by position."""

    kept: list[int] = field(default_factory=list[int])
    digests: list[bytes] = field(default_factory=list[bytes])
    reasons: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])

    def add(self, other: "_Tally") -> None:
        self.kept += other.kept
        self.digests += other.digests
        self.reasons += other.reasons

    def decoded(self, images: Tensor | Images, names: Sequence[str], hashed: bool) -> Decoded:
        skipped = tuple(Skipped(names[position], reason) for position, reason in self.reasons)
        return Decoded(images, tuple(self.kept), tuple(self.digests) if hashed else (), skipped)


_Part = tuple[UInt8[np.ndarray, "image channel size size"], _Tally]


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _decode_part(start: int, items: Sequence[Encoded], size: int, channels: int, hashed: bool) -> _Part:
    pixels = np.empty((len(items), channels, size, size), np.uint8)
    tally = _Tally()
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


def _stream(chunks: Iterable[Sequence[Encoded]], total: int, size: int, channels: int, hashed: bool) -> Iterator[_Part]:
    """All images in order. A few chunks are under way at a time, so that memory is bounded whatever the set."""
    workers = _cores()
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
        for items in chunks:
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
    filled, tally = images.numpy(), _Tally()
    for pixels, part in _stream(chunks, len(names), size, channels, hashed):
        filled[len(tally.kept) : len(tally.kept) + len(pixels)] = pixels
        tally.add(part)
    return tally.decoded(images[: len(tally.kept)], names, hashed)


def collect(
    shelf: Shelf, size: int, channels: int = 3, *, hashed: bool = False, together: int | None = None
) -> Decoded:
    """Decode all images of a set to where `sources.storing` says: into memory, to a cache file, or not for keeps.

    The pixels are the same bits in each case.

    Args:
        shelf: the encoded images.
        size: of the square, in pixels.
        channels: 1 or 3.
        hashed: also digest the pixels before the resize, for a split by content.
        together: images of the whole data set, where this is a part of it; the budget is for all.

    Raises:
        SourceError: there is no room.
    """
    storage = current()
    one = channels * size * size
    need = len(shelf.names) * one
    if storage.cache not in ("auto", "none"):
        return _cached(shelf, size, channels, hashed, Path(storage.cache).expanduser().absolute())
    budget = storage.budget
    if max(need, (together or 0) * one) <= budget:
        return decode(shelf.chunks(), shelf.names, size, channels, hashed=hashed)
    if storage.cache == "auto":
        return _cached(shelf, size, channels, hashed, default_root() / "decoded")
    if shelf.held > budget:
        raise SourceError(
            f"to decode {shelf.where} for each batch, its {told(shelf.held)} of encoded images must lie in memory, "
            f"more than the budget of {told(budget)}; leave out --cache none, or raise --memory"
        )
    storage.tell(f"  pixels   {told(need)} of {shelf.where} are beyond the {told(budget)} of memory: decoded each time")
    return _each_time(shelf, size, channels, hashed, "decoded for each batch")


def _each_time(shelf: Shelf, size: int, channels: int, hashed: bool, where: str) -> Decoded:
    """Decode all images once, to know which can be used; then again whenever they are asked for."""
    tally = _Tally()
    for _, part in _stream(shelf.chunks(), len(shelf.names), size, channels, hashed):
        tally.add(part)
    index = torch.tensor(tally.kept, dtype=torch.int64)
    images = OnDemand(_reader(shelf, size, channels), index, (channels, size, size), where)
    return tally.decoded(images, shelf.names, hashed)


def _reader(shelf: Shelf, size: int, channels: int) -> Callable[[Tensor], Tensor]:
    workers = _cores()
    pool = ThreadPoolExecutor(workers, "decode")

    def read(index: Tensor) -> Tensor:
        positions = index.tolist()
        images = torch.empty(len(positions), channels, size, size, dtype=torch.uint8)
        filled = images.numpy()
        items = shelf.pick(positions)
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
            list(pool.map(some, range(0, len(items), step)))
        return images

    return read


def _key(shelf: Shelf, size: int, channels: int, hashed: bool) -> str:
    """Of what decides the pixels: the format of the cache, the decoder, the settings, the encoded images."""
    settings = [cache.FORMAT, decoder_versions(), size, channels, hashed]
    key = hashlib.blake2b(json.dumps(settings).encode(), digest_size=12)
    for text in shelf.identity():
        key.update(text.encode("utf-8", "surrogateescape") + b"\0")
    return key.hexdigest()


def _cached(shelf: Shelf, size: int, channels: int, hashed: bool, place: Path) -> Decoded:
    """From a cache file; written first where there is none."""
    storage = current()
    plain = "".join(c if c.isalnum() else "-" for c in Path(shelf.where).name)[:40] or "images"
    folder = place / f"{plain}-{size}px-{_key(shelf, size, channels, hashed)}"
    need = len(shelf.names) * channels * size * size
    found = cache.find(folder)
    if found is None and storage.dry_run:
        where = f"not stored in a dry run; {told(need)} would go to {folder}"
        return _each_time(shelf, size, channels, hashed, where)
    if found is None:
        line = cache.reserve(folder, need, shelf.where)
        with cache.written(folder) as part:
            if part is not None:
                storage.tell(line)
                _write(shelf, size, channels, hashed, part)
        found = cache.find(folder)
        if found is None:
            raise SourceError(f"the cache {folder} is gone, though it was just written; was it deleted? begin again")
    else:
        storage.tell(f"  cache    {told(found.images.nbytes)} from {folder}")
    stored = found.images
    images = OnDemand(
        lambda index: stored.index_select(0, index),
        torch.arange(len(stored)),
        (channels, size, size),
        f"in the cache {folder}",
    )
    tally = _Tally(found.kept.tolist(), list(found.digests), list(found.reasons.items()))
    return tally.decoded(images, shelf.names, hashed)


def _write(shelf: Shelf, size: int, channels: int, hashed: bool, part: Path) -> None:
    tally = _Tally()
    with (part / cache.PIXELS).open("wb") as file:
        for pixels, some in _stream(shelf.chunks(), len(shelf.names), size, channels, hashed):
            file.write(pixels.data)
            tally.add(some)
    shape = (len(tally.kept), channels, size, size)
    cache.describe(part, shape, tally.kept, tally.digests, tally.reasons, shelf.where)


def check_skipped(skipped: Sequence[Skipped], total: int, bad_share: float, where: str) -> None:
    """Raise where more than a share of the images, or all but one, cannot be used."""
    if not 0 <= bad_share <= 1:
        raise SourceError(f"bad_share={bad_share:g} is not a share; give a number from 0 to 1")
    if not total:
        raise SourceError(f"{where} holds no image")
    good = total - len(skipped)
    if skipped and (len(skipped) > bad_share * total or not good):
        example = f"{skipped[0].name}: {skipped[0].reason}"
        raise SourceError(
            f"{len(skipped):,} of the {total:,} images of {where} cannot be used, more than the {bad_share:.0%} that "
            f"are passed over (the first is {example}); mend them, or raise --bad-share"
        )
    if good == 1:
        raise SourceError(f"{where} holds one image only; contrast needs at least two")
