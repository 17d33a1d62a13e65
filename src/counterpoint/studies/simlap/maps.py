"""What does the subspace of a pair of classes look like, beside the whole space?

Its runs are those of SimLAP in `simlap-transfer`: three seeds, with `conv` on 16,350 images of 32 pixels 600 s of one
core, all shared. Reading one takes 6 s, nearly all of it for three maps of 500 images.
"""

from collections.abc import Iterable, Sequence
from functools import partial

import torch

from counterpoint.errors import RecipeError, SourceError, nearest
from counterpoint.report.charts import Axis
from counterpoint.report.exhibits import Exhibit, Points, Section, Series
from counterpoint.report.numbers import per_cent
from counterpoint.studies.ruled import BLIND
from counterpoint.studies.simlap.claims import ASKED, PAPER, claim
from counterpoint.studies.simlap.classes import GATED, super_of
from counterpoint.studies.simlap.page import Seeds, bars_of, table_of, title_of
from counterpoint.studies.simlap.pair_space import GATES, KINDS, MAPS, PairSpace
from counterpoint.studies.simlap.runs import dials_said, runs, sized
from counterpoint.studies.statistics import below, each, estimate, greater
from counterpoint.studies.study import SEEDS, Claim, Results, Scale, Study
from counterpoint.types import Dataset, Source

__all__ = ["simlap_maps"]

EACH = 5  # classes of a group
NEAR = 0.1  # of a share of neighbours, within which a map tells what its space has


def simlap_maps(
    *,
    source: Source | None = None,
    scale: Scale = "full",
    seeds: Sequence[int] | None = None,
    encoder: str | None = None,
    images: int | None = None,
    epochs: float | None = None,
    classes: str | Iterable[str] = (),
    groups: str | Iterable[str] = (),
    each: int = EACH,
    method: str = "simlap",
) -> Study:
    """t-SNE of two groups of classes in h, in z and in a pair's subspace, and what lies together in the spaces.

    Args:
        source: labelled images, with super-classes; the embedded digits at smoke scale where None.
        scale: `full`, `small` or `smoke`.
        seeds: of the runs; three at full scale, else one, where None.
        encoder: `conv`, or `mlp` at smoke scale, where None.
        images: trained on; None: all.
        epochs: of a method of two views; None: the usual.
        classes: names of classes, super-classes or subsets that are kept, apart by `;`; none: all.
        groups: two super-classes, apart by `;`; none: the two that have most classes, or of data without any the first
            classes and those that follow.
        each: classes of a group.
        method: `simlap` or `simlap_moco`.

    Raises:
        CounterpointError: an option that is none, or no data.
    """
    if method not in GATED:
        raise RecipeError(f"simlap-maps: {method!r} has no gates; give one of {', '.join(GATED)}")
    plan = sized(source, scale=scale, encoder=encoder, images=images, epochs=epochs, classes=classes)
    names, (first, second) = _groups(plan.dataset, groups, each)
    return Study(
        name="simlap-maps",
        title=f"The subspace of a pair of classes of {plan.dataset.name}",
        about=(
            "SimLAP compares images of two classes under the gate of this pair. In its subspace two classes that have "
            f"nothing in common should lie together, away from all others. Here are {len(first)} classes of "
            f"{names[0]} and {len(second)} of {names[1]}, as t-SNE shows them; test images alone.",
            "A map is for the eye: distances between clusters and their sizes mean nothing. So all numbers are also "
            "taken in the spaces themselves, over all pairs of these classes, and beside the pair's own gate stand "
            "that of another pair and the own one with its dimensions shuffled.",
            dials_said(plan, (method,)),
            BLIND,
        ),
        source="Wu et al. 2024",
        cells=runs(plan, (method,), SEEDS[scale] if seeds is None else tuple(seeds)),
        evaluators=(PairSpace(first, second),),
        claims=_claims(),
        sections=partial(_sections, names=names, method=method),
    )


