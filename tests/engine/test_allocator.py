"""What is freed is kept: taking it again costs no page faults."""

import os
import subprocess
import sys

import pytest

CODE = """
import resource, sys, torch
from counterpoint.engine.allocator import keep_freed_memory
print(keep_freed_memory())
for _ in range(3):
    torch.ones(16_000_000)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    torch.ones(16_000_000)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")
@pytest.mark.parametrize("more", [{}, {"MALLOC_ARENA_MAX": "2"}], ids=["by itself", "left alone"])
def test_freed_memory_is_kept(more):
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MALLOC_", "GLIBC_TUNABLES"))}
    done = subprocess.run(
        [sys.executable, "-c", CODE], env=environment | more, capture_output=True, text=True, check=True, timeout=120
    )
    kept, faults = done.stdout.split()
    if kept == "False" and not more:
        pytest.skip("another C library than glibc")
    pages = 10 * 64_000_000 // os.sysconf("SC_PAGESIZE")
    # Huge pages make a fault cover many pages; kept memory has none of either.
    assert kept == str(not more)
    assert int(faults) < pages // 1000 if kept == "True" else int(faults) > 10
