"""Decoded sets on disk: a folder for each, that appears whole or not at all.

`NAME-SIZE-KEY/` holds `images.u8` (image, channel, height, width, row by row), `kept.npy` (the positions of these
images among all), `digests.npy` (of their pixels before the resize) and `about.json`. It is written as
`.NAME-SIZE-KEY.part` under a lock that dies with its process, synchronised to disk, then renamed. So a second run waits
and reads what the first has written, and what a killed run left is removed by the next one.
"""

import json
import math
import os
import shutil
import warnings
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

__all__ = ["FORMAT", "Part", "Stored", "find", "written"]

FORMAT = 1
_PIXELS, _KEPT, _DIGESTS, _ABOUT = "images.u8", "kept.npy", "digests.npy", "about.json"


@dataclass(frozen=True, eq=False)
class Stored:
    """What a folder of the cache holds.

    Args:
        images: memory-mapped, for reading alone: to write to them ends the process.
        kept: their positions among all images of the set.
        digests: 16 bytes of each, or none at all.
        reasons: why the others cannot be used, by position.
    """

    images: UInt8[Tensor, "image channel height width"]
    kept: Int64[Tensor, " image"]
    digests: tuple[bytes, ...]
    reasons: dict[int, str]


def find(folder: Path) -> Stored | None:
    """What was stored there; None where nothing is, or nothing whole.

    Raises:
        SourceError: something is, but cannot be read or mapped.
    """
    try:
        about = json.loads((folder / _ABOUT).read_text("utf-8"))
        shape = tuple(int(n) for n in about["shape"])
        reasons = {int(position): str(reason) for position, reason in about["skipped"]}
        kept, digests = _array(folder / _KEPT), _array(folder / _DIGESTS)
        whole = (folder / _PIXELS).stat().st_size == math.prod(shape) and len(kept) == shape[0]
        if about["format"] != FORMAT or not whole or len(digests) not in (0, shape[0]):
            return None
        contents = tuple(row.tobytes() for row in digests)
        return Stored(_mapped(folder / _PIXELS, shape), torch.from_numpy(kept), contents, reasons)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, MemoryError) as error:
        said = (error.strerror if isinstance(error, OSError) else None) or error
        raise SourceError(
            f"the cache {folder} cannot be read: {said}; see to that, name another folder by --cache DIR, or give "
            "--cache none to decode for each batch"
        ) from error
    except Exception:  # json and numpy raise whatever a damaged file makes them
        return None


def _array(path: Path) -> np.ndarray:
    with path.open("rb") as file:  # `np.load` leaves it open where it is damaged
        return np.lib.format.read_array(file)


def _mapped(path: Path, shape: tuple[int, ...]) -> UInt8[Tensor, "image channel height width"]:
    """A file's pages, read as they are needed. Mapped for reading they may be more than memory holds."""
    if not shape[0]:
        return torch.empty(shape, dtype=torch.uint8)
    pixels = np.memmap(path, np.uint8, "r", shape=shape)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable", UserWarning)
        return torch.from_numpy(pixels)


@dataclass(frozen=True)
class Part:
    """A folder of the cache that is not whole yet; `folder` is what it becomes."""

    path: Path
    folder: Path

    def add(self, pixels: UInt8[np.ndarray, "image channel height width"]) -> None:
        """Write some more images."""
        with _writing(self.folder), (self.path / _PIXELS).open("ab") as file:
            file.write(pixels.data)

    def describe(
        self,
        side: tuple[int, int, int],
        kept: Sequence[int],
        digests: Sequence[bytes],
        reasons: Sequence[tuple[int, str]],
        of: str,
    ) -> None:
        """Write everything but the pixels."""
        about = {"format": FORMAT, "of": of, "shape": [len(kept), *side], "skipped": [[p, r] for p, r in reasons]}
        with _writing(self.folder):
            np.save(self.path / _KEPT, np.asarray(kept, np.int64))
            np.save(self.path / _DIGESTS, np.frombuffer(b"".join(digests), np.uint8).reshape(-1, 16))
            (self.path / _ABOUT).write_text(json.dumps(about, indent=1), encoding="utf-8")


@contextmanager
def _writing(folder: Path) -> Generator[None]:
    """Tell a person what stands in the way of writing; nothing else belongs inside."""
    try:
        yield
    except OSError as error:
        raise SourceError(
            f"the cache {folder} cannot be written: {error.strerror or error}; name another folder by --cache DIR, or "
            "give --cache none to decode for each batch"
        ) from error


@contextmanager
def written(folder: Path, need: int, of: str) -> Generator[Part | None]:
    """A folder to fill, which becomes `folder` when the block ends well; None where another run has made it.

    Args:
        folder: to be.
        need: bytes of its pixels.
        of: what a person calls the set.

    Raises:
        SourceError: it cannot be written, or the disk has no room; nothing is left behind.
    """
    from filelock import FileLock, Timeout

    place, part = folder.parent, folder.with_name(f".{folder.name}.part")
    lock = FileLock(folder.with_name(f".{folder.name}.lock"))
    with _writing(folder):
        place.mkdir(parents=True, exist_ok=True)
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
        with _writing(folder):
            _sweep(place)
            free = shutil.disk_usage(place).free
        if need > free:
            raise SourceError(
                f"the decoded images of {of} need {told(need)}, but {place} has {told(free)} free; name a folder on a "
                "larger disk by --cache DIR, give a smaller --size, or --cache none to decode for each batch"
            )
        current().tell(f"  cache    {told(need)} to {folder}, free {told(free)}")
        with _writing(folder):
            part.mkdir()
            (part / _PIXELS).touch()
        yield Part(part, folder)
        with _writing(folder):
            for path in (*part.iterdir(), part):
                _synchronise(path)
            part.rename(folder)
            _synchronise(place)
    finally:
        shutil.rmtree(part, ignore_errors=True)
        lock.release()


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
