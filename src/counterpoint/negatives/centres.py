"""Learned centres, one for each class."""

from dataclasses import dataclass
from typing import cast

import torch
from torch import nn

from counterpoint.errors import RecipeError
from counterpoint.relations import Keyed
from counterpoint.types import Columns, Context, Encoded, Facts, Match, Pairing, Score, State

__all__ = ["Centres"]


class _Centres(State):
    def __init__(self, classes: int, width: int) -> None:
        super().__init__()
        self.layer = nn.Linear(width, classes)


@dataclass(frozen=True)
class Centres:
    """Each representation is compared with one learned centre per class: with `Dot` scores, softmax cross-entropy.

    The bias stands as one more coordinate of the centre, where every anchor holds a one.
    """

    def build(self, facts: Facts) -> State | None:
        """A linear layer from the representation to the classes."""
        if facts.classes < 2:
            raise RecipeError(
                f"learned centres need labels of at least two classes, but source {facts.source!r} has "
                f"{facts.classes}; use simclr, or give --labels FILE.csv"
            )
        return _Centres(facts.classes, facts.width)

    def match(
        self, online: Encoded, keys: Encoded, pairing: Pairing, score: Score, state: State | None, context: Context
    ) -> list[Match]:
        """One match, of h with the centres."""
        layer = cast(_Centres, state).layer
        query = torch.cat([online.h, torch.ones_like(online.h[:, :1])], 1)
        rows = torch.cat([layer.weight, layer.bias[:, None]], 1)
        classes = torch.arange(len(rows), device=rows.device)
        relation = Keyed(online.rows.label, classes)
        return [Match(query, (Columns(rows, relation, score),))]

    def seen(self, global_batch: int, views: int) -> int:
        """None of the batch: an anchor is compared with centres only."""
        return 0
