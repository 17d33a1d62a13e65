"""How alike are classes by SimLAP's gates, by images and by label embeddings; does a super-class' subspace part them?

Its runs are those of `simlap-transfer`: SimCLR, SupCon and SimLAP, with `conv` on 16,350 images of 32 pixels and three
seeds 1,800 s of one core, all shared. Reading one takes about 5 s.
"""

from collections.abc import Iterable, Sequence
from functools import partial

from counterpoint.errors import RecipeError
from counterpoint.studies.league.methods import listed
from counterpoint.studies.ruled import BLIND
from counterpoint.studies.simlap.alike import MEASURES, SETS, SPACES, Inside, Likeness
from counterpoint.studies.simlap.claims import ASKED, PAPER, claim
from counterpoint.studies.simlap.classes import GATED, short, super_of
from counterpoint.studies.simlap.runs import GROUPS, dials_said, runs, sized
from counterpoint.studies.simlap.similarity_sections import About, gap_of, kin_of, similarity_sections
from counterpoint.studies.statistics import above, greater
from counterpoint.studies.study import SEEDS, Claim, Scale, Study
from counterpoint.types import Source

__all__ = ["simlap_similarity"]


def simlap_similarity(
    *,
    source: Source | None = None,
    scale: Scale = "full",
    seeds: Sequence[int] | None = None,
    encoder: str | None = None,
    images: int | None = None,
    epochs: float | None = None,
    classes: str | Iterable[str] = (),
    methods: str | Iterable[str] = GROUPS["SimCLR"],
    top: int = 10,
) -> Study:
    """Three likenesses of classes against their super-classes, and the gap within and between classes in a subspace.

    Args:
        source: labelled images, with super-classes; the embedded digits at smoke scale where None.
        scale: `full`, `small` or `smoke`.
        seeds: of the runs; three at full scale, else one, where None.
        encoder: `conv`, or `mlp` at smoke scale, where None.
        images: trained on; None: all.
        epochs: of a method of two views; None: the usual.
        classes: names of classes, super-classes or subsets that are kept, apart by `;`; none: all.
        methods: names, one of them with gates, as `simclr,simlap`.
        top: dimensions of a subspace.

    Raises:
        CounterpointError: an option that is none, or no data.
    """
    shown = listed(methods)
    gated = [name for name in shown if name in GATED]
    if len(gated) != 1:
        raise RecipeError(f"simlap-similarity: methods={','.join(shown)}; give one of {', '.join(GATED)} among them")
    inside = Inside(top)
    plan = sized(source, scale=scale, encoder=encoder, images=images, epochs=epochs, classes=classes)
    data = plan.dataset
    about = About(
        tuple(short(name) for name in data.classes),
        data.super_classes,
        tuple(super_of(data).tolist()),
        shown,
        gated[0],
        inside.top,
    )
    said = f" They stand in {len(data.super_classes)} super-classes" if data.super_classes else " They have none here"
    return Study(
        name="simlap-similarity",
        title=f"How alike are the classes of {data.name}?",
        about=(
            "Two classes can be alike by what their gates open, by what their images look like to the encoder, or by "
            f"the vectors that SimLAP keeps of their names. {len(data.classes)} classes are compared so, two by two."
            f"{said}, which had no part in any training: do the measures find them?",
            f"Then the {top} dimensions of z whose gates are most open for the classes of a super-class: the paper "
            "finds that in them images of one class and of two lie farther apart. Fewer dimensions spread cosines by "
            "themselves, so that random dimensions and those of another super-class are measured too, and sets of "
            "unrelated classes in their own. Gates were learned on training images; all cosines are of test images.",
            dials_said(plan, shown),
            BLIND,
        ),
        source="Wu et al. 2024",
        cells=runs(plan, shown, SEEDS[scale] if seeds is None else tuple(seeds)),
        evaluators=(Likeness(), inside),
        claims=_claims(gated[0], kin=data.super_of is not None, top=top),
        sections=partial(similarity_sections, about=about),
    )


# ---------------------------------------------------------------- claims


def _claims(gated: str, *, kin: bool, top: int) -> tuple[Claim, ...]:
    made: list[Claim] = []
    if kin:
        made += [_knows(gated, measure) for measure in MEASURES]
    made.append(
        claim(
            "gates-as-images",
            "Classes whose images are alike have gates that are alike.",
            "Rank correlation of the cosine of gates above .5 with the mean cosine of h, over pairs of classes.",
            "it is above 0",
            lambda results: above(
                results.values(Likeness.name, "agreement", "gates and features", method=gated),
                0.0,
                what="the rank correlation of gates and images",
            ),
        )
    )
    where = f"{PAPER}, subspaces of super-classes"
    if kin:
        made += [
            _wider(
                gated,
                "gap-widens",
                "In the subspace of a super-class its classes stand farther apart than in the whole space.",
                "supers",
                "whole",
                top,
                where,
            ),
            _wider(
                gated,
                "gap-beyond-random",
                "In the subspace of a super-class its classes stand farther apart than in random dimensions.",
                "supers",
                "random",
                top,
            ),
            _wider(
                gated,
                "gap-own",
                "In the subspace of a super-class its classes stand farther apart than in that of another super-class.",
                "supers",
                "other",
                top,
            ),
        ]
    return (
        *made,
        _wider(
            gated,
            "gap-unrelated",
            "The gap widens for pairs of unrelated classes too, in their own subspace.",
            "unrelated",
            "whole",
            top,
        ),
        _wider(
            gated,
            "gap-unrelated-own",
            "Unrelated classes stand farther apart in their own subspace than in that of two others.",
            "unrelated",
            "other",
            top,
        ),
    )


def _knows(gated: str, measure: str) -> Claim:
    if measure == "features":
        return claim(
            "features-know-kin",
            "Classes of one super-class are more alike than others by their features, and training taught that.",
            f"AUROC of the likeness as a sign of one super-class, over pairs of classes; {MEASURES[measure]}; less "
            "that of the untrained encoder, which knows colours at least.",
            "the difference is above 0",
            lambda results: greater(
                kin_of(results, gated, measure),
                kin_of(results, gated, measure, first=True),
                unit="points",
                what="the AUROC, trained less untrained,",
            ),
            where=f"{PAPER}, similarity of classes",
        )
    return claim(
        f"{measure}-know-kin",
        f"Classes of one super-class are more alike than others by their {measure}.",
        f"AUROC of the likeness as a sign of one super-class, over pairs of classes; {MEASURES[measure]}.",
        "it is above 50 %",
        lambda results: above(kin_of(results, gated, measure), 0.5, unit="share", what="the AUROC"),
        where=f"{PAPER}, similarity of classes",
    )


def _wider(gated: str, key: str, statement: str, kind: str, than: str, top: int, where: str = ASKED) -> Claim:
    return claim(
        key,
        statement,
        f"Mean cosine of z of two test images of one class less of two classes, mean over {SETS[kind]}: in the {top} "
        f"dimensions with the largest gates, less in {SPACES[than]}.",
        "the difference is above 0",
        lambda results: greater(
            gap_of(results, gated, kind, "own"),
            gap_of(results, gated, kind, than),
            what=f"the gap in {SPACES['own']} less in {SPACES[than]}",
        ),
        where=where,
    )
