"""Losses that are sums over anchors of something said of all an anchor's scores, by blocks of anchors.

The whole matrix of a batch is never kept: a block's scores are formed, counted, differentiated and thrown away. Since
the loss is a sum, its gradient is known up to one factor while it is computed, so that nothing is computed twice.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from counterpoint.errors import RecipeError
from counterpoint.first_order import first_order
from counterpoint.objectives._prepared import Group, check, full_precision, prepare
from counterpoint.sphere import Cosine
from counterpoint.types import Loss, Match, Score

# Scores of a block: 4 MiB of float32.
_CELLS = 1 << 20


@dataclass(frozen=True, eq=False)
class Scores:
    """All scores of some anchors.

    Args:
        score: larger is nearer.
        positive, negative: which attract and which repel; a candidate that takes no part is neither.
        compared: prepared anchors and candidates of each group of columns, with their score.
        priors: log priors of each group.
    """

    score: Float[Tensor, "anchor candidate"]
    positive: Bool[Tensor, "anchor candidate"]
    negative: Bool[Tensor, "anchor candidate"]
    compared: Sequence[tuple[Tensor, Tensor, Score]]
    priors: Sequence[Tensor]

    @property
    def log_prior(self) -> Float[Tensor, "anchor candidate"]:
        """Log weights of the candidates; -inf takes no part."""
        return self.priors[0] if len(self.priors) == 1 else torch.cat([*self.priors], 1)

    @property
    def width(self) -> int:
        """Of the rows."""
        return self.compared[0][0].shape[1]

    @cached_property
    def positives(self) -> "Positives":
        """The columns that attract: mostly few."""
        return Positives.of(self.positive)

    @torch.no_grad()
    def cosine(self) -> Float[Tensor, "anchor candidate"]:
        """Of the same pairs, without gradient."""
        cosine = Cosine()
        return torch.cat(
            [cosine.tile(cosine.prepare(anchors), cosine.prepare(rows)) for anchors, rows, _ in self.compared], 1
        )

    def between(self) -> Float[Tensor, "anchor candidate other"]:
        """Scores of an anchor's candidates with one another.

        Raises:
            RecipeError: they are not its own.
        """
        if any(rows.ndim == 2 for _, rows, _ in self.compared):
            raise RecipeError(
                "a swap compares an anchor's positives with its negatives, which must be its own; take "
                "negatives=counterpoint.negatives:Drawn, or swap=false"
            )
        rows = torch.cat([rows for _, rows, _ in self.compared], 1)
        anchors, candidates, width = rows.shape
        others = rows[:, None].expand(-1, candidates, -1, -1).reshape(anchors * candidates, candidates, width)
        score = self.compared[0][2].tile(rows.reshape(anchors * candidates, width), others)
        return score.view(anchors, candidates, candidates)


@dataclass(frozen=True, eq=False)
class Positives:
    """For each anchor its positives, side by side.

    Args:
        column: of each; 0 where an anchor has fewer than another.
        there: whether there is one.
    """

    column: Int64[Tensor, "anchor place"]
    there: Bool[Tensor, "anchor place"]

    @classmethod
    def of(cls, positive: Bool[Tensor, "anchor candidate"]) -> "Positives":
        """From the mask."""
        row, column = positive.nonzero(as_tuple=True)
        count = positive.sum(1)
        place = torch.arange(len(row), device=row.device) - (count.cumsum(0) - count)[row]
        most = int(count.max()) if len(count) else 0
        found = torch.zeros(len(positive), most, dtype=torch.int64, device=row.device)
        found[row, place] = column
        return cls(found, torch.arange(most, device=row.device) < count[:, None])


Tally = Callable[[Scores], dict[str, Tensor]]


def weighed(matches: Sequence[Match], tally: Tally) -> tuple[Loss, dict[str, Tensor]]:
    """The mean cost of all that counts, each weighted by its match's weight; and the tallies of the matches together.

    Args:
        matches: at least one. Weights of positives are all alike; of priors only -inf counts, unless the tally asks.
        tally: sums by name, of the anchors in a block: `cost` is differentiated, its mean is over `count`.
    """
    if not matches:
        raise RecipeError("there is nothing to compare: an objective needs at least one match")
    found = [_tallied(match, tally) for match in matches]
    weights = [match.weight for match in matches]
    total = {
        name: torch.stack([weight * sums[name] for weight, sums in zip(weights, found, strict=True)]).sum()
        for name in found[0]
    }
    count = total["count"]
    cost = total["cost"] / torch.where(count > 0, count, 1.0)
    return Loss(cost.to(torch.promote_types(matches[0].query.dtype, torch.float32)), anchors=float(count)), total


def mean(total: Tensor, count: Tensor) -> Tensor:
    """For a report: 0 where there is none."""
    return (total.detach() / torch.where(count > 0, count, 1.0)).float()


def _tallied(match: Match, tally: Tally) -> dict[str, Tensor]:
    check(match)
    with full_precision(match.query):
        prepared, groups = prepare(match)
        plan = _Plan(groups, len(match.query), sum(group.rows.shape[-2] for group in match.columns), tally)
        cost = cast(Tensor, _Cost.apply(plan, *prepared))
    return {**plan.sums, "cost": cost}


@dataclass(eq=False)
class _Plan:
    groups: Sequence[Group]
    anchors: int
    candidates: int
    tally: Tally

    def __post_init__(self) -> None:
        self.sums: dict[str, Tensor] = {}

    def blocks(self) -> Iterator[slice]:
        size = max(1, _CELLS // max(1, self.candidates))
        yield from (slice(start, min(start + size, self.anchors)) for start in range(0, max(1, self.anchors), size))

    def scores(self, leaves: Sequence[tuple[Tensor, Tensor]], rows: slice) -> Scores:
        parts: list[tuple[Tensor, Tensor, Tensor]] = []
        compared: list[tuple[Tensor, Tensor, Score]] = []
        priors: list[Tensor] = []
        for group, (anchors, candidates) in zip(self.groups, leaves, strict=True):
            score = group.columns.score.tile(anchors, candidates)
            block = group.columns.relation.block(rows, slice(0, score.shape[1]))
            part, attracts = block.log_prior > -torch.inf, block.target > 0
            parts.append((score, attracts & part, part & ~attracts))
            compared.append((anchors, candidates, group.columns.score))
            priors.append(block.log_prior)
        if len(parts) == 1:
            return Scores(*parts[0], compared, priors)
        score, positive, negative = (torch.cat(some, 1) for some in zip(*parts, strict=True))
        return Scores(score, positive, negative, compared, priors)


class _Cost(torch.autograd.Function):
    """The sum of the costs; the other sums are left in the plan."""

    @staticmethod
    def forward(ctx: Any, plan: _Plan, *tensors: Tensor) -> Tensor:
        needed = cast(tuple[bool, ...], ctx.needs_input_grad)[1:]
        gradients = [torch.zeros_like(t) if need else None for t, need in zip(tensors, needed, strict=True)]
        sums: dict[str, Tensor] = {}
        with torch.set_grad_enabled(any(needed)), full_precision(tensors[0]):
            for rows in plan.blocks():
                leaves: list[tuple[Tensor, Tensor]] = []
                homes: list[tuple[Tensor, Tensor]] = []
                for group in plan.groups:
                    own = slice(None) if tensors[group.rows].ndim == 2 else rows
                    pair: list[Tensor] = []
                    for place, part in ((group.query, rows), (group.rows, own)):
                        leaf = tensors[place][part].detach().requires_grad_(needed[place])
                        pair.append(leaf)
                        gradient = gradients[place]
                        if gradient is not None:
                            homes.append((leaf, gradient[part]))
                    leaves.append((pair[0], pair[1]))
                found = plan.tally(plan.scores(leaves, rows))
                if homes and found["cost"].requires_grad:
                    some = torch.autograd.grad(found["cost"], [leaf for leaf, _ in homes], allow_unused=True)
                    slopes = cast(tuple[Tensor | None, ...], some)
                    for (_, home), slope in zip(homes, slopes, strict=True):
                        if slope is not None:
                            home.add_(slope)
                sums = {name: value.detach() + sums.get(name, 0) for name, value in found.items()}
        cost = sums.pop("cost")
        plan.sums = sums
        ctx.save_for_backward(*gradients)
        return cost

    @staticmethod
    @first_order
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, upstream: Tensor
    ) -> tuple[Tensor | None, ...]:
        gradients = cast(tuple[Tensor | None, ...], ctx.saved_tensors)
        return None, *(None if g is None else g * upstream.to(g.dtype) for g in gradients)


def pairs(matches: Sequence[Match], tally: Tally) -> Loss:
    """The weighted mean over pairs, with the terms that every loss of pairs has.

    Args:
        matches: at least one.
        tally: `pair_sums`.
    """
    loss, total = weighed(matches, tally)
    terms = {
        "active": mean(total["active"], total["negatives"]),
        "positive": mean(total["positive"], total["positives"]),
        "negative": mean(total["negative"], total["negatives"]),
    }
    return Loss(loss.total, terms, loss.anchors)


def pair_sums(of: Scores, cost: Tensor, active: Tensor, told: Tensor) -> dict[str, Tensor]:
    """The sums of a block for a loss of pairs, each pair counted once.

    Args:
        of: the block.
        cost: of all its pairs.
        active: negative pairs that cost something.
        told: what is reported of each pair, a cosine or a distance.
    """
    told = told.detach()
    return {
        "cost": cost,
        "count": (of.positive | of.negative).sum(),
        "active": active.sum(),
        "positives": of.positive.sum(),
        "negatives": of.negative.sum(),
        "positive": told.masked_fill(~of.positive, 0.0).sum(),
        "negative": told.masked_fill(~of.negative, 0.0).sum(),
    }
