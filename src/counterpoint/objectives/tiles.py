r"""The contrast of any relation and any score, by blocks of anchors, in memory linear in the rows.

The equations of `contrast`. Since the loss is a sum over anchors, its gradient is known up to one factor once the
levels of a block of anchors are: it is made in the forward pass, block by block. With l_ij = s_ij / temperature + p_ij,
W_i = sum_j w_ij and level_i = logsumexp_j l_ij,

    Joint   dL/ds_ij = (exp(l_ij - level_i) - w_ij / W_i) / temperature

and for Each, where level_i is over the candidates with w_ij = 0 and m_ij = sigmoid(level_i - l_ij),

    Each    dL/ds_ij = (exp(l_ij - level_i) sum_k w_ik m_ik - w_ij m_ij) / (W_i temperature)

A block takes two passes over its tiles, for the levels and for the slopes; Each one more in between, over those with a
positive. Where a block's scores are few they are kept from pass to pass, else a tile is formed again in each.

Logits are kept in powers of two: the exponential that is quick.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor

from counterpoint.first_order import first_order
from counterpoint.objectives._prepared import FLOOR, Group, Sums, cut, full_precision
from counterpoint.relations import Listed, Pairs
from counterpoint.sphere import GatedCosine, GatedScores, bounded
from counterpoint.types import Block

# Most scores of a block that are kept; most and fewest anchors of such a block; side of another tile, where square.
_CPU = 1 << 20, 1024, 64, 512
_CUDA = 1 << 24, 4096, 256, 4096
_LN2 = math.log(2)
_SAFE = 60.0  # a logit, of which 2^60 * 2^60 anchors can be added up in float32


def tiled(
    prepared: Sequence[Tensor], groups: list[Group], temperature: float, *, joint: bool, tile: int | None
) -> tuple[Tensor, Tensor]:
    """The sum of L_i over the anchors that have a positive, and how many they are."""
    query = prepared[groups[0].query]
    candidates = max(1, sum(prepared[group.rows].shape[-2] for group in groups))
    cells, most, fewest, size = _CUDA if query.is_cuda else _CPU
    block = min(most, cells // candidates)
    # Of thin blocks products are slow, and gradients of all candidates would be added up for each.
    if tile is None and block >= min(fewest, len(query)):
        kept, block, size = True, max(1, block), candidates
    else:
        block = tile or size
        size = tile or size * size // max(1, min(size, len(query)))
        kept = candidates <= size
    # Asked here, as inside a Function gradients are always off.
    learned = tuple(torch.is_grad_enabled() and tensor.requires_grad for tensor in prepared)
    places = [(group, columns) for group in groups for columns in cut(prepared[group.rows].shape[-2], size)]
    small = temperature * _LN2 * _SAFE > 1
    quick = kept and small and all(bounded(g.columns.score) and isinstance(g.columns.relation, Listed) for g in groups)
    plan = _Plan(places, len(query), temperature, joint, block, kept, quick and not joint, learned)
    return cast(tuple[Tensor, Tensor], _Tiled.apply(plan, *prepared))


@dataclass(frozen=True, eq=False)
class _Plan:
    """What is compared, and how.

    Args:
        places: the columns of each tile.
        block: anchors at a time.
        kept: whether all tiles of a block are held until its gradient is made.
        quick: whether, besides, no logit can be too large to be raised to a power at once.
        learned: for each tensor, whether a gradient is wanted.
    """

    places: list[tuple[Group, slice]]
    anchors: int
    temperature: float
    joint: bool
    block: int
    kept: bool
    quick: bool
    learned: tuple[bool, ...]


@dataclass(frozen=True, eq=False)
class _Tile:
    """Some anchors and some columns of a group.

    Args:
        query, keys: leaves that the scores are differentiated by, where they are learned.
        score: with its graph, or with what its gradient is made of.
        logit: fresh; -inf where a candidate takes no part, and for Each where it attracts.
        target: for Joint; None where nothing attracts.
        positives: for Each; None where nothing attracts.
    """

    group: Group
    columns: slice
    query: Tensor
    keys: Tensor
    score: Tensor | GatedScores
    logit: Tensor
    target: Tensor | None
    positives: "_Positives | None"


@dataclass(frozen=True, eq=False)
class _Block:
    """A block of anchors, and those of its tiles that are kept."""

    plan: _Plan
    tensors: Sequence[Tensor]
    rows: slice
    known: dict[int, _Tile] = field(default_factory=dict[int, _Tile])

    def zeros(self) -> Tensor:
        """A number for each anchor."""
        return self.tensors[0].new_zeros(self.rows.stop - self.rows.start)

    def tile(self, place: int, *, last: bool = False) -> _Tile:
        """As it was kept, or formed now; with a graph where its gradient is to come."""
        if place in self.known:
            return self.known.pop(place) if last else self.known[place]
        found = self._formed(*self.plan.places[place], graph=last or self.plan.kept)
        if self.plan.kept:
            self.known[place] = found
        return found

    def _formed(self, group: Group, columns: slice, *, graph: bool) -> _Tile:
        rows, relation = self.rows, group.columns.relation
        learned = [graph and self.plan.learned[side] for side in (group.query, group.rows)]
        with torch.set_grad_enabled(any(learned)):
            query = self.tensors[group.query][rows].detach().requires_grad_(learned[0])
            keys = _part(self.tensors[group.rows], rows, columns).detach().requires_grad_(learned[1])
            if type(group.columns.score) is GatedCosine and keys.ndim == 2:
                score = GatedScores.of(query, keys)
                plain = score.score
            else:
                score = group.columns.score.tile(query, keys)
                plain = score.detach()
        logit = (plain * (1 / (self.plan.temperature * _LN2))).contiguous()
        if isinstance(relation, Listed) and not self.plan.joint:
            attracted, out = relation.listed(rows, columns)
            logit.view(-1).index_fill_(0, _places(out, logit), -torch.inf)
            target, positives = None, _Positives.listed(attracted, logit)
        else:
            block = relation.block(rows, columns)
            prior = block.log_prior.to(logit.dtype)
            if not _constant(prior) or bool((prior[:1, :1] != 0).any()):
                logit.add_(prior, alpha=1 / _LN2)
            target = _targets(block)
            target = None if target is None else target.to(logit.dtype)
            positives = None if target is None or self.plan.joint else _Positives.of(target, logit)
        if positives is not None:
            logit.view(-1).index_fill_(0, positives.place, -torch.inf)
        return _Tile(group, columns, query, keys, score, logit, target, positives)

    def learned(self) -> list[int]:
        """The tiles that a gradient flows into."""
        wanted = self.plan.learned
        return [i for i, (group, _) in enumerate(self.plan.places) if wanted[group.query] or wanted[group.rows]]

    def descend(self, tile: _Tile, slope: Tensor, gradients: Sequence[Tensor | None]) -> None:
        """Add the gradient that this slope of a tile's scores makes; it is used up."""
        leaves = [leaf for leaf in (tile.query, tile.keys) if leaf.requires_grad]
        if isinstance(tile.score, GatedScores):
            slopes = zip((tile.query, tile.keys), tile.score.slopes(slope, spent=True), strict=True)
            found = iter([slope for leaf, slope in slopes if leaf.requires_grad])
        else:
            found = iter(torch.autograd.grad(tile.score, leaves, slope))
        if tile.query.requires_grad:
            cast(Tensor, gradients[tile.group.query])[self.rows] += next(found)
        if tile.keys.requires_grad:
            _part(cast(Tensor, gradients[tile.group.rows]), self.rows, tile.columns).add_(next(found))


