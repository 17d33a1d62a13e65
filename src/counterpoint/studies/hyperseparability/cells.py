"""The paper's two nets, and the smaller runs of the choice of transformation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from counterpoint.studies.conjecture import NETS, grid_cells
from counterpoint.studies.hyperseparability.evaluators import EVERY, METHODS, OPEN
from counterpoint.studies.study import Cell, Scale
from counterpoint.types import Source

__all__ = ["CHANGES", "CHOSEN", "Change", "batch_of", "epochs_of", "open_cells", "paper_cells", "transformation_cells"]

ADAM = "counterpoint.optim:Adam(lr=0.001)"
GRID_EPOCHS = {"full": 30, "small": 5, "smoke": 2}
CHOSEN = "as chosen"


@dataclass(frozen=True)
class Change:
    """One choice that the paper leaves open, made otherwise.

    Args:
        name: in the cells' places and on the page.
        settings: fields of the recipe, by path.
        field: sigma and alpha of the distortion, in pixels of a 28 x 28 image; None: as they are.
        methods: nets that are trained so.
    """

    name: str
    settings: Mapping[str, str]
    field: tuple[float, float] | None = None
    methods: tuple[str, ...] = METHODS

    def on(self, size: int) -> dict[str, str]:
        """The settings for images of so many pixels a side, where a distortion keeps its share of it."""
        if self.field is None:
            return dict(self.settings)
        ratio = size / 28
        sigma, alpha = self.field[0] * ratio, self.field[1] * ratio**2
        paths = {"sigma": str(sigma), "alpha": str(alpha)}
        fields = {f"views.policies.{view}.ops.2.{name}": value for view in (0, 1) for name, value in paths.items()}
        return {**self.settings, **fields}


CHANGES = (
    Change(CHOSEN, {}, methods=METHODS[1:]),  # the contrastive one is the grid's elastic
    Change("tanh in place of ReLU", {"encoder.activation": "tanh"}),
    Change("the nets' rate 0.0003", {"optim.lr": "0.0003"}),
    Change("the nets' rate 0.003", {"optim.lr": "0.003"}),
    Change("milder: alpha 17", {}, (4, 17), METHODS[:1]),
    Change("stronger: alpha 51", {}, (4, 51), METHODS[:1]),
    Change("smoother, as strong: sigma 8, alpha 68", {}, (8, 68), METHODS[:1]),
)
"""A displacement grows with alpha and shrinks with sigma, so that strength and smoothness are changed one at a time."""


def epochs_of(scale: Scale, classes: int) -> tuple[int, int]:
    """Of the contrastive and of the supervised net; the paper trains the first longer where classes are many."""
    return {"full": (200 if classes <= EVERY else 300, 50), "small": (20, 10), "smoke": (3, 3)}[scale]


def batch_of(scale: Scale) -> int:
    """Images of a batch; the paper's 1,000 but at smoke scale."""
    return 100 if scale == "smoke" else 1000


def paper_cells(source: Source, classes: int, *, scale: Scale, seeds: Sequence[int]) -> tuple[Cell, ...]:
    """A contrastive and a supervised net for each seed.

    784-400-400 with ReLU; the last layer, 400-100 or 400 to the classes, stands in the projector or in the centres.

    Source: Nissani; Adam's rate of 0.001, ReLU, sigma 4 and alpha 34 of the distortion are our choice.

    Args:
        source: of the images, with labels.
        classes: of the source.
        scale: epochs, and the size of a batch at smoke scale.
        seeds: of the runs; both nets of one seed together.
    """
    contrastive, supervised = epochs_of(scale, classes)
    batch = batch_of(scale)
    return tuple(
        cell
        for seed in seeds
        for cell in (
            Cell(
                place={"part": NETS, "method": "contrastive"},
                recipe="simclr",
                source=source,
                encoder="mlp",
                seed=seed,
                dials={
                    "temperature": 1.0,
                    "width": 100,
                    "policy": "elastic",
                    "batch_size": batch,
                    "epochs": contrastive,
                },
                settings={"heads.projector": "counterpoint.heads:MLPHead((), 100)", "optim": ADAM},
            ),
            Cell(
                place={"part": NETS, "method": "supervised"},
                recipe="supervised",
                source=source,
                encoder="mlp",
                seed=seed,
                dials={"policy": "elastic", "batch_size": batch, "epochs": supervised},
                settings={"optim": ADAM},
            ),
        )
    )


def transformation_cells(source: Source, *, scale: Scale, seed: int) -> tuple[Cell, ...]:
    """The contrastive net under each transformation and each pair, and on tinted images; one seed, fewer epochs.

    Args:
        source: of the images.
        scale: epochs, and the size of a batch at smoke scale.
        seed: of the runs.
    """
    return grid_cells(source, seeds=(seed,), epochs=GRID_EPOCHS[scale], batch_size=batch_of(scale))


def open_cells(source: Source, size: int, classes: int, *, scale: Scale, seed: int) -> tuple[Cell, ...]:
    """Both nets with one choice made otherwise, for as many epochs as the runs under other transformations.

    Args:
        source: of the images, with labels.
        size: of an image, pixels a side.
        classes: of the source.
        scale: epochs, and the size of a batch at smoke scale.
        seed: of the runs.
    """
    own = {cell.place["method"]: cell for cell in paper_cells(source, classes, scale=scale, seeds=(seed,))}
    return tuple(
        replace(
            own[method],
            place={"part": OPEN, "change": change.name, "method": method},
            dials={**own[method].dials, "epochs": GRID_EPOCHS[scale]},
            settings={**own[method].settings, **change.on(size)},
        )
        for change in CHANGES
        for method in change.methods
    )
