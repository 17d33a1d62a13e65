r"""The contrast of any relation and any score, by blocks of anchors, in memory linear in the rows.

The equations of `contrast`. A block's scores are formed tile by tile, compared, differentiated and thrown away: since
the loss is a sum over anchors, its gradient is known up to one factor while it is computed, and no score is computed
twice. With l_ij = s_ij / temperature + p_ij, W_i = sum_j w_ij and level_i = logsumexp_j l_ij,

    Joint   dL/ds_ij = (exp(l_ij - level_i) - w_ij / W_i) / temperature

and for Each, where level_i is over the candidates with w_ij = 0 and m_ij = sigmoid(level_i - l_ij),

    Each    dL/ds_ij = (exp(l_ij - level_i) sum_k w_ik m_ik - w_ij m_ij) / (W_i temperature)

Logits are kept in powers of two: the exponential that is quick.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from counterpoint.objectives._prepared import FLOOR, Group, cut, full_precision
from counterpoint.relations import Listed, Pairs
from counterpoint.types import Block

# Most scores of a block; few of their size are held at once.
_CELLS_CPU, _TILE_CPU = 1 << 20, 1024
_CELLS_CUDA, _TILE_CUDA = 1 << 25, 4096
_LN2 = math.log(2)


def tiled(
    prepared: Sequence[Tensor], groups: list[Group], temperature: float, *, joint: bool, tile: int | None
) -> tuple[Tensor, Tensor]:
    """The sum of L_i over the anchors that have a positive, and how many they are."""
    query = prepared[groups[0].query]
    candidates = sum(prepared[group.rows].shape[-2] for group in groups)
    cells, size = (_CELLS_CUDA, _TILE_CUDA) if query.is_cuda else (_CELLS_CPU, _TILE_CPU)
    block = tile or max(1, min(size, cells // max(1, candidates)))
    plan = _Plan(groups, len(query), temperature, joint, block, tile or cells // block)
    return cast(tuple[Tensor, Tensor], _Tiled.apply(plan, *prepared))


@dataclass(frozen=True, eq=False)
class _Plan:
    """What is compared: anchors of a block, columns of a tile, and how."""

    groups: list[Group]
    anchors: int
    temperature: float
    joint: bool
    block: int
    tile: int

    def tiles(
        self, tensors: Sequence[Tensor], needed: Sequence[bool], rows: slice
    ) -> "Iterator[tuple[_Tile, Tensor, Block | Pairs]]":
        """The tiles of a block of anchors, with logits, -inf where a candidate takes no part, and who attracts."""
        scale = 1 / (self.temperature * _LN2)
        for group in self.groups:
            for columns in cut(tensors[group.rows].shape[-2], self.tile):
                learned = needed[group.query], needed[group.rows]
                with torch.set_grad_enabled(any(learned)):
                    query = tensors[group.query][rows].detach().requires_grad_(learned[0])
                    keys = _part(tensors[group.rows], rows, columns).detach().requires_grad_(learned[1])
                    score = group.columns.score.tile(query, keys)
                logit, relation = score.detach() * scale, group.columns.relation
                tile = _Tile(group, columns, query, keys, score)
                if isinstance(relation, Listed) and not self.joint:
                    attracted, out = relation.listed(rows, columns)
                    logit.view(-1).index_fill_(0, _places(out, logit), -torch.inf)
                    yield tile, logit, attracted
                    continue
                block = relation.block(rows, columns)
                prior = block.log_prior.to(score.dtype)
                if not _constant(prior) or bool((prior[:1, :1] != 0).any()):
                    logit.add_(prior, alpha=1 / _LN2)
                yield tile, logit, block


@dataclass(frozen=True, eq=False)
class _Tile:
    """The scores of a block of anchors with some columns of a group, and the leaves that they are differentiated by."""

    group: Group
    columns: slice
    query: Tensor
    keys: Tensor
    score: Tensor

    def descend(self, slope: Tensor, rows: slice, tensors: Sequence[Tensor], gradients: list[Tensor | None]) -> None:
        """Add the gradient that this slope of the scores makes."""
        sides = (self.query, self.group.query, rows), (self.keys, self.group.rows, self.columns)
        learned = [side for side in sides if side[0].requires_grad]
        if not learned:
            return
        found = torch.autograd.grad(self.score, [leaf for leaf, _, _ in learned], slope)
        for (_, place, part), gradient in zip(learned, found, strict=True):
            whole, known = tensors[place], gradients[place]
            if known is None and gradient.shape == whole.shape:
                gradients[place] = gradient
                continue
            known = gradients[place] = torch.zeros_like(whole) if known is None else known
            (known[part] if known.ndim == 2 else known[rows, part]).add_(gradient)


def _part(tensor: Tensor, rows: slice, columns: slice) -> Tensor:
    return tensor[columns] if tensor.ndim == 2 else tensor[rows, columns]


def _places(pairs: Pairs, table: Tensor) -> Tensor:
    return (pairs[0] * table.shape[1]).add_(pairs[1])


def _constant(table: Tensor) -> bool:
    """Whether one number in memory stands for all."""
    return all(step == 0 for step in table.stride())


class _Tiled(torch.autograd.Function):
    """The sum of the losses and the number of anchors with a positive; the gradient is made on the way."""

    @staticmethod
    def forward(ctx: Any, plan: _Plan, *tensors: Tensor) -> tuple[Tensor, Tensor]:
        needed = cast(tuple[bool, ...], ctx.needs_input_grad)[1:]
        gradients: list[Tensor | None] = [None] * len(tensors)
        walk = _joint if plan.joint else _each
        cost, count = tensors[0].new_zeros(()), torch.zeros((), dtype=torch.int64, device=tensors[0].device)
        with full_precision(tensors[0]):
            for rows in cut(plan.anchors, plan.block):
                found, mass = walk(plan, rows, tensors, needed, gradients)
                cost, count = cost + found, count + (mass > 0).sum()
        made = zip(tensors, gradients, needed, strict=True)
        ctx.save_for_backward(*(torch.zeros_like(t) if g is None and need else g for t, g, need in made))
        ctx.mark_non_differentiable(count)
        return cost, count

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *upstream: Tensor
    ) -> tuple[Tensor | None, ...]:
        gradients = cast(tuple[Tensor | None, ...], ctx.saved_tensors)
        return None, *(None if gradient is None else gradient * upstream[0] for gradient in gradients)


def _exp_(logits: Sequence[Tensor], anchors: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Each tile becomes 2^(logit - peak); the sum of these over all tiles, for each anchor, and log2 of the level."""
    peak = like.new_full((anchors,), FLOOR)
    for logit in logits:
        if logit.shape[1]:
            peak = torch.maximum(peak, logit.amax(1))
    total = torch.zeros_like(peak)
    for logit in logits:
        total += logit.sub_(peak[:, None]).exp2_().sum(1)
    return total, (peak + total.log2()).clamp_min_(FLOOR)


