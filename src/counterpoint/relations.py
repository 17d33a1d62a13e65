"""Relations: who attracts whom, and who stands in whose denominator.

Each is a rule that answers block by block and holds tensors linear in the rows (`Explicit` apart). Who draws pairs and
who computes a loss both speak of relations, so they live beside `types`, below every stage.

A slice given to `block` always has both ends.

Some rules can also answer as a whole, in time linear in the rows (`Summed`); what they answer is the same.
"""

from dataclasses import dataclass, replace
from typing import Protocol, cast, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from counterpoint.errors import ShapeError
from counterpoint.types import Block, Relation

__all__ = [
    "Aligned",
    "Explicit",
    "Graph",
    "Indexed",
    "Keyed",
    "Listed",
    "Mated",
    "OfPairs",
    "Partnered",
    "Related",
    "Summed",
    "Unrelated",
    "Weighted",
    "meetings",
]

Pairs = tuple[Int64[Tensor, " pair"], Int64[Tensor, " pair"]]
Others = tuple[Int64[Tensor, " other"], Int64[Tensor, " other"]]


@runtime_checkable
class Summed(Relation, Protocol):
    """A relation that can say as a whole what its blocks say one by one: an objective then reads no block."""

    def excluded(self, anchors: int, candidates: int) -> Pairs | None:
        """The pairs that take no part, in the order of their anchors, where they are few and all other priors are 0.

        None where that isn't so: the blocks have to be read.
        """
        ...

    def attracted(
        self, rows: Float[Tensor, "candidate dim"], anchors: int, excluded: Pairs
    ) -> tuple[Float[Tensor, "anchor dim"], Float[Tensor, " anchor"]]:
        """The product target @ rows, differentiable, and the sum of each anchor's targets."""
        ...


@runtime_checkable
class Listed(Relation, Protocol):
    """A relation that can list the few that attract and the few that take no part; all other priors are 0."""

    def listed(self, anchors: slice, candidates: slice) -> tuple[Pairs, Others]:
        """Who attracts, each with weight 1, and who takes no part; a pair that is in both takes no part."""
        ...


@runtime_checkable
class OfPairs(Relation, Protocol):
    """A relation whose anchors each stand for a pair of classes: their own, and that of whom they are drawn to."""

    @property
    def own(self) -> Int64[Tensor, " anchor"]:
        """Class of each anchor; negative: unknown."""
        ...

    @property
    def partner(self) -> Int64[Tensor, " anchor"]:
        """The other class; negative: none."""
        ...

    def of(self, anchors: Int64[Tensor, " kept"]) -> Relation:
        """That of some anchors, in another order."""
        ...


