"""SimLAP with positives of the N closest classes: does it matter how far a pair of classes lies apart?

What it costs: 18 runs for each seed, of which two (SupCon, and SimLAP with any class) are other studies' too if they
are run with the same data. A run of the usual budget takes 200 s of one core with `conv` at full scale and 50 s at
small scale, reading one about 35 s for three targets: 3.5 hours of one core for three seeds at full scale, .4 hours
for each seed at small scale.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from counterpoint.errors import RecipeError
from counterpoint.studies.cells import dials_of
from counterpoint.studies.league.make import Planned
from counterpoint.studies.ruled import BLIND
from counterpoint.studies.simlap.closest_claims import closest_claims
from counterpoint.studies.simlap.closest_sections import About, closest_sections
from counterpoint.studies.simlap.judged import floors_of, judged_on
from counterpoint.studies.simlap.nearness import UNTRAINED, Near, near, nearest, shared_run
from counterpoint.studies.simlap.runs import dials_said, runs, sized
from counterpoint.studies.study import SEEDS, Cell, Scale, Study
from counterpoint.studies.transfer import Target, Transfer
from counterpoint.types import Source

__all__ = ["COUNTS", "Drawn", "closest_cells", "simlap_closest"]

COUNTS = (1, 4, 16)
PAIRING = "counterpoint.pairing:ArbitraryPairs"
Ranking = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Drawn:
    """From which classes positives come, beside the anchor's own.

    Args:
        count: of the closest classes; None: all others.
        by: the distance: `encoder`, `hierarchy`, or `any` where it makes no difference.
    """

    count: int | None
    by: str = "any"

    @property
    def place(self) -> dict[str, str]:
        """In the grid."""
        return {"positives": "all" if self.count is None else str(self.count), "by": self.by}


def simlap_closest(
    *,
    source: Source | None = None,
    scale: Scale = "full",
    seeds: Sequence[int] | None = None,
    encoder: str | None = None,
    images: int | None = None,
    epochs: float | None = None,
    classes: str | Iterable[str] = (),
    targets: str | Sequence[Target] = "",
    frozen: str | Path = "",
    counts: str | int | Iterable[int] = COUNTS,
) -> Study:
    """Positives of the N closest classes, by two distances: SimLAP, and SupCon, which has no gate.

    Args:
        source: labelled images; the embedded digits at smoke scale where None.
        scale: `full`, `small` (a quarter of the budget) or `smoke` (an epoch of few images, of an mlp).
        seeds: of the runs; three at full scale, else one, where None.
        encoder: that all share; `conv`, or `mlp` at smoke scale, where None.
        images: trained on, equally many of each class; None: all.
        epochs: of a method of two views of an image; others get as many views.
        classes: names of classes, super-classes or subsets (IN25) that are kept, apart by `;`; none: all.
        targets: data that are transferred to, as `cifar10=FOLDER,emnist:letters=FOLDER`.
        frozen: by which classes are near: the folder of a run, or `untrained`; empty: that of `simclr` which other
            studies have in runs/cells, at smoke scale random weights.
        counts: of closest classes, as `1,4,16`, beside none and all.

    Raises:
        CounterpointError: an option that is none, or no data.
    """
    plan = sized(source, scale=scale, encoder=encoder, images=images, epochs=epochs, classes=classes)
    judges = judged_on("simlap-closest", targets, scale)
    chosen = _counts(counts, len(plan.dataset.classes))
    if scale == "smoke":
        chosen = chosen[:1]
    distances = near(plan, frozen or (UNTRAINED if scale == "smoke" else shared_run(plan)))
    seeds = SEEDS[scale] if seeds is None else tuple(seeds)
    at = {"method": "simlap", "gate": "yes", **Drawn(None).place}
    c = 0.01 if scale == "smoke" else None
    kinds = ("encoder",) if distances.path is None else ("encoder", "hierarchy")
    about = About(chosen, kinds, plan.dataset.classes, distances, at, tuple(target.label for target in judges))
    return Study(
        name="simlap-closest",
        title=f"Positives of the closest classes on {plan.dataset.name}",
        about=_about(plan, distances, chosen, judges),
        source="Wu et al. 2024, the experiment on IN25 whose positives are of the N closest classes",
        cells=closest_cells(plan, distances, chosen, seeds),
        evaluators=(Transfer(judges, c=c), *floors_of(partial(Transfer, judges, c=c), at, seeds)),
        claims=closest_claims(chosen, kinds),
        sections=partial(closest_sections, about=about),
    )


def _counts(given: str | int | Iterable[int], classes: int) -> tuple[int, ...]:
    """Different counts, ascending, of fewer classes than all others."""
    try:
        listed = given.split(",") if isinstance(given, str) else [given] if isinstance(given, int) else given
        found = sorted({int(str(value)) for value in listed})
    except (TypeError, ValueError) as error:
        raise RecipeError(f"simlap-closest: counts is {given!r}; give whole numbers, as 1,4,16") from error
    if any(count < 1 for count in found):
        raise RecipeError(f"simlap-closest: counts is {given!r}; none and all are there anyway, so give 1 or more")
    fitting = tuple(count for count in found if count < classes - 1)
    if not fitting:
        raise RecipeError(f"simlap-closest: counts is {given!r}, but a class has only {classes - 1} others; give fewer")
    return fitting


def closest_cells(plan: Planned, distances: Near, counts: Sequence[int], seeds: Sequence[int]) -> tuple[Cell, ...]:
    """The runs, seed by seed.

    What is drawn from the own class alone, or from all, needs no ranking: these are the plain methods. Elsewhere the
    ranking stands in the cell's settings as text, so that another ranking is another run; the order among the N nearest
    and among the rest, which changes nothing, is that of the classes.

    Args:
        plan: data and sizes.
        distances: of the classes.
        counts: N.
        seeds: of the runs.
    """
    rankings: dict[str, Ranking] = {"encoder": nearest(distances.cosine)}
    if distances.path is not None:
        rankings["hierarchy"] = nearest(distances.cosine, distances.path)
    drawn = [Drawn(0), *(Drawn(count, by) for by in rankings for count in counts), Drawn(None)]
    cells: list[Cell] = []
    for seed in seeds:
        for one in drawn:
            settings = {} if one.count in (0, None) else {"pairing": _pairing(rankings[one.by], one.count)}
            own = {"own": 1.0} if one.count == 0 else {}
            anyone = {"pairing": PAIRING} if one.count is None else settings
            cells += runs(plan, ("simlap",), (seed,), place={**one.place, "gate": "yes"}, dials=own, settings=settings)
            cells += runs(plan, ("supcon",), (seed,), place={**one.place, "gate": "no"}, settings=anyone)
            if one.by == "any":
                (gated,) = runs(plan, ("simlap",), (seed,), place={**one.place, "gate": "no"}, dials=own)
                cells.append(replace(gated, settings=_bare(gated)))
    return tuple(cells)


def _bare(cell: Cell) -> dict[str, str]:
    """SimLAP as it is but for its gate."""
    temperature = cell.dials.get("temperature", dials_of(cell.recipe)["temperature"])
    return {
        "negatives": "counterpoint.negatives:InBatch",
        "objective": f"counterpoint.objectives:Contrast({temperature})",
        "objective.denominator": "counterpoint.objectives:Each()",
    }


def _pairing(ranking: Ranking, count: int | None) -> str:
    assert count
    plain = tuple((*sorted(others[:count]), *sorted(others[count:])) for others in ranking)
    return f"{PAIRING}(classes={len(ranking)}, nearest={count}, ranking={plain})".replace(" ", "")


def _about(plan: Planned, distances: Near, counts: Sequence[int], targets: Sequence[Target]) -> tuple[str, ...]:
    told = ", ".join(map(str, counts))
    by_path = (
        ""
        if distances.path is None
        else " By the hierarchy a class of the same super-class is nearer than any other: the data knows two levels "
        "only, so that the path in WordNet has two lengths, and classes at equal ones are told apart by the encoder."
    )
    return (
        "A positive is drawn from the anchor's own class or from one of the N classes closest to it, "
        f"N = 0, {told} or all. SupCon draws such positives together in one space. SimLAP compares two classes in a "
        "subspace that a learned gate opens for them, so that it should matter little how far they lie apart. The "
        "paper shows it on 25 classes of ImageNet.",
        f"Classes are near where their images point one way to {distances.frozen}: by the mean cosine of an image of "
        "one and one of the other, after the mean of all images was taken away; training images alone decide."
        f"{by_path} The N classes come beside the own one, which is our reading.",
        f"All train the encoder `{plan.encoder}` on {len(plan.dataset.train):,} images of {plan.dataset.name} in "
        f"batches of {plan.batch}, until they have seen as many views as {plan.epochs:g} epochs of two views have. "
        "SupCon here is the recipe with other positives: where another class was drawn, rows of the anchor's own take "
        "no part, as in SimLAP. The control is SimLAP without its gate and otherwise the same.",
        "Judged by linear probe and by 10 nearest neighbours of the frozen h on "
        f"{', '.join(target.label for target in targets)}, which no encoder saw.",
        dials_said(plan, ("simlap", "supcon"), targets),
        BLIND,
    )
