"""Tuning for the league: the same few trials for every method, judged on images held out of the training set.

`python -m counterpoint.studies.league.choose FOLDER` then writes the chosen dials to where `league` reads them.
"""

from collections.abc import Iterable, Sequence
from functools import partial

from counterpoint.errors import RecipeError
from counterpoint.report.exhibits import Section, Table
from counterpoint.sources import Digits
from counterpoint.studies.held_out import HeldOut
from counterpoint.studies.league.budget import TRIAL, epochs_of
from counterpoint.studies.league.choose import FIXED
from counterpoint.studies.league.dials import Trial, trials_of
from counterpoint.studies.league.evaluators import Neighbours
from counterpoint.studies.league.make import planned, taking_part
from counterpoint.studies.league.methods import Entry, trained_as
from counterpoint.studies.study import Results, Scale, Study
from counterpoint.types import Source

__all__ = ["league_tuning"]


def league_tuning(
    *,
    source: Source | None = None,
    scale: Scale = "full",
    seeds: Sequence[int] = (0,),
    encoder: str | None = None,
    epochs: float | None = None,
    images: int | None = None,
    methods: str | Iterable[str] = "",
    without: str | Iterable[str] = "",
) -> Study:
    """At most six trials for each method of the league, each half its budget long.

    The learning rate times 1, 1/3 and 3, each with two temperatures where the method has one; else also times 1/10 and
    10. A tenth of the training images, drawn by seed 0, is held out and judges by kNN; the test images are not read.

    Args:
        source: labelled images; the embedded digits at smoke scale where None.
        scale: as of `league`.
        seeds: of the runs; one, so that six trials are six runs.
        encoder: as of `league`.
        epochs: the league's, of which a trial has half.
        images: as of `league`, after a tenth was held out.
        methods: as of `league`.
        without: as of `league`.

    Raises:
        CounterpointError: an option that is none, or no data.
    """
    if source is None and scale == "smoke":
        source = Digits()
    held = None if source is None else HeldOut(source)
    plan = planned(held, scale=scale, encoder=encoder, images=images, epochs=epochs)
    entries, reasons = taking_part(plan, methods, without, {})
    tried = {entry.name: (entry, trials_of(entry.signature)) for entry in entries}
    cells = tuple(
        trained_as(
            name,
            plan.source,
            plan.encoder,
            batch=entry.batch,
            epochs=epochs_of(entry.views, TRIAL * plan.epochs),
            seed=seed,
            dials=trial.dials,
            place={"method": name, "trial": trial.name},
            precision=plan.precision,
        )
        for seed in seeds
        for name, (entry, trials) in tried.items()
        for trial in trials
    )
    if not cells:
        why = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
        raise RecipeError(f"no method has a learning rate that could be tuned ({why or 'none was named'})")
    return Study(
        name="league-tuning",
        title=f"Tuning for the league on {plan.dataset.name}",
        about=(
            f"For each method the same trials on the encoder `{plan.encoder}`: its learning rate times 1, 1/3 and 3, "
            "each at two temperatures (its own and half of it, or twice where it is at most 0.2), else also times 1/10 "
            f"and 10. A trial sees half of the league's views, of {len(plan.dataset.train):,} images, and is "
            f"judged by kNN on {len(plan.dataset.test):,} others: {plan.dataset.split}.",
            "Of equals the recipe's own dials win, then the first. The choice favours dials that learn fast, since a "
            "trial is short; it is the same favour for all.",
        ),
        source="",
        cells=cells,
        evaluators=(Neighbours(),),
        claims=(),
        sections=partial(_sections, encoder=plan.encoder, tried=tried, reasons=reasons),
    )


Tried = dict[str, tuple[Entry, tuple[Trial, ...]]]


def _sections(results: Results, encoder: str, tried: Tried, reasons: dict[str, str]) -> tuple[Section, ...]:
    dials = list(dict.fromkeys(dial for _, trials in tried.values() for trial in trials for dial in trial.dials))
    rows: list[tuple[str | float | None, ...]] = []
    best: list[tuple[str | float | None, ...]] = []
    for name, (_, trials) in tried.items():
        known: list[tuple[float, Trial]] = []
        for trial in trials:
            values = results.values("neighbours", "knn", method=name, trial=trial.name)
            asked = results.asked(method=name, trial=trial.name)
            mean = sum(values.values()) / len(values) if values else None
            state = "failed" if any(r.failed for r in asked) else "done" if len(values) == len(asked) else "not run"
            rows.append((name, trial.name, encoder, state, mean, *(trial.dials.get(dial) for dial in dials)))
            known += [] if mean is None else [(mean, trial)]
        if known:
            accuracy, trial = max(known, key=lambda pair: pair[0])
            own = next((value for value, one in known if one is trials[0]), None)
            best.append((name, trial.name, accuracy, own))
    table = Table(
        "trials",
        "Every trial",
        (*FIXED, *dials),
        tuple(rows),
        "kNN: accuracy on the images that were held out, mean over seeds.",
        percent=("kNN",),
    )
    chosen = Table(
        "chosen",
        "The best trial of each method",
        ("method", "trial", "kNN", "kNN of the recipe's own dials"),
        tuple(best),
        percent=("kNN", "kNN of the recipe's own dials"),
    )
    moved = sum(trial != tried[str(name)][1][0].name for name, trial, *_ in best)
    words = [f"For {moved} of {len(best)} methods another setting than the recipe's own is the best."] if best else []
    words += [f"Without a learning rate among its dials: {name}." for name, (_, trials) in tried.items() if not trials]
    words += [f"{name} cannot take part: {why}." for name, why in reasons.items()]
    return (Section("trials", "What was tried, and what is chosen", tuple(words), (chosen, table)),)