@dataclass(frozen=True, eq=False)
class Keyed:
    """Rows with one key attract each other: the instance (SimCLR), the class (SupCon), a video (VINCE).

    Negative keys are unknown and attract nobody; they still repel.

    Args:
        anchor_key, candidate_key: what is compared.
        anchor_self, candidate_self: a candidate takes no part for an anchor with an equal, non-negative mark. Numbers
            of rows keep a row from itself; numbers of views keep a view from itself (MoCo v3). None: all take part.
        weight: > 0, of every positive.
        log_prior: of each candidate in the denominator; None is 0.

    Example:
        >>> pair = torch.tensor([0, 1, 0, 1])
        >>> Keyed(pair, pair, torch.arange(4), torch.arange(4)).block(slice(0, 2), slice(0, 4)).target
        tensor([[0., 0., 1., 0.],
                [0., 0., 0., 1.]])
    """

    anchor_key: Int64[Tensor, " anchor"]
    candidate_key: Int64[Tensor, " candidate"]
    anchor_self: Int64[Tensor, " anchor"] | None = None
    candidate_self: Int64[Tensor, " candidate"] | None = None
    weight: float = 1.0
    log_prior: Float[Tensor, " candidate"] | None = None

    def block(self, anchors: slice, candidates: slice) -> Block:
        """The target and the prior of these anchors and candidates."""
        same = _equal(self.anchor_key, self.candidate_key, anchors, candidates)
        out = _own(self.anchor_self, self.candidate_self, anchors, candidates)
        target = prior = zeros = _zeros(anchors, candidates, self.anchor_key.device)
        if self.log_prior is not None:
            prior = self.log_prior[candidates].expand_as(zeros)
        if out is not None:
            prior = prior.masked_fill(out, -torch.inf)
        if same is not None:
            target = (same if out is None else same & ~out) * self.weight
        return Block(target, prior)

    def excluded(self, anchors: int, candidates: int) -> Pairs | None:
        """Each row itself, where the marks are numbers of rows."""
        if self.log_prior is not None:
            return None
        if self.anchor_self is None or self.candidate_self is None:
            return _nobody(self.anchor_key.device)
        return _meetings(self.anchor_self, self.candidate_self)

    def attracted(
        self, rows: Float[Tensor, "candidate dim"], anchors: int, excluded: Pairs
    ) -> tuple[Float[Tensor, "anchor dim"], Float[Tensor, " anchor"]]:
        """The sum over an anchor's key, less what is excluded."""
        keys, key = torch.unique(self.candidate_key, return_inverse=True)
        if not len(keys):
            return rows.new_zeros(anchors, rows.shape[1]), rows.new_zeros(anchors)
        own = torch.searchsorted(keys, self.anchor_key).clamp_max(len(keys) - 1)
        found = (keys[own] == self.anchor_key) & (self.anchor_key >= 0)
        size = rows.new_zeros(len(keys)).index_add(0, key, rows.new_ones(len(rows)))
        total = rows.new_zeros(len(keys), rows.shape[1]).index_add(0, key, rows).index_select(0, own)
        mass = size[own]
        left, right = excluded
        if len(left):
            related = self.anchor_key[left] == self.candidate_key[right]
            left, right = left[related], right[related]
            if len(left) == len(rows) == anchors and torch.equal(left, right):
                # Every row itself; a copy of all rows less in memory.
                total, mass = total - rows, mass - 1
            else:
                total = total.index_add(0, left, rows.index_select(0, right), alpha=-1)
                mass = mass.index_add(0, left, rows.new_ones(len(left)), alpha=-1)
        weight = torch.where(found, self.weight, 0.0).to(rows.dtype)
        return total * weight[:, None], mass * weight


@dataclass(frozen=True, eq=False)
class Graph:
    """Rows attract each other by the weight of an edge between their keys: soft similarities of classes or of samples.

    Source: Sobal et al. 2024 (X-CLR), with weight = exp(similarity / graph temperature); its normalisation cancels.

    Args:
        weight: >= 0, of an edge from an anchor's key to a candidate's.
        anchor_key, candidate_key: indices into weight; negative is unknown and attracts nobody.
        anchor_self, candidate_self: as in `Keyed`.
    """

    weight: Float[Tensor, "node node"]
    anchor_key: Int64[Tensor, " anchor"]
    candidate_key: Int64[Tensor, " candidate"]
    anchor_self: Int64[Tensor, " anchor"] | None = None
    candidate_self: Int64[Tensor, " candidate"] | None = None

    def block(self, anchors: slice, candidates: slice) -> Block:
        """The target and the prior of these anchors and candidates."""
        head, tail = self.anchor_key[anchors], self.candidate_key[candidates]
        known = (head >= 0)[:, None] & (tail >= 0)
        target = self.weight[head.clamp_min(0)][:, tail.clamp_min(0)] * known
        prior = _zeros(anchors, candidates, target.device)
        out = _own(self.anchor_self, self.candidate_self, anchors, candidates)
        if out is not None:
            target, prior = target.masked_fill(out, 0.0), prior.masked_fill(out, -torch.inf)
        return Block(target, prior)

    def excluded(self, anchors: int, candidates: int) -> Pairs | None:
        """Each row itself, where the marks are numbers of rows."""
        if self.anchor_self is None or self.candidate_self is None:
            return _nobody(self.anchor_key.device)
        return _meetings(self.anchor_self, self.candidate_self)

    def attracted(
        self, rows: Float[Tensor, "candidate dim"], anchors: int, excluded: Pairs
    ) -> tuple[Float[Tensor, "anchor dim"], Float[Tensor, " anchor"]]:
        """The sums over each key, weighted by the edges of the anchor's, less what is excluded."""
        # In float64: a row's edge to itself may be all but the whole of what is then left of the sum.
        weight, exact = self.weight.double(), rows.double()
        tail, known = self.candidate_key.clamp_min(0), (self.candidate_key >= 0).double()
        count = exact.new_zeros(len(weight)).index_add(0, tail, known)
        total = weight @ exact.new_zeros(len(weight), rows.shape[1]).index_add(0, tail, exact * known[:, None])
        # An anchor of unknown key is one more row, of zeros.
        head = torch.where(self.anchor_key >= 0, self.anchor_key, len(weight))
        found = nn.functional.pad(total, (0, 0, 0, 1)).index_select(0, head)
        mass = nn.functional.pad(weight @ count, (0, 1))[head]
        left, right = excluded
        both = (self.anchor_key[left] >= 0) & (self.candidate_key[right] >= 0)
        left, right = left[both], right[both]
        if len(left):
            edge = weight[self.anchor_key[left], self.candidate_key[right]]
            found = found.index_add(0, left, exact.index_select(0, right) * edge[:, None], alpha=-1)
            mass = mass.index_add(0, left, edge, alpha=-1)
        return found.to(rows.dtype), mass.to(rows.dtype)


