"""A batch whose activations do not fit: encoded in chunks, compared once as a whole, encoded again with its gradient.

1. Every chunk is encoded without keeping activations; its h, z and p are put together to those of the whole batch.
2. The whole batch is compared; the backward pass of the loss ends at h, z and p.
3. Every chunk is encoded again, with the same views and the same dropout, and takes its rows of that gradient on.

The sum over chunks is the whole batch's gradient, to rounding. A layer whose output for one image depends on the
others, BatchNorm above all, sees a chunk in place of the batch: there the loss itself differs.

Source: Gao et al. 2021, arXiv:2101.06983 (GradCache), section 3. Nothing is saved for the replay: views and dropout are
functions of seed, step and chunk.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from counterpoint.engine.machine import Numerics
from counterpoint.engine.step import Compared, asked
from counterpoint.errors import RecipeError
from counterpoint.model import Model
from counterpoint.random import forked
from counterpoint.recipe import Recipe
from counterpoint.types import Batch, Context, Encoded, Rows, Shuffling
from counterpoint.views import as_float
from counterpoint.views.op import rows as part

__all__ = ["check_chunks", "chunked", "chunks", "normalises_over_rows"]


def normalises_over_rows(model: nn.Module) -> int:
    """How many layers of a model are BatchNorm: their outputs for an image depend on the others of its chunk."""
    kind = nn.modules.batchnorm._BatchNorm  # pyright: ignore[reportPrivateUsage]
    return sum(isinstance(module, kind) for module in model.modules())


def check_chunks(recipe: Recipe, model: nn.Module, most: int) -> None:
    """Before training: whether a batch may be encoded so many images at a time.

    Raises:
        RecipeError: a chunk of no image, or keys that a chunk would not shuffle over the batch.
    """
    if most < 1:
        raise RecipeError(f"micro_batch is {most}, but a chunk holds at least 1 image")
    target = recipe.target
    if isinstance(target, Shuffling) and target.shuffle and normalises_over_rows(model):
        raise RecipeError(
            f"{recipe.name} encodes its keys in a random order of the whole batch, so that BatchNorm tells no query "
            f"which key is its own, and chunks of {most} images would undo that; leave --micro-batch out, or do "
            "without the shuffling (moco and mochi: --split 1)"
        )


def chunks(images: int, most: int) -> list[slice]:
    """The fewest runs of at most so many images, their sizes alike to one.

    Example:
        >>> chunks(10, 4)
        [slice(0, 3, None), slice(3, 6, None), slice(6, 10, None)]
    """
    count = max(1, -(-images // most))
    return [slice(a, b) for a, b in pairwise(images * i // count for i in range(count + 1))]


def chunked(
    recipe: Recipe, model: Model, batch: Batch, context: Context, numerics: Numerics, most: int
) -> tuple[Compared, Tensor]:
    """`compare` and the backward pass of its loss: this rank's gradients are in the parameters.

    Args:
        recipe: with every schedule resolved at this step.
        model: in training mode.
        batch: this rank's share of the global batch.
        context: its draws are a function of the seed and the step.
        numerics: precision of the passes.
        most: images that are encoded at a time.

    Returns:
        What was compared, out of the graph, and the loss as it is weighted among ranks.
    """
    device = batch.images.device
    encode = _Encode.of(recipe, model, batch, context)
    spans = chunks(len(batch.images), most)
    ours, theirs = _buffers(model.towers, model.predictor), _buffers(model.target)
    with numerics.autocast(device):
        first = [encode.without_graph(number, span) for number, span in enumerate(spans)]
    online = _leaf(_joined([chunk.online for chunk in first]))
    keys = online if first[0].own else _joined([chunk.keys for chunk in first])
    learned = any(chunk.learned for chunk in first)
    if learned:
        keys = _leaf(keys)
    # Running statistics are moved by the second pass of a chunk, where there is one.
    _put_back(ours + theirs if learned else ours)
    sides = [chunk.online.rows for chunk in first], [chunk.keys.rows for chunk in first]
    places = [_places(rows).split([len(r) for r in rows]) for rows in sides]
    del first
    matches = recipe.negatives.match(online, keys, recipe.pairing, recipe.score, model.negatives, context)
    loss = recipe.objective(matches)
    weighted = context.comm.weight(loss)
    weighted.backward()
    for number, span in enumerate(spans):
        with numerics.autocast(device):
            again, key = encode.with_graph(number, span, learned)
        pairs = [(again, online, places[0][number])]
        if key is not None:
            pairs.append((key, keys, places[1][number]))
        ends = [
            (mine, whole.grad[place])
            for chunk, joined, place in pairs
            for mine, whole in zip(_tensors(chunk), _tensors(joined), strict=True)
            if whole.grad is not None and mine.requires_grad
        ]
        torch.autograd.backward([mine for mine, _ in ends], [gradient for _, gradient in ends])
    return Compared(loss, online.detached(), keys.detached(), matches), weighted.detach()


@dataclass(frozen=True, eq=False)
class _First:
    """What a chunk was encoded to, out of the graph.

    Args:
        online, keys: its rows.
        own: the keys are the anchors themselves.
        learned: the keys have a gradient of their own, so that they are encoded again too.
    """

    online: Encoded
    keys: Encoded
    own: bool
    learned: bool


@dataclass(frozen=True, eq=False)
class _Encode:
    """The forward pass of a chunk: the same views and the same dropout whenever it is asked for."""

    recipe: Recipe
    model: Model
    batch: Batch
    context: Context
    rows: Rows
    drawn: Any

    @classmethod
    def of(cls, recipe: Recipe, model: Model, batch: Batch, context: Context) -> "_Encode":
        step, streams = context.clock.step, context.streams
        count = len(batch.views) or len(recipe.views)
        rows = recipe.pairing.draw(Rows.of(batch, count), streams.at("pairing", step))
        drawn = None if batch.views else recipe.views.draw(batch.images, streams.at("views", step))
        return cls(recipe, model, batch, context, rows, drawn)

    def _chunk(self, span: slice) -> tuple[list[Tensor], Rows]:
        images = len(self.batch.images)
        if self.batch.views:
            views = [as_float(view[span]) for view in self.batch.views]
        else:
            views = self.recipe.views.apply(self.batch.images[span], part(self.drawn, span))
        mine = torch.cat([torch.arange(images)[span] + view * images for view in range(len(views))])
        return views, self.rows.where(mine.to(self.batch.images.device))

    def _seed(self, number: int) -> int:
        return self.context.streams.number("layers", self.context.clock.step, self.context.comm.rank, number)

    def without_graph(self, number: int, span: slice) -> _First:
        """Anchors and keys of a chunk."""
        views, rows = self._chunk(span)
        with forked(self._seed(number), self.batch.images.device):
            with torch.no_grad():
                online = self.model(*asked(self.recipe.target, views, rows)).full()
            # With gradient from here on, so that a target whose keys have one shows it.
            online = _leaf(online)
            keys = self.recipe.target.keys(self.model, self.model.target, views, online, self.context).full()
        own = keys is online
        learned = not own and any(t.requires_grad for t in _tensors(keys))
        return _First(online.detached(), keys.detached(), own, learned)

    def with_graph(self, number: int, span: slice, keys: bool) -> tuple[Encoded, Encoded | None]:
        """The same with activations kept; keys only where they are asked for."""
        views, rows = self._chunk(span)
        with forked(self._seed(number), self.batch.images.device):
            online = self.model(*asked(self.recipe.target, views, rows)).full()
            if not keys:
                return online, None
            return online, self.recipe.target.keys(self.model, self.model.target, views, online, self.context).full()


def _tensors(encoded: Encoded) -> list[Tensor]:
    return [t for t in (encoded.h, encoded.z, encoded.p) if t is not None]


def _leaf(encoded: Encoded) -> Encoded:
    flat = encoded.detached()
    for tensor in _tensors(flat):
        tensor.requires_grad_()
    return flat


def _places(chunks: Sequence[Rows]) -> Tensor:
    """Where the rows of the chunks, one chunk after the other, stand in the whole batch: view-major."""
    view, position = torch.cat([c.view for c in chunks]), torch.cat([c.position for c in chunks])
    order = torch.argsort(view * (int(position.max()) + 1) + position, stable=True)
    return torch.empty_like(order).scatter_(0, order, torch.arange(len(order), device=order.device))


def _joined(chunks: Sequence[Encoded]) -> Encoded:
    """The rows of all chunks as those of one batch, out of the graph."""
    order = torch.argsort(_places([chunk.rows for chunk in chunks]))

    def whole(parts: Sequence[Tensor]) -> Tensor:
        return torch.cat([t.detach() for t in parts])[order]

    predictions = [chunk.p for chunk in chunks if chunk.p is not None]
    everyone = [chunk.rows for chunk in chunks]
    partners = [rows.partner for rows in everyone if rows.partner is not None]
    hidden = [rows.hidden for rows in everyone if rows.hidden is not None]
    rows = Rows(
        whole([rows.sample for rows in everyone]),
        whole([rows.position for rows in everyone]),
        whole([rows.view for rows in everyone]),
        whole([rows.label for rows in everyone]),
        whole(partners) if partners else None,
        whole(hidden) if hidden else None,
    )
    return Encoded(
        whole([chunk.h for chunk in chunks]),
        whole([chunk.z for chunk in chunks]),
        rows,
        whole(predictions) if predictions else None,
    )


def _buffers(*modules: nn.Module | None) -> list[tuple[Tensor, Tensor]]:
    """Each buffer with a copy of its value."""
    return [(buffer, buffer.clone()) for module in modules if module is not None for buffer in module.buffers()]


@torch.no_grad()
def _put_back(buffers: Sequence[tuple[Tensor, Tensor]]) -> None:
    for buffer, value in buffers:
        buffer.copy_(value)