def _joint(
    plan: _Plan, rows: slice, tensors: Sequence[Tensor], needed: Sequence[bool], gradients: list[Tensor | None]
) -> tuple[Tensor, Tensor]:
    tiles: list[tuple[_Tile, Tensor, Tensor | None]] = []
    mass = tensors[0].new_zeros(rows.stop - rows.start)
    agreement = torch.zeros_like(mass)
    for tile, logit, block in plan.tiles(tensors, needed, rows):
        target = _targets(cast(Block, block), logit)
        if target is not None:
            mass += target.sum(1)
            agreement += (target * logit.clamp_min(FLOOR)).sum(1)
        tiles.append((tile, logit, target))
    total, level = _exp_([logit for _, logit, _ in tiles], len(mass), mass)
    some = mass > 0
    cost = torch.where(some, level - agreement / torch.where(some, mass, 1.0), 0.0).sum() * _LN2
    repel = (torch.where(some & (total > 0), 1 / total, 0.0) / plan.temperature)[:, None]
    attract = (torch.where(some, 1 / mass, 0.0) / plan.temperature)[:, None]
    for tile, power, target in tiles:
        slope = power.mul_(repel)
        tile.descend(slope if target is None else slope.addcmul_(target, attract, value=-1), rows, tensors, gradients)
    return cost, mass


