"""The study as a value."""

from collections.abc import Iterable, Sequence
from functools import partial

from counterpoint.errors import RecipeError
from counterpoint.signature import recipes
from counterpoint.studies.bias.claims import cue_claims, uneven_claims
from counterpoint.studies.bias.evaluators import MOST, Kept, Rare
from counterpoint.studies.bias.grid import AGREEMENTS, METHODS, cue_cells, uneven_cells, uneven_sets
from counterpoint.studies.bias.sections import About, study_sections
from counterpoint.studies.league.make import Planned, planned, source_of
from counterpoint.studies.league.methods import entered, listed
from counterpoint.studies.negatives.grid import EPOCHS
from counterpoint.studies.ruled import BLIND
from counterpoint.studies.study import SEEDS, Evaluator, Scale, Study
from counterpoint.types import Source

__all__ = ["bias"]

RATIO = {"full": 100.0, "small": 100.0, "smoke": 10.0}  # of the first class's images to the last's


def bias(
    *,
    source: Source | None = None,
    scale: Scale = "full",
    seeds: Sequence[int] | None = None,
    encoder: str | None = None,
    epochs: float | None = None,
    images: int | None = None,
    methods: str | Iterable[str] = "",
    agreements: str | float | Iterable[float] = "",
    ratio: float | None = None,
) -> Study:
    """A cue tied to the class, a long tail and missing classes: what each objective makes of them.

    Args:
        source: labelled images; the embedded digits at smoke scale where None.
        scale: `full`; `small`: half of the epochs, one seed; `smoke`: one epoch of few images, of an mlp, two methods
            and the ends of the agreement.
        seeds: of the runs; three at full scale, else one, where None.
        encoder: that all share; `conv`, or `mlp` at smoke scale, where None.
        epochs: of a method of two views of an image; others get as many views.
        images: training images, equally many of each class; None: the league's.
        methods: names, as `simclr,supervised`; none: SimCLR, VICReg, BYOL, SupCon and supervised.
        agreements: shares of the training images whose cue agrees with their class, in [0, 1], as `0.5,0.99`.
        ratio: of the first class's images to the last one's, in a long tail; None: 100, at smoke scale 10.

    Raises:
        CounterpointError: an option that is none, or no data.
    """
    smoke = scale == "smoke"
    source = source_of("bias", source, scale)
    plan = planned(
        source, scale=scale, encoder=encoder, images=images, epochs=EPOCHS[scale] if epochs is None else epochs
    )
    chosen = listed(methods) or (("simclr", "supervised") if smoke else METHODS)
    shares = _shares(agreements or ((AGREEMENTS[0], AGREEMENTS[-1]) if smoke else AGREEMENTS))
    seeds = SEEDS[scale] if seeds is None else tuple(seeds)
    entries, _ = entered(
        plan.source, plan.facts, plan.encoder, methods=chosen, batch=plan.batch, epochs=plan.epochs, tuned={}
    )
    unlabelled = [entry.name for entry in entries if entry.group == "no labels"]
    sets = uneven_sets(plan, RATIO[scale] if ratio is None else ratio)
    c = 0.01 if smoke else None
    at = "simclr" if "simclr" in chosen else chosen[0]
    evaluators: tuple[Evaluator, ...] = (Kept(at, c), Rare(plan.source, c))
    claims = cue_claims(chosen, unlabelled, shares)
    if "supervised" in chosen:
        claims += uneven_claims(unlabelled)
    titles = {name: recipes()[name].title for name in chosen}
    return Study(
        name="bias",
        title=f"Bias in {plan.dataset.name}: tied cues, a long tail, missing classes",
        about=_about(plan, titles, shares, RATIO[scale] if ratio is None else ratio),
        source="",
        cells=(*cue_cells(plan, chosen, shares, seeds), *uneven_cells(plan, chosen, sets, seeds)),
        evaluators=evaluators,
        claims=claims,
        sections=partial(study_sections, about=About(titles, at, shares, plan.dataset.classes)),
    )


def _shares(given: str | float | Iterable[float]) -> tuple[float, ...]:
    try:
        listed = given.split(",") if isinstance(given, str) else [given] if isinstance(given, int | float) else given
        found = tuple(sorted({float(value) for value in listed}))
    except ValueError as error:
        raise RecipeError(f"bias: agreements is {given!r}; give shares, as 0.5,0.99") from error
    if len(found) < 2 or not 0 <= found[0] <= found[-1] <= 1:
        raise RecipeError(f"bias: agreements is {given!r}; give two or more shares in [0, 1]")
    return found


def _about(plan: Planned, titles: dict[str, str], shares: Sequence[float], ratio: float) -> tuple[str, ...]:
    return (
        "Data are biased: something that is easy to see goes with the class, some classes are rare, some are missing. "
        "A survey of contrastive learning leaves open what that does to an encoder; this page plants such biases, so "
        "that they are known, and asks who keeps what.",
        f"{', '.join(titles.values())} train the encoder `{plan.encoder}` on {len(plan.dataset.train):,} images of "
        f"{plan.dataset.name} in batches of {plan.batch}, until they have seen as many views as {plan.epochs:g} epochs "
        "of two views have, each with its own usual views and the dials that the league's tuning chose. A cue has a "
        f"colour for each class; it agrees with the class of {', '.join(f'{s:.0%}' for s in shares)} of the training "
        "images, and of the others it names another class, so that it is tied in all of them: by chance it would agree "
        f"in {1 / len(plan.dataset.classes):.0%}. Of test images it is drawn whatever their class.",
        f"Probes are fitted on at most {MOST:,} training images. In the long tail the first class has {ratio:g} times "
        "the images of the last. Where there are fewer images there are more epochs, so that the steps are as many. "
        "Which classes are rare or missing is the data's order and the same at every seed: intervals over seeds know "
        "nothing of other choices.",
        BLIND,
    )
