"""The engine: the step, the loop around it, exact resume, and what the person sees."""

from counterpoint.engine.checkpoint import Checkpoint, clean, newest, restore
from counterpoint.engine.fit import Outcome, Plan, batches, fit, steps_per_epoch, train_step
from counterpoint.engine.machine import Machine, Numerics, launch, measured
from counterpoint.engine.progress import Progress, duration
from counterpoint.engine.step import compare

__all__ = [
    "Checkpoint",
    "Machine",
    "Numerics",
    "Outcome",
    "Plan",
    "Progress",
    "batches",
    "clean",
    "compare",
    "duration",
    "fit",
    "launch",
    "measured",
    "newest",
    "restore",
    "steps_per_epoch",
    "train_step",
]
