"""The cells of the conjecture: one net for each policy, all trained alike, and what is asked of them."""

from collections.abc import Sequence

from counterpoint.studies.conjecture.readability import PART, Invariance, Readability
from counterpoint.studies.study import Cell, Evaluator
from counterpoint.studies.tinted import Tinted
from counterpoint.types import Source

__all__ = ["PART", "POLICIES", "TINTED", "attribute_evaluators", "grid_cells"]

POLICIES = (
    *("elastic", "rotate", "resize", "translate"),
    *("elastic+rotate", "elastic+resize", "elastic+translate", "rotate+resize", "rotate+translate", "resize+translate"),
)
TINTED = ("elastic", "elastic-colour")


def grid_cells(
    source: Source,
    *,
    seeds: Sequence[int] = (0,),
    policies: Sequence[str] = POLICIES,
    tinted: Sequence[str] = TINTED,
    epochs: int = 30,
    batch_size: int = 1000,
    width: int = 100,
) -> tuple[Cell, ...]:
    """The paper's contrastive net under each policy, and under two more on the tinted images; all trained alike.

    Args:
        source: of grey glyphs.
        seeds: of the runs; all policies of one seed come first.
        policies: of the grey images.
        tinted: policies of the tinted images.
        epochs: passes; fewer than the paper's 200, since there are many cells.
        batch_size: images.
        width: of the projection.
    """
    grid = [("grey", source, name) for name in policies] + [("tinted", Tinted(source), name) for name in tinted]
    return tuple(
        Cell(
            place={"part": PART, "images": images, "policy": policy},
            recipe="simclr",
            source=data,
            encoder="mlp",
            seed=seed,
            dials={
                "temperature": 1.0,
                "width": width,
                "policy": policy,
                "batch_size": batch_size,
                "epochs": epochs,
            },
            settings={
                "heads.projector": f"counterpoint.heads:MLPHead((), {width})",
                "optim": "counterpoint.optim:Adam(lr=0.001)",
            },
        )
        for seed in seeds
        for images, data, policy in grid
    )


def attribute_evaluators(
    *, views: int = 4, images: int = 2000, train: int = 10_000, test: int = 5_000
) -> tuple[Evaluator, ...]:
    """Invariance and readability of every attribute, for the cells of the grid and the paper's two nets.

    Args:
        views: of each image, whose agreement is the invariance.
        images: that are seen so.
        train: images that readability is fitted on.
        test: images that it is scored on.
    """
    return Invariance(views=views, images=images), Readability(train=train, test=test)
