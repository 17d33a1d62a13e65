"""Transfer: arbitrary pairs against instance and class pairs, trained on one data set and tested on others.

What it costs at full scale, with `conv` on 16,350 images of 32 pixels and four sets that are transferred to: 18 runs of
200 s of one core, 75 s to read each, and some 200 s for what needs no training of each seed, which other studies of the
same runs share: .75 hours of two cores.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from counterpoint.report.axes import Axis
from counterpoint.report.exhibits import Exhibit, Points, Section, Series
from counterpoint.studies.ruled import BLIND
from counterpoint.studies.simlap.claims import ASKED, PAPER, claim
from counterpoint.studies.simlap.compared import (
    MEASURES,
    Line,
    as_well,
    best_of,
    better,
    differences,
    floors,
    looked_at,
    sentence,
    side_by_side,
    told,
)
from counterpoint.studies.simlap.judged import OnSource, floors_of, judged_on
from counterpoint.studies.simlap.page import table_of, title_of
from counterpoint.studies.simlap.runs import GROUPS, dials_said, runs, sized
from counterpoint.studies.statistics import apart, estimate, greater
from counterpoint.studies.study import SEEDS, Claim, Decision, Results, Scale, Study
from counterpoint.studies.transfer import Target, Transfer
from counterpoint.types import Source

__all__ = ["simlap_transfer"]

AT = {"method": "simlap"}  # whose runs other studies have too
TABLE = f"{PAPER}, the table of transfer by linear probe (ImageNet, ResNet-50)"
NEIGHBOURS = f"{PAPER}, the table of kNN by source of labels (ImageNet, ResNet-50)"


@dataclass(frozen=True, eq=False)
class About:
    """What the page needs to know of the study beside its results.

    Args:
        lines: of the methods, group by group.
        targets: names of the data that are transferred to.
        source: name of the data that was trained on.
    """

    lines: Mapping[str, Line]
    targets: tuple[str, ...]
    source: str


def simlap_transfer(
    *,
    source: Source | None = None,
    scale: Scale = "full",
    seeds: Sequence[int] | None = None,
    encoder: str | None = None,
    images: int | None = None,
    epochs: float | None = None,
    classes: str | Iterable[str] = (),
    targets: str | Sequence[Target] = "",
) -> Study:
    """SimCLR, SupCon and SimLAP; MoCo v3, GPaCo and SimLAP-MoCo: linear probe and neighbours on other data.

    Args:
        source: labelled images; the embedded digits at smoke scale where None.
        scale: `full`, `small` (a quarter of the budget) or `smoke` (an epoch of few images, of an mlp).
        seeds: of the runs; three at full scale, else one, where None.
        encoder: that all share; `conv`, or `mlp` at smoke scale, where None.
        images: trained on, equally many of each class; None: all.
        epochs: of a method of two views of an image; others get as many views.
        classes: names of classes, super-classes or subsets that are kept, apart by `;`; none: all.
        targets: data that are transferred to, as `cifar10=FOLDER,arrays=FILE.npz;labels=alphabet/character`.

    Raises:
        CounterpointError: an option that is none, or no data.
    """
    plan = sized(source, scale=scale, encoder=encoder, images=images, epochs=epochs, classes=classes)
    judges = judged_on("simlap-transfer", targets, scale)
    seeds = SEEDS[scale] if seeds is None else tuple(seeds)
    c = 0.01 if scale == "smoke" else None
    lines = {name: Line(title_of(name), group, {"method": name}) for group, own in GROUPS.items() for name in own}
    about = About(lines, tuple(target.label for target in judges), plan.dataset.name)
    return Study(
        name="simlap-transfer",
        title=f"SimLAP's transfer from {plan.dataset.name}",
        about=(
            "SimCLR draws two views of one image together, SupCon the images of one class, SimLAP images of any two "
            "classes, in a subspace that is learned for the two. Which of these signals makes features for other data? "
            "MoCo v3, GPaCo and SimLAP-MoCo ask the same with a slow second network.",
            f"All train the encoder `{plan.encoder}` on {len(plan.dataset.train):,} images of {plan.dataset.name} "
            f"({len(plan.dataset.classes)} classes) in batches of {plan.batch}, until they have seen as many views as "
            f"{plan.epochs:g} epochs of two views have: SimLAP, which sees one view of an image, has twice the passes "
            "over the images. The paper gives each method epochs of its own, SimLAP half of SimCLR's.",
            f"Then the encoder is frozen and judged on {', '.join(about.targets)}, which had no part in training, by a "
            "linear probe of h, whose penalty is chosen on a part of the training images, and by the votes of ten "
            "neighbours. Raw pixels and the encoder with its first weights are the floor; the test images of the "
            "source's own classes stand beside.",
            dials_said(plan, tuple(lines), judges),
            BLIND,
        ),
        source=PAPER,
        cells=runs(plan, tuple(lines), seeds),
        evaluators=(Transfer(judges, c=c), *floors_of(partial(Transfer, judges, c=c), AT, seeds), OnSource(c=c)),
        claims=transfer_claims(lines),
        sections=partial(transfer_sections, about=about),
    )


# ---------------------------------------------------------------- claims


def transfer_claims(lines: Mapping[str, Line]) -> tuple[Claim, ...]:
    """All claims; those with figures are the paper's.

    Args:
        lines: by the recipe.
    """
    simclr, supcon, simlap = (lines[name] for name in GROUPS["SimCLR"])
    moco, gpaco, hydra = (lines[name] for name in GROUPS["MoCo v3"])
    untrained = floors(AT)[0]
    return (
        as_well(
            "probe-as-simclr",
            "Arbitrary pairs transfer as well as instance pairs: SimLAP as SimCLR, by linear probe.",
            simlap,
            simclr,
            where=TABLE,
            published="mean of six sets 92.7 % against 92.8 %, with half of the epochs",
        ),
        as_well(
            "probe-as-supcon",
            "Arbitrary pairs transfer as well as class pairs: SimLAP as SupCon, by linear probe.",
            simlap,
            supcon,
            where=TABLE,
            published="mean of six sets 92.7 % against 92.7 %",
        ),
        as_well(
            "probe-as-moco",
            "SimLAP-MoCo transfers as well as MoCo v3, by linear probe.",
            hydra,
            moco,
            where=TABLE,
            published="mean of six sets 94.0 % against 94.0 %, with less than a third of the epochs",
        ),
        better(
            "probe-above-gpaco",
            "SimLAP-MoCo transfers better than GPaCo, by linear probe.",
            hydra,
            gpaco,
            measure="probe",
            where=TABLE,
            published="mean of six sets 94.0 % against 93.6 %",
        ),
        better(
            "knn-above-simclr",
            "SimLAP's neighbours are better than SimCLR's on other data.",
            simlap,
            simclr,
            where=NEIGHBOURS,
            published="CIFAR-10 86.3 % against 85.5 %, CIFAR-100 64.6 against 61.5, Cars 36.7 against 14.8, Food 54.3 "
            "against 51.2",
        ),
        better(
            "knn-above-supcon",
            "SimLAP's neighbours are better than SupCon's on other data.",
            simlap,
            supcon,
            where=NEIGHBOURS,
            published="CIFAR-10 86.3 % against 84.8 %, CIFAR-100 64.6 against 60.2, Cars 36.7 against 30.9, Food 54.3 "
            "against 53.5",
        ),
        better(
            "knn-above-moco",
            "SimLAP-MoCo's neighbours are better than MoCo v3's on other data.",
            hydra,
            moco,
            where=f"{PAPER}, the figure of kNN on CIFAR-10 over training",
        ),
        better("knn-above-gpaco", "SimLAP-MoCo's neighbours are better than GPaCo's on other data.", hydra, gpaco),
        *(
            better(
                f"{key}-above-untrained",
                f"What {line.label} learns is of use elsewhere: it is above the encoder with its first weights.",
                line,
                untrained,
                measure="probe",
            )
            for key, line in (("simlap", simlap), ("simlap-moco", hydra))
        ),
        _elsewhere("gain-is-elsewhere", simlap, supcon),
        _elsewhere("gain-is-elsewhere-moco", hydra, gpaco),
    )


def _own(results: Results, line: Line, measure: str) -> dict[int, float]:
    return results.values("source", "learned", measure, **line.place)


def _elsewhere(key: str, first: Line, second: Line) -> Claim:
    def decide(results: Results) -> Decision:
        gains = [
            apart(*(line.on(results) for line in (first, second))),
            apart(*(_own(results, line, "probe") for line in (first, second))),
        ]
        return greater(*gains, unit="points", what="the gain on other data less that on the source's classes")

    return claim(
        key,
        f"What {first.label} gains on {second.label} it gains on other data, rather than on the classes that both were "
        "trained with.",
        f"Linear probe: {first.label} less {second.label} on other data, less the same on the source's test images.",
        "the difference of the two differences is above 0",
        decide,
        where=ASKED,
    )


# ---------------------------------------------------------------- page


def transfer_sections(results: Results, about: About) -> list[Section]:
    """All that can be made of what is there."""
    lines = [*about.lines.values(), *floors(AT)]
    title = best_of(results, lines, "linear probe", "probe")
    words = [
        f"{MEASURES[m][0].upper()}{MEASURES[m][1:]}: {sentence(found)}."
        for m in MEASURES
        if (found := told(results, lines, m))
    ]
    exhibits = [one for measure in MEASURES for one in side_by_side(results, lines, about.targets, measure)]
    groups = [[about.lines[name] for name in own] for own in GROUPS.values()]
    pairs = [(own[-1], other) for own in groups for other in own[:-1]]
    made = [
        Section("transfer", title, tuple(words), tuple(exhibits)),
        differences(results, pairs, about.targets),
        _beside(results, about),
        looked_at(results),
    ]
    return [section for section in made if section is not None]


def _beside(results: Results, about: About) -> Section | None:
    """Own classes against other data."""
    found = {
        line.label: (line, estimate(_own(results, line, "probe")), estimate(line.on(results)))
        for line in about.lines.values()
    }
    both = [(line, own.mean, other.mean) for line, own, other in found.values() if own and other]
    if not both:
        return None
    series = tuple(
        Series(
            group,
            tuple(own for _, own, _ in held),
            tuple(other for _, _, other in held),
            tuple(line.label for line, *_ in held),
        )
        for group in GROUPS
        if (held := [one for one in both if one[0].group == group])
    )
    figure: Exhibit = Points(
        "Own classes against other data",
        "Linear probe, means over seeds: to the right, better on the classes of training; upwards, better elsewhere.",
        series,
        Axis(f"linear probe accuracy on {about.source}", percent=True),
        Axis("linear probe accuracy on other data", percent=True),
    )
    table = table_of(
        "own-classes",
        f"On the test images of {about.source}",
        ("encoder", "group"),
        tuple(MEASURES.values()),
        [((line.label, line.group), [_own(results, line, m) for m in MEASURES]) for line in about.lines.values()],
        "Accuracy on the classes that the encoders were trained with; SimCLR and MoCo v3 were not told these.",
        percent=True,
    )
    first = max(both, key=lambda one: one[1])[0].label
    return Section("own", f"On its own classes {first} is best", (), (figure, table))
