"""What a run says of itself before it trains: data, encoder, batch, chunks."""

import torch

from counterpoint import encoders
from counterpoint.engine import Machine, check_chunks, normalises_over_rows
from counterpoint.model import Model
from counterpoint.recipe import Recipe
from counterpoint.types import Dataset, Facts, Split

__all__ = ["described", "in_chunks", "seen"]


def _alone(learned: Split, dataset: Dataset) -> str:
    """A line about classes that have one image to learn from, where there are any."""
    if learned.labels is None:
        return ""
    counts = torch.bincount(learned.labels.clamp_min(-1) + 1, minlength=len(dataset.classes) + 1)[1:]
    single = [dataset.classes[int(i)] for i in torch.nonzero(counts == 1)[:, 0]]
    if not single:
        return ""
    named = ", ".join(single[:5]) + (", …" if len(single) > 5 else "")
    return f"  note     one image only to learn {named} from: no other of its class can attract it\n"


def seen(recipe: Recipe, facts: Facts) -> int:
    """How many negatives each anchor sees, at most."""
    count = recipe.negatives.seen(recipe.batch_size, len(recipe.views))
    return facts.images - 1 if count is None else count


def _negatives(recipe: Recipe, facts: Facts) -> str:
    count = seen(recipe, facts)
    if not count:
        return "no negatives from the batch"
    return f"{count:,} {'negative' if count == 1 else 'negatives'} for each anchor"


def described(recipe: Recipe, dataset: Dataset, model: Model, learned: Split, machine: Machine) -> str:
    """The first lines of a run."""
    weights = sum(p.numel() for p in model.towers.get_submodule("encoder").parameters())
    labels = f"{len(dataset.classes)} classes" if dataset.classes else "no labels"
    ranks = f" on {machine.comm.world} ranks" if machine.comm.world > 1 else ""
    files = len(dataset.skipped)
    skipped = f", {files} {'file' if files == 1 else 'files'} skipped" if files else ""
    alone = _alone(learned, dataset)
    side = f"{model.facts.channels} x {model.facts.size} x {model.facts.size}"
    encoder = encoders.bare(recipe.encoder)
    return (
        f"  data     {len(learned):,} images to learn from, {len(dataset.test):,} to test on, "
        f"{side}, {labels}{skipped}\n"
        f"{alone}"
        f"  encoder  {type(encoder).__name__}, {weights:,} weights, width {encoder.width}\n"
        f"  batch    {recipe.batch_size} images x {len(recipe.views)} views{ranks}: {_negatives(recipe, model.facts)}"
    )


def in_chunks(recipe: Recipe, model: Model, machine: Machine, most: int) -> str:
    """What changes, and what does not, where a batch is encoded in chunks.

    Raises:
        RecipeError: a chunk of no image, or keys that a chunk would not shuffle over the batch.
    """
    share = recipe.batch_size // machine.comm.world
    if most >= share:
        return f"  chunks   one: the {share} images of a batch are no more than the {most} that were allowed"
    check_chunks(recipe, model, most)
    told = f"  chunks   {-(-share // most)} of at most {most} images, with the loss and the gradient of all {share}"
    norms = normalises_over_rows(model)
    if not norms:
        return told
    layers = "1 BatchNorm layer takes its" if norms == 1 else f"{norms} BatchNorm layers take their"
    return (
        f"{told}\n  note     {layers} mean and deviation from a chunk, not from the batch: the loss differs by that, "
        "and running statistics move once a chunk"
    )
