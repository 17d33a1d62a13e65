"""The page of `simlap-similarity`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from counterpoint.report.charts import Axis
from counterpoint.report.exhibits import Exhibit, Section
from counterpoint.report.numbers import per_cent
from counterpoint.studies.simlap.alike import MEASURES, SETS, SPACES, Inside, Likeness
from counterpoint.studies.simlap.classes import by_kin
from counterpoint.studies.simlap.page import Seeds, bars_of, likeness, table_of, title_of
from counterpoint.studies.statistics import estimate
from counterpoint.studies.study import Results

__all__ = ["About", "gap_of", "kin_of", "similarity_sections"]

LARGEST = 60  # classes that a heat map can show


@dataclass(frozen=True)
class About:
    """What the page needs to know beside the results.

    Args:
        names: of the classes.
        supers: of the super-classes; empty where there are none.
        of_class: the super-class of each class.
        methods: that are compared.
        gated: the one of them that has gates.
        top: dimensions of a subspace.
    """

    names: tuple[str, ...]
    supers: tuple[str, ...]
    of_class: tuple[int, ...]
    methods: tuple[str, ...]
    gated: str
    top: int


def kin_of(results: Results, method: str, measure: str, key: str = "auroc", *, first: bool = False) -> Seeds:
    """How well a likeness knows the super-classes; `first`: with the weights that the run began with."""
    path = ("untrained", "kin", measure, key) if first else ("kin", measure, key)
    return results.values(Likeness.name, *path, method=method)


def gap_of(results: Results, method: str, kind: str, space: str, *, first: bool = False) -> Seeds:
    """The gap of a kind of set in a space; `first`: by the gates that the run began with."""
    return results.values(Inside.name, *(("untrained",) if first else ()), kind, space, method=method)


def similarity_sections(results: Results, about: About) -> list[Section]:
    """All that can be made of what is there."""
    return [_measures(results, about), _subspaces(results, about)]


def _measures(results: Results, about: About) -> Section:
    gated = about.gated
    found = {name: estimate(kin_of(results, gated, name)) for name in MEASURES}
    said = [f"{name} {per_cent(own.mean)}" for name, own in found.items() if own is not None]
    title = f"AUROC as a sign of one super-class: {', '.join(said)}" if said else "How alike classes are"
    places = [(gated, name) for name in MEASURES] + [(m, "features") for m in about.methods if m != gated]
    names = [f"{title_of(method)}: {MEASURES[measure]}" for method, measure in places]
    bars = bars_of(
        "Does the likeness of two classes tell whether they are of one super-class?",
        "AUROC over pairs of classes; 50 % is chance.",
        names,
        {
            said: [kin_of(results, method, measure, first=first) for method, measure in places]
            for said, first in (("learned", False), ("untrained", True))
        },
        Axis("AUROC", percent=True),
    )
    rows: list[tuple[tuple[str, str], list[Seeds]]] = [
        ((name, said), [kin_of(results, *place, key, first=first) for key in ("within", "between", "auroc")])
        for place, name in zip(places, names, strict=True)
        for said, first in (("learned", False), ("untrained", True))
    ]
    dot: list[Seeds] = [
        results.values(Likeness.name, "dot", key, method=gated) for key in ("within", "between", "auroc")
    ]
    rows.append(((f"{title_of(gated)}: gates above .5, in common", "learned"), dot))
    table = table_of(
        "likeness",
        "How alike two classes are",
        ("measure", "weights"),
        ("of one super-class", "of two super-classes", "AUROC"),
        rows,
        "Means over pairs of different classes; AUROC as a sign of one super-class. In common: how many dimensions.",
    )
    pairs = ("gates and features", "gates and embeddings", "features and embeddings")
    agreement = table_of(
        "agreement",
        "Do the measures agree?",
        ("measures", "weights"),
        ("rank correlation",),
        [
            ((pair, said), [results.values(Likeness.name, *path, "agreement", pair, method=gated)])
            for pair in pairs
            for said, path in (("learned", ()), ("untrained", ("untrained",)))
        ],
        f"Over pairs of classes, of {title_of(gated)}.",
    )
    words = () if about.supers else ("These data have no super-classes.",)
    return Section("likeness", title, words, (*bars, *_heats(results, about), table, agreement))


def _heats(results: Results, about: About) -> list[Exhibit]:
    """Of the first seed: super-classes, and the classes of as many of them as can be shown."""
    found: Mapping[str, list[list[int | None]]] = next(
        (r.found[Likeness.name]["matrices"] for r in results.at(method=about.gated) if Likeness.name in r.found), {}
    )
    order = by_kin(torch.tensor(about.of_class))
    kept: list[int] = []
    for one in sorted(set(about.of_class), key=lambda one: -about.of_class.count(one)):
        own = [label for label in order if about.of_class[label] == one]
        kept += own if len(kept) + len(own) <= LARGEST else []
    kept = [label for label in order if label in kept]
    made: list[Exhibit] = []
    for measure, matrix in found.items():
        said = MEASURES[measure]
        if about.supers:
            made.append(
                likeness(
                    f"Super-classes: {said}",
                    "Mean over pairs of different classes; on the diagonal those of one super-class.",
                    about.supers,
                    [
                        [_mean(matrix, about.of_class, one, two) for two in range(len(about.supers))]
                        for one in range(len(about.supers))
                    ],
                    "super-classes",
                )
            )
        values = [[_thousandth(matrix[a][b]) if a != b else None for b in kept] for a in kept]
        some = "" if len(kept) == len(order) else f" The {len(kept)} classes of the largest super-classes."
        note = f"Those of one super-class side by side; a class with itself is left out.{some}"
        made.append(likeness(f"Classes: {said}", note, [about.names[label] for label in kept], values))
    return made


def _thousandth(value: int | None) -> float | None:
    return None if value is None else value / 1000


def _mean(matrix: Sequence[Sequence[int | None]], of: Sequence[int], one: int, two: int) -> float | None:
    first, second = ([i for i, above in enumerate(of) if above == which] for which in (one, two))
    values = [v for a in first for b in second if a != b and (v := matrix[a][b]) is not None]
    return sum(values) / len(values) / 1000 if values else None


def _subspaces(results: Results, about: About) -> Section:
    gated, top = about.gated, about.top
    kinds = [kind for kind in SETS if any(gap_of(results, gated, kind, space) for space in SPACES)]
    title = f"The gap within and between classes in {top} dimensions"
    moved = [(estimate(gap_of(results, gated, k, "own")), estimate(gap_of(results, gated, k, "whole"))) for k in kinds]
    said = [
        f"by {own.mean - whole.mean:+.2f} for {SETS[kind]}".replace("-", "−", 1) if own and whole else ""
        for kind, (own, whole) in zip(kinds, moved, strict=True)
    ]
    if any(said):
        title = f"In {top} dimensions the gap moves {', '.join(filter(None, said))}"
    bars = bars_of(
        "Gap between one class and two",
        "Mean cosine of two test images of one class less of two classes of the set.",
        [SETS[kind] for kind in kinds],
        {space: [gap_of(results, gated, kind, key) for kind in kinds] for key, space in SPACES.items()},
        Axis("gap of the cosine of z"),
    )
    rows = [
        ((SETS[kind], said), [gap_of(results, gated, kind, space, first=first) for space in SPACES])
        for kind in kinds
        for said, first in (("learned", False), ("untrained", True))
    ]
    note = f"In all of z, and in {top} dimensions of it. Untrained: dimensions by the gates that the run began with."
    table = table_of("gaps", "Gap by kind of set", ("classes", "gates"), tuple(SPACES.values()), rows, note)
    return Section("subspaces", title, exhibits=(*bars, table, *_each(results, gated), *_matrices(results, about)))


def _each(results: Results, gated: str) -> list[Exhibit]:
    found = [r for r in results.at(method=gated) if Inside.name in r.found and r.found[Inside.name]["sets"]]
    if not found:
        return []
    rows: list[tuple[tuple[str | float | None, ...], list[Seeds]]] = []
    for i, one in enumerate(found[0].found[Inside.name]["sets"]):
        values: list[Seeds] = [{r.cell.seed: r.found[Inside.name]["sets"][i][space] for r in found} for space in SPACES]
        rows.append(((one["name"], one["classes"]), values))
    note = "Mean cosine of two test images of one class less of two classes of the super-class."
    heads = ("super-class", "classes")
    return [table_of("supers", "Gap of each super-class", heads, tuple(SPACES.values()), rows, note, folded=True)]


def _matrices(results: Results, about: About) -> list[Exhibit]:
    found = next((r.found[Inside.name] for r in results.at(method=about.gated) if Inside.name in r.found), None)
    made: list[Exhibit] = []
    for one in found["matrices"] if found else ():
        names: list[str] = [about.names[label] for label in one["classes"]]
        for space in ("whole", "own"):
            values = [[_thousandth(v) for v in row] for row in one[space]]
            note = "Mean cosine of test images, of the first seed; on the diagonal that of different images of a class."
            made.append(likeness(f"{one['name'].capitalize()}: {SPACES[space]}", note, names, values))
    return made
