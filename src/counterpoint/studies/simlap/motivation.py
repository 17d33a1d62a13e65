"""Do images of two classes that have nothing in common meet in a few dimensions of SimCLR's space?

A run of SimCLR is the one of `simlap-transfer`; three of them take 600 s of one core with `conv` on 16,350 images of 32
pixels, and reading one, learned and untrained, about 10 s.
"""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

from counterpoint.report.charts import Axis
from counterpoint.report.exhibits import Exhibit, Histogram, Section
from counterpoint.report.numbers import in_points
from counterpoint.studies.ruled import BLIND
from counterpoint.studies.simlap.claims import ASKED, PAPER, claim
from counterpoint.studies.simlap.classes import KINDS, pairs_of_classes, super_of
from counterpoint.studies.simlap.low_variance import ALONE, ARMS, BINS, SHARE, LowVariance
from counterpoint.studies.simlap.page import Seeds, bars_of, table_of
from counterpoint.studies.simlap.runs import dials_said, runs, sized
from counterpoint.studies.statistics import apart, estimate, greater
from counterpoint.studies.study import SEEDS, Claim, Results, Scale, Study
from counterpoint.types import Source

__all__ = ["simlap_motivation"]

SETS = "random sets of as many images"
MEASURED = {
    "intra": "Mean cosine of two images of the pair",
    "auroc": "AUROC of the cosine of two images of the pair against one of it and another",
    "meeting": "AUROC of the cosine of an image of each class against one of them and another",
}


def simlap_motivation(
    *,
    source: Source | None = None,
    scale: Scale = "full",
    seeds: Sequence[int] | None = None,
    encoder: str | None = None,
    images: int | None = None,
    epochs: float | None = None,
    classes: str | Iterable[str] = (),
    share: float = SHARE,
    pairs: int = 60,
) -> Study:
    """Similarity of images of two classes in the dimensions of SimCLR's h that vary least over them.

    Args:
        source: labelled images, with super-classes; the embedded digits at smoke scale where None.
        scale: `full`, `small` or `smoke`.
        seeds: of the runs; three at full scale, else one, where None.
        encoder: `conv`, or `mlp` at smoke scale, where None.
        images: trained on; None: all.
        epochs: of a method of two views; None: the usual.
        classes: names of classes, super-classes or subsets that are kept, apart by `;`; none: all.
        share: of the dimensions that are kept, in (0, 1).
        pairs: of classes, of each kind.

    Raises:
        CounterpointError: an option that is none, or no data.
    """
    reading = LowVariance(share, pairs)
    plan = sized(source, scale=scale, encoder=encoder, images=images, epochs=epochs, classes=classes)
    kinds = tuple(kind for kind in KINDS if pairs_of_classes(super_of(plan.dataset), kind, 1))
    alone = "" if "kin" in kinds else " These data have no super-classes, so that all pairs are of unrelated classes."
    return Study(
        name="simlap-motivation",
        title=f"Do unrelated classes of {plan.dataset.name} meet in a few dimensions?",
        about=(
            "SimLAP starts from an observation: of two classes that have nothing in common, images lie together in "
            "those dimensions of SimCLR's space that vary least over them, apart from images of other classes. Here "
            "the dimensions are chosen on one half of the test images and the similarities measured on the other.",
            f"{share:.0%} of the dimensions of h are kept. What varies little over a pair may vary little over any "
            "images; so the pair is also measured in random dimensions and in those that vary least over a random set "
            f"of as many images, and a random set of images takes the pair's place.{alone}",
            dials_said(plan, ("simclr",)),
            BLIND,
        ),
        source="Wu et al. 2024",
        cells=runs(plan, ("simclr",), SEEDS[scale] if seeds is None else tuple(seeds)),
        evaluators=(reading,),
        claims=tuple(made for kind in kinds for made in _claims(kind)),
        sections=partial(_sections, kinds=kinds),
    )


def _of(results: Results, kind: str, arm: str, measure: str, encoder: str = "learned") -> Seeds:
    return results.values(LowVariance.name, encoder, kind, arm, measure, method="simclr")


def rise(results: Results, kind: str, arm: str, whole: str) -> Seeds:
    """How much more alike the images of a pair, or of a set in its place, are in some dimensions than in all.

    Args:
        results: of the study.
        kind: of pair.
        arm: the dimensions.
        whole: all of them, of the same images.
    """
    return apart(*(_of(results, kind, name, "intra") for name in (arm, whole)))


