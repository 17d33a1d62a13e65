r"""The softmax over a relation: NT-Xent, InfoNCE, SupCon, MoCo, X-CLR, PaCo, SwAV, DINO and more, with one equation.

For anchor i, with scores s_ij, log priors p_ij and targets w_ij >= 0, let l_ij = s_ij / temperature + p_ij. Then

    Joint   L_i = sum_j w_ij (logsumexp_k l_ik - l_ij) / sum_j w_ij
    Each    L_i = sum_j w_ij log(1 + exp(logsumexp_n l_in - l_ij)) / sum_j w_ij,    n over candidates with w_in = 0

and the loss is the mean of L_i over the anchors that have a positive. A candidate whose prior is -inf takes no part: it
neither attracts nor repels, and gets a gradient of exactly zero.

Twice: `contrast_dense` is the definition and the oracle; `contrast` computes the same in memory linear in the rows, by
`levels` where scores are inner products and the relation can be summed, else by `tiles`. All work in float32, whatever
autocast says (in float64 if the rows are).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from counterpoint.errors import RecipeError
from counterpoint.objectives._prepared import FLOOR, check, divides, full_precision, prepare, settled
from counterpoint.objectives.levels import levelled
from counterpoint.objectives.tiles import tiled
from counterpoint.types import Loss, Match, Number

__all__ = ["Contrast", "Each", "Joint", "contrast", "contrast_dense"]


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
    with full_precision(match.query):
        logit, target = _table(match, temperature)
        mass = target.sum(-1)
        anchors = mass > 0
        _some_positive(int(anchors.sum()), len(mass))
        logit, target, mass = logit[anchors], target[anchors], mass[anchors]
        if isinstance(denominator, Joint):
            cost = logit.logsumexp(-1, keepdim=True) - logit
        else:
            repulsion = logit.masked_fill(target > 0, FLOOR).logsumexp(-1, keepdim=True)
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

    Scores are computed tile by tile and thrown away; where they are few they are kept for the gradient, which is made
    with the loss. A second derivative (create_graph) is refused: `contrast_dense` has one.

    Args:
        match: the anchors and their candidates.
        temperature: > 0, divides every score.
        denominator: shared by an anchor's positives, or one for each.
        tile: rows and columns of a tile, no more than a few of which are held; None takes what was measured to be
            fast.

    Raises:
        RecipeError: no anchor has a positive, or the temperature is not above 0.
        ShapeError: a group of columns belongs to another number of anchors.

    See also: `contrast_dense`, quicker to read; `Contrast`, the same as a part of a recipe.
    """
    cost, count = _summed(match, temperature, denominator, tile)
    _some_positive(int(count), len(match.query))
    return cost / count


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
        times_temperature: >= 0, the loss is multiplied by this number and the temperature, so that its gradient does
            not grow as the temperature falls (MoCo v3: 4, which is 2 for each of two directions that are summed;
            SupCon's code: 1 / 0.07); 0: it is left as it is.

    See also: `contrast`, the function.
    """

    holds: ClassVar[str] = "negatives"
    temperature: Number = 0.5
    denominator: Joint | Each = Joint()
    times_temperature: float = 0.0

    def __post_init__(self) -> None:
        divides(self.temperature)
        if not self.times_temperature >= 0:
            raise RecipeError(f"Contrast(times_temperature={self.times_temperature}): give 0 or more")

    def __call__(self, matches: Sequence[Match]) -> Loss:
        """The weighted mean; with several matches, the terms are the mean of each."""
        if not matches:
            raise RecipeError("there is nothing to contrast: an objective needs at least one match")
        temperature = settled(self.temperature)
        factor = self.times_temperature * temperature or 1.0
        costs: list[Tensor] = []
        counts: list[Tensor] = []
        for match in matches:
            cost, count = _summed(match, temperature, self.denominator, None)
            costs.append(cost)
            counts.append(count)
        cost, count = torch.stack(costs), torch.stack(counts)
        weight = cost.new_tensor([match.weight for match in matches])
        share = weight * count
        total = factor * (weight * cost).sum() / torch.where(share.sum() > 0, share.sum(), 1.0)
        means = factor * (cost / count.clamp_min(1)).detach()
        terms = {f"match {i}": mean for i, mean in enumerate(means)} if len(matches) > 1 else {}
        return Loss(total, terms, anchors=float(share.sum()))


def _some_positive(count: int, anchors: int) -> None:
    if not count:
        raise RecipeError(
            f"none of the {anchors} anchors has a positive; the pairing must put at least two related rows in a batch"
        )


def _table(match: Match, temperature: float) -> tuple[Tensor, Tensor]:
    """All logits and targets, [anchor, candidate], the groups side by side."""
    check(match, temperature)
    prepared, groups = prepare(match)
    logits: list[Tensor] = []
    targets: list[Tensor] = []
    for group in groups:
        score = group.columns.score.tile(prepared[group.query], prepared[group.rows])
        block = group.columns.relation.block(slice(0, score.shape[0]), slice(0, score.shape[1]))
        out = block.log_prior == -torch.inf
        logits.append(
            (score / temperature + block.log_prior.to(score.dtype).masked_fill(out, 0.0)).masked_fill(out, FLOOR)
        )
        targets.append(block.target.masked_fill(out, 0.0).to(score.dtype))
    return torch.cat(logits, -1), torch.cat(targets, -1)


def _summed(
    match: Match, temperature: float, denominator: Joint | Each, tile: int | None
) -> tuple[Float[Tensor, ""], Int64[Tensor, ""]]:
    """The sum of L_i over the anchors that have a positive, and how many they are."""
    check(match, temperature)
    if tile is not None and tile < 1:
        raise RecipeError(f"a tile of {tile} rows holds nothing; give at least 1, or None for the default")
    joint = isinstance(denominator, Joint)
    with full_precision(match.query):
        prepared, groups = prepare(match)
        found = levelled(prepared, groups, temperature, tile) if joint else None
        if found is None:
            return tiled(prepared, groups, temperature, joint=joint, tile=tile)
        return found[0].sum(), (found[1] > 0).sum()
