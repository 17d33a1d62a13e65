r"""The contrast of any relation and any score, tile by tile, in memory linear in the rows.

The equations of `contrast`, with a running log-sum-exp. The backward pass computes the scores again: with
l_ij = s_ij / temperature + p_ij, W_i = sum_j w_ij, level_i = logsumexp_j l_ij and g_i upstream,

    Joint   dL/ds_ij = g_i / temperature (exp(l_ij - level_i) - w_ij / W_i)

and for Each, where level_i is over the candidates with w_ij = 0 and m_ij = sigmoid(level_i - l_ij),

    Each    dL/ds_ij = g_i / temperature (exp(l_ij - level_i) sum_k w_ik m_ik - w_ij m_ij) / W_i
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from counterpoint.objectives._prepared import FLOOR, Group, cut, full_precision
from counterpoint.types import Block


def tiled(
    prepared: Sequence[Tensor], groups: list[Group], temperature: float, *, joint: bool, tile: int | None
) -> tuple[Tensor, Tensor]:
    """L_i, 0 where an anchor has no positive, and the sum of its targets."""
    query = prepared[groups[0].query]
    size = tile or (_TILE_CUDA if query.is_cuda else _TILE_CPU)
    plan = _Plan(groups, len(query), temperature, joint, size)
    return cast(tuple[Tensor, Tensor], _Tiled.apply(plan, *prepared))


_TILE_CPU = 512
_TILE_CUDA = 4096


@dataclass(frozen=True, eq=False)
class _Plan:
    groups: list[Group]
    anchors: int
    temperature: float
    joint: bool
    tile: int

    def rows(self) -> Iterator[slice]:
        return iter(cut(self.anchors, self.tile) or [slice(0, 0)])

    def columns(self, tensors: Sequence[Tensor]) -> Iterator[tuple[Group, slice]]:
        for group in self.groups:
            for columns in cut(tensors[group.rows].shape[-2], self.tile):
                yield group, columns

    def logits(self, score: Tensor, group: Group, rows: slice, columns: slice) -> tuple[Tensor, Tensor | None]:
        """A fresh tile of logits, -inf where a candidate takes no part; targets, or None where nothing attracts."""
        block: Block = group.columns.relation.block(rows, columns)
        logit = torch.add(block.log_prior.to(score.dtype), score, alpha=1 / self.temperature)
        one_number = all(step == 0 for step in block.target.stride())
        if not (block.target[:1, :1] if one_number else block.target).any():
            return logit, None
        return logit, torch.where(block.log_prior == -torch.inf, 0.0, block.target).to(logit.dtype)


def _part(tensor: Tensor, rows: slice, columns: slice) -> Tensor:
    return tensor[columns] if tensor.ndim == 2 else tensor[rows, columns]


class _Tiled(torch.autograd.Function):
    """L_i and sum_j w_ij for each anchor."""

    @staticmethod
    def forward(ctx: Any, plan: _Plan, *tensors: Tensor) -> tuple[Tensor, Tensor]:
        walk = _joint if plan.joint else _each
        with full_precision(tensors[0]):
            # level: the log-sum-exp that is subtracted; pull: the derivative of the cost by it.
            parts = [walk(plan, rows, tensors) for rows in plan.rows()]
        cost, mass, level, pull = (torch.cat(part) for part in zip(*parts, strict=True))
        safe = torch.where(mass > 0, mass, 1.0)
        ctx.plan = plan
        ctx.save_for_backward(mass, level, pull / safe, *tensors)
        ctx.mark_non_differentiable(mass)
        return torch.where(mass > 0, cost / safe, 0.0), mass

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *upstream: Tensor
    ) -> tuple[Tensor | None, ...]:
        plan = cast(_Plan, ctx.plan)
        mass, level, pull, *tensors = cast(tuple[Tensor, ...], ctx.saved_tensors)
        needed = cast(tuple[bool, ...], ctx.needs_input_grad)[1:]
        gradients = [torch.zeros_like(t) if need else None for t, need in zip(tensors, needed, strict=True)]
        scale = torch.where(mass > 0, upstream[0], 0.0) / plan.temperature
        repel = (scale * pull)[:, None]
        attract = (scale / torch.where(mass > 0, mass, 1.0))[:, None]
        level = level[:, None]
        with full_precision(tensors[0]):
            for rows in plan.rows():
                for group, columns in plan.columns(tensors):
                    if not (needed[group.query] or needed[group.rows]):
                        continue
                    with torch.enable_grad():
                        query = tensors[group.query][rows].detach().requires_grad_(needed[group.query])
                        keys = _part(tensors[group.rows], rows, columns).detach().requires_grad_(needed[group.rows])
                        score = group.columns.score.tile(query, keys)
                    logit, target = plan.logits(score.detach(), group, rows, columns)
                    slope = _slope(plan, logit, target, level[rows], repel[rows], attract[rows])
                    leaves = [leaf for leaf in (query, keys) if leaf.requires_grad]
                    found = iter(torch.autograd.grad(score, leaves, slope))
                    if needed[group.query]:
                        cast(Tensor, gradients[group.query])[rows] += next(found)
                    if needed[group.rows]:
                        _part(cast(Tensor, gradients[group.rows]), rows, columns).add_(next(found))
        return None, *gradients


def _slope(plan: _Plan, logit: Tensor, target: Tensor | None, level: Tensor, repel: Tensor, attract: Tensor) -> Tensor:
    """The derivative of the loss by the score; `logit` is used up."""
    if target is None:
        return _exp_(logit.sub_(level)).mul_(repel)
    if plan.joint:
        return _exp_(logit.sub_(level)).mul_(repel).addcmul_(target, attract, value=-1)
    towards = target * torch.sigmoid(level - logit.clamp_min(FLOOR)) * attract
    away = _exp_(logit.masked_fill_(target > 0, -torch.inf).sub_(level)).mul_(repel)
    return away.sub_(towards)


def _exp_(tensor: Tensor) -> Tensor:
    # In place; powers of two are several times quicker than powers of e.
    return tensor.mul_(math.log2(math.e)).exp2_()


@dataclass(eq=False)
class _LogSumExp:
    """A running log-sum-exp of each row."""

    peak: Tensor
    total: Tensor

    @classmethod
    def empty(cls, rows: int, like: Tensor) -> "_LogSumExp":
        return cls(like.new_full((rows,), FLOOR), like.new_zeros(rows))

    def add(self, logit: Tensor) -> None:
        """Take in a tile, which is used up."""
        if not logit.shape[1]:
            return
        peak = torch.maximum(self.peak, logit.amax(1))
        self.total = self.total * (self.peak - peak).exp_() + _exp_(logit.sub_(peak[:, None])).sum(1)
        self.peak = peak

    def value(self) -> Tensor:
        return (self.peak + self.total.log()).clamp_min_(FLOOR)


def _joint(plan: _Plan, rows: slice, tensors: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    running = _LogSumExp.empty(rows.stop - rows.start, tensors[0])
    mass = torch.zeros_like(running.peak)
    agreement = torch.zeros_like(mass)
    for group, columns in plan.columns(tensors):
        score = group.columns.score.tile(tensors[group.query][rows], _part(tensors[group.rows], rows, columns))
        logit, target = plan.logits(score, group, rows, columns)
        if target is not None:
            mass += target.sum(1)
            agreement += (target * logit.clamp_min(FLOOR)).sum(1)
        running.add(logit)
    level = running.value()
    return mass * level - agreement, mass, level, mass


def _each(plan: _Plan, rows: slice, tensors: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    running = _LogSumExp.empty(rows.stop - rows.start, tensors[0])
    mass = torch.zeros_like(running.peak)
    cost, pull = torch.zeros_like(mass), torch.zeros_like(mass)
    related: list[tuple[Group, slice]] = []

    def tile(group: Group, columns: slice) -> tuple[Tensor, Tensor | None]:
        score = group.columns.score.tile(tensors[group.query][rows], _part(tensors[group.rows], rows, columns))
        return plan.logits(score, group, rows, columns)

    for group, columns in plan.columns(tensors):
        logit, target = tile(group, columns)
        if target is not None:
            mass += target.sum(1)
            related.append((group, columns))
            logit.masked_fill_(target > 0, -torch.inf)
        running.add(logit)
    level = running.value()
    for group, columns in related:
        logit, target = tile(group, columns)
        margin = level[:, None] - logit.clamp_min_(FLOOR)
        target = cast(Tensor, target)
        cost += (target * torch.logaddexp(margin, torch.zeros_like(margin))).sum(1)
        pull += (target * torch.sigmoid(margin)).sum(1)
    return cost, mass, level, pull
