"""One step, on one screen: draw, encode, compare."""

from counterpoint.model import Model
from counterpoint.random import forked
from counterpoint.recipe import Recipe
from counterpoint.types import Batch, Context, Encoded, Loss, Rows

__all__ = ["compare"]


def compare(recipe: Recipe, model: Model, batch: Batch, context: Context) -> tuple[Loss, Encoded, Encoded]:
    """A rank's loss of a batch, with the encoded anchors and keys.

    Args:
        recipe: with every schedule resolved at this step.
        model: in training mode.
        batch: this rank's share of the global batch.
        context: its draws are a function of the seed and the step.
    """
    clock, streams, comm = context.clock, context.streams, context.comm
    rows = recipe.pairing.draw(Rows.of(batch, len(recipe.views)), streams.at("pairing", clock.step))
    views = recipe.views(batch.images, streams.at("views", clock.step))
    with forked(streams.number("layers", clock.step, comm.rank), batch.images.device):
        online = model(views, rows)
        keys = recipe.target.keys(model, model.target, views, online, context)
    matches = recipe.negatives.match(online, keys, recipe.pairing, recipe.score, model.negatives, context)
    return recipe.objective(matches), online, keys
