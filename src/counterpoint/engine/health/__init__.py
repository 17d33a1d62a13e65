"""The doctor: what is read while a run trains, what it means, and what usually helps."""

from counterpoint.engine.health.budget import Budget, now
from counterpoint.engine.health.diagnosis import Chart, Finding, diagnose
from counterpoint.engine.health.readings import Moved, read
from counterpoint.engine.health.remedies import flags
from counterpoint.engine.health.watch import Watch

__all__ = ["Budget", "Chart", "Finding", "Moved", "Watch", "diagnose", "flags", "now", "read"]
