"""How every benchmark measures: both sides in one process, repeats interleaved, medians, ratios, versions."""

import json
import os
import platform
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from statistics import median
from typing import Literal

import torch

__all__ = ["Row", "environment", "interleaved", "show"]

PEERS = ("lightly", "kornia", "torchvision", "scikit-learn")


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Args:
        figure: what is compared, with sizes.
        ours, theirs: measured, in `unit`.
        unit: of both.
        peer: whose figure `theirs` is, with its settings.
        ratio: as `wanted` counts it, so that a reader need not guess which is above the line.
        sense: whether the ratio should be at least or at most what is wanted.
        wanted: the goal; None: reported only.
        note: what a reader must know.
    """

    figure: str
    ours: float
    theirs: float
    unit: str
    peer: str
    ratio: float
    sense: Literal["at least", "at most"] = "at least"
    wanted: float | None = None
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the goal is reached."""
        if self.wanted is None:
            return None
        return self.ratio >= self.wanted if self.sense == "at least" else self.ratio <= self.wanted


def interleaved(
    sides: Mapping[str, Callable[[], object]], *, repeats: int = 5, warm_up: int = 1
) -> dict[str, list[float]]:
    """Seconds of each side, its repeats taken in turns, so that what else the machine does falls on all alike."""
    for _ in range(warm_up):
        for work in sides.values():
            work()
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(repeats):
        for name, work in sides.items():
            start = time.perf_counter()
            work()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def middle(seconds: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """The median of each side."""
    return {name: median(values) for name, values in seconds.items()}


def environment() -> dict[str, str]:
    """Machine and versions."""
    found = {
        "machine": f"{platform.system()} {platform.machine()}, {_processor()}, {os.cpu_count()} cores",
        "threads": str(torch.get_num_threads()),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
    for peer in PEERS:
        try:
            found[peer] = version(peer)
        except PackageNotFoundError:
            found[peer] = "not installed"
    return found


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as file:
            named = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    except OSError:
        named = []
    return named[0] if named else platform.processor() or "unknown processor"


def show(rows: Sequence[Row]) -> None:
    """Print the rows for a person, or as JSON lines with `--json`."""
    for row in rows:
        if "--json" in sys.argv:
            print(json.dumps(asdict(row)), flush=True)
            continue
        goal = "" if row.wanted is None else f"  ({row.sense} {row.wanted:g}: {'yes' if row.met else 'FALLS SHORT'})"
        print(f"{row.figure}\n  ours {row.ours:.4g} {row.unit}, {row.peer} {row.theirs:.4g}; {row.ratio:.2f} x{goal}")
        if row.note:
            print(f"  {row.note}")