def _part(tensor: Tensor, rows: slice, columns: slice) -> Tensor:
    return tensor[columns] if tensor.ndim == 2 else tensor[rows, columns]


def _places(pairs: Pairs, table: Tensor) -> Tensor:
    return (pairs[0] * table.shape[1]).add_(pairs[1])


def _constant(table: Tensor) -> bool:
    """Whether one number in memory stands for all."""
    return all(step == 0 for step in table.stride())


def _targets(block: Block) -> Tensor | None:
    """None where nothing attracts; who takes no part does not."""
    if not (block.target[:1, :1] if _constant(block.target) else block.target).any():
        return None
    return torch.where(block.log_prior == -torch.inf, 0.0, block.target)


class _Tiled(torch.autograd.Function):
    """The sum of the losses and the number of anchors with a positive; the gradient is made on the way."""

    @staticmethod
    def forward(ctx: Any, plan: _Plan, *tensors: Tensor) -> tuple[Tensor, Tensor]:
        gradients = [torch.zeros_like(t) if need else None for t, need in zip(tensors, plan.learned, strict=True)]
        walk = _joint if plan.joint else _each
        cost, count = tensors[0].new_zeros(()), torch.zeros((), dtype=torch.int64, device=tensors[0].device)
        with full_precision(tensors[0]):
            for rows in cut(plan.anchors, plan.block):
                found, mass = walk(_Block(plan, tensors, rows), gradients)
                cost, count = cost + found, count + (mass > 0).sum()
        ctx.save_for_backward(*gradients)
        ctx.mark_non_differentiable(count)
        return cost, count

    @staticmethod
    @first_order
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *upstream: Tensor
    ) -> tuple[Tensor | None, ...]:
        gradients = cast(tuple[Tensor | None, ...], ctx.saved_tensors)
        return None, *(None if gradient is None else gradient * upstream[0] for gradient in gradients)


