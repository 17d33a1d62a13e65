"""A memory bank: for each image of the data set the feature that it had when it was last seen."""

import math
from dataclasses import dataclass, replace
from typing import cast

import torch
from torch import Tensor, nn

from counterpoint.errors import RecipeError
from counterpoint.random import Streams
from counterpoint.relations import Indexed, Related, Unrelated, Weighted
from counterpoint.sphere import unit
from counterpoint.types import Columns, Context, Encoded, Facts, Match, Pairing, Score, State

__all__ = ["Bank"]


class _Bank(State):
    per_image = True
    rows: Tensor
    log_z: Tensor
    settled: Tensor

    def __init__(self, images: int, width: int, momentum: float) -> None:
        super().__init__()
        self.momentum = momentum
        self.register_buffer("rows", unit(torch.rand(images, width).mul_(2).sub_(1)))
        self.register_buffer("log_z", torch.zeros((), dtype=torch.float64))
        self.register_buffer("settled", torch.zeros((), dtype=torch.bool))

    @torch.no_grad()
    def after_step(self, model: nn.Module, context: Context, online: Encoded, keys: Encoded) -> None:
        first = online.rows.view == 0
        new = context.comm.gather(unit(online.z[first])).to(self.rows.dtype)
        image = context.comm.gather_rows(online.rows.where(first)).sample
        self.rows[image] = unit(torch.lerp(new, self.rows[image], self.momentum))


@dataclass(frozen=True)
class Bank:
    """An image's row in the bank attracts its first view, the rows of other images repel it.

    Rows are of unit length, from random ones on. After the step the row of each image that was in the batch, of all
    ranks, moves towards what its first view was encoded to: m <- unit(momentum * m + (1 - momentum) * v). The pairing
    is asked for nothing: an image is its `Rows.sample`.

    With `negatives` the other rows are a sample, drawn evenly and with repetition once in a step and shared by all
    anchors: the same loss on average as where each anchor draws its own, without a copy of the rows for each. An
    image's own row may be among them. With a `temperature` all scores carry a constant log prior, log(images /
    negatives) - log Z, which makes them the log odds that `NoiseContrastive` wants; Z is the number of images times the
    mean of exp(score / temperature) over the first batch, own rows and sample, and stays.

    Source: Wu et al. 2018, arXiv:1805.01978, equations 2 to 8, and the authors' code for Z. There each anchor draws its
    own sample, and rows begin of a length near one.

    Args:
        negatives: rows drawn in a step; 0: all rows of the bank, each once (a full softmax).
        momentum: share of the old row, in [0, 1].
        temperature: of a `NoiseContrastive` objective, > 0; None: no prior, for a softmax.
    """

    negatives: int = 0
    momentum: float = 0.5
    temperature: float | None = None

    def __post_init__(self) -> None:
        if self.negatives < 0 or not 0 <= self.momentum <= 1:
            raise RecipeError(f"{self}: give negatives of 0 or more, and a momentum in [0, 1]")
        if self.temperature is not None and not self.temperature > 0:
            raise RecipeError(f"{self}: a temperature stands above 0; leave it out for a softmax")

    def build(self, facts: Facts) -> State | None:
        """Random unit rows, one for each image that is trained on, as wide as the projection."""
        # Not before, because `--set` changes one number at a time.
        if self.temperature is not None and not self.negatives:
            raise RecipeError(f"{self}: a temperature stands beside negatives of 1 or more; leave it out for a softmax")
        return _Bank(facts.images, facts.projection, self.momentum)

    def match(
        self, online: Encoded, keys: Encoded, pairing: Pairing, score: Score, state: State | None, context: Context
    ) -> list[Match]:
        """One match."""
        bank, first = cast(_Bank, state), online.rows.view == 0
        query, image = online.query[first], online.rows.sample[first]
        if not self.negatives:
            return [Match(query, (Columns(bank.rows, Indexed(image), score),))]
        # The same on every rank.
        stream = Streams(context.streams.seed, context.streams.device).at("negatives", context.clock.step)
        own = Columns(bank.rows[image][:, None], Related(query.device), score)
        noise = bank.rows[stream.integers(0, len(bank.rows), self.negatives)]
        drawn = Columns(noise, Unrelated(query.device), score)
        if self.temperature is None:
            return [Match(query, (own, drawn))]
        if not bank.settled:
            bank.log_z.copy_(math.log(len(bank.rows)) + self._level(query, (own, drawn), context))
            bank.settled.fill_(True)
        prior = math.log(len(bank.rows) / self.negatives) - float(bank.log_z)
        groups = tuple(replace(g, relation=Weighted(g.relation, log_prior=prior)) for g in (own, drawn))
        return [Match(query, groups)]

    @torch.no_grad()
    def _level(self, query: Tensor, groups: tuple[Columns, ...], context: Context) -> Tensor:
        """Log of the mean of exp(score / temperature) over the scores of all ranks."""
        assert self.temperature is not None
        levels: list[Tensor] = []
        count = 0
        for group in groups:
            anchors, rows = (group.score.prepare(t.detach().double()) for t in (query, group.rows))
            logit = group.score.tile(anchors, rows) / self.temperature
            levels.append(logit.flatten())
            count += logit.numel()
        level = torch.cat(levels).logsumexp(0)[None]
        world = context.comm.world
        return context.comm.gather(level).logsumexp(0) - math.log(count * world)

    def seen(self, global_batch: int, views: int) -> int | None:
        """The sample, or the rows of all other images."""
        return self.negatives or None
