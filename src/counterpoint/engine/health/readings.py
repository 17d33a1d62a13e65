"""Readings: a few numbers that say how a step went, from a few hundred of its rows.

Nothing here draws a random number, changes a tensor or asks another rank for anything: training goes on to the bit as
it would have without. Nothing here stops it either: what can't be read is left out.
"""

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim import Optimizer

from counterpoint.relations import Aligned, Explicit
from counterpoint.sphere import Cosine, GatedCosine, unit
from counterpoint.types import Block, Columns, Encoded, Match, Objective, Relation, Tempered

__all__ = ["Moved", "norms", "read"]

ROWS = 256  # most rows, and most anchors, that are looked at
CELLS = 1 << 18  # most scores, unless an anchor has more candidates than a sixteenth of it
FEWEST = 16  # anchors, however many candidates they have
ONE_HOT = 0.99  # share of the hardest negative among all of its anchor
FLAT = 0.25  # logits between the best and the worst that a candidate could be: the softmax can't tell them apart
STEEP = 300.0  # the same for rows of unit length: a difference of 0.01 in cosine makes 1.5 logits


@torch.no_grad()
def read(online: Encoded, matches: Sequence[Match], objective: Objective) -> dict[str, float]:
    """What the rows and the comparisons of a step say.

    Names, each left out where it does not apply; of several matches it is the mean over those where it does:
        std, std_h      deviation of a dimension of unit rows of z and h, times the root of the width: 1 for isotropic
                        rows, 0 where all are one
        rank_z, rank_h  effective rank: exp of the entropy of the singular values of the centred unit rows, as shares
                        of their sum (as `evaluation.spectra`)
        room_z, room_h  the largest that this could be, with so many rows of such a width
        alignment       mean |x - y|^2 of unit rows over positive pairs of the relation; not of codes
        uniformity      log of the mean of exp(-2 |x - y|^2) over pairs of unit rows of z
        positive        mean score of positive pairs; where all candidates attract an anchor, of those that do so more
                        than their mean, which are its positives for the other readings too
        negative        mean score of the other pairs that take part
        accuracy        share of anchors whose best candidate is a positive; of tied ones, the share that is
        chance          the same by guessing
        ahead           share of an anchor's other candidates that its positives, in the mean, score above; 1/2 by
                        guessing. With thousands of candidates it rises long before the accuracy
        codes           candidates, where each anchor's target is a code: a distribution over the same prototypes
        used            of these by the codes of all anchors together: exp of the entropy of their mean
        used_each       by the code of one anchor: exp of the mean of their entropies
        anchors         that have a positive, of those looked at
        no_positive     share of anchors without one
        ceiling         the objective where all scores are equal; only for one that ignores what all scores share
        floor           what a cross-entropy with the anchors' targets cannot fall below, in nats: their entropy
        one_point       the objective where all rows point one way; only for one of directions that has no ceiling
        saturated       share of anchors whose softmax can't teach: one negative holds 99 % of all, or rows of unit
                        length could be 300 logits apart, so that they have to crowd together (too cold); or the logits
                        of all candidates can't differ by a quarter (too hot); only for a `Tempered` objective
        reach           the mean of that largest difference of logits; likewise
        dead            share of units of h that are constant

    The best of a code is its largest number, of which positives and accuracy are read; guessing is to take the best
    candidate of another anchor. log(used / used_each) is what a code tells of its image, in nats: near 0 where all
    images have one code.

    Source: Wang and Isola 2020 (alignment, uniformity); Roy and Vetterli 2007 (effective rank); Chen and He 2021 (std);
    Caron et al. 2021, section 5.3 (entropy of the target).

    Args:
        online: the rows; of the first view, at most 256 are looked at.
        matches: the comparisons; at most 256 anchors are looked at, fewer where they have thousands of candidates.
        objective: for the ceiling and the temperature; resolved.
    """
    first = int((online.rows.view == online.rows.view[0]).sum())
    h, z = (rows[: min(first, ROWS)].detach().float() for rows in (online.h, online.z))
    found = {**_rows(z, "z"), **_rows(h, "h")}
    if len(z) > 1:
        points = unit(z)
        square = torch.pdist(points).square()
        found["uniformity"] = square.mul(-2).exp().mean().log()
        found["dead"] = (h.amax(0) - h.amin(0) <= 1e-6 * h.abs().amax()).float().mean()
    budget = CELLS // max(1, len(matches))
    temperature = _temperature(objective)
    each = [(match.weight * len(match.query), _pairs(match, temperature, budget)) for match in matches]
    for name in sorted({name for _, values in each for name in values}):
        value = torch.stack([values[name] for _, values in each if name in values])
        weight = value.new_tensor([weight for weight, values in each if name in values]) * value.isfinite()
        found[name] = (weight * value.nan_to_num(0.0, 0.0, 0.0)).sum() / weight.sum()
    read = dict(zip(found, torch.stack([v.double() for v in found.values()]).tolist(), strict=True))
    return _tidy(read | _levels(matches, objective))


