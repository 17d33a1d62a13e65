"""A queue of keys of earlier steps."""

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from counterpoint.errors import RecipeError
from counterpoint.relations import Related, Unrelated
from counterpoint.types import Columns, Context, Encoded, Facts, Match, Pairing, Score, State

__all__ = ["Queue"]


class _Queue(State):
    rows: Tensor
    head: Tensor

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        self.register_buffer("rows", nn.functional.normalize(torch.randn(size, width), dim=1))
        self.register_buffer("head", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def after_step(self, model: nn.Module, context: Context, online: Encoded, keys: Encoded) -> None:
        new = context.comm.gather(keys.z[keys.rows.view == 1]).to(self.rows.dtype)[-len(self.rows) :]
        at = (self.head + torch.arange(len(new), device=new.device)) % len(self.rows)
        self.rows[at] = new
        self.head.copy_((self.head + len(new)) % len(self.rows))


@dataclass(frozen=True)
class Queue:
    """The first view of an image queries; its second view, encoded by the target, is the positive; a queue repels.

    The queue is the same on every rank and takes the step's keys, of all ranks, after the step: before, a key would be
    its own negative.

    Source: He et al. 2020, equation 1 and algorithm 1 (MoCo).

    Args:
        size: keys kept.
    """

    size: int = 4096

    def build(self, facts: Facts) -> State | None:
        """Random unit rows of the projection's width."""
        if self.size < 1:
            raise RecipeError(f"the queue's size is {self.size}, expected at least 1")
        return _Queue(self.size, facts.projection)

    def match(
        self, online: Encoded, keys: Encoded, pairing: Pairing, score: Score, state: State | None, context: Context
    ) -> list[Match]:
        """One match with two groups: the own key, private to its anchor, and the queue."""
        query, positive = online.query[online.rows.view == 0], keys.z[keys.rows.view == 1]
        # A clone, because the queue moves before the graph is used.
        queue = cast(_Queue, state).rows.clone()
        own = Columns(positive.detach()[:, None], Related(query.device), score)
        return [Match(query, (own, Columns(queue, Unrelated(query.device), score)))]

    def seen(self, global_batch: int, views: int) -> int:
        """The queue."""
        return self.size
