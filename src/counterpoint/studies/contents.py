"""Data that only its place says, such as a folder of photos, named by what lies there: the same wherever it is moved.

The cells of a study know such data by its path, since a folder is read before it can be known. Readings that are to be
taken in elsewhere name it by its contents.
"""

import hashlib
import os
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

from counterpoint.recipe import load_object
from counterpoint.sources import Folder

__all__ = ["by_contents", "contents_of", "names_contents", "unread"]

_NAMED = "contents:"
_WHOLE = 1 << 30  # bytes of a place that are all looked at
_LOOKED_AT, _BYTES = 1000, 1 << 16  # of a larger one: so many files, so many bytes at each end
_CLUTTER = {"Thumbs.db", "desktop.ini", "__MACOSX"}


def _files(root: Path) -> list[Path]:
    """All below a folder, links followed; what is hidden, or an operating system leaves behind, is not data."""
    if root.is_file():
        return [root]

    def refused(error: OSError) -> None:
        raise error

    found: list[Path] = []
    seen: set[str] = set()
    for folder, below, files in os.walk(root, onerror=refused, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            below.clear()
            continue
        seen.add(real)
        below[:] = sorted(name for name in below if not name.startswith(".") and name not in _CLUTTER)
        found += [Path(folder, name) for name in files if not name.startswith(".") and name not in _CLUTTER]
    return sorted(found)


def _ends(file: Path, size: int) -> bytes:
    """How a file begins and ends: where an archive, or Parquet, has its table of checksums or columns."""
    with file.open("rb") as opened:
        first = opened.read(_BYTES)
        opened.seek(max(len(first), size - _BYTES))
        return first + opened.read(_BYTES)


@lru_cache(maxsize=256)
def contents_of(place: str) -> str | None:
    """A name for the files at a place: their relative paths, sizes and bytes, hidden ones left out.

    Of more than a gibibyte, up to a thousand files are looked at, 64 KiB at both ends of each: two such places that
    differ elsewhere have one name.

    Args:
        place: a folder or a file.

    Returns:
        `contents:` and twenty hex digits; None where nothing is, or not all of it can be read.
    """
    root = Path(place).expanduser()
    hashed = hashlib.blake2b(digest_size=10)
    try:
        files = _files(root)
        sizes = [file.stat().st_size for file in files]
        for file, size in zip(files, sizes, strict=True):
            name = b"" if file == root else os.fsencode(file.relative_to(root).as_posix())
            hashed.update(b"%b\0%d\0" % (name, size))
        if sum(sizes) <= _WHOLE:
            for file in files:
                with file.open("rb") as opened:
                    hashed.update(hashlib.file_digest(opened, "sha256").digest())
        else:
            for at in range(0, len(files), -(-len(files) // _LOOKED_AT)):
                hashed.update(_ends(files[at], sizes[at]))
    except OSError:
        return None
    return f"{_NAMED}{hashed.hexdigest()}" if files else None


def _placed(part: dict[str, Any]) -> dict[str, str]:
    """The fields of a stored part that say where data lies, and where that is."""
    root = part.get("root")
    if not isinstance(root, str):
        return {}
    found = {"root": root}
    labels = part.get("labels")
    if labels not in (None, "folders", "none") and "part" in part and load_object(part["part"]) is Folder:
        table = Path(labels).expanduser()
        found["labels"] = str(table if table.is_file() else Path(root).expanduser() / labels)  # as `Folder` looks
    return found


def _walked(value: Any, see: Callable[[str], str]) -> Any:
    """The same value, each place in it replaced by what is seen in it."""
    if isinstance(value, list):
        return [_walked(v, see) for v in cast(list[Any], value)]
    if not isinstance(value, dict):
        return value
    part = cast(dict[str, Any], value)
    places = _placed(part)
    return {k: see(places[k]) if k in places else _walked(v, see) for k, v in part.items()}


def by_contents(value: Any) -> Any:
    """A stored value in which each place is the name of what lies there; a place of nothing stays."""
    return _walked(value, lambda place: contents_of(place) or place)


def unread(value: Any) -> list[str]:
    """The places that a stored value names where nothing is, or not all of it can be read."""
    found: list[str] = []

    def see(place: str) -> str:
        found.extend([place] if contents_of(place) is None else [])
        return place

    _walked(value, see)
    return found


def names_contents(value: Any) -> bool:
    """Whether a stored value names data by contents somewhere."""
    return any(text.startswith(_NAMED) for text in _texts(value))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for part in cast(dict[str, Any], value).values():
            yield from _texts(part)
    elif isinstance(value, list):
        for part in cast(list[Any], value):
            yield from _texts(part)
