"""Who gives the answer to match."""

from counterpoint.targets.moving_average import MovingAverage
from counterpoint.targets.pixels import Pixels
from counterpoint.targets.same import Same, StopGradient

__all__ = ["MovingAverage", "Pixels", "Same", "StopGradient"]
