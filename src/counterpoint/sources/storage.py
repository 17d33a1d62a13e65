"""Where decoded pixels may lie: in memory, in a cache file, or nowhere, decoded whenever they are asked for.

This says nothing about what is learned, so it is no part of a source or a recipe: it is set around `Source.load`.
"""

import os
import re
from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

from counterpoint.errors import SourceError

__all__ = ["Storage", "available_memory", "bytes_of", "current", "storing", "told"]

SHARE = 0.5  # of the available memory, where no budget is given
_UNITS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
_AMOUNT = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)(b?)", re.IGNORECASE)


def _silent(line: str) -> None:
    pass


@dataclass(frozen=True)
class Storage:
    """What may be used for decoded pixels, by one process.

    Args:
        memory: budget in bytes for the images of a data set; None: half of what is available when they are loaded.
        cache: `auto`: a set beyond the budget goes to a file in the user's cache folder; `none`: it is decoded for each
            batch; else a folder, where every set is kept.
        dry_run: write no cache; what would go there is decoded for each batch.
        tell: is given a line for a person, now and then.
    """

    memory: int | None = None
    cache: str = "auto"
    dry_run: bool = False
    tell: Callable[[str], None] = _silent

    @property
    def budget(self) -> int:
        """In bytes."""
        return int(available_memory() * SHARE) if self.memory is None else self.memory


_used: ContextVar[Storage] = ContextVar("storage", default=Storage())  # noqa: B039 - frozen


def current() -> Storage:
    """What sources go by now."""
    return _used.get()


@contextmanager
def storing(storage: Storage) -> Generator[None]:
    """Sources loaded inside go by this.

    Example:
        >>> with storing(Storage(memory=2**30, cache="none")):
        ...     current().budget
        1073741824
    """
    token = _used.set(storage)
    try:
        yield
    finally:
        _used.reset(token)


def bytes_of(text: str) -> int:
    """An amount of memory in bytes: `4GiB`, `4G` (the same), `500MB` (powers of 1000), `1048576`.

    Raises:
        SourceError: it is none.

    Example:
        >>> bytes_of("1.5GiB"), bytes_of("2 kB")
        (1610612736, 2000)
    """
    match = _AMOUNT.fullmatch(text.strip())
    if match is None or (match[3] and not match[2]):
        raise SourceError(f"{text!r} is no amount of memory; say 4GiB, 500MB, or a number of bytes")
    number, unit, binary, byte = match.groups()
    return int(float(number) * (1000 if byte and not binary else 1024) ** _UNITS[unit.lower()])


def told(amount: int) -> str:
    """Bytes for a person, in MiB or GiB."""
    return f"{amount / 2**30:,.1f} GiB" if amount >= 2**30 else f"{amount / 2**20:,.1f} MiB"


def available_memory() -> int:
    """Bytes that this process may still take without swapping: of the machine, and of its container (Linux)."""
    found: list[int] = []
    for line in _read("/proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            found.append(int(line.split()[1]) * 1024)
    if not found:
        found.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2 if hasattr(os, "sysconf") else 2**32)
    control = "/sys/fs/cgroup"
    for limit, used, names in (
        (f"{control}/memory.max", f"{control}/memory.current", f"{control}/memory.stat"),
        (f"{control}/memory/memory.limit_in_bytes", f"{control}/memory/memory.usage_in_bytes", ""),
    ):
        most, taken = _read(limit).strip(), _read(used).strip()
        if most.isdigit() and taken.isdigit():
            pages = (line.split() for line in _read(names).splitlines())
            freed = sum(int(row[1]) for row in pages if row[0] in ("inactive_file", "active_file"))
            found.append(max(0, int(most) - int(taken) + freed))
    return min(found)


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""