@dataclass(frozen=True, eq=False)
class Weighted:
    """Another relation, with all of its attraction multiplied and all of its priors moved by a number.

    Of use where groups of columns share one denominator and count differently: PaCo's features beside its centres.

    Args:
        relation: that of which all else is taken.
        weight: >= 0, times each target.
        log_prior: added to each log prior; log of the weight of its exponentials in the denominator.
    """

    relation: Relation
    weight: float = 1.0
    log_prior: float = 0.0

    def block(self, anchors: slice, candidates: slice) -> Block:
        """The target and the prior of these anchors and candidates."""
        block = self.relation.block(anchors, candidates)
        return Block(block.target * self.weight, block.log_prior + self.log_prior)

    def excluded(self, anchors: int, candidates: int) -> Pairs | None:
        """As the relation itself, where no prior is moved."""
        if self.log_prior or not isinstance(self.relation, Summed):
            return None
        return self.relation.excluded(anchors, candidates)

    def attracted(
        self, rows: Float[Tensor, "candidate dim"], anchors: int, excluded: Pairs
    ) -> tuple[Float[Tensor, "anchor dim"], Float[Tensor, " anchor"]]:
        """A multiple of the relation's own."""
        total, mass = cast(Summed, self.relation).attracted(rows, anchors, excluded)
        return total * self.weight, mass * self.weight


@dataclass(frozen=True, eq=False)
class Explicit:
    """Two matrices, given: for a relation that no rule describes, and for tests.

    Args:
        target: >= 0; counts only where the prior is above -inf.
        log_prior: None is 0.
    """

    target: Float[Tensor, "anchor candidate"]
    log_prior: Float[Tensor, "left right"] | None = None

    def __post_init__(self) -> None:
        if self.log_prior is not None and self.log_prior.shape != self.target.shape:
            raise ShapeError(
                f"the targets of a relation are {list(self.target.shape)}, but its log priors are "
                f"{list(self.log_prior.shape)}; both must be [anchor, candidate]"
            )

    def block(self, anchors: slice, candidates: slice) -> Block:
        """The target and the prior of these anchors and candidates."""
        target = self.target[anchors, candidates]
        if self.log_prior is None:
            return Block(target, _zeros(anchors, candidates, target.device))
        prior = self.log_prior[anchors, candidates]
        return Block(target.masked_fill(prior == -torch.inf, 0.0), prior)


@dataclass(frozen=True)
class Aligned:
    """Anchor i is attracted by column i + offset alone.

    Args:
        offset: the column of the first anchor (this rank's first row among gathered keys).
        alone: the other columns take no part; else they repel.
        device: of the blocks.
    """

    offset: int = 0
    alone: bool = False
    device: torch.device | str = "cpu"

    def block(self, anchors: slice, candidates: slice) -> Block:
        """The target and the prior of these anchors and candidates."""
        row = torch.arange(anchors.start, anchors.stop, device=self.device) + self.offset
        twin = row[:, None] == torch.arange(candidates.start, candidates.stop, device=self.device)
        prior = _zeros(anchors, candidates, twin.device)
        return Block(twin.float(), prior.masked_fill(~twin, -torch.inf) if self.alone else prior)

    def excluded(self, anchors: int, candidates: int) -> Pairs | None:
        """Nobody, unless an anchor and its column are alone."""
        inside = self.offset >= 0 and self.offset + anchors <= candidates
        return _nobody(self.device) if inside and not self.alone else None

    def attracted(
        self, rows: Float[Tensor, "candidate dim"], anchors: int, excluded: Pairs
    ) -> tuple[Float[Tensor, "anchor dim"], Float[Tensor, " anchor"]]:
        """Each anchor's column."""
        return rows[self.offset : self.offset + anchors], rows.new_ones(anchors)


