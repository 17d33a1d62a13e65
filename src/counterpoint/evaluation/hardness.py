"""What an objective does to the negatives of a step, and how that divides between hard and easy ones."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from counterpoint.sphere import Cosine
from counterpoint.types import Columns, Match, Objective

__all__ = ["Forces", "by_hardness", "forces"]


@dataclass(frozen=True, eq=False)
class Forces:
    """The pairs of a match, its groups of candidates side by side.

    Args:
        score: larger is nearer.
        force: derivative of the loss by the score, above 0 where a pair is pushed apart. Of a softmax at temperature T
            over the candidates of one of n anchors it is a negative's softmax weight / (n T).
        negative: whether the candidate repels; others attract, or take no part.
    """

    score: Float[Tensor, "anchor candidate"]
    force: Float[Tensor, "anchor candidate"]
    negative: Bool[Tensor, "anchor candidate"]


@dataclass(frozen=True)
class _Known(Cosine):
    """Scores that are known: an anchor is 1, a private candidate its score; a cosine to whoever wants one."""

    def prepare(self, rows: Float[Tensor, "*row dim"]) -> Float[Tensor, "*row dim"]:
        return rows


def forces(matches: Sequence[Match], objective: Objective) -> list[Forces]:
    """The derivative of an objective by each score of a step: asked of the objective itself, whatever its equation is.

    The whole matrix is held, and a number of bytes for each of its pairs.

    Args:
        matches: of a step.
        objective: resolved, and a function of the scores and the relation alone.

    Example:
        One negative of two that is as near as the positive, at temperature 1: weights e, e and 1 of their sum.

        >>> from counterpoint.objectives import Contrast
        >>> from counterpoint.relations import Indexed
        >>> z = torch.eye(2)
        >>> group = Columns(z[[0, 0, 1]], Indexed(torch.zeros(1, dtype=torch.int64)), Cosine())
        >>> forces([Match(z[:1], (group,))], Contrast(1.0))[0].force
        tensor([[-0.5777,  0.4223,  0.1554]])
    """
    leaves: list[list[Tensor]] = []
    known: list[Match] = []
    signs: list[list[Tensor]] = []
    for match in matches:
        columns: list[Columns] = []
        leaves.append([])
        signs.append([])
        one = torch.ones(len(match.query), 1, dtype=torch.float32, device=match.query.device)
        for group in match.columns:
            score = _scores(match.query if group.query is None else group.query, group)
            leaf = score[..., None].requires_grad_()
            block = group.relation.block(slice(0, len(score)), slice(0, score.shape[1]))
            leaves[-1].append(leaf)
            signs[-1].append((block.log_prior > -torch.inf) & ~(block.target > 0))
            columns.append(Columns(leaf, group.relation, _Known()))
        known.append(Match(one, tuple(columns), match.weight))
    with torch.enable_grad():
        total = objective(known).total
    every = [leaf for held in leaves for leaf in held]
    found = iter(torch.autograd.grad(total, every, materialize_grads=True))
    return [
        Forces(
            torch.cat([leaf.detach()[..., 0] for leaf in held], 1),
            torch.cat([next(found)[..., 0] for _ in held], 1),
            torch.cat(negative, 1),
        )
        for held, negative in zip(leaves, signs, strict=True)
    ]


@torch.no_grad()
def _scores(query: Tensor, group: Columns) -> Tensor:
    with torch.autocast(query.device.type, enabled=False):
        anchors, rows = (group.score.prepare(t.detach().float()) for t in (query, group.rows))
        return group.score.tile(anchors, rows).clone()


def by_hardness(
    score: Float[Tensor, "anchor candidate"],
    negative: Bool[Tensor, "anchor candidate"],
    amount: Float[Tensor, "anchor candidate"],
    *,
    parts: int = 10,
) -> Float[Tensor, "anchor part"]:
    """How much of an amount each tenth of an anchor's negatives holds, ranked by their score, the hardest tenth first.

    A negative on the border of two tenths is divided, so that equal amounts make equal tenths whatever their number.
    Of equally hard negatives the earlier counts as the harder.

    Args:
        score: larger is harder.
        negative: what is ranked; others count nothing.
        amount: of each pair.
        parts: into how many the negatives are divided.

    Example:
        Five equal amounts in two halves: the third negative is divided.

        >>> by_hardness(torch.rand(1, 5), torch.ones(1, 5, dtype=torch.bool), torch.ones(1, 5), parts=2)
        tensor([[2.5000, 2.5000]], dtype=torch.float64)
    """
    order = score.masked_fill(~negative, -torch.inf).argsort(dim=1, descending=True, stable=True)
    held = amount.double().masked_fill(~negative, 0.0).gather(1, order)
    # The sum over the first x negatives, linear between whole numbers; one more column so that the end has a place.
    held = torch.nn.functional.pad(held, (0, 1))
    reached = torch.nn.functional.pad(held.cumsum(1), (1, 0))
    border = negative.sum(1, keepdim=True).double() * torch.arange(parts + 1, device=score.device) / parts
    whole = border.long()
    upto = reached.gather(1, whole) + (border - whole) * held.gather(1, whole)
    return upto.diff(dim=1)
