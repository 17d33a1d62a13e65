"""The runs: methods with and without labels on data with a planted cue, with a long tail, and without some classes.

What they cost with `conv` on 25,000 images of 32 pixels, 4 epochs of two views in batches of 512, one thread of two
busy cores: a run 42 s (BYOL 55 s), reading it about 20 s. 5 methods x (2 cues x 4 shares + 4 sets of images) x 3 seeds
are 180 runs, about 11,500 s of one core: 96 minutes of two.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from counterpoint.errors import SourceError
from counterpoint.studies.league.make import Planned
from counterpoint.studies.long_tailed import LongTailed, tail
from counterpoint.studies.planted import Cue, Planted
from counterpoint.studies.restricted import Restricted
from counterpoint.studies.simlap.runs import runs
from counterpoint.studies.study import Cell
from counterpoint.types import Source

__all__ = [
    "AGREEMENTS",
    "BALANCED",
    "CUE",
    "CUES",
    "HALF",
    "METHODS",
    "MIXED",
    "TAIL",
    "UNEVEN",
    "Uneven",
    "cue_cells",
    "cue_place",
    "uneven_cells",
    "uneven_place",
    "uneven_sets",
]

METHODS = ("simclr", "vicreg", "byol", "supcon", "supervised")
AGREEMENTS = (0.5, 0.8, 0.95, 0.99)
CUES: Mapping[Cue, float] = {"cast": 0.3, "patch": 1.0}  # with the share of the colour in a pixel
CUE, UNEVEN = "cue", "uneven"
TAIL, BALANCED = "long tail", "as many, balanced"
HALF, MIXED = "half of the classes", "as many, all classes"


@dataclass(frozen=True, eq=False)
class Uneven:
    """A part of the images to train on.

    Args:
        name: in the grid.
        source: of them.
        epochs: passes that make about as many steps as those over all images, of two views.
    """

    name: str
    source: Source
    epochs: float


def cue_place(cue: str, agreement: float) -> dict[str, str]:
    """Of the cells with a cue, without their method."""
    return {"part": CUE, "cue": cue, "agreement": f"{agreement:g}"}


def uneven_place(name: str) -> dict[str, str]:
    """Of the cells on a part of the images, without their method."""
    return {"part": UNEVEN, "images": name}


def cue_cells(
    plan: Planned, methods: Sequence[str], agreements: Sequence[float], seeds: Sequence[int]
) -> tuple[Cell, ...]:
    """Each method on images with each cue at each share of agreement, seed by seed."""
    facts, made = replace(plan.facts, channels=3), list[Cell]()
    for seed in seeds:
        for cue, strength in CUES.items():
            for agreement in agreements:
                source = Planted(plan.source, cue, agreement, strength=strength)
                painted = replace(plan, source=source, facts=facts)
                made += runs(painted, methods, (seed,), place=cue_place(cue, agreement))
    return tuple(made)


def uneven_sets(plan: Planned, ratio: float) -> tuple[Uneven, ...]:
    """A long tail, and half of the classes, each beside as many images of all classes alike.

    Args:
        plan: data and sizes.
        ratio: training images of the first class for one of the last.

    Raises:
        SourceError: fewer than four classes.
    """
    count, classes = len(plan.dataset.train), len(plan.dataset.classes)
    if classes < 4:
        raise SourceError(
            f"bias leaves out half of the classes, but {plan.dataset.name!r} has {classes}; take 4 or more"
        )
    labels = plan.dataset.train.labels
    assert labels is not None
    each = torch.bincount(labels[labels >= 0], minlength=classes).tolist()
    long, half = LongTailed(plan.source, ratio), Restricted(plan.source, classes=classes // 2)
    kept = sum(map(min, each, tail(max(each), classes, ratio)))
    made: list[Uneven] = []
    for name, other, part, images in ((TAIL, BALANCED, long, kept), (HALF, MIXED, half, sum(each[: classes // 2]))):
        alike = Restricted(plan.source, per_class=max(1, images // classes))
        made += [Uneven(which, one, plan.epochs * count / images) for which, one in ((name, part), (other, alike))]
    return tuple(made)


def uneven_cells(
    plan: Planned, methods: Sequence[str], sets: Sequence[Uneven], seeds: Sequence[int]
) -> tuple[Cell, ...]:
    """Each method on each part of the images, seed by seed."""
    made: list[Cell] = []
    for seed in seeds:
        for one in sets:
            part = replace(plan, source=one.source, epochs=one.epochs)
            made += runs(part, methods, (seed,), place=uneven_place(one.name))
    return tuple(made)
