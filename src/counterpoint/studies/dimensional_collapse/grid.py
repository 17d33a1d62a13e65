"""The runs: projectors of several depths, views of several strengths, no projector but a part of h, and a planted cue.

What they cost with `conv` on 25,000 images of 32 pixels, 4 epochs of two views in batches of 512, one thread of two
busy cores: a run 42 s, reading it 12 s; 15 runs a seed, of which 5 are those of the study `views`. Once a seed both toy
models (20 s), and four methods that collapse by construction beside themselves whole (eight runs of 6,000 images and 12
epochs, 35 s each). Three seeds: about 3,400 s of one core, 28 minutes of two.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from counterpoint.studies.league.make import Planned
from counterpoint.studies.league.methods import trained_as
from counterpoint.studies.negatives.grid import PART
from counterpoint.studies.planted import Planted
from counterpoint.studies.study import Cell
from counterpoint.studies.views.parts import altered_as
from counterpoint.types import Source
from counterpoint.views import default

__all__ = [
    "CUED",
    "DEPTHS",
    "HIDDEN",
    "SHARES",
    "STRENGTHS",
    "USUAL",
    "Cued",
    "cells_of",
    "depth",
    "place",
    "share",
    "strong",
]

TEMPERATURE = 0.5  # of all, so that runs are shared with other studies
DEPTHS = (0, 1, 2, 3)  # layers of the projector
STRENGTHS = (0.25, 0.5, 1.0, 2.0, 4.0)  # of the usual views
SHARES = (0.176, 0.5)  # of h, which DirectCLR compares; the first is the paper's
HUES = 1000  # values of the cue


@dataclass(frozen=True)
class Cued:
    """Images mixed with a colour of their own.

    Args:
        strength: share of the colour in a pixel; 0: no cue.
        hidden: the views turn the hue, so that they do not share the cue.
    """

    strength: float
    hidden: bool = False

    @property
    def name(self) -> str:
        """In the grid."""
        return f"cue {self.strength:g}{', hue turned' if self.hidden else ''}"

    def source(self, source: Source) -> Planted:
        """The images, the cue tied to nothing."""
        return Planted(source, "cast", values=HUES, strength=self.strength)


CUED = (Cued(0.0), Cued(0.15), Cued(0.3), Cued(0.6))
HIDDEN = Cued(0.6, hidden=True)


def depth(layers: int) -> str:
    """Of a projector, in the grid."""
    return f"projector of {layers}"


USUAL = depth(2)


def strong(strength: float) -> str:
    """Of the views, in the grid; the usual ones are those of the usual projector."""
    return USUAL if strength == 1 else f"views x {strength:g}"


def share(of: float) -> str:
    """Of h that is compared, in the grid."""
    return f"DirectCLR {of:g}"


def place(setting: str) -> dict[str, str]:
    """Of a cell."""
    return {"part": PART, "setting": setting}


def cells_of(
    plan: Planned,
    depths: Sequence[int],
    strengths: Sequence[float],
    shares: Sequence[float],
    cued: Sequence[Cued],
    seeds: Sequence[int],
) -> tuple[Cell, ...]:
    """All runs, seed by seed.

    Args:
        plan: data and sizes.
        depths: layers of the projector.
        strengths: of the usual views.
        shares: of h, for DirectCLR.
        cued: planted cues.
        seeds: of the runs.
    """
    facts = plan.facts
    policy = default(facts.kind, size=facts.size, channels=facts.channels)
    plain = "glyphs" if facts.kind == "glyphs" else "objects"  # neither changes a hue

    def run(setting: str, seed: int, recipe: str = "simclr", source: Source | None = None, **more: object) -> Cell:
        return trained_as(
            recipe,
            source or plan.source,
            plan.encoder,
            batch=plan.batch,
            epochs=max(1, round(plan.epochs)),
            seed=seed,
            place=place(setting),
            dials={"temperature": TEMPERATURE, **more},  # pyright: ignore[reportArgumentType]
            precision=plan.precision,
        )

    def changed(cell: Cell, settings: Mapping[str, str]) -> Cell:
        return replace(cell, settings={**cell.settings, **settings})

    made: list[Cell] = []
    for seed in seeds:
        for layers in depths:
            if layers:
                made.append(run(depth(layers), seed, layers=layers))
            else:
                made.append(changed(run(depth(0), seed), {"heads.projector": "counterpoint.heads:Identity()"}))
        for strength in strengths:
            if strength != 1:
                views = altered_as(policy, facts.size, facts.channels, strength=strength)
                made.append(changed(run(strong(strength), seed), views))
        made += [run(share(of), seed, "directclr", share=of) for of in shares]
        for one in cued:
            source = one.source(plan.source)
            views = altered_as(plain, facts.size, 3, add="hue" if one.hidden else "")
            made.append(changed(run(one.name, seed, source=source, policy=plain), views))
    return tuple(made)