def _tidy(read: Mapping[str, float]) -> dict[str, float]:
    """Numbers only, as many digits of them as say something."""
    return {name: float(f"{value:.6g}") for name, value in read.items() if math.isfinite(value)}


def _rows(rows: Float[Tensor, "row dim"], name: str) -> dict[str, Tensor]:
    """Spread and effective rank of unit rows."""
    count, width = rows.shape
    if count < 2 or not bool(rows.isfinite().all()):
        return {}
    points = unit(rows).double()
    centred = points - points.mean(0)
    deviation = centred.square().mean(0).sqrt().mean() * width**0.5
    moment = centred @ centred.T if count < width else centred.T @ centred
    found = {"std" if name == "z" else f"std_{name}": deviation}
    eigenvalues = torch.linalg.eigvalsh(moment.cpu()).to(rows.device)
    eigenvalues = eigenvalues[eigenvalues > eigenvalues[-1] * len(eigenvalues) * torch.finfo(torch.float64).eps]
    if len(eigenvalues):
        share = eigenvalues.sqrt() / eigenvalues.sqrt().sum()
        found[f"rank_{name}"] = (-(share * share.log()).sum()).exp()
        found[f"room_{name}"] = share.new_tensor(min(count - 1, width))
    return found


def _temperature(objective: Objective) -> float | None:
    """What the objective divides scores by, where it says so."""
    value = objective.temperature if isinstance(objective, Tempered) else None
    return float(value) if isinstance(value, int | float) and value > 0 else None


