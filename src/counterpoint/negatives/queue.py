"""A queue of keys of earlier steps."""

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from counterpoint.errors import RecipeError
from counterpoint.negatives._ring import taken
from counterpoint.relations import Related, Unrelated
from counterpoint.types import Columns, Context, Encoded, Facts, Match, Pairing, Score, State

__all__ = ["Queue"]


class _Queue(State):
    rows: Tensor
    head: Tensor

    def __init__(self, size: int, width: int, views: tuple[int, ...]) -> None:
        super().__init__()
        self.views = views
        self.register_buffer("rows", nn.functional.normalize(torch.randn(size, width), dim=1))
        self.register_buffer("head", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def after_step(self, model: nn.Module, context: Context, online: Encoded, keys: Encoded) -> None:
        shown = [context.comm.gather(keys.z[keys.rows.view == view]) for view in self.views]
        new = torch.cat(shown).to(self.rows.dtype)[-len(self.rows) :]
        self.rows[taken(self.head, len(new), len(self.rows))] = new


@dataclass(frozen=True)
class Queue:
    """The first view of an image queries; its second view, encoded by the target, is the positive; a queue repels.

    The queue is the same on every rank and takes the step's keys, of all ranks, after the step: before, a key would be
    its own negative.

    Source: He et al. 2020, equation 1 and algorithm 1 (MoCo); the symmetric form is that of the authors' CIFAR code.

    Args:
        size: keys kept.
        symmetric: the second view queries too, with the first view's key as its positive, and the queue takes both.
            The loss is the mean of the two; the authors' code sums them.
    """

    size: int = 4096
    symmetric: bool = False

    def __post_init__(self) -> None:
        if self.size < 1:
            raise RecipeError(f"the queue's size is {self.size}, expected at least 1")

    def build(self, facts: Facts) -> State | None:
        """Random unit rows of the projection's width."""
        return _Queue(self.size, facts.projection, (1, 0) if self.symmetric else (1,))

    def match(
        self, online: Encoded, keys: Encoded, pairing: Pairing, score: Score, state: State | None, context: Context
    ) -> list[Match]:
        """For each view that queries, a match of two groups: the own key, private to its anchor, and the queue."""
        queue = cast(_Queue, state).rows
        matches: list[Match] = []
        for view, other in ((0, 1), (1, 0)) if self.symmetric else ((0, 1),):
            query, positive = online.query[online.rows.view == view], keys.z[keys.rows.view == other]
            if not len(query) or not len(positive):
                raise RecipeError(
                    f"the queue compares view {view} of the network with view {other} of the target, and one of them "
                    "is not encoded; take a policy of two views, and for symmetric=true a target without queries"
                )
            own = Columns(positive.detach()[:, None], Related(query.device), score)
            matches.append(Match(query, (own, Columns(queue, Unrelated(query.device), score))))
        return matches

    def seen(self, global_batch: int, views: int) -> int:
        """The queue."""
        return self.size
