"""One step, on one screen: draw, encode, compare."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from counterpoint.model import Model
from counterpoint.random import forked
from counterpoint.recipe import Recipe
from counterpoint.types import Batch, Context, Divided, Encoded, Loss, Match, Rows, Target
from counterpoint.views import as_float

__all__ = ["Compared", "asked", "compare"]


@dataclass(frozen=True, eq=False)
class Compared:
    """What a step made of a batch.

    Args:
        loss: of this rank.
        online, keys: the encoded anchors, and what they were compared with.
        matches: the comparisons.
    """

    loss: Loss
    online: Encoded
    keys: Encoded
    matches: list[Match]


def asked(target: Target, views: Sequence[Tensor], rows: Rows) -> tuple[Sequence[Tensor], Rows]:
    """The views that the network encodes, and who their rows are: all, unless the target shares them out."""
    queries = target.queries if isinstance(target, Divided) else None
    return (views, rows) if queries is None else (views[:queries], rows.where(rows.view < queries))


def compare(recipe: Recipe, model: Model, batch: Batch, context: Context) -> Compared:
    """A rank's loss of a batch, with all that it came from.

    The networks run as autocast says; from their rows on all is in full precision.

    Args:
        recipe: with every schedule resolved at this step.
        model: in training mode.
        batch: this rank's share of the global batch.
        context: its draws are a function of the seed and the step.
    """
    clock, streams, comm = context.clock, context.streams, context.comm
    views = [as_float(view) for view in batch.views] or recipe.views(batch.images, streams.at("views", clock.step))
    rows = recipe.pairing.draw(Rows.of(batch, len(views)), streams.at("pairing", clock.step))
    with forked(streams.number("layers", clock.step, comm.rank), batch.images.device):
        online = model(*asked(recipe.target, views, rows)).full()
        keys = recipe.target.keys(model, model.target, views, online, context).full()
    with torch.autocast(batch.images.device.type, enabled=False):
        matches = recipe.negatives.match(online, keys, recipe.pairing, recipe.score, model.negatives, context)
        return Compared(recipe.objective(matches), online, keys, matches)
