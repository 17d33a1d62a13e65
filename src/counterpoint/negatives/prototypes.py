"""Learned prototypes; the codes of one view are predicted from the others."""

from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from counterpoint.errors import RecipeError
from counterpoint.negatives._ring import taken
from counterpoint.negatives._views import by_view, swapped
from counterpoint.negatives.sinkhorn import balances, sinkhorn
from counterpoint.relations import Explicit
from counterpoint.sphere import unit
from counterpoint.types import Columns, Comm, Context, Encoded, Facts, Match, Pairing, Score, State

__all__ = ["Prototypes"]


class _Prototypes(State):
    queue: Tensor
    head: Tensor
    taken: Tensor

    def __init__(self, part: "Prototypes", width: int) -> None:
        super().__init__()
        # As a linear layer without bias is initialised; only the directions remain.
        self.rows = nn.Parameter(nn.Linear(width, part.count, bias=False).weight.detach())
        self.register_buffer("queue", torch.zeros(part.assigned, part.queue, width))
        self.register_buffer("head", torch.zeros((), dtype=torch.int64))
        self.register_buffer("taken", torch.zeros((), dtype=torch.int64))
        self.part = part

    @torch.no_grad()
    def before_forward(self, model: nn.Module, context: Context) -> None:
        self.rows.copy_(unit(self.rows))

    def after_backward(self, model: nn.Module, context: Context) -> None:
        if context.clock.epoch < self.part.frozen_epochs:
            self.rows.grad = None

    @torch.no_grad()
    def after_step(self, model: nn.Module, context: Context, online: Encoded, keys: Encoded) -> None:
        size = self.part.queue
        if not size or context.clock.epoch < self.part.queue_from:
            return
        views = tuple(by_view(keys.z, keys.rows).values())[: self.part.assigned]
        # All ranks' rows, and their views side by side, so that one place holds one image.
        new = context.comm.gather(unit(torch.stack(views, 1)).to(self.queue.dtype))[-size:]
        self.queue[:, taken(self.head, len(new), size)] = new.transpose(0, 1)
        self.taken.copy_((self.taken + len(new)).clamp_max(size))

    def share(self, view: int, comm: Comm) -> Float[Tensor, "sample width"]:
        """The part of a view's queue that this rank balances; nothing until the last place is filled."""
        size = self.part.queue if int(self.taken) == self.part.queue else 0
        return self.queue[view, size * comm.rank // comm.world : size * (comm.rank + 1) // comm.world]


@dataclass(frozen=True)
class Prototypes:
    """Every view is compared with learned prototypes; what it is to find is the code of another view of its image.

    The code of a view comes from balancing its scores over the batch (`sinkhorn`), without gradient; the first
    `assigned` views have one, and every view predicts those of the others: the mean over 2 (V - 1) pairs of views.
    Prototypes have length one: they are scaled back before each forward pass, outside the graph. A batch smaller than
    the prototypes cannot share them evenly; a queue of earlier projections, scored with the prototypes of now, helps.

    Source: Caron et al. 2020, arXiv:2006.09882, equations 1 to 6 and its released code (what is frozen, the queue).

    Args:
        count: prototypes, >= 2.
        epsilon: of the codes (see `sinkhorn`).
        iterations: of the balancing; 0 leaves it out: a code is a softmax, and all images may take one prototype.
        assigned: how many of the first views (the large crops) have codes.
        frozen_epochs: the prototypes get no gradient before.
        queue: projections of earlier steps for each assigned view, over all ranks; 0: none. Used when it is full.
        queue_from: epochs before it takes the first.
    """

    count: int = 512
    epsilon: float = 0.05
    iterations: int = 3
    assigned: int = 2
    frozen_epochs: float = 1.0
    queue: int = 0
    queue_from: float = 15.0

    def __post_init__(self) -> None:
        if self.count < 2 or self.assigned < 1 or self.queue < 0:
            raise RecipeError(f"{self} is not possible: give 2 prototypes, 1 assigned view and a queue of 0 or more")
        balances(self.epsilon, self.iterations)

    def build(self, facts: Facts) -> State | None:
        """The prototypes, of the projection's width, and an empty queue."""
        return _Prototypes(self, facts.projection)

    def match(
        self, online: Encoded, keys: Encoded, pairing: Pairing, score: Score, state: State | None, context: Context
    ) -> list[Match]:
        """One match for each view."""
        own = cast(_Prototypes, state)
        queries = by_view(unit(online.query), online.rows)
        codes = [
            self._codes(own, view, rows, context.comm)
            for view, rows in by_view(keys.z, keys.rows).items()
            if view < self.assigned
        ]
        return [
            Match(queries[view], (Columns(own.rows, Explicit(target), score),), weight)
            for view, target, weight in swapped(codes, len(queries))
        ]

    @torch.no_grad()
    def _codes(self, own: _Prototypes, view: int, rows: Tensor, comm: Comm) -> Float[Tensor, "batch prototype"]:
        directions = unit(rows)
        scores = torch.cat([own.share(view, comm).to(directions.dtype), directions]) @ unit(own.rows).mT
        return sinkhorn(scores, epsilon=self.epsilon, iterations=self.iterations, comm=comm)[-len(rows) :]

    def seen(self, global_batch: int, views: int) -> int:
        """None of the batch: a view is compared with prototypes only."""
        return 0
