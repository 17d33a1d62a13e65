"""The settings that are swept: weights and powers of align + uniform, temperatures of NT-Xent, batches of both.

What they cost, one thread of two busy cores: 25,000 images of 32 pixels are 48 batches of 512, a step of two views with
`conv` takes .2 s, so that a run of 4 epochs takes about 40 s, whatever the batch, and reading it 20 s, most of it the
probe. 35 settings x 3 seeds are 105 runs: 1.8 hours of one core, 53 minutes of two.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from counterpoint import encoders
from counterpoint.studies.league.budget import epochs_of
from counterpoint.studies.league.make import Planned
from counterpoint.studies.league.methods import trained_as
from counterpoint.studies.study import Cell, Scale

__all__ = [
    "ALIGN_UNIFORM",
    "EPOCHS",
    "NT_XENT",
    "TIMES",
    "Setting",
    "cells",
    "largest_and_smallest",
    "only",
    "settings",
    "three_to_one",
]

Objective = Literal["align + uniform", "NT-Xent"]
ALIGN_UNIFORM: Objective = "align + uniform"
NT_XENT: Objective = "NT-Xent"
OBJECTIVES = (ALIGN_UNIFORM, NT_XENT)

EPOCHS: dict[Scale, float] = {"full": 4, "small": 2, "smoke": 1}
TIMES = (0.25, 0.5, 1.0)  # the batch, times that of the plan

_WEIGHTS = (
    (0.0, 1.0),
    (0.25, 1.0),
    (0.5, 1.0),
    (1.0, 1.0),
    (2.0, 1.0),
    (3.0, 1.0),
    (5.0, 1.0),
    (10.0, 1.0),
    (1.0, 0.0),
)
_POWERS = (  # align, alpha, t
    (1.0, 1.0, 2.0), (3.0, 1.0, 2.0), (1.0, 2.0, 3.0), (2.0, 2.0, 3.0), (3.0, 2.0, 3.0), (5.0, 2.0, 3.0),
)  # fmt: skip
_TEMPERATURES = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
_FEW_WEIGHTS = (1.0, 3.0, 10.0)  # of align, in smaller batches
_FEW_TEMPERATURES = (0.1, 0.2, 0.5, 1.0)


@dataclass(frozen=True)
class Setting:
    """A place of the grid.

    Args:
        objective: which of both.
        batch: images of a step.
        align, uniform: weights; 1 of NT-Xent.
        alpha: power of a distance.
        t: of the Gaussian potential.
        temperature: of NT-Xent; 0 for the other.
    """

    objective: Objective
    batch: int
    align: float = 1.0
    uniform: float = 1.0
    alpha: float = 2.0
    t: float = 2.0
    temperature: float = 0.0

    @property
    def name(self) -> str:
        """In words, without the batch."""
        if self.objective == NT_XENT:
            return f"temperature {self.temperature:g}"
        return f"{self.align:g} align({self.alpha:g}) + {self.uniform:g} uniform({self.t:g})"

    @property
    def axes(self) -> dict[str, str]:
        """As a cell's place has it."""
        return {"objective": self.objective, "setting": self.name, "batch": str(self.batch)}


def settings(batch: int, *, few: bool = False) -> tuple[Setting, ...]:
    """All of them, the one of the paper's table first.

    Args:
        batch: the largest.
        few: the ends of each axis alone.
    """
    small, middle, large = (max(2, round(batch * times)) for times in TIMES)
    weights = [w for w in _WEIGHTS if not few or w in ((0.0, 1.0), (1.0, 1.0), (1.0, 0.0))]
    powers = [p for p in _POWERS if not few or p == (3.0, 2.0, 3.0)]
    found = [Setting(ALIGN_UNIFORM, large, a, u) for a, u in weights]
    found += [Setting(ALIGN_UNIFORM, large, a, 1.0, alpha, t) for a, alpha, t in powers]
    found += [Setting(NT_XENT, large, temperature=v) for v in (_FEW_TEMPERATURES[::3] if few else _TEMPERATURES)]
    for size in (small,) if few else (small, middle):
        found += [Setting(ALIGN_UNIFORM, size, a) for a in (_FEW_WEIGHTS[:1] if few else _FEW_WEIGHTS)]
        found += [Setting(NT_XENT, size, temperature=v) for v in (_FEW_TEMPERATURES[:1] if few else _FEW_TEMPERATURES)]
    first = three_to_one(found)
    return (first, *(s for s in found if s != first))


def three_to_one(every: Sequence[Setting]) -> Setting:
    """3 align(2) + 1 uniform(3) at the largest batch."""
    largest = max(s.batch for s in every)
    return next(s for s in every if s.batch == largest and (s.align, s.alpha, s.t) == (3.0, 2.0, 3.0))


def only(every: Sequence[Setting], align: float, uniform: float) -> Setting:
    """The setting of some weights at the largest batch, with the powers that are usual."""
    largest = max(s.batch for s in every)
    wanted = Setting(ALIGN_UNIFORM, largest, align, uniform)
    return next(s for s in every if s == wanted)


def largest_and_smallest(every: Sequence[Setting]) -> dict[str, tuple[Setting, Setting]]:
    """Of each objective the same setting with the smallest and with the largest batch.

    The first that both have: align + uniform with weights 1, NT-Xent at its lowest temperature there.
    """
    sizes = [s.batch for s in every]
    small = [s for s in every if s.batch == min(sizes)]
    return {
        one.objective: (one, replace(one, batch=max(sizes)))
        for one in reversed(small)
        if replace(one, batch=max(sizes)) in every
    }


def cells(plan: Planned, every: Sequence[Setting], seeds: Sequence[int]) -> tuple[Cell, ...]:
    """The runs, seed by seed, all with the head, the optimizer and the views of `simclr`.

    Args:
        plan: data and sizes.
        every: the settings.
        seeds: of the runs.
    """
    return tuple(_cell(plan, setting, seed) for seed in seeds for setting in every)


def _cell(plan: Planned, setting: Setting, seed: int) -> Cell:
    contrast = setting.objective == NT_XENT
    dials = (
        {"temperature": setting.temperature}
        if contrast
        else {"align": setting.align, "uniform": setting.uniform, "alpha": setting.alpha, "t": setting.t}
    )
    cell = trained_as(
        "simclr" if contrast else "align_uniform",
        plan.source,
        plan.encoder,
        batch=setting.batch,
        epochs=epochs_of(2, plan.epochs),
        seed=seed,
        place=setting.axes,
        dials=dials,
        precision=plan.precision,
    )
    if contrast:
        return cell
    width = encoders.lookup(plan.encoder).width
    head = f"counterpoint.heads:MLPHead(({width},), 128, batch_norm=False)"
    return replace(cell, settings={**cell.settings, "heads.projector": head})
