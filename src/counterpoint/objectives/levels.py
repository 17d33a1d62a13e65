r"""The joint contrast of inner products, with a relation that can be summed: half the work, and no block is read.

With scores s_ij = c <q_i, k_j>, targets w_ij, W_i = sum_j w_ij, and b = c / temperature, the loss of an anchor falls
in two:

    L_i = level_i - b <q_i, sum_j w_ij k_j> / W_i,        level_i = log sum_j exp(b <q_i, k_j>)

The second needs no matrix: `Summed` relations answer the sum in linear time. The first is summed tile by tile, with
e_ij = exp(b <q_i, k_j>), 0 where j takes no part; for g_i upstream and a_i = g_i exp(-level_i) its derivatives are

    dq_i = b sum_j a_i e_ij k_j,        dk_j = b sum_i a_i e_ij q_i

Where rows are compared with themselves, e is symmetric: a tile above the diagonal stands for its mirror image too, and

    dq_i = b sum_j (a_i + a_j) e_ij q_j

which takes two of four products. Where the candidates get no gradient (a queue), sum_j e_ij k_j is gathered beside the
level, and two of three products are left. A logit that is bounded (of cosines: by 1 / temperature) and small enough for
its exponential to be a plain number needs no maximum; else a running one is subtracted.

Both parts are as large as a logit, so that in float32 a loss is right to about 1e-7 of the largest logit, absolutely: a
loss that has all but vanished (1e-5 at temperature 0.01) keeps few digits. Float64 rows keep theirs.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, cast

import torch
from torch import Tensor

from counterpoint.first_order import first_order
from counterpoint.objectives._prepared import FLOOR, Group, Sums, cut, full_precision
from counterpoint.relations import Pairs, Summed
from counterpoint.sphere import factor

# Powers of two: the exponential that is quick. Sums of 2^26 candidates, and their inverses, are float32 numbers up to:
_LARGEST = 64.0
# Scores that the forward pass may keep for the backward pass: 16 MiB of float32, whatever the batch.
_KEPT = 1 << 22
# Sides of a tile: small ones leave more out below the diagonal, large ones cost fewer calls.
_TILE_CPU, _TILE_CPU_MIRRORED = 1024, 512
_TILE_CUDA = 4096


def levelled(
    prepared: Sequence[Tensor], groups: list[Group], temperature: float, tile: int | None
) -> tuple[Tensor, Tensor] | None:
    """L_i, 0 where an anchor has no positive, and the sum of its targets; None where `tiles` has to do it."""
    plans: list[_Plan | None] = []
    for group in groups:
        query, rows = prepared[group.query], prepared[group.rows]
        plan = None if rows.ndim == 3 else _Plan.of(query, rows, group, temperature, tile)
        if plan is None and rows.ndim == 2:
            return None
        plans.append(plan)
    found: list[tuple[Tensor, Tensor, Tensor]] = []
    for group, plan in zip(groups, plans, strict=True):
        query, rows = prepared[group.query], prepared[group.rows]
        found.append(_private(query, rows, group, temperature) if plan is None else _shared(query, rows, plan))
    levels, agreements, masses = zip(*found, strict=True)
    level = levels[0] if len(levels) == 1 else torch.stack(levels).logsumexp(0)
    mass = torch.stack(masses).sum(0)
    agreement = torch.stack(agreements).sum(0) / torch.where(mass > 0, mass, 1.0)
    return torch.where(mass > 0, level - agreement, 0.0), mass


def _private(query: Tensor, rows: Tensor, group: Group, temperature: float) -> tuple[Tensor, Tensor, Tensor]:
    """Level, agreement and mass of candidates of one's own: their scores are fewer than their coordinates."""
    score = group.columns.score.tile(query, rows)
    block = group.columns.relation.block(slice(0, score.shape[0]), slice(0, score.shape[1]))
    out = block.log_prior == -torch.inf
    logit = (score / temperature + block.log_prior.to(score.dtype).masked_fill(out, 0.0)).masked_fill(out, FLOOR)
    target = block.target.masked_fill(out, 0.0).to(score.dtype)
    return logit.logsumexp(1).clamp_min(FLOOR), (target * logit).sum(1), target.sum(1)


