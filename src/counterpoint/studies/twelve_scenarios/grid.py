"""The cells: twelve scenarios in two protocols, and what the authors name as next steps."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from counterpoint.sources import Digits
from counterpoint.studies.once import Once
from counterpoint.studies.restricted import Restricted
from counterpoint.studies.study import Cell, Scale
from counterpoint.types import Source

__all__ = [
    "BATCH",
    "COLUMNS",
    "DATA",
    "EXTENSIONS",
    "LOSSES",
    "POLICIES",
    "SIDES",
    "extension_cells",
    "scaled",
    "stand_ins",
    "table_cells",
]

DATA = ("mnist", "cifar10")
LOSSES = ("pairwise", "triplet")
POLICIES = ("none", "fer", "simclr")
COLUMNS = {"supcon": "SupCon", "simclr": "NT-Xent"}  # losses beside the practicum's two
BATCH = {"pairwise": 512, "triplet": 1024}  # images: of the pairwise loss each gives two pairs, 1024 in all
SIDES = {"mnist": (28, 1), "cifar10": (32, 3)}  # pixels, channels
ANCHORS = 5000  # of each class, in the faithful protocol

EXTENSIONS = {
    "columns": "SupCon and NT-Xent on the same net",
    "mining": "Mined triplets",
    "anchors": "Augmented anchors",
    "bias": "Negatives drawn from all images",
    "margin": "Margin",
    "batch": "Batch size",
}
_BIASED = 10_000  # training images of each point of the curve, whatever its number of classes


def stand_ins() -> dict[str, Source]:
    """What smoke scale trains on in place of both data sets: the embedded digits, at the sides that the net takes."""
    return {data: Digits(size=side) for data, (side, _) in SIDES.items()}


def scaled(source: Source, scale: Scale) -> Source:
    """All training images, or the first few of each class."""
    return source if scale == "full" else Restricted(source, per_class=1000 if scale == "small" else 40)


def _precision(scale: Scale) -> str:
    """At smoke scale measuring which is faster takes longer than training."""
    return "32-true" if scale == "smoke" else "auto"


def _size(scale: Scale, batch: int, epochs: int = 10) -> dict[str, Any]:
    return {"batch_size": 64, "epochs": 1} if scale == "smoke" else {"batch_size": batch, "epochs": epochs}


def table_cells(
    protocol: Literal["faithful", "sound"], sources: Mapping[str, Source], seeds: Sequence[int], scale: Scale
) -> Iterator[Cell]:
    """The twelve scenarios, those of one seed together, so that a first page needs one seed only.

    Args:
        protocol: `faithful` trains on pairs and triplets that were drawn once; `sound` draws them anew at each step.
        sources: `mnist` and `cifar10`.
        seeds: of the weights, the order and the draws; those of `Once` are always the same.
        scale: of data and epochs.
    """
    for seed in seeds:
        for data, loss, policy in ((d, l, p) for d in DATA for l in LOSSES for p in POLICIES):
            named = f"pami-{policy}"
            source = sources[data]
            if protocol == "faithful":
                fewer = {"small": 1000, "smoke": 40}.get(scale, ANCHORS)
                source = Once(source=source, policy=named, per_class=fewer, seed=0)
            else:
                source = scaled(source, scale)
            yield Cell(
                place={"part": "table", "protocol": protocol, "data": data, "loss": loss, "policy": policy},
                recipe=loss,
                source=source,
                encoder="pami",
                seed=seed,
                dials={"policy": named, **_size(scale, BATCH[loss])},
                settings={"negatives": "counterpoint.negatives:ByView()"} if protocol == "faithful" else {},
                precision=_precision(scale),
            )


def extension_cells(
    sources: Mapping[str, Source], letters: Source | None, scale: Scale, seed: int, *, every: bool
) -> tuple[Cell, ...]:
    """Next steps, with one seed, in order of worth: other losses on both data sets, all else on MNIST.

    Args:
        sources: `mnist` and `cifar10`.
        letters: more classes for the curve of sample bias; left out where None.
        scale: of data and epochs.
        seed: of the one run of each cell.
        every: also those that say less: margins, batch sizes, letters, pairwise twins.
    """
    side, channels = SIDES["mnist"]
    mnist = sources["mnist"]
    part_of = {data: scaled(source, scale) for data, source in sources.items()}

    def cell(part: str, what: str, recipe: str, policy: str, batch: int, data: str = "mnist", **dials: Any) -> Cell:
        """`what` is its name in the part's table."""
        place = {"part": part, "data": data, "what": what, "loss": recipe, "policy": policy}
        sizes = _size(scale, batch)
        dials = {"policy": f"pami-{policy}", **sizes, **dials}
        return Cell(place, recipe, part_of[data], "pami", seed, dials, precision=_precision(scale))

    def both_views(made: Cell) -> Cell:
        views = f"{__package__}.anchors:augmented({made.dials['policy']!r}, {side}, {channels})"
        return replace(made, settings={"views": views})

    def curve(of: str, source: Source, classes: int) -> Iterator[Cell]:
        """With and without negatives of the anchor's class: by labels for triplets, by the debiased loss otherwise."""
        part = Restricted(source, classes, 100 if scale == "smoke" else _BIASED // classes)
        ways: dict[str, tuple[str, dict[str, Any]]] = {
            "triplet, other class": ("triplet", {"other_class": True}),
            "triplet, any image": ("triplet", {"other_class": False}),
            "NT-Xent": ("debiased", {"tau_plus": 0.0}),
            "NT-Xent, debiased": ("debiased", {"tau_plus": 1 / classes}),
        }
        for what, (recipe, dials) in ways.items():
            place = {
                "part": "bias",
                "data": of,
                "what": what,
                "loss": recipe,
                "policy": "simclr",
                "classes": str(classes),
            }
            sizes = {"policy": "pami-simclr", **_size(scale, 250, epochs=20)}
            yield Cell(place, recipe, part, "pami", seed, {**sizes, **dials}, precision=_precision(scale))

    core = [
        cell("columns", recipe, recipe, policy, 512, data) for data in DATA for recipe in COLUMNS for policy in POLICIES
    ]
    core += [
        cell("mining", mining, "triplet", "simclr", 1024, mining=mining)
        for mining in ("semi-hard", "distance-weighted", "hard")
    ]
    core.append(both_views(cell("anchors", "triplet", "triplet", "simclr", 1024)))
    for classes in (2, 5, 10):
        core += curve("mnist", mnist, classes)
    if not every:
        return tuple(core)
    more = [both_views(cell("anchors", "pairwise", "pairwise", "fer", 512))]
    more += [cell("margin", f"{m:g}", "triplet", "simclr", 1024, margin=m) for m in (0.2, 0.5, 2.0)]
    more += [cell("margin", f"{m:g}", "pairwise", "fer", 512, margin=m) for m in (0.25, 0.5)]
    more += [cell("batch", str(2 * n), "pairwise", "fer", n) for n in (64, 128, 2048)]
    more += [cell("batch", str(n), "triplet", "simclr", n) for n in (128, 256, 4096)]
    if letters is not None:
        more += [one for classes in (15, 26) for one in curve("letters", letters, classes)]
    return tuple(core + more)
