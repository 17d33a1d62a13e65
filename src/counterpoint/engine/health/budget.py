"""How often a run is read: as often as it is logged, while that costs next to nothing."""

import time
from dataclasses import dataclass

import torch

__all__ = ["Budget", "now"]

ALWAYS = 12  # readings that are taken whatever they cost: 120 steps by default, enough to judge a young run
SHARE = 0.01  # of the time since the start that readings may take


@dataclass
class Budget:
    """Whether to take a reading, from what readings have cost so far.

    Readings are due at every logged step. The first 12 are always taken, and those where a quarter of the run has just
    ended; any other is left out where it would bring what readings have cost above 1 % of the run's time. A run whose
    steps take less than ten times as long as a reading (small encoders on small images) is therefore read at fewer of
    its logged steps, any other at all of them.
    At which, depends on the clock, and may differ when a run is made again; what is trained does not depend on it.

    Args:
        taken: readings; of a resumed run, those before, too.
        spent: seconds in this process.
        last: seconds that the newest took, which the next is expected to take.
    """

    taken: int = 0
    spent: float = 0.0
    last: float = 0.0

    def allows(self, elapsed: float, *, quarter: bool = False) -> bool:
        """Whether a reading may be taken, so many seconds after the start; always where a quarter has just ended."""
        return quarter or self.taken < ALWAYS or self.spent + self.last <= SHARE * elapsed

    def charge(self, seconds: float) -> None:
        """For one reading."""
        self.taken, self.spent, self.last = self.taken + 1, self.spent + seconds, seconds


def now(device: torch.device) -> float:
    """Seconds, when the device has done what it was given: a reading must not be charged for the step before it."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
    return time.perf_counter()
