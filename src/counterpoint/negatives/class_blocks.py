"""Pairs that are drawn from classes, as the theory of contrastive learning draws them."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from counterpoint.errors import RecipeError
from counterpoint.random import Stream
from counterpoint.relations import Related, Unrelated
from counterpoint.types import Columns, Context, Encoded, Facts, Match, Pairing, Rows, Score, State

__all__ = ["ClassBlocks"]


@dataclass(frozen=True)
class ClassBlocks:
    """Images of the anchor's class attract it, images of classes that are drawn as the anchor's was repel it.

    Candidates are means of blocks, each of one class: the first is of the anchor's, without the anchor. The class of
    each negative is that of any other image of the global batch, so that some are of the anchor's own (a collision);
    in a batch of n it is drawn as often as among all images, but for one part in n. Blocks of a class hold different
    images as long as it has enough in the batch, then some again. All is drawn anew at each step.

    First views are compared, others take no part, nor do images of unknown class. An image without another of its class
    in the batch is no anchor. The pairing is asked for nothing but whether it needs labels.

    With `Dot` scores, `Contrast(1, times_temperature=1 / ln 2)` is the logistic loss of this theory, and
    `Triplet(1, mining="hard")` its hinge: log2(1 + sum_i exp(-v_i)) and max(0, 1 + max_i -v_i) of the margins v_i by
    which the positive's score exceeds the i-th negative's.

    Source: Arora et al. 2019, sections 2 and 6.2 (blocks).

    Args:
        count: negatives of each anchor, >= 1.
        block: images of each mean, >= 1.

    See also: `evaluation.class_tuples`, which draws the same of features that are there.
    """

    count: int = 1
    block: int = 1

    def __post_init__(self) -> None:
        if self.count < 1 or self.block < 1:
            raise RecipeError(
                f"ClassBlocks(count={self.count}, block={self.block}): give at least 1 negative, and 1 image of each"
            )

    def build(self, facts: Facts) -> State | None:
        """It owns nothing."""
        if not facts.classes:
            raise RecipeError(
                f"pairs of one class need labels, but source {facts.source!r} has none; give --labels FILE.csv"
            )
        return None

    def match(
        self, online: Encoded, keys: Encoded, pairing: Pairing, score: Score, state: State | None, context: Context
    ) -> list[Match]:
        """One match, its candidates private to each anchor."""
        ours, theirs = online.rows.view == 0, keys.rows.view == 0
        candidates = context.comm.gather(keys.z[theirs])
        them = context.comm.gather_rows(keys.rows.where(theirs))
        some, drawn = self._draw(online.rows.where(ours), them, context.streams.at("negatives", context.clock.step))
        query = online.query[ours]
        rows: Float[Tensor, "anchor who dim"] = candidates[drawn].mean(2)
        near = Columns(rows[:, :1], Related(query.device), score)
        far = Columns(rows[:, 1:], Unrelated(query.device), score)
        return [Match(query[some], (near, far), left_out=int((~some).sum()))]

    def _draw(
        self, anchors: Rows, candidates: Rows, stream: Stream
    ) -> tuple[Bool[Tensor, " row"], Int64[Tensor, "anchor who block"]]:
        """Which rows are anchors, and the columns of their candidates' blocks.

        The images of a class are put in a random circle: an anchor's blocks follow it there, one after another.
        """
        device = candidates.label.device
        order = stream.permutation(len(candidates)).to(device)
        order = order[candidates.label[order] >= 0]
        order = order[candidates.label[order].argsort(stable=True)]
        count = len(order)
        _, cls, size = candidates.label[order].unique_consecutive(return_inverse=True, return_counts=True)
        start = size.cumsum(0) - size
        last = int(torch.cat((candidates.position, anchors.position)).max()) if len(candidates) else 0
        place = torch.full((last + 1,), -1, device=device)
        place[candidates.position[order]] = torch.arange(count, device=device)

        at = place[anchors.position]
        turn = stream.uniform(len(at), self.count).to(device)
        some = (at >= 0) & ((size[cls[at.clamp_min(0)]] > 1) if count else False)
        at, turn = at[some][:, None], turn[some]
        head = (turn * (count - 1)).long().clamp_max(max(0, count - 2))
        head += head >= at
        own, other = cls[at], cls[head]
        step = torch.arange(self.block, device=device)
        # Where the class of a negative is the anchor's, its block comes behind those before it, the anchor passed over.
        turns = self.block * torch.arange(1 + self.count, device=device)[:, None] + step
        beside = (
            start[own][:, :, None]
            + ((at - start[own])[:, :, None] + 1 + turns % (size[own] - 1)[:, :, None]) % size[own][:, :, None]
        )
        apart = start[other][:, :, None] + ((head - start[other])[:, :, None] + step) % size[other][:, :, None]
        far = torch.where((own == other)[:, :, None], beside[:, 1:], apart)
        return some, order[torch.cat((beside[:, :1], far), 1)]

    def seen(self, global_batch: int, views: int) -> int:
        """As many as are drawn."""
        return self.count