def _groups(
    data: Dataset, groups: str | Iterable[str], each: int
) -> tuple[tuple[str, str], tuple[tuple[int, ...], tuple[int, ...]]]:
    """Names of two groups, and their classes."""
    if each < 2:
        raise RecipeError(f"simlap-maps: each={each}; give two classes of a group or more")
    asked = tuple(n.strip() for n in (groups.split(";") if isinstance(groups, str) else groups) if n.strip())
    count = len(data.classes)
    if data.super_of is None:
        if asked:
            raise SourceError(f"{data.name!r} has no super-classes, so that groups={';'.join(asked)} cannot be found")
        if count < 4:
            raise SourceError(f"maps need two groups of two classes, but {data.name!r} has {count} classes")
        half = min(each, count // 2)
        return ("the first", "those that follow"), (tuple(range(half)), tuple(range(half, 2 * half)))
    above = super_of(data).tolist()
    if not asked:
        order = sorted(range(len(data.super_classes)), key=lambda one: -above.count(one))
        asked = tuple(data.super_classes[one] for one in order[:2])
    for name in asked:
        if name not in data.super_classes:
            raise SourceError(f"{data.name!r} has no super-class {name!r}; {nearest(name, data.super_classes)}")
    if len(set(asked)) != 2:
        raise RecipeError(f"simlap-maps: groups={';'.join(asked)}; give two super-classes, as birds;vehicles")
    found = [
        tuple(label for label, one in enumerate(above) if one == data.super_classes.index(name))[:each]
        for name in asked
    ]
    for name, own in zip(asked, found, strict=True):
        if len(own) < 2:
            raise SourceError(f"the super-class {name!r} has but one class; give two that have more")
    return (asked[0], asked[1]), (found[0], found[1])


# ---------------------------------------------------------------- claims


def _of(results: Results, *path: str) -> Seeds:
    return results.values(PairSpace.name, *path)


def _claims() -> tuple[Claim, ...]:
    def more(key: str, statement: str, measure: str, than: str, where: str = ASKED) -> Claim:
        said = {"silhouette": "Silhouette of the pair's images against all others", "meeting": MEETING}[measure]
        return claim(
            key,
            statement,
            f"{said}, by cosine of z, mean over pairs of {KINDS['unrelated']}: under {GATES['own']} less under "
            f"{GATES[than]}.",
            "the difference is above 0",
            lambda results: greater(
                _of(results, "unrelated", "own", measure),
                _of(results, "unrelated", than, measure),
                unit="points" if measure == "meeting" else "number",
                what=f"under {GATES['own']} less under {GATES[than]}",
            ),
            where=where,
        )

    where = f"{PAPER}, maps of the space and of a subspace"
    return (
        more(
            "pair-gathers",
            "In the subspace of a pair of unrelated classes their images gather, away from others.",
            "silhouette",
            "whole",
            where,
        ),
        more(
            "classes-meet",
            "In the subspace of a pair of unrelated classes an image of one is more often next to one of the other.",
            "meeting",
            "whole",
            where,
        ),
        more(
            "own-gate", "A pair gathers more under its own gate than under that of another pair.", "silhouette", "other"
        ),
        more(
            "beyond-shuffled",
            "A pair gathers more under its gate than under the same numbers at other dimensions.",
            "silhouette",
            "shuffled",
        ),
        claim(
            "maps-tell",
            "A map tells what its space has: classes lie as near to their own on it as in the space.",
            "Share of ten nearest neighbours that have an image's class, on the map less in its space; the largest "
            f"difference in size over {', '.join(MAPS.values())}.",
            f"it is below {NEAR:.0%}",
            lambda results: below(
                each(
                    max,
                    [
                        each(
                            lambda v: abs(v[0] - v[1]),
                            [_of(results, "maps", name, place, "class") for place in ("map", "space")],
                        )
                        for name in MAPS
                    ],
                ),
                NEAR,
                unit="points",
                what="the largest difference",
            ),
        ),
    )


MEETING = "Share of ten nearest neighbours that are of the pair's other class"


# ---------------------------------------------------------------- the page


def _sections(results: Results, names: tuple[str, str], method: str) -> list[Section]:
    return [_maps(results, names), _gathered(results, method)]


def _maps(results: Results, names: tuple[str, str]) -> Section:
    found = next((r.found[PairSpace.name] for r in results if PairSpace.name in r.found), None)
    if found is None:
        return Section("maps", "No map is made yet")
    pair = " and ".join(found["classes"][i] for i in found["pair"])
    figures: list[Exhibit] = []
    labels = torch.tensor(found["labels"])
    for name, said in MAPS.items():
        own = found["maps"][name]
        series: list[Series] = []
        for label, of in enumerate(found["classes"]):
            points = [own["xy"][int(i)] for i in torch.nonzero(labels == label)[:, 0]]
            series.append(Series(of, tuple(p[0] for p in points), tuple(p[1] for p in points)))
        title = f"{said[0].upper()}{said[1:]}" if name != "pair" else f"The subspace of {pair}"
        share, on_map = own["space"]["class"], own["map"]["class"]
        note = (
            f"Of ten neighbours {per_cent(share)} have an image's class in this space, {per_cent(on_map)} on the map."
        )
        figures.append(Points(title, note, tuple(series)))
    measures = {"class": "neighbours of the class", "group": "neighbours of the group", "silhouette": "silhouette"}
    table = table_of(
        "maps",
        "What the eye sees, in numbers",
        ("space", "measured"),
        tuple(measures.values()),
        [
            ((said, where), [_of(results, "maps", name, place, measure) for measure in measures])
            for name, said in MAPS.items()
            for place, where in (("space", "in the space"), ("map", "on the map"))
        ],
        "Share of ten nearest neighbours that have an image's class, or are of its group; silhouette of the classes. "
        f"The subspace is that of {pair}.",
    )
    members = [
        f"{name}: {', '.join(of for of, group in zip(found['classes'], found['groups'], strict=True) if group == i)}"
        for i, name in enumerate(names)
    ]
    words = f"{members[0][0].upper()}{members[0][1:]}; {members[1]}. Maps are of the first seed."
    return Section("maps", f"{names[0].capitalize()} and {names[1]}, in three spaces", (words,), (*figures, table))


def _gathered(results: Results, method: str) -> Section:
    found = [estimate(_of(results, "unrelated", gate, "silhouette")) for gate in ("own", "whole")]
    title = "Do the classes of a pair gather in its subspace?"
    if found[0] and found[1]:
        title = (
            f"Silhouette of an unrelated pair: {found[0].mean:.2f} under its gate, {found[1].mean:.2f} without"
        ).replace("-", "−")
    measures = {
        "silhouette": ("Silhouette of the pair", False),
        "gathered": ("Neighbours of the pair", True),
        "meeting": ("Neighbours of the pair's other class", True),
    }
    bars: list[Exhibit] = []
    for measure, (said, share) in measures.items():
        bars += bars_of(
            said,
            "In z itself, mean over pairs of classes."
            if not share
            else "Share of ten nearest neighbours in z itself, mean over pairs of classes.",
            tuple(GATES.values()),
            {kind_said: [_of(results, kind, gate, measure) for gate in GATES] for kind, kind_said in KINDS.items()},
            Axis("share of neighbours" if share else "silhouette", percent=share),
        )
    table = table_of(
        "pairs",
        f"Images of a pair among others, {title_of(method)}",
        ("pair", "gate"),
        tuple(said for said, _ in measures.values()),
        [
            ((said, gate_said), [_of(results, kind, gate, measure) for measure in measures])
            for kind, said in KINDS.items()
            for gate, gate_said in GATES.items()
        ],
        "By cosine of z of test images; means over all pairs of the classes.",
    )
    return Section("pairs", title, exhibits=(*bars, table))
