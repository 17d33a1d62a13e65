"""Each pair of classes is compared in a subspace of its own, which is learned."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import cast

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from counterpoint.class_rows import class_rows
from counterpoint.errors import RecipeError
from counterpoint.negatives.in_batch import InBatch
from counterpoint.relations import OfPairs
from counterpoint.sphere import Cosine, GatedCosine, gated, gated_query
from counterpoint.types import (
    Columns,
    Context,
    Encoded,
    Facts,
    Match,
    Negatives,
    Pairing,
    Score,
    State,
)

__all__ = ["Gated", "Gates"]


# A prime above every number of pairs in a batch, and a number that mixes their order.
_PRIME, _TURN = 2**31 - 1, 1_103_515_245


class _OfPairs(nn.BatchNorm1d):
    """Every rank feeds it the pairs of the whole batch, so that it has nothing to exchange."""

    per_rank = True


class Gates(State):
    """g(y1, y2) = sigmoid(f((e(y1) + e(y2)) / 2)): for a pair of classes a gate in (0, 1) for each coordinate of z.

    f is BatchNorm, ReLU, linear, BatchNorm, ReLU, linear. Nobody's moving average copies it.

    Source: Wu et al. 2024 (SimLAP), table 5c.

    Args:
        classes: number of classes.
        embedding: width of e, which is learned.
        hidden: width between the linear layers.
        dim: coordinates of z.
        side: e of each class, in place of one that is learned; None: learned.
    """

    table: Tensor

    def __init__(
        self,
        classes: int,
        embedding: int,
        hidden: int,
        dim: int,
        side: Float[Tensor, "class width"] | None = None,
    ) -> None:
        super().__init__()
        if side is None:
            self.table = nn.Parameter(torch.randn(classes, embedding))
        else:
            self.register_buffer("table", side)
            embedding = side.shape[1]
        self.filter = nn.Sequential(
            _OfPairs(embedding),
            nn.ReLU(),
            nn.Linear(embedding, hidden),
            _OfPairs(hidden),
            nn.ReLU(),
            nn.Linear(hidden, dim),
            nn.Sigmoid(),
        )

    @property
    def classes(self) -> int:
        """How many have a gate."""
        return len(self.table)

    @property
    def width(self) -> int:
        """Coordinates of a gate."""
        return cast(nn.Linear, self.filter[5]).out_features

    def gate(self, first: Int64[Tensor, " pair"], second: Int64[Tensor, " pair"]) -> Float[Tensor, "pair dim"]:
        """The gates of pairs of classes, which may come in either order; of a class alone, as a pair with itself.

        In training BatchNorm sees the pairs as they are given: give each once.
        """
        met = (self.table[first] + self.table[second]) / 2
        if self.training and len(met) == 1:  # BatchNorm refuses a single row, whose variance is 0
            return self.filter(met.repeat(2, 1))[:1]
        return self.filter(met)


@dataclass(frozen=True)
class Gated:
    """The matches of an inner part, each anchor compared with its candidates under the gate of its pair of classes.

    The pairing says which two classes an anchor stands for: `ArbitraryPairs`, `DisjointPairs`. The score of an anchor u
    and a candidate v is cos(g u, g v) with the anchor's gate g on both sides, exactly, in memory linear in the rows, as
    the gate is folded into the anchor (`GatedCosine`). Anchors come out in the order of their pairs; those without a
    pair are left out. The filter is given each pair of the global batch once.

    Source: Wu et al. 2024 (SimLAP), equation 2 and table 5c; with `members`, algorithm 1.

    Args:
        inner: who is compared with whom; it owns nothing.
        embedding: width of a class' learned vector.
        hidden: width between the filter's two linear layers.
        side: a file with a row for each class (attributes, a text embedding; see `class_rows`), whose numbers take the
            place of the learned vectors; None: learned.
        classes: hand the gates of all classes to the objective, which may have a term in them; the filter is then given
            each class' pair with itself too.
        members: each row under the gate of its own pair, in place of all under the anchor's.
    """

    inner: Negatives = field(default_factory=InBatch)
    embedding: int = 512
    hidden: int = 1024
    side: str | None = None
    classes: bool = False
    members: bool = False

    def __post_init__(self) -> None:
        if min(self.embedding, self.hidden) < 1:
            raise RecipeError(f"Gated(embedding={self.embedding}, hidden={self.hidden}): give widths of 1 or more")

    def build(self, facts: Facts) -> State | None:
        """The vectors of the classes, and the filter."""
        if facts.classes < 2:
            raise RecipeError(
                f"gates need labels of at least two classes, but source {facts.source!r} has {facts.classes}; use "
                "simclr, give --labels FILE.csv, or have labels made by --labels-from RUN"
            )
        if self.inner.build(facts) is not None:
            raise RecipeError(
                f"Gated cannot take {type(self.inner).__name__}, which keeps rows of earlier steps; take InBatch or "
                "AcrossViews, whose rows are the batch's"
            )
        side = None if self.side is None else class_rows(self.side, facts.classes).float()
        return Gates(facts.classes, self.embedding, self.hidden, facts.projection, side)

    def match(
        self, online: Encoded, keys: Encoded, pairing: Pairing, score: Score, state: State | None, context: Context
    ) -> list[Match]:
        """The inner part's matches under gates."""
        if score != Cosine():
            raise RecipeError(f"gates make a cosine one of a subspace, but the score is {score!r}; take Cosine()")
        gates = cast(Gates, state)
        if self.members:
            return self._members(online, keys, pairing, score, gates, context)
        matches = self.inner.match(online, keys, pairing, score, None, context)
        if any(group.query is not None or group.rows.ndim == 3 for match in matches for group in match.columns):
            raise RecipeError(
                f"Gated cannot take {type(self.inner).__name__}, whose candidates are an anchor's own or meet another "
                "row of it; take InBatch or AcrossViews"
            )
        pairs = [_pairs(match) for match in matches]
        found, places, of_all = self._found(gates, pairs, context)
        squares = found.square()
        made: list[Match] = []
        for match, pair, place in zip(matches, pairs, places, strict=True):
            # Those of one gate together, and among them those that see the same candidates; which pair comes first says
            # nothing, so that whoever looks at the first anchors alone sees pairs of any classes.
            turned = place * _TURN % _PRIME
            order = torch.where(place < 0, -1, 2 * turned + (pair[0] > pair[1])).argsort(stable=True)
            order = order[(place < 0).sum() :]
            chosen = place[order]
            query = gated_query(match.query.index_select(0, order), squares.index_select(0, chosen), chosen)
            groups = tuple(
                Columns(gated(group.rows), cast(OfPairs, group.relation).of(order), GatedCosine())
                for group in match.columns
            )
            made.append(Match(query, groups, match.weight, of_all, len(place) - len(order)))
        return made

    def _members(
        self, online: Encoded, keys: Encoded, pairing: Pairing, score: Score, gates: Gates, context: Context
    ) -> list[Match]:
        if keys is not online:
            raise RecipeError("Gated(members=true) gates each row by itself, so that the anchors are the candidates")
        own = pairing.relation(online.rows, context.comm.gather_rows(online.rows))
        found, (place,), of_all = self._found(gates, [_classes(own)], context)
        # Without a pair, as it is: it only repels.
        every = torch.cat([found, found.new_ones(1, found.shape[1])])
        gate = every.index_select(0, torch.where(place < 0, len(found), place))
        each = replace(online, z=online.z * gate, p=None if online.p is None else online.p * gate)
        matches = self.inner.match(each, each, pairing, score, None, context)
        return [replace(match, gates=of_all) for match in matches]

    def _found(
        self, gates: Gates, pairs: Sequence[tuple[Tensor, Tensor]], context: Context
    ) -> tuple[Float[Tensor, "pair dim"], list[Int64[Tensor, " anchor"]], Float[Tensor, "class dim"] | None]:
        """The gates of all pairs that stand in any match on any rank; which is each anchor's; those of the classes."""
        count = gates.classes
        largest = max((int(label.max()) for pair in pairs for label in pair if len(label)), default=-1)
        if largest >= count:
            raise RecipeError(
                f"there are gates of {count} classes, but a row has the label {largest}; give labels from 0 to "
                f"{count - 1}"
            )
        codes = [_code(*pair, count) for pair in pairs]
        own = torch.arange(count, device=gates.table.device) if self.classes else None
        everyone = context.comm.gather(torch.cat(codes))
        unique = (
            everyone[everyone >= 0] if own is None else torch.cat([everyone[everyone >= 0], _code(own, own, count)])
        )
        unique = unique.unique()
        if not len(unique):
            return gates.table.new_zeros(0, gates.width), codes, None
        found = gates.gate(unique // count, unique % count)
        places = [torch.where(code < 0, -1, torch.searchsorted(unique, code.clamp_min(0))) for code in codes]
        of_all = None if own is None else found.index_select(0, torch.searchsorted(unique, _code(own, own, count)))
        return found, places, of_all

    def seen(self, global_batch: int, views: int) -> int | None:
        """The inner part's, at most: those of an anchor's two classes are no negatives."""
        return self.inner.seen(global_batch, views)


def _code(first: Tensor, second: Tensor, classes: int) -> Int64[Tensor, " anchor"]:
    """A number for an unordered pair; -1 without one."""
    code = torch.minimum(first, second) * classes + torch.maximum(first, second)
    return torch.where((first < 0) | (second < 0), -1, code)


def _pairs(match: Match) -> tuple[Int64[Tensor, " anchor"], Int64[Tensor, " anchor"]]:
    """The pair of each anchor, which all groups of columns must agree on."""
    first, *rest = (_classes(group.relation) for group in match.columns)
    if not all(torch.equal(first[1], other[1]) for other in rest):
        raise RecipeError(
            "an anchor has another pair of classes in each of its groups of candidates, and a gate is of one pair; "
            "take views whose batches have the same labels"
        )
    return first


def _classes(relation: object) -> tuple[Int64[Tensor, " anchor"], Int64[Tensor, " anchor"]]:
    if not isinstance(relation, OfPairs):
        raise RecipeError(
            f"a gate is of a pair of classes, and {type(relation).__name__} names none; take "
            "pairing=counterpoint.pairing:ArbitraryPairs"
        )
    return relation.own, relation.partner
