"""Any two classes may be a pair: each anchor is drawn to the images of a class that is drawn for it."""

from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from counterpoint.errors import RecipeError, ShapeError
from counterpoint.pairing._marks import marks
from counterpoint.random import Stream, Streams
from counterpoint.relations import Partnered
from counterpoint.types import Rows

__all__ = ["ArbitraryPairs"]

# Of a lot, the low bits say whether the partner is the own class, the others which image's class it is.
_LOW = 20


@dataclass(frozen=True)
class ArbitraryPairs:
    """Each anchor gets a second label, that of another row among its candidates; rows of this class attract it.

    Rows of neither class repel; rows of its own class, where that is another, take no part. Every row but the anchor is
    as likely to give its label, so that a class which has nobody but the anchor is never drawn. A row of unknown label
    is no anchor, attracts nobody and gives no label. Only lots are drawn before the rows meet: the same labels come out
    on any number of ranks.

    Source: Wu et al. 2024 (SimLAP; earlier versions say UCL and Hydra), equation 2. That every anchor has a draw of its
    own, not a batch one for all, is our reading; so is that the N closest classes come beside the own one.

    Args:
        own: share of the anchors whose second label is their own, whatever the batch holds, in [0, 1]; 1: pairs within
            a class, or within an instance where labels number the images.
        pairs: share of the unordered pairs of classes, equal ones among them, that may be drawn at all, in (0, 1].
        classes: how many there are, where `pairs` is below 1 or `nearest` is given.
        nearest: second labels come from the own class and so many nearest; 0: the own alone; None: from any.
        ranking: of each class all others, the nearest first.
        seed: of the pairs that may be drawn.

    See also: `DisjointPairs`, the form of the paper's algorithm 1; `negatives.Gated`, which compares a pair of classes
    in a subspace of its own.
    """

    own: float = 0.0
    pairs: float = 1.0
    classes: int = 0
    nearest: int | None = None
    ranking: tuple[tuple[int, ...], ...] = ()
    seed: int = 0
    needs_labels = True

    def __post_init__(self) -> None:
        if not (0 <= self.own <= 1 and 0 < self.pairs <= 1):
            raise RecipeError(
                f"ArbitraryPairs(own={self.own}, pairs={self.pairs}): give a share of own pairs in [0, 1], and of all "
                "pairs in (0, 1]"
            )
        if self.pairs < 1 and self.classes < 1:
            raise RecipeError(f"ArbitraryPairs(pairs={self.pairs}): also say of how many classes")
        if self.nearest is None:
            return
        rest = [sorted((*others, own)) for own, others in enumerate(self.ranking)]
        if not 0 <= self.nearest < self.classes or rest != [list(range(self.classes))] * self.classes:
            raise RecipeError(
                f"ArbitraryPairs(nearest={self.nearest}) of {self.classes} classes: give fewer than there are, and a "
                "ranking that names for each class all others once, the nearest first"
            )

    def draw(self, rows: Rows, stream: Stream) -> Rows:
        """A lot for each row."""
        views = len(rows) // max(1, int((rows.view == 0).sum()))
        lots = stream.integers(0, 1 << 62, len(rows) // views, views).to(rows.position.device)
        return replace(rows, partner=lots.T.flatten())

    def relation(self, anchors: Rows, candidates: Rows) -> Partnered:
        """Who attracts, by the labels that the lots fall on."""
        ours, theirs = marks(anchors, False), marks(candidates, False)
        among = ours >= 0 if torch.equal(ours, theirs) else torch.isin(ours, theirs) & (ours >= 0)
        partner = self._partner(anchors, candidates, among)
        return Partnered(anchors.label, partner, candidates.label, ours, theirs)

    def _partner(self, anchors: Rows, candidates: Rows, among: Bool[Tensor, " anchor"]) -> Int64[Tensor, " anchor"]:
        """The second label; -1 for none. `among`: the anchor itself is a candidate, which is passed over."""
        if anchors.partner is None:
            raise ShapeError("ArbitraryPairs has drawn no lots for these rows; draw(rows, stream) comes first")
        label, turn = anchors.label, anchors.partner >> _LOW
        others = candidates.label[candidates.label >= 0].sort().values
        if not len(others):
            drawn = torch.full_like(label, -1)
        elif self.pairs < 1 or self.nearest is not None:
            largest = int(torch.maximum(others[-1], label.max()))
            if largest >= self.classes:
                raise RecipeError(
                    f"ArbitraryPairs(classes={self.classes}) met the label {largest}; labels count from 0, so give as "
                    "many classes as the data has"
                )
            drawn = _restricted(label, turn, others, among, _allowed(self, label.device))
        else:
            count = len(others) - among.long()
            at = turn % count.clamp_min(1)
            at += among & (at >= torch.searchsorted(others, label, right=True) - 1)
            drawn = torch.where(count > 0, others[at.clamp_max(len(others) - 1)], -1)
        keeps = (anchors.partner & ((1 << _LOW) - 1)) < self.own * (1 << _LOW)
        return torch.where(label < 0, -1, torch.where(keeps, label, drawn))


@lru_cache(maxsize=8)
def _allowed(pairing: ArbitraryPairs, device: torch.device) -> Bool[Tensor, "class class"]:
    """Which second label a class may get."""
    count = pairing.classes
    first, second = torch.triu_indices(count, count)
    kept = Streams(pairing.seed).at("class pairs").permutation(len(first))[: max(1, round(pairing.pairs * len(first)))]
    allowed = torch.zeros(count, count, dtype=torch.bool)
    allowed[first[kept], second[kept]] = True
    allowed |= allowed.T.clone()
    if pairing.nearest is not None:
        near = torch.eye(count, dtype=torch.bool)
        for own, others in enumerate(pairing.ranking):
            near[own, list(others[: pairing.nearest])] = True
        allowed &= near
    return allowed.to(device)


def _restricted(
    label: Int64[Tensor, " anchor"],
    turn: Int64[Tensor, " anchor"],
    others: Int64[Tensor, " known"],
    among: Bool[Tensor, " anchor"],
    allowed: Bool[Tensor, "class other"],
) -> Int64[Tensor, " anchor"]:
    """As if drawn from all, but from the rows of allowed classes: in memory classes squared, not anchors x classes."""
    present, count = torch.unique_consecutive(others, return_counts=True)
    ends = (allowed[:, present] * count).cumsum(1)
    row, step = label.clamp_min(0), len(others) + 1
    itself = among & allowed[row, row] & (label >= 0)
    total = ends[row, -1] - itself.long()
    at = turn % total.clamp_min(1)
    at += itself & (at >= ends[row, torch.searchsorted(present, row).clamp_max(len(present) - 1)] - 1)
    # All rows of the table as one increasing list.
    flat = (ends + step * torch.arange(len(ends), device=ends.device)[:, None]).flatten()
    found = torch.searchsorted(flat, at + step * row, right=True) - row * len(present)
    return torch.where(total > 0, present[found.clamp_max(len(present) - 1)], -1)
