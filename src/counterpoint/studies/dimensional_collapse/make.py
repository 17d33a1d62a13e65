"""The study as a value."""

from collections.abc import Sequence
from functools import partial

from counterpoint.studies.dimensional_collapse.claims import cue_claims, lead_claims, run_claims, toy_claims
from counterpoint.studies.dimensional_collapse.evaluators import CueKept, Lead, Spectra, Toys
from counterpoint.studies.dimensional_collapse.grid import (
    ALIKE,
    CUED,
    DEPTHS,
    HIDDEN,
    SHARES,
    STRENGTHS,
    TEMPERATURE,
    USUAL,
    Cued,
    cells_of,
    place,
)
from counterpoint.studies.dimensional_collapse.lead import ABLATIONS
from counterpoint.studies.dimensional_collapse.sections import About, study_sections
from counterpoint.studies.league.make import Planned, planned, source_of
from counterpoint.studies.negatives.evaluators import Accuracy
from counterpoint.studies.negatives.grid import EPOCHS
from counterpoint.studies.restricted import Restricted
from counterpoint.studies.ruled import BLIND
from counterpoint.studies.study import SEEDS, Evaluator, Scale, Study
from counterpoint.types import Source

__all__ = ["dimensional_collapse"]

FALLING = (
    "NT-Xent without negatives",
    "BYOL without predictor",
    "SimSiam without stop-gradient",
    "alignment without uniformity",
)
WIDTH = 128  # of SimCLR's projection


def dimensional_collapse(
    *,
    source: Source | None = None,
    scale: Scale = "full",
    seeds: Sequence[int] | None = None,
    encoder: str | None = None,
    epochs: float | None = None,
    images: int | None = None,
    lead: bool = True,
) -> Study:
    """Both toy models; spectra by projector, views and DirectCLR; a planted cue; the doctor's lead.

    Args:
        source: labelled images; the embedded digits at smoke scale where None.
        scale: `full`; `small`: half of the epochs, one seed; `smoke`: one epoch of few images, of an mlp, and the ends
            of each axis.
        seeds: of the runs; three at full scale, else one, where None.
        encoder: that all share; `conv`, or `mlp` at smoke scale, where None.
        epochs: of two views of an image.
        images: training images, equally many of each class; None: the league's.
        lead: whether methods that collapse by construction are followed too.

    Raises:
        CounterpointError: an option that is none, or no data.
    """
    smoke = scale == "smoke"
    source = source_of("dimensional-collapse", source, scale)
    plan = planned(
        source, scale=scale, encoder=encoder, images=images, epochs=EPOCHS[scale] if epochs is None else epochs
    )
    depths, strengths, shares, cued = DEPTHS, STRENGTHS, SHARES, (*CUED, *HIDDEN, *ALIKE)
    ablations = tuple(name for name in ABLATIONS if name in FALLING) if lead else ()
    if smoke:
        depths, strengths, shares, cued = (0, 2), (0.25, 1.0, 4.0), SHARES[:1], (CUED[0], CUED[-1], *HIDDEN, *ALIKE)
        ablations = ablations[:1]
    seeds = SEEDS[scale] if seeds is None else tuple(seeds)
    c = 0.01 if smoke else None
    evaluators: list[Evaluator] = [
        Accuracy(tuple(place(USUAL).items()), c),
        Spectra(),
        Toys(200 if smoke else 10_000),
        CueKept(c),
    ]
    claims = [*toy_claims(), *run_claims(depths, strengths, shares, WIDTH), *cue_claims(cued)]
    if ablations:
        evaluators += _leads(plan, ablations, smoke)
        claims += lead_claims(ablations)
    return Study(
        name="dimensional-collapse",
        title=f"Dimensional collapse on {plan.dataset.name}",
        about=_about(plan, cued, ablations),
        source="Jing et al. 2022, Understanding Dimensional Collapse in Contrastive Self-supervised Learning",
        cells=cells_of(plan, depths, strengths, shares, cued, seeds),
        evaluators=tuple(evaluators),
        claims=tuple(claims),
        sections=partial(study_sections, about=About(depths, strengths, shares, cued, ablations)),
    )


def _leads(plan: Planned, ablations: Sequence[str], smoke: bool) -> list[Lead]:
    if smoke:
        return [Lead(name, plan.source, plan.encoder, batch=64, epochs=8) for name in ablations]
    few = Restricted(plan.source, per_class=max(1, 6000 // len(plan.dataset.classes)))
    return [Lead(name, few, plan.encoder, batch=256, epochs=12) for name in ablations]


def _about(plan: Planned, cued: Sequence[Cued], ablations: Sequence[str]) -> tuple[str, ...]:
    told = [
        "A contrastive loss keeps representations from falling into one point, but not from lying in a subspace: then "
        "some directions of the space say nothing. Jing et al. give two reasons, views that differ more than images "
        "do, and layers that follow each other; both are asked of linear toy models, of the sizes of their code, "
        "and of trained encoders.",
        f"All encoders are `{plan.encoder}`, trained by SimCLR or DirectCLR at temperature {TEMPERATURE:g} on "
        f"{len(plan.dataset.train):,} images of {plan.dataset.name} in batches of {plan.batch} for {plan.epochs:g} "
        "epochs. The paper trains a ResNet-50 at temperature 0.1: the claims are of directions, not of its figures.",
        f"{len(cued)} runs of a seed are of a planted colour, by views that move and cut and leave colours as they "
        "are. A colour also takes contrast, and to turn the hue is an augmentation of its own: hence the controls, "
        "images that all have one colour, an encoder that learns from labels, and a turned hue where no colour was "
        "planted.",
    ]
    if ablations:
        told.append(
            "The doctor reads every run while it goes on. How early that is, is asked of methods that collapse by "
            f"construction: {', '.join(ablations)}."
        )
    return (*told, BLIND)
