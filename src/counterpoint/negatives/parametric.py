"""Learned centres beside the features of the batch and of a queue, in one denominator."""

import math
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from counterpoint.errors import RecipeError
from counterpoint.negatives._ring import taken
from counterpoint.relations import Graph, Keyed, Weighted
from counterpoint.sphere import Dot, unit
from counterpoint.types import Columns, Context, Encoded, Facts, Match, Pairing, Relation, Rows, Score, State

__all__ = ["Parametric"]


class _Parametric(State):
    rows: Tensor
    label: Tensor
    sample: Tensor
    head: Tensor
    count: Tensor
    smooth: Tensor | None

    def __init__(self, facts: Facts, queue: int, smoothing: float) -> None:
        super().__init__()
        classes = facts.classes
        self.layer = nn.Linear(facts.width, classes)
        self.register_buffer("rows", nn.functional.normalize(torch.randn(queue, facts.projection), dim=1))
        self.register_buffer("label", torch.full((queue,), -1))
        self.register_buffer("sample", torch.full((queue,), -1))
        self.register_buffer("head", torch.zeros((), dtype=torch.int64))
        self.register_buffer("count", torch.ones(classes, dtype=torch.int64))
        share = torch.full((classes, classes), smoothing / (classes - 1)).fill_diagonal_(1 - smoothing)
        self.register_buffer("smooth", share if smoothing else None, persistent=False)

    @property
    def queued(self) -> Rows:
        """Who is in the queue: of earlier batches, hence nobody's self."""
        past = torch.full_like(self.sample, -1)
        return Rows(self.sample, past, torch.ones_like(past), self.label)

    @torch.no_grad()
    def after_step(self, model: nn.Module, context: Context, online: Encoded, keys: Encoded) -> None:
        last = keys.rows.view == keys.rows.view.max()
        who = context.comm.gather_rows(keys.rows.where(last))
        self.count += torch.bincount(who.label[who.label >= 0], minlength=len(self.count))
        size = len(self.rows)
        if not size:
            return
        new = context.comm.gather(keys.z[last]).to(self.rows.dtype)[-size:]
        at = taken(self.head, len(new), size)
        self.rows[at], self.label[at], self.sample[at] = new, who.label[-size:], who.sample[-size:]


@dataclass(frozen=True)
class Parametric:
    r"""Each anchor is compared with one learned centre per class, with all features of the batch, and with a queue.

    Centres are scored against h, features against the projection, all under one softmax. Towards its class' centre an
    anchor is drawn with weight beta, towards each related feature with weight alpha:

        L_i = -(beta log p(centre of y_i) + alpha sum_j log p(j)) / (beta + alpha n_i),   j over the n_i related to i

    so that a class without many examples in sight is held by its centre. The queue holds keys of earlier steps with
    their labels, is the same on every rank, and takes the step's keys after the step.

    Source: Cui et al. 2021 (PaCo), arXiv:2107.12028, section 3; Cui et al. 2023 (GPaCo), arXiv:2209.12400; weights,
    smoothing and gamma as in their released code. Deviation: a place of the queue that was not filled yet repels and
    attracts nobody, where the code draws it a label.

    Args:
        alpha: >= 0, weight of each related feature.
        beta: > 0, weight of the own class' centre.
        gamma: >= 0, of the features' exponentials in the denominator; 0 leaves features and queue out.
        queue: keys kept; 0: none.
        smoothing: share of beta that goes to the centres of other classes, evenly; in [0, 1).
        long_tailed: add the logarithm of each class' frequency to the logit of its centre (logit adjustment).
            Frequencies are counted as training goes, all alike at first.
        normalised: bring h to length one before it meets the centres.
        scale: of the centres' logits before the objective divides them by its temperature: give that temperature, and
            they are those of a linear classifier.

    See also: `Centres`, which is alpha = gamma = 0: cross-entropy.
    """

    alpha: float = 0.01
    beta: float = 1.0
    gamma: float = 1.0
    queue: int = 1024
    smoothing: float = 0.0
    long_tailed: bool = False
    normalised: bool = False
    scale: float = 0.07

    def __post_init__(self) -> None:
        if self.alpha < 0 or self.gamma < 0 or self.queue < 0:
            raise RecipeError(
                f"Parametric(alpha={self.alpha}, gamma={self.gamma}, queue={self.queue}): give numbers of 0 or more"
            )
        if not (self.beta > 0 and self.scale > 0):
            raise RecipeError(f"Parametric(beta={self.beta}, scale={self.scale}): give numbers above 0")
        if not 0 <= self.smoothing < 1:
            raise RecipeError(f"Parametric(smoothing={self.smoothing}): give a share in [0, 1)")

    def build(self, facts: Facts) -> State | None:
        """A linear layer from h to the classes, a queue of random directions, and a count of each class."""
        if facts.classes < 2:
            raise RecipeError(
                f"learned centres need labels of at least two classes, but source {facts.source!r} has "
                f"{facts.classes}; use simclr, or give --labels FILE.csv"
            )
        return _Parametric(facts, self.queue if self.gamma else 0, self.smoothing)

    def match(
        self, online: Encoded, keys: Encoded, pairing: Pairing, score: Score, state: State | None, context: Context
    ) -> list[Match]:
        """One match: every row of the network is an anchor."""
        owned, comm = cast(_Parametric, state), context.comm
        columns = [self._centres(online, owned)]

        def features(rows: Tensor, who: Rows) -> Columns:
            relation = pairing.relation(online.rows, who)
            return Columns(rows, Weighted(relation, self.alpha, math.log(self.gamma)), score)

        if self.gamma:
            columns.append(features(comm.gather(online.z), comm.gather_rows(online.rows)))
            if keys is not online:
                columns.append(features(comm.gather(keys.z.detach()), comm.gather_rows(keys.rows)))
            if self.queue:
                columns.append(features(owned.rows, owned.queued))
        return [Match(online.query, tuple(columns))]

    def _centres(self, online: Encoded, owned: _Parametric) -> Columns:
        layer, label = owned.layer, online.rows.label
        h = unit(online.h) if self.normalised else online.h
        bias = layer.bias
        if self.long_tailed:
            bias = bias + (owned.count / owned.count.sum()).log().to(bias.dtype)
        classes = torch.arange(len(bias), device=bias.device)
        relation: Relation = Keyed(label, classes, weight=self.beta)
        if owned.smooth is not None:
            relation = Graph(owned.smooth * self.beta, label, classes)
        rows = torch.cat([layer.weight, bias[:, None]], 1)
        return Columns(rows, relation, Dot(self.scale), torch.cat([h, torch.ones_like(h[:, :1])], 1))

    def seen(self, global_batch: int, views: int) -> int:
        """All views of all other images, and the queue."""
        return (global_batch - 1) * views + self.queue if self.gamma else 0
