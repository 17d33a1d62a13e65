"""The runs: projectors of several depths, views of several strengths, no projector but a part of h, and a planted cue.

What they cost with `conv` on 25,000 images of 32 pixels, 4 epochs of two views in batches of 512, one thread of two
busy cores: a run 42 s, reading it 12 s; 19 runs a seed, of which 5 are those of the study `views`. Once a seed both toy
models (25 s), and four methods that collapse by construction beside themselves whole (eight runs of 6,000 images and 12
epochs, with two readings in each, about 40 s). Three seeds: about 4,200 s of one core, 35 minutes of two; one seed of
half the epochs about 1,000 s of one core.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from counterpoint.studies.league.budget import epochs_of
from counterpoint.studies.league.make import Planned
from counterpoint.studies.league.methods import trained_as
from counterpoint.studies.negatives.grid import PART
from counterpoint.studies.planted import Planted
from counterpoint.studies.study import Cell
from counterpoint.studies.views.parts import altered_as
from counterpoint.types import Source
from counterpoint.views import default

__all__ = [
    "ALIKE",
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
    """Images mixed with a colour, and who learns from them.

    Args:
        strength: share of the colour in a pixel; 0: no cue.
        hidden: the views turn the hue, so that they do not share the cue.
        alike: one colour for all images, which takes as much of their contrast and tells none from another.
        recipe: `simclr`, or `supervised`, which has nothing to gain from a colour.
    """

    strength: float
    hidden: bool = False
    alike: bool = False
    recipe: Literal["simclr", "supervised"] = "simclr"

    @property
    def name(self) -> str:
        """In the grid."""
        said = {"hue turned": self.hidden, "one hue": self.alike, "labels": self.recipe == "supervised"}
        return ", ".join([f"cue {self.strength:g}", *(word for word, so in said.items() if so)])

    @property
    def seen(self) -> bool:
        """Whether SimCLR meets colours that tell images apart, or none."""
        return self == Cued(self.strength)

    def source(self, source: Source) -> Planted:
        """The images, the cue tied to nothing."""
        return Planted(source, "cast", values=1 if self.alike else HUES, strength=self.strength)


CUED = (Cued(0.0), Cued(0.15), Cued(0.3), Cued(0.6))
HIDDEN = (Cued(0.0, hidden=True), Cued(0.6, hidden=True))  # a turned hue is an augmentation, also where there is no cue
ALIKE = (
    Cued(0.6, alike=True),
    Cued(0.6, recipe="supervised"),
    Cued(0.6, alike=True, recipe="supervised"),
)


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
    policy, epochs = default(facts.kind, size=facts.size, channels=facts.channels), max(1, round(plan.epochs))
    plain = "glyphs" if facts.kind == "glyphs" else "objects"  # neither changes a hue

    def run(setting: str, seed: int, recipe: str = "simclr", source: Source | None = None, **more: Any) -> Cell:
        return trained_as(
            recipe,
            source or plan.source,
            plan.encoder,
            batch=plan.batch,
            epochs=epochs_of(1, epochs) if recipe == "supervised" else epochs,
            seed=seed,
            place=place(setting),
            dials=more if recipe == "supervised" else {"temperature": TEMPERATURE, **more},
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
            made.append(changed(run(one.name, seed, one.recipe, source=source, policy=plain), views))
    return tuple(made)
