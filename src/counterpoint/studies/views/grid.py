"""The runs of the study: SimCLR on one encoder, with views of different operations; and small ones on made-up bits.

What they cost with `conv` on 25,000 images of 32 pixels, 4 epochs of two views in batches of 512, one thread of two
busy cores: a run 42 s, reading it about 15 s. Of photos there are 49 kinds of views at the first seed and 28 at each
further one, 105 runs of three seeds; with 6 of other data and 24 of bits (10 s each) about 6,600 s of one core: 55
minutes of two.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from counterpoint.studies.league.make import Planned
from counterpoint.studies.league.methods import trained_as
from counterpoint.studies.negatives.grid import PART
from counterpoint.studies.study import Cell, Scale
from counterpoint.studies.views.bits import Bits
from counterpoint.studies.views.parts import altered_as, op_names, seen_as
from counterpoint.views import default

__all__ = [
    "BITS",
    "CHANCES",
    "NOTHING",
    "STRENGTHS",
    "WHOLE",
    "Chances",
    "Grid",
    "added",
    "bit_cells",
    "cells_of",
    "grid_of",
    "left_out",
    "strong",
]

STRENGTHS = (0.25, 0.5, 2.0, 4.0)
WHOLE, NOTHING = "the usual views", "nothing"
BITS = "bits"
_SINGLE = {
    "glyphs": ("scale", "turn", "shift", "elastic", "colour", "crop", "flip", "cutout"),
    "objects": ("crop", "flip", "colour", "turn", "elastic", "blur", "noise", "cutout"),
    "photos": ("crop", "flip", "colour", "grey", "turn", "blur", "noise", "cutout"),
}


@dataclass(frozen=True)
class Chances:
    """That bits are drawn anew in each view.

    Args:
        relevant: chance for a bit of the class.
        irrelevant: for any other bit.
    """

    relevant: float
    irrelevant: float

    @property
    def name(self) -> str:
        """As a cell's place has it."""
        return f"{self.relevant:g}, {self.irrelevant:g}"


# From all bits shared, over those of the class alone, to none; and all but those of the class.
CHANCES = tuple(Chances(*pair) for pair in ((0, 0), (0, 0.25), (0, 0.5), (0, 1), (0.25, 1), (0.5, 1), (1, 1), (1, 0)))


@dataclass(frozen=True)
class Grid:
    """The views of one data set.

    Args:
        data: its name.
        kind: of its images.
        policy: its usual views, by name.
        size, channels: of an image.
        single: operations that are tried alone and in pairs.
        own: operations of the usual views, each of which is left out once.
        strengths: at which the usual views are tried, without 1.
    """

    data: str
    kind: str
    policy: str
    size: int
    channels: int
    single: tuple[str, ...]
    own: tuple[str, ...]
    strengths: tuple[float, ...]

    @property
    def pairs(self) -> list[str]:
        """Two operations, in the order in which they are done."""
        return ["+".join(pair) for pair in combinations(self.single, 2)]

    @property
    def first(self) -> str:
        """Of the operations the one whose pairs stand in every seed: the crop where there is one."""
        return "crop" if "crop" in self.single else self.single[0]

    @property
    def repeated(self) -> list[str]:
        """Views of every seed, on which claims rest; a name may stand there twice."""
        with_first = [pair for pair in self.pairs if self.first in pair.split("+")]
        return [NOTHING, *self.single, *with_first, *self.flips, *map(left_out, self.own), *map(strong, self.strengths)]

    @property
    def flips(self) -> list[str]:
        """The usual views, and these without a flip where they have one, else with one."""
        return [WHOLE, left_out("flip") if "flip" in self.own else added("flip")]

    @property
    def every(self) -> list[str]:
        """All views."""
        return list(dict.fromkeys([*self.repeated, *self.pairs]))

    def place(self, views: str) -> dict[str, str]:
        """Of a cell."""
        return {"part": PART, "data": self.data, "views": views}

    def settings(self, views: str) -> dict[str, str]:
        """Of a cell."""
        at = (self.policy, self.size, self.channels)
        if views in self.single or views in self.pairs or views == NOTHING:
            return seen_as("" if views == NOTHING else views, self.size, self.channels)
        for name in self.own:
            if views == left_out(name):
                return altered_as(*at, without=name)
        for strength in self.strengths:
            if views == strong(strength):
                return altered_as(*at, strength=strength)
        return altered_as(*at, add="flip") if views == added("flip") else {}


def left_out(op: str) -> str:
    """The usual views without an operation."""
    return f"without {op}"


def strong(strength: float) -> str:
    """The usual views at a strength."""
    return f"strength {strength:g}"


def added(op: str) -> str:
    """The usual views and an operation."""
    return f"with {op}"


def grid_of(plan: Planned, data: str, *, ops: Sequence[str] = (), strengths: Sequence[float] = STRENGTHS) -> Grid:
    """What is tried on a data set.

    Args:
        plan: data and sizes.
        data: its name.
        ops: tried alone and in pairs; empty: those that suit the kind of images.
        strengths: of the usual views.
    """
    facts = plan.facts
    policy = default(facts.kind, size=facts.size, channels=facts.channels)
    kind = "objects" if facts.channels == 1 and facts.kind == "photos" else facts.kind
    return Grid(
        data=data,
        kind=facts.kind,
        policy=policy,
        size=facts.size,
        channels=facts.channels,
        single=tuple(ops) or _SINGLE[kind],
        own=op_names(policy, facts.size, facts.channels),
        strengths=tuple(strengths),
    )


def cells_of(plan: Planned, grid: Grid, views: Sequence[str], seeds: Sequence[int]) -> tuple[Cell, ...]:
    """A run of SimCLR for each of some views and each seed, seed by seed."""
    made: list[Cell] = []
    for seed in seeds:
        for name in views:
            cell = trained_as(
                "simclr",
                plan.source,
                plan.encoder,
                batch=plan.batch,
                epochs=max(1, round(plan.epochs)),
                seed=seed,
                place=grid.place(name),
                dials={"temperature": 0.5},
                precision=plan.precision,
            )
            made.append(replace(cell, settings={**cell.settings, **grid.settings(name)}))
    return tuple(made)


def bit_cells(source: Bits, chances: Sequence[Chances], seeds: Sequence[int], *, scale: Scale) -> tuple[Cell, ...]:
    """Runs on made-up bits."""
    made: list[Cell] = []
    for seed in seeds:
        for chance in chances:
            cell = trained_as(
                "simclr",
                source,
                "mlp",
                batch=256,
                epochs={"full": 20, "small": 10, "smoke": 2}[scale],
                seed=seed,
                place={"part": BITS, "data": BITS, "views": chance.name},
                dials={"temperature": 0.2},
                precision="32-true",
            )
            given = f"{source.relevant}, {source.irrelevant}, {chance.relevant:g}, {chance.irrelevant:g}"
            views = f"counterpoint.studies.views.bits:bit_views({given})"
            made.append(replace(cell, settings={**cell.settings, "views": views}))
    return tuple(made)
