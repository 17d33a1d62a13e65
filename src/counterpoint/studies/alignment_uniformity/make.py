"""The study as a value."""

from collections.abc import Sequence
from functools import partial

from counterpoint.studies.alignment_uniformity.claims import study_claims
from counterpoint.studies.alignment_uniformity.closed_forms import ClosedForms
from counterpoint.studies.alignment_uniformity.evaluators import MANY, Gap, Plane, Quality
from counterpoint.studies.alignment_uniformity.grid import EPOCHS, cells, settings
from counterpoint.studies.alignment_uniformity.sections import study_sections
from counterpoint.studies.held_out import HeldOut
from counterpoint.studies.league.make import planned, source_of
from counterpoint.studies.ruled import BLIND
from counterpoint.studies.study import SEEDS, Evaluator, Scale, Study
from counterpoint.types import Source

__all__ = ["alignment_uniformity"]


def alignment_uniformity(
    *,
    source: Source | None = None,
    scale: Scale = "full",
    seeds: Sequence[int] | None = None,
    encoder: str | None = None,
    epochs: float | None = None,
    images: int | None = None,
) -> Study:
    """Alignment and uniformity of 35 settings of both losses, beside the accuracy of what they train.

    Args:
        source: labelled images; the embedded digits at smoke scale where None.
        scale: `full`; `small`: half of the epochs, one seed; `smoke`: one epoch of few images, of an mlp, and the ends
            of each axis.
        seeds: of the runs; three at full scale, else one, where None.
        encoder: that all share; `conv`, or `mlp` at smoke scale, where None.
        epochs: of two views of an image.
        images: training images, equally many of each class; None: the league's.

    Raises:
        CounterpointError: an option that is none, or no data.
    """
    smoke = scale == "smoke"
    source = source_of("alignment-uniformity", source, scale)
    plan = planned(
        HeldOut(source), scale=scale, encoder=encoder, images=images, epochs=EPOCHS[scale] if epochs is None else epochs
    )
    seeds = SEEDS[scale] if seeds is None else tuple(seeds)
    every = settings(plan.batch, few=smoke)
    at = tuple(every[0].axes.items())
    evaluators: tuple[Evaluator, ...] = (
        Quality(at, c=0.01 if smoke else None),
        Plane(images=256 if smoke else 2048),
        Gap(),
        ClosedForms(at, rows=1024, iterations=100) if smoke else ClosedForms(at),
    )
    return Study(
        name="alignment-uniformity",
        title=f"Alignment and uniformity on {plan.dataset.name}",
        about=(
            "A contrastive loss with many negatives becomes a sum of two: one asks that two views of an image are "
            "near, the other that images spread evenly over the sphere. Here both are optimised directly, with weights "
            "and powers, and by NT-Xent at several temperatures, in batches of three sizes; of each encoder its place "
            "on the plane of both, and its accuracy.",
            f"All train the encoder `{plan.encoder}` on {len(plan.dataset.train):,} images of {plan.dataset.name} with "
            f"one head, one optimizer and one policy of views, for {plan.epochs:g} epochs of two views: so short a "
            "training ranks what helps early. The learning rate grows with the square root of the batch, and is not "
            "tuned for each setting.",
            "A tenth of the training images was held out of all runs. Where a best setting is named, it was chosen by "
            "a linear probe on these, seed by seed. Test images choose nothing.",
            BLIND,
        ),
        source="Wang and Isola 2020, arXiv:2005.10242",
        cells=cells(plan, every, seeds),
        evaluators=evaluators,
        claims=study_claims(every, len(plan.dataset.classes) > MANY),
        sections=partial(study_sections, every=every),
    )
