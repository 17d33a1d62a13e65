r"""The softmax over a relation: NT-Xent, InfoNCE, SupCon, MoCo, X-CLR, PaCo, SwAV, DINO and more, with one equation.

For anchor i, with scores s_ij, log priors p_ij and targets w_ij >= 0, let l_ij = s_ij / temperature + p_ij. Then

    Joint   L_i = sum_j w_ij (logsumexp_k l_ik - l_ij) / sum_j w_ij
    Each    L_i = sum_j w_ij log(1 + exp(logsumexp_n l_in - l_ij)) / sum_j w_ij,    n over candidates with w_in = 0

and the loss is the mean of L_i over the anchors that have a positive. A candidate whose prior is -inf takes no part: it
neither attracts nor repels, and gets a gradient of exactly zero.

Twice: `contrast_dense` is the definition and the oracle; `contrast` computes the same tile by tile, in memory linear in
the rows. Both work in float32, whatever autocast says (in float64 if the rows are).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from counterpoint.errors import RecipeError, ShapeError
from counterpoint.types import Block, Columns, Loss, Match, Number

__all__ = ["Contrast", "Each", "Joint", "contrast", "contrast_dense"]

# Below every logit, yet a number: its exponential beside any other is exactly 0, and 0 times it is 0.
_FLOOR = -1e30


@dataclass(frozen=True)
class Joint:
    """One denominator for all: positives compete with one another (SupCon's outer form, X-CLR, PaCo)."""


@dataclass(frozen=True)
class Each:
    """One denominator for each positive: the other positives stand aside (VINCE, SimLAP).

    Without any negative the loss is 0.
    """


def contrast_dense(
    match: Match,
    *,
    temperature: float = 1.0,
    denominator: Joint | Each = Joint(),
) -> Float[Tensor, ""]:
    r"""Mean over anchors of the cross-entropy between a relation's targets and the softmax of the scores.

    The equations of this module, with the whole matrix: the definition, and the oracle of `contrast`.

    Source: van den Oord et al. 2018, eq. 4; for several positives Khosla et al. 2020, eq. 2, and Gordon et al. 2020.

    Args:
        match: the anchors and their candidates.
        temperature: > 0, divides every score.
        denominator: shared by an anchor's positives, or one for each.

    Raises:
        RecipeError: no anchor has a positive.
    """
    with _full_precision(match.query):
        logit, target = _table(match, temperature)
        mass = target.sum(-1)
        anchors = _with_positive(mass)
        logit, target, mass = logit[anchors], target[anchors], mass[anchors]
        if isinstance(denominator, Joint):
            cost = logit.logsumexp(-1, keepdim=True) - logit
        else:
            repulsion = logit.masked_fill(target > 0, _FLOOR).logsumexp(-1, keepdim=True)
            cost = torch.logaddexp(repulsion - logit, torch.zeros_like(logit))
        return ((target * cost).sum(-1) / mass).mean()


def contrast(
    match: Match,
    *,
    temperature: float = 1.0,
    denominator: Joint | Each = Joint(),
    tile: int | None = None,
) -> Float[Tensor, ""]:
    """The same as `contrast_dense`, without the matrix: exact forward and backward, in memory linear in the rows.

    Scores are computed tile by tile with a running log-sum-exp, and computed again in the backward pass.

    Args:
        match: the anchors and their candidates.
        temperature: > 0, divides every score.
        denominator: shared by an anchor's positives, or one for each.
        tile: rows and columns of a tile; None takes what was measured to be fast.

    Raises:
        RecipeError: no anchor has a positive, or the temperature is not above 0.
        ShapeError: a group of columns belongs to another number of anchors.

    See also: `contrast_dense`, quicker to read; `Contrast`, the same as a part of a recipe.
    """
    loss, mass = _by_anchor(match, temperature, denominator, tile)
    return loss[_with_positive(mass)].mean()


@dataclass(frozen=True)
class Contrast:
    """The softmax over a relation, as the objective of a recipe.

    The total is the mean over the anchors of all matches that have a positive, each weighted by its match's weight:
    the weighted mean of the matches where they have equally many. A batch where no anchor has a positive answers with
    0, connected to the graph, and `anchors=0`: other ranks may have some (`Comm.weight` refuses if none has).

    Source: Chen et al. 2020, eq. 1; Khosla et al. 2020, eq. 2.

    Args:
        temperature: > 0, dimensionless, divides every score.
        denominator: `Joint()` or `Each()`.

    See also: `contrast`, the function.
    """

    temperature: Number = 0.5
    denominator: Joint | Each = Joint()

    def __call__(self, matches: Sequence[Match]) -> Loss:
        """The weighted mean; with several matches, the terms are the mean of each."""
        if not matches:
            raise RecipeError("there is nothing to contrast: an objective needs at least one match")
        temperature = self.temperature
        if not isinstance(temperature, (int, float)):
            raise RecipeError(
                f"the temperature is still the schedule {temperature!r}; resolve it first, with its value at a clock"
            )
        costs: list[Tensor] = []
        counts: list[Tensor] = []
        for match in matches:
            cost, mass = _by_anchor(match, float(temperature), self.denominator, None)
            costs.append(cost.sum())
            counts.append((mass > 0).sum())
        cost, count = torch.stack(costs), torch.stack(counts)
        weight = cost.new_tensor([match.weight for match in matches])
        share = weight * count
        total = (weight * cost).sum() / torch.where(share.sum() > 0, share.sum(), 1.0)
        means = (cost / count.clamp_min(1)).detach()
        terms = {f"match {i}": mean for i, mean in enumerate(means)} if len(matches) > 1 else {}
        return Loss(total, terms, anchors=float(share.sum()))


# ---------------------------------------------------------------- both forms


@dataclass(frozen=True, eq=False)
class _Group:
    columns: Columns
    query: int  # place among the prepared tensors
    rows: int


def _check(match: Match, temperature: float) -> None:
    if not temperature > 0:
        raise RecipeError(
            f"the temperature is {temperature}, but it divides the scores and must be above 0; 0.1 is usual"
        )
    if not match.columns:
        raise ShapeError("the match has no candidates; give it at least one group of columns")
    anchors = len(match.query)
    for i, group in enumerate(match.columns):
        if group.query is not None and len(group.query) != anchors:
            raise ShapeError(
                f"the match has {anchors} anchors, but group {i} of its columns has a query of {len(group.query)} "
                "rows; both must describe the same anchors"
            )
        if group.rows.ndim not in (2, 3) or (group.rows.ndim == 3 and len(group.rows) != anchors):
            raise ShapeError(
                f"group {i} of the columns is {list(group.rows.shape)}; with {anchors} anchors it must be "
                f"[candidate, dim], or [{anchors}, candidate, dim] where candidates are private to an anchor"
            )


def _prepare(match: Match) -> tuple[list[Tensor], list[_Group]]:
    """Each distinct tensor once for each score, in the precision of the computation."""
    used = [match.query, *(t for group in match.columns for t in (group.query, group.rows) if t is not None)]
    precision = torch.float64 if any(t.dtype == torch.float64 for t in used) else torch.float32
    known: list[tuple[Tensor, object]] = []
    prepared: list[Tensor] = []

    def place(tensor: Tensor, group: Columns) -> int:
        for i, (other, score) in enumerate(known):
            if other is tensor and score == group.score:
                return i
        known.append((tensor, group.score))
        prepared.append(group.score.prepare(tensor.to(precision)))
        return len(prepared) - 1

    groups = [
        _Group(group, place(match.query if group.query is None else group.query, group), place(group.rows, group))
        for group in match.columns
    ]
    return prepared, groups


def _full_precision(like: Tensor) -> torch.autocast:
    return torch.autocast(like.device.type, enabled=False)


def _with_positive(mass: Tensor) -> Tensor:
    anchors = mass > 0
    if not anchors.any():
        raise RecipeError(
            f"none of the {len(mass)} anchors has a positive; the pairing must put at least two related rows in a batch"
        )
    return anchors


def _table(match: Match, temperature: float) -> tuple[Tensor, Tensor]:
    """All logits and targets, [anchor, candidate], the groups side by side."""
    _check(match, temperature)
    prepared, groups = _prepare(match)
    logits: list[Tensor] = []
    targets: list[Tensor] = []
    for group in groups:
        score = group.columns.score.tile(prepared[group.query], prepared[group.rows])
        block = group.columns.relation.block(slice(0, score.shape[0]), slice(0, score.shape[1]))
        out = block.log_prior == -torch.inf
        logits.append(
            (score / temperature + block.log_prior.to(score.dtype).masked_fill(out, 0.0)).masked_fill(out, _FLOOR)
        )
        targets.append(block.target.masked_fill(out, 0.0).to(score.dtype))
    return torch.cat(logits, -1), torch.cat(targets, -1)


# ---------------------------------------------------------------- the tiled form


@dataclass(frozen=True, eq=False)
class _Plan:
    groups: list[_Group]
    anchors: int
    temperature: float
    denominator: Joint | Each
    tile: int

    def rows(self) -> Iterator[slice]:
        return _cut(self.anchors, self.tile) if self.anchors else iter([slice(0, 0)])

    def columns(self, tensors: Sequence[Tensor]) -> Iterator[tuple[_Group, slice]]:
        for group in self.groups:
            for columns in _cut(tensors[group.rows].shape[-2], self.tile):
                yield group, columns

    def logits(self, score: Tensor, group: _Group, rows: slice, columns: slice) -> tuple[Tensor, Tensor | None]:
        """A fresh tile of logits, -inf where a candidate takes no part; targets, or None where nothing attracts."""
        block: Block = group.columns.relation.block(rows, columns)
        logit = torch.add(block.log_prior.to(score.dtype), score, alpha=1 / self.temperature)
        one_number = all(step == 0 for step in block.target.stride())
        if not (block.target[:1, :1] if one_number else block.target).any():
            return logit, None
        return logit, torch.where(block.log_prior == -torch.inf, 0.0, block.target).to(logit.dtype)


def _cut(length: int, tile: int) -> Iterator[slice]:
    for start in range(0, length, tile):
        yield slice(start, min(start + tile, length))


def _part(tensor: Tensor, rows: slice, columns: slice) -> Tensor:
    return tensor[columns] if tensor.ndim == 2 else tensor[rows, columns]


class _Tiled(torch.autograd.Function):
    """L_i and sum_j w_ij for each anchor."""

    @staticmethod
    def forward(ctx: Any, plan: _Plan, *tensors: Tensor) -> tuple[Tensor, Tensor]:
        walk = _joint if isinstance(plan.denominator, Joint) else _each
        with _full_precision(tensors[0]):
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
        with _full_precision(tensors[0]):
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
    joint = isinstance(plan.denominator, Joint)
    if target is None:
        return logit.sub_(level).exp_().mul_(repel)
    if joint:
        return logit.sub_(level).exp_().mul_(repel).addcmul_(target, attract, value=-1)
    towards = target * torch.sigmoid(level - logit.clamp_min(_FLOOR)) * attract
    away = logit.masked_fill_(target > 0, -torch.inf).sub_(level).exp_().mul_(repel)
    return away.sub_(towards)


@dataclass(eq=False)
class _LogSumExp:
    """A running log-sum-exp of each row."""

    peak: Tensor
    total: Tensor

    @classmethod
    def empty(cls, rows: int, like: Tensor) -> "_LogSumExp":
        return cls(like.new_full((rows,), _FLOOR), like.new_zeros(rows))

    def add(self, logit: Tensor) -> None:
        """Take in a tile, which is used up."""
        if not logit.shape[1]:
            return
        peak = torch.maximum(self.peak, logit.amax(1))
        self.total = self.total * (self.peak - peak).exp_() + logit.sub_(peak[:, None]).exp_().sum(1)
        self.peak = peak

    def value(self) -> Tensor:
        return (self.peak + self.total.log()).clamp_min_(_FLOOR)


def _joint(plan: _Plan, rows: slice, tensors: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    running = _LogSumExp.empty(rows.stop - rows.start, tensors[0])
    mass = torch.zeros_like(running.peak)
    agreement = torch.zeros_like(mass)
    for group, columns in plan.columns(tensors):
        score = group.columns.score.tile(tensors[group.query][rows], _part(tensors[group.rows], rows, columns))
        logit, target = plan.logits(score, group, rows, columns)
        if target is not None:
            mass += target.sum(1)
            agreement += (target * logit.clamp_min(_FLOOR)).sum(1)
        running.add(logit)
    level = running.value()
    return mass * level - agreement, mass, level, mass


def _each(plan: _Plan, rows: slice, tensors: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    running = _LogSumExp.empty(rows.stop - rows.start, tensors[0])
    mass = torch.zeros_like(running.peak)
    cost, pull = torch.zeros_like(mass), torch.zeros_like(mass)
    related: list[tuple[_Group, slice]] = []

    def tile(group: _Group, columns: slice) -> tuple[Tensor, Tensor | None]:
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
        margin = level[:, None] - logit.clamp_min_(_FLOOR)
        target = cast(Tensor, target)
        cost += (target * torch.logaddexp(margin, torch.zeros_like(margin))).sum(1)
        pull += (target * torch.sigmoid(margin)).sum(1)
    return cost, mass, level, pull


def _by_anchor(
    match: Match, temperature: float, denominator: Joint | Each, tile: int | None
) -> tuple[Float[Tensor, " anchor"], Float[Tensor, " anchor"]]:
    """L_i, 0 where an anchor has no positive, and the sum of its targets."""
    _check(match, temperature)
    if tile is not None and tile < 1:
        raise RecipeError(f"a tile of {tile} rows holds nothing; give at least 1, or None for the default")
    with _full_precision(match.query):
        prepared, groups = _prepare(match)
        size = tile or (_TILE_CUDA if match.query.is_cuda else _TILE_CPU)
        plan = _Plan(groups, len(match.query), temperature, denominator, size)
        return cast(tuple[Tensor, Tensor], _Tiled.apply(plan, *prepared))


_TILE_CPU = 512
_TILE_CUDA = 4096
