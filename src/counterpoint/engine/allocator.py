"""Memory that a step frees is kept for the next one."""

import ctypes
import os
import sys
from contextlib import suppress

__all__ = ["keep_freed_memory"]

# Of glibc's mallopt(3): most blocks by mmap, what is kept at the end of the heap, and by how much that grows.
MMAP_MAX, TRIM_THRESHOLD, TOP_PAD = -4, -1, -2


def keep_freed_memory() -> bool:
    """Keep what is freed, where glibc allocates; whether that was done.

    A step on a CPU takes and frees the same hundreds of MiB again and again. By default glibc hands large blocks back
    to the system at once, which clears every page anew when they are taken again: a tenth of a step and more. The
    process stays as large as its largest step. Left alone where the environment sets `MALLOC_…` or `GLIBC_TUNABLES`.
    """
    if sys.platform != "linux" or any(name.startswith(("MALLOC_", "GLIBC_TUNABLES")) for name in os.environ):
        return False
    with suppress(OSError, AttributeError):  # another library than glibc
        option = ctypes.CDLL(None).mallopt
        return all(option(*pair) for pair in ((MMAP_MAX, 0), (TRIM_THRESHOLD, 2**31 - 1), (TOP_PAD, 2**26)))
    return False
