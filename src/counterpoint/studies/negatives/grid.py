"""Where negatives come from, how many, at which temperature: the runs, all on one encoder with one budget of views.

What they cost, by the logs of two cores that did other work too, one thread for each of two runs: 5 sources x 3 numbers
x 3 temperatures x 3 seeds are 135 runs, 7 mixings x 2 data sets x 3 seeds 42 shorter ones; together 2.9 hours of one
core to train and .8 to read, 1.8 hours of two. A step of SimCLR with `conv` on 512 images of 32 pixels takes .22 s on
an idle core, and a run of 4 epochs, 48 whole batches each, 42 s.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from counterpoint import encoders
from counterpoint.studies.league.budget import epochs_of
from counterpoint.studies.league.make import Planned
from counterpoint.studies.league.methods import trained_as
from counterpoint.studies.study import Cell, Scale

__all__ = [
    "EPOCHS",
    "MIXING",
    "MIXINGS",
    "NONE",
    "PART",
    "SAID",
    "SOURCES",
    "TEMPERATURES",
    "Mixing",
    "Place",
    "grid",
    "mixing_cells",
    "places",
]

EPOCHS: dict[Scale, float] = {"full": 4, "small": 2, "smoke": 1}
TEMPERATURES = (0.1, 0.2, 0.5)
PART, MIXING = "grid", "mixing"
SAID = {
    "batch": "the batch's other images (SimCLR)",
    "queue": "a queue of earlier keys (MoCo)",
    "bank": "a bank of all images (InstDisc, a softmax over rows drawn from it)",
    "mixed": "a queue, and mixtures of its hardest keys (MoCHi)",
    "debiased": "the batch, corrected for false negatives (debiased)",
}
SOURCES = tuple(SAID)
_OF_BATCH = (16, 4, 1)  # parts that a batch falls into
_STORED = (0.125, 2.0, 8.0)  # keys or rows, times the images of a batch


@dataclass(frozen=True)
class Place:
    """A place of the grid.

    Args:
        source: where negatives come from.
        number: of an anchor; of mixtures, the keys that they are mixed from.
        temperature: divides a cosine.
    """

    source: str
    number: int
    temperature: float

    @property
    def axes(self) -> dict[str, str]:
        """As a cell's place has it."""
        return {"part": PART, **self.row, "temperature": f"{self.temperature:g}"}

    @property
    def row(self) -> dict[str, str]:
        """The same of all temperatures."""
        return {"source": self.source, "negatives": str(self.number)}


@dataclass(frozen=True)
class Mixing:
    """MoCHi's (N, s, s').

    Args:
        hardest: N, keys that are mixed.
        keys: s, mixtures of two of them.
        query: s', mixtures of one with the query.
    """

    hardest: int
    keys: int
    query: int

    @property
    def name(self) -> str:
        """As the paper writes it."""
        return f"({self.hardest}, {self.keys}, {self.query})"


NONE = Mixing(128, 0, 0)  # a queue alone
MIXINGS = (
    Mixing(128, 32, 16),  # the recipe's own: it stays where others are not better
    Mixing(32, 32, 16),
    Mixing(512, 32, 16),
    Mixing(128, 32, 0),
    Mixing(128, 0, 16),
    Mixing(128, 256, 64),
    NONE,
)


def places(
    sources: Sequence[str], temperatures: Sequence[float], batch: int, *, ends: bool = False
) -> tuple[Place, ...]:
    """The grid: three numbers of each source, of which the batch's most is about the middle one of what is stored.

    Args:
        sources: of `SOURCES`.
        temperatures: above 0.
        batch: images of a step.
        ends: the fewest and the most alone.
    """
    found: list[Place] = []
    for source in sources:
        if source in ("batch", "debiased"):
            numbers = [2 * (batch // parts) - 2 for parts in _OF_BATCH]
        else:
            numbers = [round(batch * times) for times in _STORED]
        if ends:
            numbers = [numbers[0], numbers[-1]]
        found += [Place(source, number, temperature) for number in numbers for temperature in temperatures]
    return tuple(found)


def grid(plan: Planned, every: Sequence[Place], seeds: Sequence[int]) -> tuple[Cell, ...]:
    """The runs, seed by seed.

    All have the head and the optimizer of `simclr`. A source that sees one view of an image has twice the passes.

    Args:
        plan: data and sizes.
        every: the places.
        seeds: of the runs.
    """
    return tuple(_cell(plan, place, seed) for seed in seeds for place in every)


def _cell(plan: Planned, place: Place, seed: int) -> Cell:
    dials: dict[str, float] = {"temperature": place.temperature}
    more: dict[str, str] = {}
    recipe, views = "simclr", 2
    if place.source in ("batch", "debiased"):
        images = place.number // 2 + 1
        if images < plan.batch:
            more["negatives"] = f"counterpoint.negatives:InParts({images})"
        if place.source == "debiased":
            chance = round(1 / len(plan.dataset.classes), 4)
            more["objective"] = f"counterpoint.objectives:Debiased({place.temperature:g}, {chance})"
    elif place.source == "bank":
        recipe, views = "instdisc", 1
        width = encoders.lookup(plan.encoder).width
        more["heads.projector"] = f"counterpoint.heads:MLPHead(({width},), 128, batch_norm=False)"
        more["negatives.negatives"] = str(place.number)
    else:
        recipe = "moco" if place.source == "queue" else "mochi"
        dials["queue"] = place.number
    cell = trained_as(
        recipe,
        plan.source,
        plan.encoder,
        batch=plan.batch,
        epochs=epochs_of(views, plan.epochs),
        seed=seed,
        place=place.axes,
        dials=dials,
        precision=plan.precision,
    )
    return replace(cell, settings={**cell.settings, **more})


def mixing_cells(plan: Planned, name: str, mixings: Sequence[Mixing], seeds: Sequence[int]) -> tuple[Cell, ...]:
    """MoCHi with each of some mixings, on data of which a part was held out; a queue of eight batches.

    Args:
        plan: data and sizes.
        name: of the data, in the cells' places.
        mixings: to try.
        seeds: of the runs.
    """
    return tuple(
        trained_as(
            "mochi",
            plan.source,
            plan.encoder,
            batch=plan.batch,
            epochs=epochs_of(2, plan.epochs),
            seed=seed,
            place={"part": MIXING, "data": name, "mixing": mixing.name},
            dials={
                "queue": 8 * plan.batch,
                "hardest": mixing.hardest,
                "mixed": mixing.keys,
                "with_query": mixing.query,
            },
            precision=plan.precision,
        )
        for seed in seeds
        for mixing in mixings
    )
