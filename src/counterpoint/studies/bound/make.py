"""The study as a value."""

from collections.abc import Sequence
from functools import partial

from counterpoint.errors import RecipeError
from counterpoint.studies.bound.claims import study_claims
from counterpoint.studies.bound.ends import Shift, Unseen
from counterpoint.studies.bound.evaluators import Promise, Tasks
from counterpoint.studies.bound.grid import EPOCHS, LOSSES, Place, cells, half_of, places
from counterpoint.studies.bound.sections import study_sections
from counterpoint.studies.league.make import planned, source_of
from counterpoint.studies.ruled import BLIND
from counterpoint.studies.study import SEEDS, Evaluator, Scale, Study
from counterpoint.types import Source

__all__ = ["bound"]

FEWEST = 4  # classes, of which two can be left out
DRAWS = 20_000


def bound(
    *,
    source: Source | None = None,
    scale: Scale = "full",
    seeds: Sequence[int] | None = None,
    encoder: str | None = None,
    epochs: float | None = None,
    images: int | None = None,
    draws: int | None = None,
) -> Study:
    """Both theorems of Arora et al. on encoders trained as they ask, and where they end.

    Args:
        source: labelled images; the embedded digits at smoke scale where None.
        scale: `full`; `small`: half of the epochs, one seed; `smoke`: one epoch of few images, of an mlp, and the ends
            of each axis.
        seeds: of the runs; three at full scale, else one, where None.
        encoder: that all share; `conv`, or `mlp` at smoke scale, where None.
        epochs: of a method of two views of an image; others get as many views.
        images: training images, equally many of each class; None: the league's.
        draws: tuples with a collision and without that an expectation is of; None: 20,000, at smoke scale a tenth.

    Raises:
        CounterpointError: an option that is none, or no data.
    """
    smoke = scale == "smoke"
    source = source_of("bound", source, scale)
    plan = planned(
        source, scale=scale, encoder=encoder, images=images, epochs=EPOCHS[scale] if epochs is None else epochs
    )
    seeds = SEEDS[scale] if seeds is None else tuple(seeds)
    every = tuple(
        p
        for p in places(few=smoke, batch=plan.batch, classes=plan.facts.classes)
        if not p.half or plan.facts.classes >= FEWEST
    )
    at = tuple(Place(LOSSES[1]).axes.items())
    draws = (DRAWS // 10 if smoke else DRAWS) if draws is None else draws
    if draws < 2:
        raise RecipeError(f"bound: draws is {draws}; give 2 or more")
    few = {"tasks": 3, "rows": 20} if smoke else {}
    evaluators: tuple[Evaluator, ...] = (Promise(draws), Tasks(at, **few), Shift(draws))
    if any(place.half for place in every):
        evaluators += (Unseen(half_of(plan.facts.classes), draws, **few),)
    return Study(
        name="bound",
        title=f"The bound on {plan.dataset.name}",
        about=(
            "Where two images of one class are a pair and images of classes drawn alike are its negatives, a low "
            "contrastive loss bounds what tasks among these classes cost: those of the mean classifier, whose rows are "
            "the classes' means. Here encoders are trained so, with both losses of the theory on inner products, "
            "several numbers of negatives, and blocks, whose means stand for images; and both sides are measured.",
            "On one split the inequality of one negative holds for any numbers whatever: it says how loose the bound "
            "is, not whether it holds. What can fail is the loss of training images against the task's on test images, "
            "which includes the term of generalisation that the theorems have and nobody can compute.",
            f"All train the encoder `{plan.encoder}` on {len(plan.dataset.train):,} images of {plan.dataset.name} in "
            f"batches of {plan.batch}, without augmentation, for as many views as {plan.epochs:g} epochs of two views "
            "have. SimCLR stands beside: its pairs are two views of one image, which are not independent given the "
            "class, so that the theorems say nothing of it, and nothing is claimed.",
            BLIND,
        ),
        source="Arora et al. 2019, arXiv:1902.09229",
        cells=cells(plan, every, seeds),
        evaluators=evaluators,
        claims=study_claims(every),
        sections=partial(study_sections, every=every, batch=plan.batch, classes=plan.facts.classes),
    )