def _claims(kind: str) -> tuple[Claim, ...]:
    said = f"of classes {KINDS[kind]}"

    def more(key: str, statement: str, measure: str, than: str, where: str = ASKED) -> Claim:
        return claim(
            f"{key}-{kind}",
            statement,
            f"{MEASURED[measure]}: {ARMS['lowest']} less {ARMS[than]}; mean over pairs {said}, on the half "
            "of the test images that chose nothing.",
            "the difference is above 0",
            lambda results: greater(
                _of(results, kind, "lowest", measure),
                _of(results, kind, than, measure),
                unit="number" if measure == "intra" else "points",
                what=f"{ARMS['lowest']} less {ARMS[than]}",
            ),
            where=where,
        )

    where = f"{PAPER}, motivation"
    return (
        more(
            "intra-rises",
            f"In the dimensions that vary least over a pair {said} its images are more alike.",
            "intra",
            "whole",
            where,
        ),
        more(
            "separates",
            f"In the dimensions that vary least over a pair {said} the similarity within it stands farther apart from "
            "that to other classes.",
            "auroc",
            "whole",
            where,
        ),
        more(
            "classes-meet",
            f"In the dimensions that vary least over a pair {said} its two classes are told from others, image of one "
            "against image of the other, better than in the whole space.",
            "meeting",
            "whole",
            where,
        ),
        claim(
            f"rises-beyond-set-{kind}",
            f"In the dimensions that vary least over a pair {said} its images become more alike than those of a random "
            "set do in dimensions that vary least over another random set.",
            f"{MEASURED['intra']}: {ARMS['lowest']} less {ARMS['whole']}, of pairs {said} less of {SETS}; on the half "
            "of the test images that chose nothing.",
            "the difference is above 0",
            lambda results: greater(
                rise(results, kind, "lowest", "whole"),
                rise(results, kind, ALONE, f"{ALONE}, whole"),
                what="the rise of the cosine, pair less random set,",
            ),
        ),
        more(
            "beyond-random",
            f"The dimensions that vary least over a pair {said} part it from others better than random ones.",
            "auroc",
            "random",
        ),
        more(
            "own-dimensions",
            f"The dimensions that vary least over a pair {said} are its own: they part it from others better than "
            "those that vary least over a random set of images.",
            "auroc",
            "set",
        ),
    )


def _sections(results: Results, kinds: Sequence[str]) -> list[Section]:
    gain = [
        estimate(values)
        for kind in kinds
        for arm in ("lowest", "whole")
        if (values := _of(results, kind, arm, "auroc"))
    ]
    title = "Nothing is measured yet"
    if gain and len(gain) == 2 * len(kinds):
        moved = [(a.mean - b.mean) for a, b in zip(gain[::2], gain[1::2], strict=True) if a and b]
        said = [f"{in_points(by)} for pairs {KINDS[kind]}" for by, kind in zip(moved, kinds, strict=True)]
        title = f"The dimensions of least variance move the AUROC by {' and '.join(said)}"
    names = tuple(ARMS.values())
    figures: list[Exhibit] = []
    for measure, said in (("auroc", "any two images of the pair"), ("meeting", "an image of each class")):
        figures += bars_of(
            f"{said[0].upper()}{said[1:]} against pair and others",
            f"AUROC of the cosine: the chance that {said} are more alike than one of it and one of another class.",
            names,
            {
                f"{KINDS[kind]}{'' if encoder == 'learned' else ', untrained'}": [
                    _of(results, kind, arm, measure, encoder) for arm in ARMS
                ]
                for encoder in ("learned", "untrained")
                for kind in kinds
            },
            Axis("AUROC", percent=True),
        )
    figures += bars_of(
        "How much more alike images become",
        "Mean cosine of h, in the dimensions that vary least over a pair less in all; and the same of a random set, in "
        "those that vary least over another one.",
        tuple(KINDS[kind] for kind in kinds),
        {
            "the pair": [rise(results, kind, "lowest", "whole") for kind in kinds],
            SETS: [rise(results, kind, ALONE, f"{ALONE}, whole") for kind in kinds],
        },
        Axis("rise of the cosine"),
    )
    histograms = [h for kind in kinds for arm in ("whole", "lowest") if (h := _histogram(results, kind, arm))]
    return [
        Section("separation", title, exhibits=tuple(figures)),
        Section(
            "similarities",
            "How alike images of a pair are, and how alike to others",
            ("Of the first seed, all pairs together.",) if histograms else (),
            tuple(histograms),
        ),
        Section("numbers", "All numbers", exhibits=(_table(results, kinds),)),
    ]


def _histogram(results: Results, kind: str, arm: str) -> Histogram | None:
    found = next((r.found[LowVariance.name]["learned"][kind] for r in results if LowVariance.name in r.found), {})
    if arm not in found:
        return None
    held = found[arm]["histogram"]
    edges = tuple(-1 + 2 * i / BINS for i in range(BINS + 1))
    return Histogram(
        f"Pairs {KINDS[kind]}: {ARMS[arm]}",
        "Share of the pairs of images whose cosine falls between two edges.",
        edges,
        {"within the pair": tuple(held["intra"]), "pair with others": tuple(held["others"])},
        Axis("cosine of h"),
    )


def _table(results: Results, kinds: Sequence[str]) -> Any:
    measures = ("intra", "across", "others", "auroc", "meeting", "empty")
    arms = {**ARMS, f"{ALONE}, whole": "a random set as the pair, all dimensions", ALONE: "a random set as the pair"}
    return table_of(
        "motivation",
        "Similarity of images in some dimensions",
        ("encoder", "pairs", "dimensions"),
        ("within the pair", "its two classes", "with others", "AUROC", "AUROC of the two classes", "empty images"),
        [
            ((encoder, KINDS[kind], said), [_of(results, kind, arm, measure, encoder) for measure in measures])
            for encoder in ("learned", "untrained")
            for kind in kinds
            for arm, said in arms.items()
        ],
        "Mean cosines and areas over pairs, on the half of the test images that chose nothing. A random set as the "
        "pair is measured in the dimensions that vary least over another random set.",
    )