def _shared(query: Tensor, rows: Tensor, plan: "_Plan") -> tuple[Tensor, Tensor, Tensor]:
    """Level, agreement and mass of candidates that all anchors share."""
    total, mass = plan.relation.attracted(rows, len(query), plan.excluded)
    agreement = torch.linalg.vecdot(query, total) * plan.scale
    level = cast(Tensor, _Level.apply(plan, query, None if plan.mirrored else rows))
    return level, agreement, mass


@dataclass(frozen=True, eq=False)
class _Plan:
    """What forward and backward do alike.

    Args:
        scale: of an inner product, to make a logit.
        bounded: no logit is so large or so small that its exponential, or a sum of them, is not a plain number.
        mirrored: the anchors are the candidates, and only they themselves may be excluded; tiles below the diagonal
            are left out.
        outside: for each block of rows, the pairs that take no part.
    """

    relation: Summed
    excluded: Pairs
    anchors: int
    candidates: int
    scale: float
    bounded: bool
    mirrored: bool
    tile: int
    outside: list[tuple[Tensor, Tensor, int, int]]

    @classmethod
    def of(cls, query: Tensor, rows: Tensor, group: Group, temperature: float, tile: int | None) -> "_Plan | None":
        """None where the score is another, or the relation can't be summed."""
        relation, scale = group.columns.relation, factor(group.columns.score)
        if scale is None or not isinstance(relation, Summed):
            return None
        excluded = relation.excluded(len(query), len(rows))
        if excluded is None:
            return None
        scale = scale / temperature
        mirrored = query is rows and torch.equal(*excluded)
        size = tile or (_TILE_CUDA if query.is_cuda else _TILE_CPU_MIRRORED if mirrored else _TILE_CPU)
        longest = _longest(query) ** 2 if query is rows else _longest(query) * _longest(rows)
        bounded = abs(scale) * longest / math.log(2) <= _LARGEST
        outside = _by_block(excluded, len(query), size)
        return cls(relation, excluded, len(query), len(rows), scale, bounded, mirrored, size, outside)

    def tiles(self) -> Iterator[tuple[slice, slice]]:
        """Rows and columns."""
        for rows in cut(self.anchors, self.tile):
            for columns in cut(self.candidates, self.tile):
                if not self.mirrored or columns.start >= rows.start:
                    yield rows, columns

    def twofold(self, rows: slice, columns: slice) -> bool:
        """Whether a tile stands for its mirror image as well."""
        return self.mirrored and columns.start > rows.start

    def formed(self, query: Tensor, keys: Tensor, rows: slice, columns: slice) -> Tensor:
        """A fresh tile: e_ij where bounded, else logits in powers of two; 0 or -inf where a candidate takes no part."""
        scale = self.scale / math.log(2)
        logit = torch.addmm(query.new_zeros(()), query[rows], keys[columns].mT, beta=0, alpha=scale)
        row, column, first, last = self.outside[rows.start // self.tile]
        if first < columns.stop and last >= columns.start:
            here = (column >= columns.start) & (column < columns.stop)
            logit[row[here], column[here] - columns.start] = -torch.inf
        return logit.exp2_() if self.bounded else logit


def _longest(rows: Tensor) -> float:
    return float(torch.linalg.vector_norm(rows.detach(), dim=1).max()) if len(rows) else 0.0


def _by_block(excluded: Pairs, anchors: int, tile: int) -> list[tuple[Tensor, Tensor, int, int]]:
    """Row within the block and column of each pair, and the span of the columns."""
    row, column = excluded
    starts = torch.arange(0, anchors + tile, tile, device=row.device)
    ends = torch.searchsorted(row, starts).tolist()
    found: list[tuple[Tensor, Tensor, int, int]] = []
    for i, (low, high) in enumerate(pairwise(ends)):
        its = column[low:high]
        first, last = (int(its.min()), int(its.max())) if len(its) else (0, -1)
        found.append((row[low:high] - i * tile, its, first, last))
    return found


class _Level(torch.autograd.Function):
    """level_i for each anchor; without keys the anchors are their own candidates."""

    @staticmethod
    def forward(ctx: Any, plan: _Plan, query: Tensor, keys: Tensor | None) -> Tensor:
        rows_of = query if keys is None else keys
        sums = Sums.none(query.new_zeros(len(query)), 0.0 if plan.bounded else FLOOR)
        kept: list[Tensor] = []
        need_query, need_keys = cast(tuple[bool, bool], ctx.needs_input_grad[1:])
        ahead = plan.bounded and keys is not None and need_query and not need_keys
        pulled = torch.zeros_like(query) if ahead else None
        room = _KEPT if (need_query or need_keys) and not ahead else 0
        with full_precision(query):
            for rows, columns in plan.tiles():
                formed = plan.formed(query, rows_of, rows, columns)
                keep = formed.numel() <= room
                room = room - formed.numel() if keep else 0
                if keep:
                    kept.append(formed)
                if plan.bounded:
                    sums.total[rows] += formed.sum(1)
                    if pulled is not None:
                        pulled[rows].addmm_(formed, rows_of[columns])
                    if plan.twofold(rows, columns):
                        sums.total[columns] += formed.sum(0)
                else:
                    sums.at(rows).add(formed)
                    if plan.twofold(rows, columns):
                        sums.at(columns).add(formed.mT)
        level = sums.level()
        ctx.plan, ctx.kept = plan, kept
        ctx.save_for_backward(query, keys, level, pulled)
        return level * math.log(2)

    @staticmethod
    @first_order
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, upstream: Tensor
    ) -> tuple[None, Tensor | None, Tensor | None]:
        plan = cast(_Plan, ctx.plan)
        query, keys, level, pulled = cast(tuple[Tensor, Tensor | None, Tensor, Tensor | None], ctx.saved_tensors)
        # An anchor without candidates has no level, and e is 0 wherever it stands.
        weight = upstream * (-level).clamp_max(_LARGEST).exp2()
        if pulled is not None:
            return None, pulled * (plan.scale * weight)[:, None], None
        need_query, need_keys = cast(tuple[bool, bool], ctx.needs_input_grad[1:])
        d_query = torch.zeros_like(query) if need_query else None
        d_keys = torch.zeros_like(keys) if keys is not None and need_keys else None
        rows_of = query if keys is None else keys
        kept = iter(cast(list[Tensor], ctx.kept))
        with full_precision(query):
            for rows, columns in plan.tiles():
                formed = next(kept, None)
                formed = plan.formed(query, rows_of, rows, columns) if formed is None else formed
                slope = _slope(plan, formed, level, upstream, weight, rows, columns)
                if d_query is not None:
                    d_query[rows].addmm_(slope, rows_of[columns], alpha=plan.scale)
                    if plan.twofold(rows, columns):
                        d_query[columns].addmm_(slope.mT, query[rows], alpha=plan.scale)
                if d_keys is not None:
                    d_keys[columns].addmm_(slope.mT, query[rows], alpha=plan.scale)
        return None, d_query, d_keys


def _slope(
    plan: _Plan, formed: Tensor, level: Tensor, upstream: Tensor, weight: Tensor, rows: slice, columns: slice
) -> Tensor:
    """a_i e_ij, or (a_i + a_j) e_ij where rows are compared with themselves; what was formed stays."""
    if plan.bounded:
        pull = weight[rows, None]
        return formed * (pull + weight[columns] if plan.mirrored else pull)
    slope = (formed - level[rows, None]).exp2_().mul_(upstream[rows, None])
    if plan.mirrored:
        slope += (formed - level[columns]).exp2_().mul_(upstream[columns])
    return slope
