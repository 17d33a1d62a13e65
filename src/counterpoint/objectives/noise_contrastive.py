"""Noise-contrastive estimation: is a row the anchor's own, or was it drawn at random?"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from counterpoint.errors import RecipeError, ShapeError
from counterpoint.objectives._blocks import Scores, mean, weighed
from counterpoint.objectives._plain import require_rows
from counterpoint.objectives._prepared import check, divides, settled
from counterpoint.relations import Related, Unrelated, Weighted
from counterpoint.sphere import Cosine
from counterpoint.types import Columns, Loss, Match, Number

__all__ = ["NoiseContrastive", "noise_contrastive"]


def noise_contrastive(
    queries: Float[Tensor, "query dim"],
    keys: Float[Tensor, "key width"],
    noise: Float[Tensor, "drawn depth"],
    *,
    temperature: float,
    log_prior: float,
) -> Float[Tensor, ""]:
    """Mean over queries of -log g(key) - sum over the noise of log(1 - g(n)), g(x) = sigmoid(cos / t + log_prior).

    With n rows in all, of which K are drawn as noise, and Z the normaliser of the softmax over the n, a key's chance is
    P = exp(cos / t) / Z, and g = P / (P + K / n) where log_prior = log(n / K) - log Z.

    Source: Wu et al. 2018 (InstDisc), equations 4 to 6; Gutmann and Hyvärinen 2010.

    Args:
        queries: the anchors; their lengths do not matter.
        keys: row i is the positive of query i.
        noise: rows drawn at random, the same for all queries.
        temperature: t > 0, divides a cosine.
        log_prior: log odds of a key at a score of 0.

    Raises:
        ShapeError: queries, keys and noise do not fit.
        RecipeError: a temperature out of range.

    See also: `info_nce`, the softmax over the same rows, which needs no Z.

    Example:
        All scores equal, and Z = n exp(s / t): g = 1 / (1 + K), and the loss is log(1 + K) + K log((1 + K) / K).

        >>> import math
        >>> one = torch.ones(1, 3)
        >>> prior = math.log(10 / 4) - math.log(10 * math.exp(1 / 0.5))
        >>> round(noise_contrastive(one, one, one.repeat(4, 1), temperature=0.5, log_prior=prior).item(), 6)
        2.502012
    """
    for name, rows in (("queries", queries), ("keys", keys), ("noise", noise)):
        require_rows("noise_contrastive", name, rows)
        if rows.shape[1] != queries.shape[1]:
            raise ShapeError(
                f"noise_contrastive got queries of width {queries.shape[1]} and {name} of width {rows.shape[1]}; "
                "all must come from heads of one width"
            )
    if len(queries) != len(keys):
        raise ShapeError(
            f"noise_contrastive got {len(queries)} queries and {len(keys)} keys; give one key for each query, in order"
        )
    score, device = Cosine(), queries.device
    own = Columns(keys[:, None], Weighted(Related(device), log_prior=log_prior), score)
    drawn = Columns(noise, Weighted(Unrelated(device), log_prior=log_prior), score)
    return NoiseContrastive(temperature)([Match(queries, (own, drawn))]).total


@dataclass(frozen=True)
class NoiseContrastive:
    """`noise_contrastive` of any match: the logistic loss of each column, summed over an anchor's, by its log prior.

    A column's log odds of being a positive are score / temperature + log prior. The mean is over anchors that have a
    positive. Memory is linear in the rows. Terms: `own`, the mean log odds of positives; `noise`, of the others: a
    trained network has them above and below 0.

    Source: Wu et al. 2018, equations 4 to 6; Misra and van der Maaten 2020, equation 4.

    Args:
        temperature: > 0, dimensionless, divides every score.
        proximal: lambda >= 0 of the term lambda |v - m|^2 between unit rows of an anchor and each positive (InstDisc,
            equation 8); needs cosines.
    """

    holds: ClassVar[str] = "negatives"
    temperature: Number = 0.07
    proximal: float = 0.0

    def __post_init__(self) -> None:
        divides(self.temperature)
        if not self.proximal >= 0:
            raise RecipeError(f"NoiseContrastive(proximal={self.proximal}): give 0 or more")

    def __call__(self, matches: Sequence[Match]) -> Loss:
        """The weighted mean over anchors."""
        temperature = settled(self.temperature)
        for match in matches:
            check(match, temperature)
        if self.proximal and not all(isinstance(g.score, Cosine) for match in matches for g in match.columns):
            raise RecipeError("the proximal term is one of cosines; set score=counterpoint.scores:Cosine")
        loss, total = weighed(matches, lambda of: _tally(of, temperature, self.proximal))
        terms = {"own": mean(total["own"], total["positives"]), "noise": mean(total["noise"], total["negatives"])}
        return Loss(loss.total, terms, loss.anchors)


def _tally(of: Scores, temperature: float, proximal: float) -> dict[str, Tensor]:
    part = of.positive | of.negative
    odds = torch.add(of.log_prior.to(of.score.dtype).masked_fill(~part, 0.0), of.score, alpha=1 / temperature)
    cost = functional.softplus(torch.where(of.positive, -odds, odds))
    if proximal:
        cost = cost + (2 * proximal) * (1 - of.score) * of.positive
    whole = of.positive.any(1)
    told = odds.detach()
    return {
        "cost": cost.masked_fill(~(part & whole[:, None]), 0.0).sum(),
        "count": whole.sum(),
        "positives": of.positive.sum(),
        "negatives": of.negative.sum(),
        "own": told.masked_fill(~of.positive, 0.0).sum(),
        "noise": told.masked_fill(~of.negative, 0.0).sum(),
    }
