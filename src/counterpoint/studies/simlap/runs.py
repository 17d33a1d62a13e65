"""Runs that the studies of SimLAP share: one encoder, one budget of views, dials of one tuning where there was one.

What they cost with `conv` on 16,350 images of 32 pixels (31 steps of 512 an epoch), one thread of two busy cores: a
step of two views .2 s, so that a run of the usual budget takes about 200 s, whatever the method. At small scale a study
has one seed where no more are asked for, which decides no claim: `--seeds 3` makes it three, at three times the cost.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from counterpoint.errors import RecipeError, SourceError
from counterpoint.studies.league.make import Planned, planned
from counterpoint.studies.league.methods import entered, trained_as
from counterpoint.studies.league.settings import read_settings
from counterpoint.studies.restricted import Restricted
from counterpoint.studies.simlap.page import title_of
from counterpoint.studies.study import Cell, Scale
from counterpoint.studies.transfer import Target
from counterpoint.types import Source

__all__ = ["EPOCHS", "GROUPS", "dials_said", "runs", "sized"]

EPOCHS: Mapping[Scale, float] = {"full": 32, "small": 8, "smoke": 1}  # of a method of two views
GROUPS = {"SimCLR": ("simclr", "supcon", "simlap"), "MoCo v3": ("moco_v3", "gpaco", "simlap_moco")}


def sized(
    source: Source | None,
    *,
    scale: Scale,
    encoder: str | None = None,
    images: int | None = None,
    epochs: float | None = None,
    classes: str | Iterable[str] = (),
) -> Planned:
    """The data and the sizes of a study, all of the images where none are named.

    Args:
        source: labelled images; the embedded digits at smoke scale where None.
        scale: `full`, `small` or `smoke`.
        encoder: None: `conv`, or `mlp` at smoke scale.
        images: trained on, equally many of each class; None: all, at smoke scale a thousand.
        epochs: of a method of two views; None: of `EPOCHS`.
        classes: names of classes, super-classes or subsets (IN1P, IN25) that are kept, apart by `;`; none: all.

    Raises:
        CounterpointError: no labelled images, a class that is none, or a size that is too small.
    """
    listed = classes.split(";") if isinstance(classes, str) else classes
    names = tuple(sorted({name.strip() for name in listed} - {""}))  # in another order it is the same data
    if names and source is not None:
        source = Restricted(source, classes=names)
    elif names:
        raise RecipeError(f"classes={';'.join(names)} are of a source; name it by --source")
    if source is None and scale != "smoke":
        raise SourceError("studies of SimLAP need images with labels; give --source cifar10 --root FOLDER")
    most = None if scale == "smoke" else 10**9
    return planned(
        source,
        scale=scale,
        encoder=encoder,
        images=most if images is None else images,
        epochs=EPOCHS[scale] if epochs is None else epochs,
    )


def runs(
    plan: Planned,
    methods: Sequence[str],
    seeds: Sequence[int],
    *,
    place: Mapping[str, str] | None = None,
    dials: Mapping[str, Any] | None = None,
    settings: Mapping[str, str] | None = None,
) -> tuple[Cell, ...]:
    """A run of each method for each seed, seed by seed, all with as many views.

    Args:
        plan: data and sizes.
        methods: names of recipes.
        seeds: of the runs.
        place: in the grid, beside `method`.
        dials: in place of those that tuning chose, or the recipe's own.
        settings: of any other field, by path.

    Raises:
        RecipeError: a method that does not suit the data.
    """
    tuned = read_settings().of(plan.encoder)
    entries, reasons = entered(
        plan.source,
        plan.facts,
        plan.encoder,
        methods=methods,
        batch=plan.batch,
        epochs=plan.epochs,
        tuned={name: {**tuned.get(name, {}), **(dials or {})} for name in methods},
    )
    if reasons:
        raise RecipeError("; ".join(f"{name}: {why}" for name, why in reasons.items()))
    by_name = {entry.name: entry for entry in entries}
    return tuple(
        _with(
            trained_as(
                name,
                plan.source,
                plan.encoder,
                batch=by_name[name].batch,
                epochs=by_name[name].epochs,
                seed=seed,
                place={**(place or {}), "method": name},
                dials=by_name[name].dials,
                precision=plan.precision,
            ),
            settings or {},
        )
        for seed in seeds
        for name in methods
    )


def _with(cell: Cell, settings: Mapping[str, str]) -> Cell:
    return replace(cell, settings={**cell.settings, **settings}) if settings else cell


def dials_said(plan: Planned, methods: Sequence[str], targets: Sequence[Target] = ()) -> str:
    """Which dials the runs have, and on what data these were chosen, for a page.

    Args:
        plan: data and sizes.
        methods: names of recipes.
        targets: data that are transferred to.
    """
    settings = read_settings()
    known = settings.of(plan.encoder)
    tuned = [title_of(name) for name in methods if name in known]
    own = [title_of(name) for name in methods if name not in known]
    if not tuned:
        return f"Dials are the recipes' own; none was tuned with the encoder `{plan.encoder}`."
    data = " and ".join(settings.data)
    words = [
        f"Learning rate and temperature of {', '.join(tuned)} are those that the league's tuning chose with this "
        f"encoder, of at most six trials of each method, by neighbours on images held out of the training set of "
        f"{data}: {settings.how}."
    ]
    if own:
        words.append(f"{', '.join(own)} {'was' if len(own) == 1 else 'were'} not tuned, and have the recipe's own.")
    if both := [target.label for target in targets if target.label in settings.data]:
        words.append(
            f"{', '.join(both)} is also transferred to here: no encoder saw it, but on a part of its training images "
            "the dials were chosen; its test images had no part in that."
        )
    return " ".join(words)
