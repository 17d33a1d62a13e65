"""Who gives the answer to match."""

from counterpoint.targets.moving_average import MovingAverage
from counterpoint.targets.same import Same, StopGradient

__all__ = ["MovingAverage", "Same", "StopGradient"]
