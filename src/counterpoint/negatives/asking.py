"""All other rows of the global batch, with a question about the nearest."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Int64
from torch import Tensor

from counterpoint.types import Columns, Context, Encoded, Facts, Match, Pairing, Rows, Score, State

__all__ = ["Asking"]

# Images whose scores with all others are held at once.
_AT_ONCE = 1024


@dataclass(frozen=True)
class Asking:
    """As `InBatch`, but whom an image is asked about is chosen, not drawn: the other image that scores highest.

    An image's nearest is of its kind far more often than one drawn at random, so that the same number of questions
    makes more edges; where it is not, it is the negative that most needs to be known as one. Which images ask is the
    pairing's to draw (`pairing.Asked`); the comparison is of first views, without gradient.

    Source: our reading of the active form of Cabannes et al. 2023 (PAL), arXiv:2303.15256, who leave the choice open.
    """

    def build(self, facts: Facts) -> State | None:
        """It owns nothing."""
        return None

    def match(
        self, online: Encoded, keys: Encoded, pairing: Pairing, score: Score, state: State | None, context: Context
    ) -> list[Match]:
        """One match."""
        candidates, them = context.comm.gather(keys.z), context.comm.gather_rows(keys.rows)
        first = them.view == 0
        nearest = self._nearest(online, candidates.detach()[first], them.where(first), score)
        us = _asked(online.rows, nearest)
        them = context.comm.gather_rows(_asked(keys.rows, nearest))
        return [Match(online.query, (Columns(candidates, pairing.relation(us, them), score),))]

    @torch.no_grad()
    def _nearest(self, online: Encoded, rows: Tensor, them: Rows, score: Score) -> Int64[Tensor, " image"]:
        """For each image of this rank the position in the global batch of the other that scores highest."""
        mine = online.rows.view == 0
        sample = online.rows.sample[mine]
        anchors, others = score.prepare(online.query[mine].detach()), score.prepare(rows)
        found: list[Tensor] = []
        for start in range(0, len(anchors), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            table = score.tile(anchors[part], others)
            found.append(table.masked_fill(sample[part, None] == them.sample, -torch.inf).argmax(1))
        return them.position[torch.cat(found)]

    def seen(self, global_batch: int, views: int) -> int:
        """All views of all other images."""
        return (global_batch - 1) * views


def _asked(rows: Rows, nearest: Int64[Tensor, " image"]) -> Rows:
    """With the nearest in place of whoever was drawn; rows are view-major."""
    if rows.partner is None:
        return rows
    partner = torch.where(rows.partner >= 0, nearest.repeat(len(rows) // len(nearest)), -1)
    return replace(rows, partner=partner)