def _targets(block: Block, logit: Tensor) -> Tensor | None:
    """None where nothing attracts."""
    if not (block.target[:1, :1] if _constant(block.target) else block.target).any():
        return None
    return torch.where(logit == -torch.inf, 0.0, block.target).to(logit.dtype)


def _each(
    plan: _Plan, rows: slice, tensors: Sequence[Tensor], needed: Sequence[bool], gradients: list[Tensor | None]
) -> tuple[Tensor, Tensor]:
    tiles: list[tuple[_Tile, Tensor, _Positives]] = []
    mass = tensors[0].new_zeros(rows.stop - rows.start)
    for tile, logit, block in plan.tiles(tensors, needed, rows):
        positives = _Positives.of(block, logit)
        mass += positives.sums(positives.weight, mass)
        logit.view(-1).index_fill_(0, positives.place, -torch.inf)
        tiles.append((tile, logit, positives))
    total, level = _exp_([logit for _, logit, _ in tiles], len(mass), mass)
    share = torch.where(mass > 0, 1 / mass, 0.0)
    cost, pull = torch.zeros_like(share), torch.zeros_like(share)
    pulls: list[Tensor] = []
    for _, _, positives in tiles:
        margin = level.index_select(0, positives.anchor) - positives.logit
        pulls.append(positives.weight * (margin * _LN2).sigmoid_())
        pull += positives.sums(pulls[-1], mass)
        cost += positives.sums(positives.weight * _log2_1p_exp2(margin), mass)
    repel = (torch.where(total > 0, pull * share / total, 0.0) / plan.temperature)[:, None]
    share = share / plan.temperature
    for (tile, power, positives), pulled in zip(tiles, pulls, strict=True):
        slope = power.mul_(repel)
        slope.view(-1).scatter_(0, positives.place, pulled.mul_(share.index_select(0, positives.anchor)).neg_())
        tile.descend(slope, rows, tensors, gradients)
    return (cost * share).sum() * (_LN2 * plan.temperature), mass


def _log2_1p_exp2(margin: Tensor) -> Tensor:
    """log2(1 + 2^margin), to the last digits where it is small; torch's log1p takes ten times as long."""
    small = margin.abs().neg_().exp2_()
    more = small + 1
    rest = more - 1
    found = torch.where(rest > 0, more.log2() * (small / rest), small / _LN2)
    return margin.clamp_min(0).add_(found)


@dataclass(frozen=True, eq=False)
class _Positives:
    """Of a tile, in the order of its anchors: who is attracted, at which place of the table, with which weight.

    Args:
        count: of each anchor.
        logit: of each pair.
    """

    anchor: Tensor
    count: Tensor
    place: Tensor
    weight: Tensor
    logit: Tensor

    def sums(self, values: Tensor, like: Tensor) -> Tensor:
        """Of these numbers, one for each pair, over each anchor."""
        return torch.segment_reduce(values, "sum", lengths=self.count) if len(values) else torch.zeros_like(like)

    @classmethod
    def of(cls, block: Block | Pairs, logit: Tensor) -> "_Positives":
        if isinstance(block, Block):
            target = block.target.reshape(-1)
            place = target.nonzero()[:, 0]
            anchor, weight = place // max(1, logit.shape[1]), target.index_select(0, place).to(logit.dtype)
        else:
            anchor, place, weight = block[0], _places(block, logit), 1.0
        own = logit.view(-1).index_select(0, place)
        # Who takes no part has no weight.
        count = torch.bincount(anchor, minlength=len(logit))
        return cls(anchor, count, place, (own > -torch.inf).to(own.dtype).mul_(weight), own.clamp_min_(FLOOR))
