"""The paper's two nets, and the smaller runs of the choice of transformation."""

from collections.abc import Sequence

from counterpoint.studies.conjecture import NETS, grid_cells
from counterpoint.studies.hyperseparability.evaluators import EVERY
from counterpoint.studies.study import Cell, Scale
from counterpoint.types import Source

__all__ = ["batch_of", "epochs_of", "paper_cells", "transformation_cells"]

ADAM = "counterpoint.optim:Adam(lr=0.001)"
GRID_EPOCHS = {"full": 30, "small": 5, "smoke": 2}


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
