"""The study as a value."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from counterpoint import sources
from counterpoint.errors import RecipeError, nearest
from counterpoint.studies.league.make import Planned, planned, source_of
from counterpoint.studies.league.methods import named
from counterpoint.studies.negatives.evaluators import Accuracy
from counterpoint.studies.negatives.grid import EPOCHS
from counterpoint.studies.ruled import BLIND
from counterpoint.studies.study import SEEDS, Evaluator, Scale, Study
from counterpoint.studies.views.bits import Bits
from counterpoint.studies.views.claims import bit_claims, flip_claim, view_claims
from counterpoint.studies.views.evaluators import Invariances, Shared, Survival
from counterpoint.studies.views.grid import (
    CHANCES,
    NOTHING,
    STRENGTHS,
    Chances,
    Grid,
    bit_cells,
    cells_of,
    grid_of,
)
from counterpoint.studies.views.parts import OPS
from counterpoint.studies.views.sections import About, study_sections
from counterpoint.types import Source

__all__ = ["views"]


def views(
    *,
    source: Source | None = None,
    scale: Scale = "full",
    seeds: Sequence[int] | None = None,
    encoder: str | None = None,
    epochs: float | None = None,
    images: int | None = None,
    ops: str | Iterable[str] = "",
    bits: bool = True,
    other: str = "",
    other_root: str | Path | None = None,
    other_size: int | None = None,
) -> Study:
    """Operations alone, left out, in pairs and by strength; what views share; what is ignored; bits that are known.

    Pairs without a crop are run at the first seed only.

    Args:
        source: labelled images; the embedded digits at smoke scale where None.
        scale: `full`; `small`: half of the epochs, one seed; `smoke`: one epoch of few images, of an mlp.
        seeds: of the runs; three at full scale, else one, where None.
        encoder: that all share; `conv`, or `mlp` at smoke scale, where None.
        epochs: of two views of an image.
        images: training images, equally many of each class; None: the league's.
        ops: operations that are tried alone and in pairs, as `crop,colour`; none: what suits the images.
        bits: whether the made-up source is asked too.
        other: name of further data, on which a flip is tried: digits beside photos.
        other_root: where its files are.
        other_size: side of its images, in pixels, for sources that take one.

    Raises:
        CounterpointError: an option that is none, or no data.
    """
    smoke = scale == "smoke"
    source = source_of("views", source, scale)

    def plan_of(one: Source) -> Planned:
        return planned(
            one, scale=scale, encoder=encoder, images=images, epochs=EPOCHS[scale] if epochs is None else epochs
        )

    plan = plan_of(source)
    chosen = SEEDS[scale] if seeds is None else tuple(seeds)
    few = ("crop", "flip", "turn") if smoke else ()
    grid = grid_of(plan, plan.dataset.name, ops=_ops(ops) or few, strengths=(0.25, 4.0) if smoke else STRENGTHS)
    if smoke:
        grid = replace(grid, own=grid.own[:2])
    cells = cells_of(plan, grid, grid.every, chosen[:1])
    cells += cells_of(plan, grid, list(dict.fromkeys(grid.repeated)), chosen[1:])
    claims = view_claims(grid)
    beside: Grid | None = None
    if other:
        further = plan_of(sources.lookup(other, root=other_root, size=other_size))
        name = further.dataset.name
        beside = grid_of(further, name if name != grid.data else f"{name}, {further.facts.size} px", ops=grid.single)
        cells += cells_of(further, beside, beside.flips, chosen)
        claims += (flip_claim(beside),)
    made_up = Bits(train=1024, test=512) if smoke else Bits()
    chances: tuple[Chances, ...] = (CHANCES[0], CHANCES[3], CHANCES[6]) if smoke else CHANCES
    if bits:
        cells += bit_cells(made_up, chances, chosen, scale=scale)
        claims += bit_claims(made_up, chances)
    evaluators: tuple[Evaluator, ...] = (
        Accuracy(tuple(grid.place(NOTHING).items()), c=0.01 if smoke else None),
        Shared(),
        Invariances(),
        Survival(),
    )
    about = About(grid, beside, made_up if bits else None, chances)
    return Study(
        name="views",
        title=f"Views of {plan.dataset.name}: which make a good encoder, and what they share",
        about=_about(plan, grid, bits),
        source="",
        cells=cells,
        evaluators=evaluators if bits else evaluators[:-1],
        claims=claims,
        sections=partial(study_sections, about=about),
    )


def _ops(given: str | Iterable[str]) -> tuple[str, ...]:
    found = named(given)
    for name in found:
        if name not in OPS:
            raise RecipeError(f"views: there is no operation {name!r}; {nearest(name, OPS)}")
    if len(found) == 1:
        raise RecipeError("views: one operation makes no pair; give two or more, as crop,colour")
    return tuple(name for name in OPS if name in found)


def _about(plan: Planned, grid: Grid, bits: bool) -> tuple[str, ...]:
    told = [
        "Two views of an image are pulled together, so that what they do not share is not asked for. Which operations "
        "make the views is what a person decides; this page tries them alone, in pairs, left out of the usual ones, "
        "and weaker and stronger, and asks what the views share.",
        f"All runs are SimCLR's with the encoder `{plan.encoder}`, {len(plan.dataset.train):,} images of "
        f"{plan.dataset.name}, batches of {plan.batch} and {plan.epochs:g} epochs. The usual views are "
        f"`{grid.policy}`: {', '.join(grid.own)}. Operations that are tried alone have the strength that they have in "
        "the usual views of small photos or of glyphs; both views are made alike, where the paper changes one of two.",
        f"Pairs without {grid.first} are of one seed, and no claim rests on them.",
    ]
    if bits:
        told.append(
            "The made-up source shows bits, of which it is known which are the class, which two views share, and how "
            "much that is: Tian et al. 2020 argue that the best views share what matters and nothing else."
        )
    return (*told, BLIND)
