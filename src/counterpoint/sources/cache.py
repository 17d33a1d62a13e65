"""Decoded sets on disk: a folder for each, that appears whole or not at all.

`NAME-SIZE-KEY/` holds `images.u8` (image, channel, height, width, row by row), `kept.npy` (the positions of these
images among all), `digests.npy` (of their pixels before the resize) and `about.json`. It is written as
`.NAME-SIZE-KEY.part` under a lock that dies with its process, synchronised to disk, then renamed. So a second run waits
and reads what the first has written, and what a killed run left is removed by the next one.
"""

import json
import os
import shutil
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from counterpoint.errors import SourceError
from counterpoint.sources.storage import current, told

__all__ = ["FORMAT", "PIXELS", "Stored", "describe", "find", "reserve", "written"]

FORMAT = 1
PIXELS, _KEPT, _DIGESTS, _ABOUT = "images.u8", "kept.npy", "digests.npy", "about.json"


@dataclass(frozen=True, eq=False)
class Stored:
    """What a folder of the cache holds.

    Args:
        images: memory-mapped; writing to them does not reach the file.
        kept: their positions among all images of the set.
        digests: 16 bytes of each, or none at all.
        reasons: why the others cannot be used, by position.
    """

    images: UInt8[Tensor, "image channel height width"]
    kept: Int64[Tensor, " image"]
    digests: tuple[bytes, ...]
    reasons: dict[int, str]


def find(folder: Path) -> Stored | None:
    """What was stored there; None where nothing is, or nothing whole."""
    try:
        about = json.loads((folder / _ABOUT).read_text("utf-8"))
        shape = tuple(int(n) for n in about["shape"])
        kept, digests = np.load(folder / _KEPT), np.load(folder / _DIGESTS)
        whole = (folder / PIXELS).stat().st_size == int(np.prod(shape)) and len(kept) == shape[0]
        if about["format"] != FORMAT or not whole or len(digests) not in (0, shape[0]):
            return None
        pixels = np.memmap(folder / PIXELS, np.uint8, "c", shape=shape) if shape[0] else np.empty(shape, np.uint8)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    reasons = {int(position): str(reason) for position, reason in about["skipped"]}
    contents = tuple(row.tobytes() for row in digests)
    return Stored(torch.from_numpy(pixels), torch.from_numpy(kept), contents, reasons)


def describe(
    part: Path,
    shape: tuple[int, ...],
    kept: Sequence[int],
    digests: Sequence[bytes],
    reasons: Sequence[tuple[int, str]],
    of: str,
) -> None:
    """Write everything but the pixels into an unfinished folder."""
    np.save(part / _KEPT, np.asarray(kept, np.int64))
    np.save(part / _DIGESTS, np.frombuffer(b"".join(digests), np.uint8).reshape(-1, 16))
    about = {"format": FORMAT, "of": of, "shape": list(shape), "skipped": [[p, r] for p, r in reasons]}
    (part / _ABOUT).write_text(json.dumps(about, indent=1), encoding="utf-8")


def reserve(folder: Path, need: int, of: str) -> str:
    """See that the disk has room, and say so.

    Raises:
        SourceError: it has not, or the folder cannot be made.
    """
    place = folder.parent
    try:
        place.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(place).free
    except OSError as error:
        raise SourceError(
            f"the cache folder {place} cannot be used: {error.strerror or error}; name another by --cache DIR, or give "
            "--cache none"
        ) from error
    if need > free:
        raise SourceError(
            f"the decoded images of {of} need {told(need)}, but {place} has {told(free)} free; name a folder on a "
            "larger disk by --cache DIR, give a smaller --size, or --cache none to decode for each batch"
        )
    return f"  cache    {told(need)} to {folder}, free {told(free)}"


@contextmanager
def written(folder: Path) -> Generator[Path | None]:
    """An empty folder to fill, which becomes `folder` when the block ends well; None where another run has made it.

    Raises:
        SourceError: it cannot be written, or the disk is full; nothing is left behind.
    """
    from filelock import FileLock, Timeout

    part = folder.with_name(f".{folder.name}.part")
    try:
        lock = FileLock(folder.with_name(f".{folder.name}.lock"))
        try:
            lock.acquire(timeout=0)
        except Timeout:
            current().tell(f"  cache    another run is writing {folder}; waiting for it")
            lock.acquire()
        try:
            if find(folder) is not None:
                yield None
                return
            for old in (part, folder):  # a killed run's, a damaged one
                shutil.rmtree(old, ignore_errors=True)
            _sweep(folder.parent)
            part.mkdir()
            yield part
            for path in (*part.iterdir(), part):
                _synchronise(path)
            part.rename(folder)
            _synchronise(folder.parent)
        finally:
            shutil.rmtree(part, ignore_errors=True)
            lock.release()
    except OSError as error:
        raise SourceError(
            f"the cache {folder} cannot be written: {error.strerror or error}; name another folder by --cache DIR, or "
            "give --cache none to decode for each batch"
        ) from error


def _sweep(place: Path) -> None:
    """Remove what killed runs left of other sets: what nobody holds the lock of."""
    from filelock import FileLock, Timeout

    for part in place.glob(".*.part"):
        try:
            with FileLock(part.with_suffix(".lock"), timeout=0):
                shutil.rmtree(part, ignore_errors=True)
        except Timeout:
            continue


def _synchronise(path: Path) -> None:
    if os.name == "nt" and path.is_dir():
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
