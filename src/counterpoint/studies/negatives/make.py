"""The study as a value."""

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

from counterpoint import sources
from counterpoint.errors import RecipeError, nearest
from counterpoint.sources import Digits
from counterpoint.studies.held_out import HeldOut
from counterpoint.studies.league.make import Planned, planned, source_of
from counterpoint.studies.league.methods import named
from counterpoint.studies.negatives.claims import grid_claims, mixing_claims
from counterpoint.studies.negatives.evaluators import Accuracy, Hardness, Trial
from counterpoint.studies.negatives.grid import (
    EPOCHS,
    MIXINGS,
    NONE,
    SAID,
    SOURCES,
    TEMPERATURES,
    grid,
    mixing_cells,
    places,
)
from counterpoint.studies.negatives.sections import About, study_sections
from counterpoint.studies.ruled import BLIND
from counterpoint.studies.study import SEEDS, Evaluator, Scale, Study
from counterpoint.types import Source

__all__ = ["negatives"]


def negatives(
    *,
    source: Source | None = None,
    scale: Scale = "full",
    seeds: Sequence[int] | None = None,
    encoder: str | None = None,
    epochs: float | None = None,
    images: int | None = None,
    kinds: str | Iterable[str] = SOURCES,
    temperatures: str | float | Iterable[float] | None = None,
    mixing: bool = True,
    other: str = "",
    other_root: str | Path | None = None,
    other_size: int | None = None,
) -> Study:
    """Source of negatives x number x temperature, and how well MoCHi's dials travel.

    Args:
        source: labelled images; the embedded digits at smoke scale where None.
        scale: `full`; `small`: half of the epochs, one seed; `smoke`: one epoch of few images, of an mlp, and the ends
            of each axis.
        seeds: of the runs; three at full scale, else one, where None.
        encoder: that all share; `conv`, or `mlp` at smoke scale, where None.
        epochs: of a method of two views of an image; others get as many views.
        images: training images, equally many of each class; None: the league's.
        kinds: where negatives come from, as `batch,queue`.
        temperatures: as `0.1,0.5`; None: 0.1, 0.2 and 0.5.
        mixing: whether MoCHi's (N, s, s') is tuned too.
        other: name of the data that the dials are carried to; empty: they are tuned on the source alone (at smoke scale
            carried to larger digits).
        other_root: where its files are.
        other_size: side of its images, in pixels, for sources that take one.

    Raises:
        CounterpointError: an option that is none, or no data.
    """
    chosen = _kinds(kinds)
    smoke = scale == "smoke"
    usual = (TEMPERATURES[0], TEMPERATURES[-1]) if smoke else TEMPERATURES
    degrees = _temperatures(usual if temperatures is None else temperatures)
    source = source_of("negatives", source, scale)

    def plan_of(one: Source) -> Planned:
        return planned(one, scale=scale, encoder=encoder, images=images, epochs=epochs or EPOCHS[scale])

    plan = plan_of(source)
    seeds = SEEDS[scale] if seeds is None else tuple(seeds)
    every = places(chosen, degrees, plan.batch, ends=smoke)
    cells = grid(plan, every, seeds)
    at = next((place for place in reversed(every) if place.source == "batch"), every[-1])
    evaluators: list[Evaluator] = [
        Accuracy(tuple(at.axes.items()), c=0.01 if smoke else None),
        Hardness(),
    ]
    claims = grid_claims(every)
    tuned: tuple[str, ...] = ()
    mixings = (MIXINGS[0], NONE) if smoke else MIXINGS
    if mixing:
        plans = [plan_of(HeldOut(source))]
        if other:
            plans.append(plan_of(HeldOut(sources.lookup(other, root=other_root, size=other_size))))
        elif smoke:
            plans.append(plan_of(HeldOut(Digits(16))))
        tuned = _distinct(plans)
        cells += tuple(
            cell for one, name in zip(plans, tuned, strict=True) for cell in mixing_cells(one, name, mixings, seeds)
        )
        evaluators.append(Trial())
        claims += mixing_claims(tuned, mixings)
    about = About(every, at, tuned, mixings, plan.epochs)
    return Study(
        name="negatives",
        title=f"Negatives on {plan.dataset.name}: source, number, temperature",
        about=_about(plan, chosen),
        source="",
        cells=cells,
        evaluators=tuple(evaluators),
        claims=claims,
        sections=partial(study_sections, about=about),
    )


def _kinds(kinds: str | Iterable[str]) -> tuple[str, ...]:
    found = named(kinds)
    for name in found:
        if name not in SOURCES:
            raise RecipeError(f"negatives: there is no kind {name!r}; {nearest(name, SOURCES)}")
    if not found:
        raise RecipeError(f"negatives: kinds names none; give some of {', '.join(SOURCES)}")
    return found


def _temperatures(given: str | float | Iterable[float]) -> tuple[float, ...]:
    try:
        listed = given.split(",") if isinstance(given, str) else [given] if isinstance(given, int | float) else given
        found = tuple(sorted({float(value) for value in listed}))
    except ValueError as error:
        raise RecipeError(f"negatives: temperatures is {given!r}; give numbers, as 0.1,0.5") from error
    if not found or found[0] <= 0:
        raise RecipeError(f"negatives: temperatures is {given!r}; give one or more, all above 0")
    return found


def _distinct(plans: Sequence[Planned]) -> tuple[str, ...]:
    """Names of the data; with the size of an image where two go by one name."""
    names = [plan.dataset.name for plan in plans]
    return tuple(
        f"{name}, {plan.facts.size} px" if names.count(name) > 1 else name
        for name, plan in zip(names, plans, strict=True)
    )


def _about(plan: Planned, kinds: Sequence[str]) -> tuple[str, ...]:
    said = "; ".join(f"{kind}: {SAID[kind]}" for kind in kinds)
    return (
        "An image is pulled towards another view of itself and pushed from others, its negatives. Which others, how "
        "many, and at which temperature their similarities are weighed: a survey of contrastive learning names this an "
        f"open direction, and this page asks it with all else held still. {said[0].upper()}{said[1:]}.",
        f"All train the encoder `{plan.encoder}` on {len(plan.dataset.train):,} images of {plan.dataset.name} in "
        f"batches of {plan.batch}, with one head, one optimizer and one rate, until they have seen as many views as "
        f"{plan.epochs:g} epochs of two views have. So short a training ranks what helps early; dials other than these "
        "are not tuned. Fewer negatives of the batch are had by comparing within parts of it, so that steps, rate and "
        "BatchNorm stay as they are; a source brings what belongs to it, the queue its slow second network.",
        "The gradient is that of the steps that would follow the last one, with the batches, views, queue and bank "
        "that these would have. Of each anchor the negatives are ranked by similarity; a tenth of them is a decile, "
        "the hardest first. A negative is false where it is of the anchor's class, which the training never knew.",
        BLIND,
    )