def _joint(block: _Block, gradients: Sequence[Tensor | None]) -> tuple[Tensor, Tensor]:
    mass, agreement, sums = block.zeros(), block.zeros(), Sums.none(block.zeros())
    for place in range(len(block.plan.places)):
        tile = block.tile(place)
        if tile.target is not None:
            mass += tile.target.sum(1)
            agreement += (tile.target * tile.logit.clamp_min(FLOOR)).sum(1)
        sums.add(tile.logit, spent=not block.plan.kept)
    level, some = sums.level(), mass > 0
    repel = (some.to(mass.dtype) / block.plan.temperature)[:, None]
    attract = repel / torch.where(some, mass, 1.0)[:, None]
    for place in block.learned():
        tile = block.tile(place, last=True)
        slope = tile.logit.sub_(level[:, None]).exp2_().mul_(repel)
        block.descend(tile, slope if tile.target is None else slope.addcmul_(tile.target, attract, value=-1), gradients)
    return torch.where(some, level - agreement / torch.where(some, mass, 1.0), 0.0).sum() * _LN2, mass


def _each(block: _Block, gradients: Sequence[Tensor | None]) -> tuple[Tensor, Tensor]:
    plan, mass, sums = block.plan, block.zeros(), Sums.none(block.zeros(), 0.0 if block.plan.quick else FLOOR)
    attracting: list[int] = []
    for place in range(len(plan.places)):
        tile = block.tile(place)
        if plan.quick:
            sums.total += tile.logit.exp2_().sum(1)
        else:
            sums.add(tile.logit, spent=not plan.kept)
        if tile.positives is not None:
            mass += tile.positives.sums(tile.positives.weight)
            attracting.append(place)
    level, share = sums.level(), torch.where(mass > 0, 1 / mass, 0.0)
    cost, pull = block.zeros(), block.zeros()
    kept: dict[int, Tensor] = {}
    for place in attracting:
        positives = cast(_Positives, block.tile(place).positives)
        pulled = positives.pulled(level)
        cost += positives.sums(positives.weight * _log2_1p_exp2(positives.margin(level)))
        pull += positives.sums(pulled)
        if plan.kept:
            kept[place] = pulled
    share = share / plan.temperature
    repel = pull * share
    # Whoever has nothing to add up is repelled by nobody.
    repel = (torch.where(sums.total == 0, 0.0, repel / sums.total) if plan.quick else repel)[:, None]
    for place in block.learned():
        tile = block.tile(place, last=True)
        slope = tile.logit.mul_(repel) if plan.quick else tile.logit.sub_(level[:, None]).exp2_().mul_(repel)
        if (positives := tile.positives) is not None:
            pulled = kept.pop(place) if place in kept else positives.pulled(level)
            slope.view(-1).scatter_(0, positives.place, pulled.mul_(share.index_select(0, positives.anchor)).neg_())
        block.descend(tile, slope, gradients)
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

    def sums(self, values: Tensor) -> Tensor:
        """Of these numbers, one for each pair, over each anchor."""
        if not len(values):
            return values.new_zeros(len(self.count))
        return torch.segment_reduce(values, "sum", lengths=self.count)

    def margin(self, level: Tensor) -> Tensor:
        """By how much its anchor's level is above each pair's logit."""
        return level.index_select(0, self.anchor).sub_(self.logit)

    def pulled(self, level: Tensor) -> Tensor:
        """Weight times sigmoid of the margin."""
        return self.margin(level).mul_(_LN2).sigmoid_().mul_(self.weight)

    @classmethod
    def of(cls, target: Tensor, logit: Tensor) -> "_Positives":
        target = target.reshape(-1)
        place = target.nonzero()[:, 0]
        anchor, weight = place // max(1, logit.shape[1]), target.index_select(0, place)
        own = logit.view(-1).index_select(0, place)
        return cls(anchor, torch.bincount(anchor, minlength=len(logit)), place, weight, own.clamp_min_(FLOOR))

    @classmethod
    def listed(cls, pairs: Pairs, logit: Tensor) -> "_Positives":
        anchor, place = pairs[0], _places(pairs, logit)
        own = logit.view(-1).index_select(0, place)
        # Who takes no part has no weight; what is no number does take part, so that the loss is none either.
        weight = (own != -torch.inf).to(own.dtype)
        return cls(anchor, torch.bincount(anchor, minlength=len(logit)), place, weight, own.clamp_min_(FLOOR))
