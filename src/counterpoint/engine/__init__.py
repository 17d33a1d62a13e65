"""The engine: the step, the loop around it, exact resume, and what the person sees."""

from counterpoint.engine.checkpoint import Checkpoint, clean, newest, restore
from counterpoint.engine.chunked import check_chunks, chunked, normalises_over_rows
from counterpoint.engine.fit import Outcome, Plan, Stepped, batches, fit, steps_per_epoch, train_step
from counterpoint.engine.health import Chart, Finding, diagnose, flags
from counterpoint.engine.machine import Machine, Numerics, launch, measured
from counterpoint.engine.progress import Progress, duration
from counterpoint.engine.step import Compared, compare

__all__ = [
    "Chart",
    "Checkpoint",
    "Compared",
    "Finding",
    "Machine",
    "Numerics",
    "Outcome",
    "Plan",
    "Progress",
    "Stepped",
    "batches",
    "check_chunks",
    "chunked",
    "clean",
    "compare",
    "diagnose",
    "duration",
    "fit",
    "flags",
    "launch",
    "measured",
    "newest",
    "normalises_over_rows",
    "restore",
    "steps_per_epoch",
    "train_step",
]
