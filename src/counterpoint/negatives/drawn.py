"""A few negatives of each anchor, drawn from the batch."""

from dataclasses import dataclass

import torch
from jaxtyping import Int64
from torch import Tensor

from counterpoint.errors import RecipeError
from counterpoint.random import Stream
from counterpoint.relations import Related, Unrelated
from counterpoint.types import Columns, Context, Encoded, Facts, Match, Pairing, Rows, Score, State

__all__ = ["Drawn"]


@dataclass(frozen=True)
class Drawn:
    """The first view of an image is the anchor, its second view the positive; a few other images are its negatives.

    Negatives are first views of the global batch, drawn anew at each step, evenly and with repetition. The pairing is
    asked for nothing but whether it needs labels.

    Args:
        count: negatives of each anchor, >= 1.
        other_class: only images of another class, an unknown class being another; else any other image, of which some
            are of the anchor's own class (sample bias).

    See also: `InBatch`, where all other rows are negatives; `ByView`, where they were fixed before training.
    """

    count: int = 1
    other_class: bool = True

    def __post_init__(self) -> None:
        if self.count < 1:
            raise RecipeError(f"Drawn(count={self.count}): give at least 1 negative for each anchor")

    def build(self, facts: Facts) -> State | None:
        """It owns nothing."""
        if self.other_class and not facts.classes:
            raise RecipeError(
                f"negatives of another class need labels, but source {facts.source!r} has none; draw them from any "
                "other image with other_class=false, or give --labels FILE.csv"
            )
        return None

    def match(
        self, online: Encoded, keys: Encoded, pairing: Pairing, score: Score, state: State | None, context: Context
    ) -> list[Match]:
        """One match: one positive and `count` negatives, private to each anchor."""
        first, second = keys.rows.view == 0, keys.rows.view == 1
        query, positive = online.query[online.rows.view == 0], keys.z[second]
        if len(positive) != len(query):
            raise RecipeError(
                "the positive is an image's second view, but there is one view only; take a policy of two views, "
                "for example pami-fer"
            )
        candidates = context.comm.gather(keys.z[first])
        them = context.comm.gather_rows(keys.rows.where(first))
        us = online.rows.where(online.rows.view == 0)
        drawn = self._draw(us, them, context.streams.at("negatives", context.clock.step))
        near = Columns(positive[:, None], Related(query.device), score)
        return [Match(query, (near, Columns(candidates[drawn], Unrelated(query.device), score)))]

    def _draw(self, anchors: Rows, candidates: Rows, stream: Stream) -> Int64[Tensor, "anchor count"]:
        """Columns of the candidates: those of another key, in the order of their keys, are one run around the own."""
        ordered, order = self._keys(candidates).sort()
        own = self._keys(anchors)
        start = torch.searchsorted(ordered, own)
        inside = torch.searchsorted(ordered, own, right=True) - start
        others = len(ordered) - inside
        if not bool((others > 0).all()):
            what = "of another class" if self.other_class else "besides its own"
            raise RecipeError(
                f"an anchor finds no image {what} among the {len(ordered)} of the batch to be its negative; use a "
                "larger batch" + (", or other_class=false" if self.other_class else "")
            )
        turn = (stream.uniform(len(own), self.count) * others[:, None]).long()
        turn = torch.minimum(turn, others[:, None] - 1)
        return order[turn + inside[:, None] * (turn >= start[:, None])]

    def _keys(self, rows: Rows) -> Int64[Tensor, " row"]:
        """Equal for two rows that must not be compared; an image without a class has a key of its own."""
        own = -1 - rows.sample
        return torch.where(rows.label < 0, own, rows.label) if self.other_class else own

    def seen(self, global_batch: int, views: int) -> int:
        """As many as are drawn."""
        return self.count
