"""Images that are read when they are asked for, a little ahead where it can be known what comes next."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from counterpoint.types import Images

__all__ = ["OnDemand", "joined"]

_AHEAD = 2  # reads under way or waiting to be asked for


class OnDemand(Images):
    """Some of the images that a function reads.

    Args:
        read: from positions to pixels; it is called from another thread too.
        index: the positions that count as images, in this order.
        side: channel, height, width.
        where: the images lie, in words.
    """

    def __init__(
        self, read: Callable[[Tensor], Tensor], index: Int64[Tensor, " image"], side: Sequence[int], where: str
    ) -> None:
        super().__init__(torch.Size((len(index), *side)), where)
        self._read, self._index = read, index
        self._forget()
        self._walked = -1  # where the last slice ended

    def __getitem__(self, index: Tensor | slice | int) -> UInt8[Tensor, "*image channel height width"]:
        """The pixels of these images; after two slices in a row, the third is read ahead."""
        if isinstance(index, int):
            if not -len(self) <= index < len(self):
                raise IndexError(f"image {index} of {len(self)}")
            return self._fetch(self._index[index][None])[0]
        found = self._fetch(self._index[index])
        if isinstance(index, slice):
            start, stop, step = index.indices(len(self))
            if step == 1 and start == self._walked:
                self.prefetch(slice(stop, 2 * stop - start))
            self._walked = stop
        return found

    def rows(self, index: Tensor | slice) -> "OnDemand":
        """These images, without reading them."""
        return OnDemand(self._read, self._index[index], self.shape[1:], self.where)

    def prefetch(self, index: Tensor | slice) -> None:
        """Begin to read what will be asked for next."""
        wanted = self._index[index]
        if self._process != os.getpid():
            self._forget()
        if not len(wanted) or (key := _key(wanted)) in self._pending:
            return
        if self._reader is None:
            self._reader = ThreadPoolExecutor(1, "images")
        while len(self._pending) >= _AHEAD:
            self._pending.pop(next(iter(self._pending))).cancel()
        self._pending[key] = self._reader.submit(self._read, wanted)

    def _forget(self) -> None:
        """Begin with nothing under way: what a forked process finds there, its parent's threads will never end."""
        self._process = os.getpid()
        self._pending: dict[bytes, Future[Tensor]] = {}
        self._reader: ThreadPoolExecutor | None = None

    def _fetch(self, wanted: Int64[Tensor, " image"]) -> Tensor:
        if self._process != os.getpid():
            self._forget()
        begun = self._pending.pop(_key(wanted), None)
        return self._read(wanted) if begun is None else begun.result()


def _key(wanted: Tensor) -> bytes:
    return wanted.numpy().tobytes()


def joined(
    first: UInt8[Tensor, "image channel height width"] | Images,
    second: UInt8[Tensor, "other channel height width"] | Images,
) -> OnDemand:
    """The images of both, one after the other, without copying them."""
    border = len(first)

    def read(index: Tensor) -> Tensor:
        found = torch.empty(len(index), *first.shape[1:], dtype=torch.uint8)
        late = index >= border
        found[~late], found[late] = first[index[~late]], second[index[late] - border]
        return found

    where = " and ".join(
        dict.fromkeys(part.where if isinstance(part, Images) else "in memory" for part in (first, second))
    )
    return OnDemand(read, torch.arange(border + len(second)), first.shape[1:], where)
