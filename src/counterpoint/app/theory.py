"""`evaluate --theory`: a run's views and changed images, what the theory measures on them, and their page."""

import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor

from counterpoint import embed as embedding
from counterpoint.evaluation.theory import Change, Theory, theory
from counterpoint.model import Model
from counterpoint.random import Streams
from counterpoint.recipe import Recipe
from counterpoint.report.theory import write_theory
from counterpoint.run import Run
from counterpoint.types import Dataset, Embeddings, Policy, Tempered
from counterpoint.views import Brightness, Cutout, Rotate

__all__ = ["changes", "measure_theory"]

IMAGES = 512  # that are changed
OCCLUDED = (0.25, 0.5)
TURNED = (10.0, 30.0)
LIT = (0.75, 0.5)
TEMPERATURE = 0.5  # where the objective has none


def measure_theory(
    run: Run,
    model: Model,
    recipe: Recipe,
    dataset: Dataset,
    learned: tuple[Embeddings, Embeddings],
    views: tuple[Embeddings, Embeddings] | None,
    *,
    seed: int,
    tell: Callable[[str], None],
) -> tuple[Theory, Path]:
    """Everything of `evaluation.theory` that the data allows; writes RUN/theory.html and its tables.

    Args:
        run: where the page goes.
        model: of the run.
        recipe: of the run, for its temperature.
        dataset: of the run.
        learned: embeddings of the training and of the test images.
        views: of test images, where the run has two.
        seed: of every draw.
        tell: what is being computed.
    """
    images = dataset.test.images[: min(IMAGES, len(dataset.test))]
    tell("changing images")
    changed: dict[Change, Embeddings] = {}
    for change, pixels in changes(images.to(model.normalise.mean.device), seed):
        h, z = embedding.encode(model, pixels)
        changed[change] = Embeddings(h, torch.arange(len(h)), z)
    found = theory(
        learned[1],
        train=learned[0],
        views=views,
        changed=changed,
        temperature=_temperature(recipe),
        seed=seed,
        progress=tell,
    )
    command = shlex.join(["counterpoint", "evaluate", str(run.folder), "--theory"])
    facts = {
        "data": f"{dataset.name}, {len(dataset.train):,} training and {len(dataset.test):,} test images",
        "changed": f"the first {len(images):,} test images; an occluding square has their mean grey and may "
        "lie partly outside, and a turn fills the corners with black",
        "seed": str(seed),
    }
    return found, write_theory(run.folder / "theory.html", found, name=recipe.name, command=command, facts=facts)


def _temperature(recipe: Recipe) -> float:
    """Of the objective, where it is one number in the range of the closed forms."""
    value = recipe.objective.temperature if isinstance(recipe.objective, Tempered) else None
    return float(value) if isinstance(value, int | float) and value >= 0.002 else TEMPERATURE


def changes(images: Tensor, seed: int) -> Iterator[tuple[Change, Tensor]]:
    """The images after each change, every strength of a kind in order.

    Args:
        images: uint8.
        seed: of what is drawn.
    """
    grey = float(images.float().mean() / 255)
    ops: list[tuple[Change, Policy]] = [
        *((Change("occlusion", f"a square of {s:.0%} of the side"), Cutout(length=s, value=grey)) for s in OCCLUDED),
        *((Change("rotation", f"{angle:g}°"), Rotate((angle, angle))) for angle in TURNED),
        *((Change("illumination", f"{factor:.0%} of the light"), Brightness((factor,))) for factor in LIT),
    ]
    for change, op in ops:
        yield change, op.apply(images, op.draw(images, Streams(seed, images.device).at(change.kind)))