@dataclass(frozen=True, eq=False)
class Indexed:
    """Anchor i is attracted by column index[i] alone; the other columns repel.

    An image and its row in a bank, its learned centre, or the target that it was given.

    Args:
        index: a column for each anchor; negative: none.
    """

    index: Int64[Tensor, " anchor"]

    def block(self, anchors: slice, candidates: slice) -> Block:
        """The target and the prior of these anchors and candidates."""
        prior = _zeros(anchors, candidates, self.index.device)
        columns = torch.arange(candidates.start, candidates.stop, device=self.index.device)
        same = _equal(self.index, columns, anchors, slice(None))
        return Block(prior if same is None else same.float(), prior)

    def excluded(self, anchors: int, candidates: int) -> Pairs | None:
        """Nobody."""
        return _nobody(self.index.device)

    def attracted(
        self, rows: Float[Tensor, "candidate dim"], anchors: int, excluded: Pairs
    ) -> tuple[Float[Tensor, "anchor dim"], Float[Tensor, " anchor"]]:
        """Each anchor's column."""
        known = self.index >= 0
        found = rows.index_select(0, self.index.clamp_min(0))
        return torch.where(known[:, None], found, 0.0), known.to(rows.dtype)


@dataclass(frozen=True, eq=False)
class Partnered:
    """An anchor is attracted by the candidates of a second class, and repelled by those of neither.

    Candidates of its own class take no part, unless the second class is its own: then they attract. A candidate of
    unknown class repels; an anchor of unknown class, or without a second one, is attracted by nobody.

    Source: Wu et al. 2024 (SimLAP), equation 2.

    Args:
        own, partner: the two classes of each anchor; negative: unknown, none.
        candidate: the class of each candidate; negative: unknown.
        anchor_self, candidate_self: as in `Keyed`.
    """

    own: Int64[Tensor, " anchor"]
    partner: Int64[Tensor, " anchor"]
    candidate: Int64[Tensor, " candidate"]
    anchor_self: Int64[Tensor, " anchor"]
    candidate_self: Int64[Tensor, " candidate"]

    def block(self, anchors: slice, candidates: slice) -> Block:
        """The target and the prior of these anchors and candidates."""
        size = anchors.stop - anchors.start, candidates.stop - candidates.start
        target, prior = (torch.zeros(size, device=self.own.device) for _ in range(2))
        attracted, out = self.listed(anchors, candidates)
        target[attracted] = 1.0
        target[out], prior[out] = 0.0, -torch.inf
        return Block(target, prior)

    def listed(self, anchors: slice, candidates: slice) -> tuple[Pairs, Others]:
        """The candidates of the second class; those of the own class, if it is another, and the anchor itself."""
        own, partner, theirs = self.own[anchors], self.partner[anchors], self.candidate[candidates]
        both = torch.cat([partner, torch.where(own == partner, -1, own)])
        left, right = meetings(both, theirs)  # sorted once for the two
        ends = int((left < len(own)).sum())
        itself = meetings(self.anchor_self[anchors], self.candidate_self[candidates])
        aside = torch.cat([left[ends:] - len(own), itself[0]]), torch.cat([right[ends:], itself[1]])
        return (left[:ends], right[:ends]), aside

    def of(self, anchors: Int64[Tensor, " kept"]) -> "Partnered":
        """That of some anchors, in another order."""
        own, partner, marks = self.own[anchors], self.partner[anchors], self.anchor_self[anchors]
        return replace(self, own=own, partner=partner, anchor_self=marks)


@dataclass(frozen=True, eq=False)
class Mated(Indexed):
    """As `Indexed`: the one column is the anchor's mate; with the classes of both.

    Args:
        own, partner: classes of each anchor and of its mate; negative: unknown, none.
    """

    own: Int64[Tensor, " anchor"]
    partner: Int64[Tensor, " anchor"]

    def of(self, anchors: Int64[Tensor, " kept"]) -> "Mated":
        """That of some anchors, in another order."""
        return Mated(self.index[anchors], self.own[anchors], self.partner[anchors])