def _pairs(match: Match, temperature: float | None, budget: int) -> dict[str, Tensor]:
    """What the first anchors of a match see."""
    candidates = sum(group.rows.shape[-2] for group in match.columns)
    count = min(len(match.query), ROWS, max(FEWEST, budget // max(1, candidates)))
    tables = [_table(group, match.query if group.query is None else group.query, count) for group in match.columns]
    score, cosine, target, prior, length = (torch.cat(parts, 1) for parts in zip(*tables, strict=True))
    part = prior > -torch.inf
    code = _is_code(match, target, part)
    share = (target * part).double()
    share = share / share.sum(1, keepdim=True).clamp_min(1e-30)
    positive, negative = (target > 0) & part, ~(target > 0) & part
    if code:
        positive, negative = target == target.amax(1, keepdim=True), torch.zeros_like(part)
    else:
        above = share > 1.001 / part.sum(1, keepdim=True).clamp_min(1)
        graded = ~negative.any(1, keepdim=True) & above.any(1, keepdim=True)
        positive, negative = torch.where(graded, above, positive), torch.where(graded, part & ~above, negative)
    some, pairs = positive.any(1), positive.sum()
    best = score.masked_fill(~part, -torch.inf)
    best = best == best.amax(1, keepdim=True)
    hit = (best & positive).sum(1) / best.sum(1).clamp_min(1)
    guess = positive.sum(1) / part.sum(1).clamp_min(1)
    found = {
        "alignment": (2 - 2 * cosine)[positive].sum() / pairs,
        "positive": score[positive].sum() / pairs,
        "negative": score[negative].sum() / negative.sum(),
        "accuracy": hit[some].mean(),
        "chance": guess[some].mean(),
        "no_positive": 1 - some.float().mean() * len(match.query) / (len(match.query) + match.left_out),
        "anchors": some.sum().float(),
        "floor": _entropy(share)[some].mean(),
    }
    if code:
        del found["alignment"]
        found |= _codes(target) | {"chance": _by_another(best, positive, hit)}
    else:
        both = some & negative.any(1)
        mean = (score * positive).sum(1, keepdim=True) / positive.sum(1, keepdim=True).clamp_min(1)
        below = ((score < mean) + 0.5 * (score == mean)) * negative
        found["ahead"] = (below.sum(1) / negative.sum(1).clamp_min(1))[both].mean()
    several = negative.sum(1) > 1
    if temperature is not None and bool(several.any()):
        logit = (score / temperature + prior).masked_fill(~negative, -torch.inf)[several]
        hardest = 1 / (logit - logit.amax(1, keepdim=True)).exp().sum(1)
        reach = 2 / temperature * (length * part).sum(1)[several] / part.sum(1)[several]
        bounded = ((length - 1).abs() < 1e-3).all(1)[several]
        found["saturated"] = ((hardest > ONE_HOT) | (reach < FLAT) | (bounded & (reach > STEEP))).float().mean()
        found["reach"] = reach.mean()
    return found


def _is_code(match: Match, target: Tensor, part: Tensor) -> bool:
    """Whether the target of each anchor is a distribution, given as numbers, over the same candidates."""
    if len(match.columns) != 1 or not isinstance(match.columns[0].relation, Explicit) or not bool(part.all()):
        return False
    return bool(((target.sum(1) - 1).abs() < 1e-3).all())


def _codes(target: Float[Tensor, "anchor candidate"]) -> dict[str, Tensor]:
    """How many candidates are used."""
    code = target.double()
    used, each = _entropy(code.mean(0)).exp(), _entropy(code).mean().exp()
    return {"codes": used.new_tensor(float(code.shape[1])), "used": used, "used_each": each}


def _entropy(share: Float[Tensor, "*row candidate"]) -> Float[Tensor, "*row"]:
    return -torch.special.xlogy(share, share).sum(-1)


def _by_another(best: Tensor, positive: Tensor, hit: Float[Tensor, " anchor"]) -> Float[Tensor, ""]:
    """The mean hit with the best candidate of another anchor in place of the own."""
    first = best / best.sum(1, keepdim=True)
    count = len(hit)
    whole = first.sum(0) @ positive.to(first.dtype).sum(0)
    return (whole - hit.sum()) / (count * (count - 1)) if count > 1 else hit.new_tensor(torch.nan)


def _table(group: Columns, query: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Scores, cosines, targets, log priors and products of lengths, [anchor, candidate]."""
    query = query[:count].detach().float()
    rows = (group.rows if group.rows.ndim == 2 else group.rows[:count]).detach().float()
    with torch.autocast(query.device.type, enabled=False):
        anchors, others = group.score.prepare(query), group.score.prepare(rows)
        score = group.score.tile(anchors, others)
        plain, gated = Cosine(), isinstance(group.score, GatedCosine)
        cosine = score if gated or group.score == plain else plain.tile(plain.prepare(query), plain.prepare(rows))
    # Under a gate all rows count as of length one, whatever it is folded into.
    lengths = torch.ones_like(score) if gated else anchors.norm(dim=-1, keepdim=True) * others.norm(dim=-1)
    product = lengths.expand_as(score)
    block = group.relation.block(slice(0, len(score)), slice(0, score.shape[1]))
    return score, cosine, block.target.to(score.dtype), block.log_prior.to(score.dtype), product


def _levels(matches: Sequence[Match], objective: Objective) -> dict[str, float]:
    """The loss where all rows are one, from a few anchors: the ceiling where it depends on nothing else."""
    starts = [_start(match) for match in matches]
    groups = [group for match in matches for group in match.columns]
    directed = all(type(group.score) is Cosine for group in groups)
    aligned = all(isinstance(group.relation, Aligned) for group in groups)

    def level(value: float, own: bool = False) -> tuple[float, float]:
        made: list[Match] = []
        for match, start in zip(matches, starts, strict=True):
            few = slice(start, start + FEWEST)
            alike = [
                Columns(
                    _like(group.rows if group.rows.ndim == 2 else group.rows[few], value),
                    group.relation if own else _From(group.relation, start, min(FEWEST, len(match.query) - start)),
                    group.score,
                    None if group.query is None else _like(group.query[few], value),
                )
                for group in match.columns
            ]
            made.append(Match(_like(match.query[few], value), tuple(alike), match.weight, match.gates))
        loss = objective(made)
        return float(loss.total), loss.anchors

    # Anyone's objective, asked for another batch than the step's: whatever it raises must not end a healthy run.
    with suppress(Exception):
        (low, anchors), (high, _) = level(0.0), level(1.0)
        if not anchors:
            return {}
        if abs(low - high) <= 1e-3 * max(1.0, abs(low)):
            return {"ceiling": low}
        return {"one_point": high} if directed else {}
    if directed and aligned and not any(starts):
        with suppress(Exception):
            return {"one_point": level(1.0, own=True)[0]}
    return {}


def _start(match: Match) -> int:
    """Where the first few anchors begin of which one has a positive; 0 where none is found."""

    def attracted(few: slice) -> bool:
        blocks = (group.relation.block(few, slice(0, group.rows.shape[-2])) for group in match.columns)
        return any(bool(((block.target > 0) & (block.log_prior > -torch.inf)).any()) for block in blocks)

    count = min(len(match.query), ROWS)
    starts = range(0, count, FEWEST)
    return next((start for start in starts if attracted(slice(start, min(start + FEWEST, count)))), 0)


@dataclass(frozen=True, eq=False)
class _From:
    """A relation of a few anchors: a rule of its own, so that nothing is taken from how many the other knows."""

    whole: Relation
    start: int
    count: int

    def block(self, anchors: slice, candidates: slice) -> Block:
        first, last, _ = anchors.indices(self.count)
        return self.whole.block(slice(self.start + first, self.start + last), candidates)


def _like(rows: Tensor, value: float) -> Tensor:
    """All rows alike, in float32."""
    return torch.full(rows.shape, value, device=rows.device)


# ---------------------------------------------------------------- gradient, weights, update


def norms(weights: Sequence[Tensor]) -> dict[str, float]:
    """`weight_norm`, and `weight_rms`: of one weight, which no usual initialisation or training brings above 1."""
    norm = float(torch.nn.utils.get_total_norm(weights))
    return {"weight_norm": norm, "weight_rms": norm / max(1, sum(w.numel() for w in weights)) ** 0.5}


@dataclass(frozen=True, eq=False)
class Moved:
    """The weights as they were before an update, and their gradients' norm, before any clipping.

    Example:
        before = Moved.before(optimizer)
        optimizer.step()
        health = before.after()
    """

    weights: Sequence[nn.Parameter]
    values: Sequence[Tensor]
    gradient: float

    @classmethod
    def before(cls, optimizer: Optimizer) -> "Moved":
        """Keeps a copy of all weights that the optimizer moves."""
        weights: list[nn.Parameter] = [p for group in optimizer.param_groups for p in group["params"]]
        gradient = torch.nn.utils.get_total_norm([p.grad for p in weights if p.grad is not None])
        return cls(weights, [p.detach().clone() for p in weights], float(gradient))

    @torch.no_grad()
    def after(self) -> dict[str, float]:
        """`grad_norm`; `weight_norm` and `weight_rms`, before the update; `update`: |change| / |weights|."""
        moved = [now - then for now, then in zip(self.weights, self.values, strict=True)]
        found = {"grad_norm": self.gradient, **norms(self.values)}
        found["update"] = float(torch.nn.utils.get_total_norm(moved)) / max(found["weight_norm"], 1e-30)
        return _tidy(found)
