"""Data that only its place says, such as a folder of photos, named by what lies there: the same wherever it is moved.

The cells of a study know such data by its path, since a folder is read before it can be known. Readings that are to be
taken in elsewhere name it by its contents.
"""

import hashlib
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

__all__ = ["by_contents", "by_place", "contents_of", "places_in", "unknown"]

_NAMED = "contents:"
_LOOKED_AT, _BYTES = 1000, 1 << 16


@lru_cache(maxsize=256)
def contents_of(place: str) -> str | None:
    """A name for the files at a place: their relative paths and sizes, and how up to a thousand of them begin.

    Two folders that differ only behind the first 64 KiB of a file, or in one of more than a thousand files that was not
    looked at, have one name. Whether images and labels are those of a run is checked where the data is loaded.

    Args:
        place: a folder or a file.

    Returns:
        `contents:` and twenty hex digits; None where nothing can be read.
    """
    root = Path(place)
    hashed = hashlib.blake2b(digest_size=10)
    try:
        files = [root] if root.is_file() else sorted(path for path in root.rglob("*") if path.is_file())
        for path in files:
            name = "" if path == root else path.relative_to(root).as_posix()
            hashed.update(f"{name}\0{path.stat().st_size}\0".encode())
        for path in files[:: -(-len(files) // _LOOKED_AT) or 1]:
            with path.open("rb") as file:
                hashed.update(file.read(_BYTES))
    except OSError:
        return None
    return f"{_NAMED}{hashed.hexdigest()}" if files else None


def _replaced(value: Any, names: Mapping[str, str]) -> Any:
    if isinstance(value, list):
        return [_replaced(v, names) for v in cast(list[Any], value)]
    if not isinstance(value, dict):
        return value
    part = cast(dict[str, Any], value)
    return {k: names.get(v, v) if k == "root" and isinstance(v, str) else _replaced(v, names) for k, v in part.items()}


def places_in(value: Any) -> set[str]:
    """The places that a stored value names, as `cells.what` leaves them."""
    if isinstance(value, list):
        return set[str]().union(*map(places_in, cast(list[Any], value)))
    if not isinstance(value, dict):
        return set()
    part = cast(dict[str, Any], value)
    own = {part["root"]} if isinstance(part.get("root"), str) else set[str]()
    return own.union(*map(places_in, part.values()))


def unknown(value: Any) -> set[str]:
    """The places that a stored value names and where nothing can be read."""
    return {place for place in places_in(value) if contents_of(place) is None}


def by_contents(value: Any) -> Any:
    """A stored value in which each place is the name of what lies there; a place of nothing stays."""
    return _replaced(value, {place: name for place in places_in(value) if (name := contents_of(place))})


def by_place(value: Any, places: Iterable[str]) -> Any:
    """The same value with the names of these places' contents put back to the places; other names stay."""
    return _replaced(value, {name: place for place in sorted(places) if (name := contents_of(place))})