@dataclass(frozen=True)
class Related:
    """Every column of the group attracts its anchor, such as the one private key of a MoCo query.

    Args:
        device: of the blocks.
    """

    device: torch.device | str = "cpu"

    def block(self, anchors: slice, candidates: slice) -> Block:
        """The target and the prior of these anchors and candidates."""
        zeros = _zeros(anchors, candidates, self.device)
        return Block(torch.ones((), device=self.device).expand_as(zeros), zeros)

    def excluded(self, anchors: int, candidates: int) -> Pairs | None:
        """Nobody."""
        return _nobody(self.device)

    def attracted(
        self, rows: Float[Tensor, "candidate dim"], anchors: int, excluded: Pairs
    ) -> tuple[Float[Tensor, "anchor dim"], Float[Tensor, " anchor"]]:
        """All columns."""
        return rows.sum(0).expand(anchors, -1), rows.new_full((anchors,), float(len(rows)))


@dataclass(frozen=True)
class Unrelated:
    """Every column of the group repels: a queue, mixed negatives.

    Args:
        device: of the blocks.
    """

    device: torch.device | str = "cpu"

    def block(self, anchors: slice, candidates: slice) -> Block:
        """The target and the prior of these anchors and candidates."""
        zeros = _zeros(anchors, candidates, self.device)
        return Block(zeros, zeros)

    def excluded(self, anchors: int, candidates: int) -> Pairs | None:
        """Nobody."""
        return _nobody(self.device)

    def attracted(
        self, rows: Float[Tensor, "candidate dim"], anchors: int, excluded: Pairs
    ) -> tuple[Float[Tensor, "anchor dim"], Float[Tensor, " anchor"]]:
        """No column."""
        return rows.new_zeros(anchors, rows.shape[1]), rows.new_zeros(anchors)


def _nobody(device: torch.device | str) -> Pairs:
    none = torch.zeros(0, dtype=torch.int64, device=device)
    return none, none


def meetings(left: Int64[Tensor, " anchor"], right: Int64[Tensor, " candidate"]) -> Pairs:
    """Anchor and candidate of every two marks that are equal and not negative, in the order of the anchors."""
    found = _meetings(left, right, None)
    assert found is not None
    return found


def _meetings(left: Int64[Tensor, " anchor"], right: Int64[Tensor, " candidate"], most: int | None = 2) -> Pairs | None:
    """None where an anchor meets more than so many, on average: a row meets itself, and that is few."""
    order = right.argsort()
    ordered = right[order]
    first = torch.searchsorted(ordered, left)
    count = torch.searchsorted(ordered, left, right=True) - first
    count = torch.where(left < 0, 0, count)
    total = int(count.sum())
    if most is not None and total > most * len(left):
        return None
    anchor = torch.repeat_interleave(count, output_size=total)
    at = (first + count - count.cumsum(0)).index_select(0, anchor).add_(torch.arange(total, device=left.device))
    return anchor, order.index_select(0, at)


def _zeros(anchors: slice, candidates: slice, device: torch.device | str) -> Float[Tensor, "anchor candidate"]:
    # One number in memory, whatever the size.
    return torch.zeros((), device=device).expand(anchors.stop - anchors.start, candidates.stop - candidates.start)


def _equal(
    left: Int64[Tensor, " anchor"], right: Int64[Tensor, " candidate"], anchors: slice, candidates: slice
) -> Bool[Tensor, "rows columns"] | None:
    """Where two keys are equal and known; None where none is, which most tiles of an instance relation are."""
    heads, tails = left[anchors].clamp_min(-1), right[candidates]
    tails = torch.where(tails < 0, -2, tails)
    # A GPU would wait for the answer longer than the comparison takes it.
    if not heads.is_cuda and not torch.isin(heads, tails).any():
        return None
    return heads[:, None] == tails


def _own(
    left: Int64[Tensor, " anchor"] | None, right: Int64[Tensor, " candidate"] | None, anchors: slice, candidates: slice
) -> Bool[Tensor, "rows columns"] | None:
    return None if left is None or right is None else _equal(left, right, anchors, candidates)
