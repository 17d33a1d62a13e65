"""The runs: both losses of the theory, the number of negatives, the size of blocks, half of the classes, and SimCLR.

What they cost, one thread of two busy cores: a step of 512 images of 32 pixels in one view takes .1 s with `conv`, 48
of them an epoch of 25,000 images, so that a run of 8 epochs (as many views as 4 epochs of two) takes about 40 s, and
reading it about 25 s. 15 places x 3 seeds are 45 runs: 50 minutes of one core, 25 of two; fewer where a batch holds too
few images of a class to fill blocks.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import log
from typing import Literal

from counterpoint.studies.league.budget import BATCH, epochs_of
from counterpoint.studies.league.make import Planned
from counterpoint.studies.league.methods import trained_as
from counterpoint.studies.restricted import Restricted
from counterpoint.studies.study import Cell, Scale

__all__ = ["BLOCKS", "EPOCHS", "LOSSES", "NEGATIVES", "Place", "cells", "different", "half_of", "of_classes", "places"]

Loss = Literal["hinge", "logistic", "NT-Xent"]
LOSSES: tuple[Loss, Loss] = ("hinge", "logistic")
NEGATIVES = (1, 4, 10)
BLOCKS = (1, 2, 5, 10)
EPOCHS: dict[Scale, float] = {"full": 4, "small": 2, "smoke": 1}
WIDTH = 128
WHOLE = 0.9  # of the images of a block, that are different ones where it is one of its size
TEMPERATURE = 0.5  # of the run on augmentation pairs

_OBJECTIVES = {
    "hinge": 'counterpoint.objectives:Triplet(1.0, mining="hard")',
    "logistic": f"counterpoint.objectives:Contrast(1.0, times_temperature={1 / log(2)!r})",
}


@dataclass(frozen=True)
class Place:
    """A place of the grid.

    Args:
        loss: of the margins of a pair over its negatives; `NT-Xent` where pairs are augmentations.
        negatives: of an anchor; 0: the batch.
        block: images of each mean.
        half: whether the second half of the classes is left out of training.
    """

    loss: Loss
    negatives: int = 1
    block: int = 1
    half: bool = False

    @property
    def augmentations(self) -> bool:
        """Whether pairs are two views of an image, of which the theory says nothing."""
        return self.loss == "NT-Xent"

    @property
    def axes(self) -> dict[str, str]:
        """As a cell's place has it."""
        return {
            "pairs": "augmentations" if self.augmentations else "classes",
            "loss": self.loss,
            "negatives": str(self.negatives or "batch"),
            "block": str(self.block),
            "classes": "half" if self.half else "all",
        }

    @property
    def name(self) -> str:
        """In words."""
        if self.augmentations:
            return "SimCLR, augmentation pairs"
        some = "1 negative" if self.negatives == 1 else f"{self.negatives} negatives"
        blocks = f", blocks of {self.block}" if self.block > 1 else ""
        return f"{self.loss}, {some}{blocks}{', half of the classes' if self.half else ''}"


def different(block: int, batch: int, classes: int) -> float:
    """Mean number of different images in the block of an anchor's class, of batches that have all classes alike.

    Where the class has fewer images beside the anchor, `ClassBlocks` takes some again.

    Args:
        block: images of a mean.
        batch: images of a step.
        classes: how many.

    Example:
        >>> round(different(10, 512, 10), 2), round(different(10, 512, 109), 2)
        (10.0, 4.71)
    """
    from scipy.stats import binom

    beside = range(1, batch)
    chance = binom.pmf(beside, batch - 1, 1 / classes)  # of so many; an anchor has one at least
    return float(sum(p * min(block, n) for n, p in zip(beside, chance, strict=True)) / chance.sum())


def places(*, few: bool = False, batch: int = BATCH, classes: int = 10) -> tuple[Place, ...]:
    """All of them; blocks are trained with where nine tenths of their images are different ones.

    Args:
        few: the ends of each axis alone.
        batch: images of a step.
        classes: of the images.
    """
    negatives = NEGATIVES[::2] if few else NEGATIVES
    wanted = (BLOCKS[2],) if few else BLOCKS[1:]
    blocks = [block for block in wanted if different(block, batch, classes) >= WHOLE * block]
    found = [Place(loss, k) for loss in LOSSES for k in negatives]
    found += [Place(loss, 1, block) for loss in LOSSES for block in blocks]
    found += [Place(loss, half=True) for loss in LOSSES]
    return (*found, Place("NT-Xent", 0))


def of_classes(every: Sequence[Place]) -> list[Place]:
    """Those of class-sampled pairs over all classes, which the theory speaks of."""
    return [place for place in every if not place.augmentations and not place.half]


def half_of(classes: int) -> int:
    """Classes that are trained on where the others are left out."""
    return classes // 2


def cells(plan: Planned, every: Sequence[Place], seeds: Sequence[int]) -> tuple[Cell, ...]:
    """The runs, seed by seed.

    Class-sampled pairs have one view, the image as it is, a linear head and inner products; with half of the classes
    twice the epochs, which are as many steps. SimCLR has its own views and head.

    Args:
        plan: data and sizes.
        every: places.
        seeds: of the runs.
    """
    return tuple(_cell(plan, place, seed) for seed in seeds for place in every)


def _cell(plan: Planned, place: Place, seed: int) -> Cell:
    views = 2 if place.augmentations else 1
    source = Restricted(plan.source, classes=half_of(plan.facts.classes)) if place.half else plan.source
    cell = trained_as(
        "simclr" if place.augmentations else "supcon",
        source,
        plan.encoder,
        batch=plan.batch,
        epochs=epochs_of(views, plan.epochs * (2 if place.half else 1)),
        seed=seed,
        place=place.axes,
        precision=plan.precision,
    )
    if place.augmentations:
        return replace(cell, dials={**cell.dials, "temperature": TEMPERATURE})
    more = {
        "negatives": f"counterpoint.negatives:ClassBlocks({place.negatives}, {place.block})",
        "score": "counterpoint.scores:Dot",
        "objective": _OBJECTIVES[place.loss],
        "heads.projector": f"counterpoint.heads:MLPHead((), {WIDTH})",
    }
    return replace(cell, dials={**cell.dials, "policy": "none"}, settings={**cell.settings, **more})
