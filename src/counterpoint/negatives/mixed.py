"""A queue, and mixtures of its hardest keys."""

from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from counterpoint.errors import RecipeError
from counterpoint.negatives.queue import Queue
from counterpoint.random import Stream
from counterpoint.relations import Unrelated
from counterpoint.sphere import unit
from counterpoint.types import Columns, Context, Encoded, Facts, Match, Pairing, Score, State

__all__ = ["Mixed", "between", "hardest"]

# Scores of a block: 16 MiB of float32.
_CELLS = 1 << 22


@dataclass(frozen=True)
class Mixed:
    """The matches of a queue, each with more negatives: mixtures of a query's hardest keys, with another or with it.

    With the `hardest` keys n of a query q, unit rows all, a query has `keys` columns unit(a n_i + (1 - a) n_j), a in
    [0, 1), and `query` columns unit(b q + (1 - b) n_j), b in [0, 0.5): i, j, a and b are drawn evenly, anew for each.
    They are private to their query and have no gradient, neither to a key nor to the query in them.

    Source: Kalantidis et al. 2020, arXiv:2010.01028, equations 3 and 4 (MoCHi (N, s, s')).

    Args:
        queue: who is mixed.
        hardest: N, keys of the highest score, at most the queue's size.
        keys: s, mixtures of two keys; 0: none.
        query: s', mixtures of a key and the query; 0: none. With 0 of both this is the queue.
        start: epoch at which mixing begins, may be fractional: a young network's hardest keys say little.
    """

    queue: Queue = field(default_factory=Queue)
    hardest: int = 128
    keys: int = 32
    query: int = 16
    start: float = 0.0

    def __post_init__(self) -> None:
        if min(self.keys, self.query) < 0:
            raise RecipeError(f"Mixed(keys={self.keys}, query={self.query}): give 0 or more of each")
        if self.hardest < 1:
            raise RecipeError(f"Mixed(hardest={self.hardest}): give at least 1")

    def build(self, facts: Facts) -> State | None:
        """The queue's."""
        if self.hardest > self.queue.size:
            raise RecipeError(
                f"Mixed(hardest={self.hardest}) of a queue of {self.queue.size}: give at most as many as the queue "
                "holds"
            )
        return self.queue.build(facts)

    def match(
        self, online: Encoded, keys: Encoded, pairing: Pairing, score: Score, state: State | None, context: Context
    ) -> list[Match]:
        """The queue's matches; from `start` on with a further group of columns."""
        matches = self.queue.match(online, keys, pairing, score, state, context)
        if context.clock.epoch < self.start or not self.keys + self.query:
            return matches
        stream = context.streams.at("negatives", context.clock.step)
        return [self._more(match, stream) for match in matches]

    @torch.no_grad()
    def _more(self, match: Match, stream: Stream) -> Match:
        queue = match.columns[-1]
        query, rows = unit(match.query), unit(queue.rows)
        near = hardest(query, rows, self.hardest)
        made: list[Tensor] = []
        if self.keys:
            one, other = (rows[self._drawn(near, self.keys, stream)] for _ in range(2))
            made.append(between(one, other, stream.uniform(len(query), self.keys)))
        if self.query:
            other = rows[self._drawn(near, self.query, stream)]
            share = stream.uniform(len(query), self.query, high=0.5)
            made.append(between(query[:, None].expand_as(other), other, share))
        columns = Columns(torch.cat(made, 1), Unrelated(query.device), queue.score)
        return replace(match, columns=(*match.columns, columns))

    def _drawn(self, near: Int64[Tensor, "anchor near"], count: int, stream: Stream) -> Int64[Tensor, "anchor count"]:
        return near.gather(1, stream.integers(0, near.shape[1], len(near), count))

    def seen(self, global_batch: int, views: int) -> int:
        """The queue and the mixtures."""
        return self.queue.size + self.keys + self.query


def hardest(
    query: Float[Tensor, "anchor dim"], rows: Float[Tensor, "candidate dim"], count: int
) -> Int64[Tensor, "anchor count"]:
    """For each query the rows of the highest inner products, in their own order.

    Example:
        >>> hardest(torch.eye(2), torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]]), 2)
        tensor([[0, 2],
                [1, 2]])
    """
    size = max(1, _CELLS // max(1, len(rows)))
    return torch.cat([_highest(part @ rows.mT, count) for part in query.split(size)])


def _highest(scores: Tensor, count: int) -> Tensor:
    if scores.is_cuda:
        found = scores.topk(count, sorted=False).indices
    else:
        # On a CPU topk takes as long as a sort, and this a fifth of it.
        found = torch.from_numpy(np.argpartition(scores.numpy(), -count, axis=1)[:, -count:])
    # In an order that does not hang on the last digit of a score.
    return found.sort(1).values


def between(
    one: Float[Tensor, "*row dim"], other: Float[Tensor, "*row dim"], share: Float[Tensor, "*row"]
) -> Float[Tensor, "*row dim"]:
    """unit(share * one + (1 - share) * other), for each row.

    Example:
        >>> between(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]]), torch.tensor([0.5]))
        tensor([[0.7071, 0.7071]])
    """
    return unit(torch.lerp(other, one, share.to(other.dtype)[..., None]))
