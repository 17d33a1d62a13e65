"""Long training on one small super-class: does what is learned wear off, by instances, by classes, by pairs of classes?

What it costs: 4 durations x 3 methods for each seed, the longest with 1,600 passes of two views, together 2,125. A view
of `conv` at 32 pixels takes .2 to .3 ms of one core in batches of 128, and the largest super-class of a source of 109
classes has 1,650 images: 25 to 35 minutes for each method and seed, 4 to 5 hours of one core for three seeds at full
scale, a quarter of it at small scale; reading one takes about 30 s for three targets.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial

import torch

from counterpoint.errors import RecipeError
from counterpoint.studies.league.make import Planned
from counterpoint.studies.ruled import BLIND
from counterpoint.studies.simlap.collapse_claims import collapse_claims
from counterpoint.studies.simlap.collapse_sections import METHODS, About, collapse_sections
from counterpoint.studies.simlap.directions import Directions
from counterpoint.studies.simlap.judged import floors_of, judged_on
from counterpoint.studies.simlap.runs import dials_said, runs, sized
from counterpoint.studies.study import SEEDS, Cell, Scale, Study
from counterpoint.studies.transfer import Target, Transfer
from counterpoint.types import Dataset, Source

__all__ = ["collapse_cells", "largest", "simlap_collapse"]

LONGEST = {"full": 1600.0, "small": 400.0, "smoke": 4.0}  # epochs of a method of two views
PARTS = (64, 16, 4, 1)  # into which the longest duration is divided, for the shorter ones
BATCH = 128  # a super-class has few images: more steps of each pass


def simlap_collapse(
    *,
    source: Source | None = None,
    scale: Scale = "full",
    seeds: Sequence[int] | None = None,
    encoder: str | None = None,
    classes: str | Iterable[str] = (),
    epochs: float | None = None,
    batch: int = BATCH,
    targets: str | Sequence[Target] = "",
) -> Study:
    """SimCLR, SupCon and SimLAP on a few classes for longer and longer, judged on other data, with the spectrum.

    Args:
        source: labelled images; the embedded digits at smoke scale where None.
        scale: `full`, `small` (a quarter of the longest duration) or `smoke` (few passes of an mlp).
        seeds: of the runs; three at full scale, else one, where None.
        encoder: that all share; `conv`, or `mlp` at smoke scale, where None.
        classes: names of classes, super-classes or subsets (IN1P) that are trained on, apart by `;`; none: the
            super-class of the source that has most classes, all of them where there is no hierarchy.
        epochs: of the longest run of a method of two views; others get as many views.
        batch: images of a step.
        targets: data that are transferred to, as `cifar10=FOLDER,emnist:letters=FOLDER`.

    Raises:
        CounterpointError: an option that is none, or no data.
    """
    longest = LONGEST[scale] if epochs is None else epochs
    if longest < 2 or batch < 2:
        raise RecipeError(f"simlap-collapse: epochs is {longest:g} and batch {batch}; give 2 or more of both")
    if source is not None and not classes:
        classes = largest(source.load())
    judges = judged_on("simlap-collapse", targets, scale)
    plan = sized(source, scale=scale, encoder=encoder, epochs=longest, classes=classes)
    plan = replace(plan, batch=min(batch, len(plan.dataset.train)))
    seeds = SEEDS[scale] if seeds is None else tuple(seeds)
    parts = PARTS[-2:] if scale == "smoke" else PARTS
    lengths = tuple(sorted({max(1, round(longest / part)) for part in parts}))
    bare = {"method": "simclr", "passes": str(lengths[-1])}
    c = 0.01 if scale == "smoke" else None
    steps = len(plan.dataset.train) // plan.batch
    about = About(lengths, bare, tuple(target.label for target in judges), len(plan.dataset.classes), steps)
    return Study(
        name="simlap-collapse",
        title=f"Long training on {len(plan.dataset.classes)} classes of {plan.dataset.name}",
        about=_about(plan, lengths, judges),
        source="Wu et al. 2024, the experiment on IN1P",
        cells=collapse_cells(plan, lengths, seeds),
        evaluators=(Transfer(judges, c=c), *floors_of(partial(Transfer, judges, c=c), bare, seeds), Directions()),
        claims=collapse_claims(lengths),
        sections=partial(collapse_sections, about=about),
    )


def largest(dataset: Dataset) -> tuple[str, ...]:
    """The super-class that has most classes, the first of several; nothing where there is no hierarchy.

    Args:
        dataset: with or without super-classes.
    """
    if dataset.super_of is None:
        return ()
    count = torch.bincount(dataset.super_of, minlength=len(dataset.super_classes))
    return (dataset.super_classes[int(count.argmax())],)


def collapse_cells(plan: Planned, lengths: Sequence[int], seeds: Sequence[int]) -> tuple[Cell, ...]:
    """A run of each duration, whose learning rate falls to zero at its own end.

    Args:
        plan: data and sizes.
        lengths: epochs of a method of two views.
        seeds: of the runs.
    """
    return tuple(
        cell
        for seed in seeds
        for length in lengths
        for cell in runs(replace(plan, epochs=length), METHODS, (seed,), place={"passes": str(length)})
    )


def _about(plan: Planned, lengths: Sequence[int], targets: Sequence[Target]) -> tuple[str, ...]:
    names = [name.partition(",")[0] for name in plan.dataset.classes]
    told = ", ".join(names[:12]) + (", …" if len(names) > 12 else "")
    durations = ", ".join(f"{2 * length:,}" for length in lengths)
    return (
        "Trained for long on few images, a contrast between instances may end in few directions: what it had learned "
        "of images in general wears off. The paper trains on ten breeds of dogs for 20,000 epochs, where SimCLR's "
        "accuracy on other data declines after about 3,000, and SimLAP's does not.",
        f"Here all train the encoder `{plan.encoder}` on {len(plan.dataset.train):,} images of {len(names)} classes "
        f"({told}) in batches of {plan.batch}, until each image was seen {durations} times. Each duration is a run of "
        "its own, whose learning rate falls to zero at its end: within one long run a late point would differ from an "
        "early one by its rate too, which is how the paper looks at it.",
        "Accuracy is that of a linear probe and of 10 nearest neighbours of the frozen h on "
        f"{', '.join(target.label for target in targets)}, which no encoder saw. The spectrum is that of the unit rows "
        "of test images of the classes that were trained on.",
        dials_said(plan, METHODS, targets),
        BLIND,
    )
