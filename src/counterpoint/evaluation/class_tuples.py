"""Images of one class and of others, drawn as the theory of contrastive learning draws them."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from counterpoint.errors import ShapeError
from counterpoint.evaluation.arrays import Features, Labels, labelled
from counterpoint.random import Stream

__all__ = ["Classes", "Tuples", "collision", "draw_tuples", "grouped"]


@dataclass(frozen=True, eq=False)
class Classes:
    """Rows in the order of their classes, and how often each class is drawn.

    Args:
        rows: features, all rows of a class together.
        index: the class of each row, among those here.
        label: the class of each, as it was given.
        start, size: where the rows of a class begin, and how many.
        share: probability of each class, above 0; the shares sum to 1.
    """

    rows: Float[Tensor, "row width"]
    index: Int64[Tensor, " row"]
    label: Int64[Tensor, " class"]
    start: Int64[Tensor, " class"]
    size: Int64[Tensor, " class"]
    share: Float64[Tensor, " class"]

    def means(self) -> Float[Tensor, "class width"]:
        """The mean row of each class."""
        sums = self.rows.new_zeros(len(self.label), self.rows.shape[1], dtype=torch.float64)
        sums.index_add_(0, self.index, self.rows.double())
        return (sums / self.size[:, None]).to(self.rows.dtype)


@dataclass(frozen=True, eq=False)
class Tuples:
    """An anchor, rows of its class, and rows of each of some classes.

    Args:
        cls: class of the anchor, then of the others.
        anchor: row of each anchor.
        candidate: rows, a block of each class in the order of `cls`; none is the anchor.
    """

    cls: Int64[Tensor, "draw who"]
    anchor: Int64[Tensor, " draw"]
    candidate: Int64[Tensor, "draw who block"]


def grouped(x: Features, labels: Labels | None = None, law: Float[Tensor, " class"] | None = None) -> Classes:
    """The labelled rows, class by class.

    Args:
        x: features; rows of label -1 are left out.
        labels: in place of those of Embeddings.
        law: weight of each class index, >= 0, of any sum; None: as often as the rows have it. Classes of weight 0 are
            left out.

    Raises:
        ShapeError: no labels, a law that is none, or a class that has weight and no rows.
    """
    rows, known = labelled(x, labels, "test")
    if law is not None:
        weight = torch.as_tensor(law).double().to(rows.device)
        if weight.ndim != 1 or not bool((weight >= 0).all()) or not 0 < float(weight.sum()) < float("inf"):
            raise ShapeError(f"the law of the classes is {law}; expected one weight >= 0 for each class, not all 0")
        highest = int(known.max()) + 1
        if len(weight) < highest:
            raise ShapeError(f"the law of the classes has {len(weight)} weights, but class {highest - 1} occurs")
        missing = (weight > 0) & (torch.bincount(known, minlength=len(weight)) == 0)
        if bool(missing.any()):
            raise ShapeError(f"the law gives class {int(missing.nonzero()[0, 0])} a weight, but it has no rows")
        kept = weight[known] > 0
        rows, known = rows[kept], known[kept]
    order = known.argsort(stable=True)
    label, index, size = known[order].unique(return_inverse=True, return_counts=True)
    share = size.double() if law is None else torch.as_tensor(law).double().to(rows.device)[label]
    return Classes(rows[order], index, label, size.cumsum(0) - size, size, share / share.sum())


def collision(share: Float64[Tensor, " class"], negatives: int) -> float:
    """The probability that one of so many negatives is of the anchor's class: 1 - E_c (1 - share_c)^negatives.

    Source: Arora et al. 2019, sections 4 and 6.

    Example:
        Of one negative it is the sum of the squared shares.

        >>> collision(torch.tensor([0.5, 0.5], dtype=torch.float64), 1)
        0.5
    """
    return float((share * -torch.expm1(negatives * torch.log1p(-share))).sum()) if len(share) > 1 else 1.0


def draw_tuples(classes: Classes, draws: int, *, negatives: int, block: int, collide: bool, stream: Stream) -> Tuples:
    """Tuples given that some negative is of the anchor's class, or that none is.

    Drawing either kind apart makes the rare one as sure as the other. No row stands twice in a tuple, so that a mean
    over tuples is that of other images too: a row that met itself would look more alike than any two images are. Where
    a tuple asks more rows of a class than there are, what is too many, the ends of blocks first, is any row but the
    anchor.

    Args:
        classes: two at least, each of two rows or more.
        draws: how many tuples.
        negatives: classes beside the anchor's, each drawn independently.
        block: rows of each class.
        collide: which kind.
        stream: of the draws.
    """
    share, device = classes.share.cpu(), classes.share.device
    clean = (1 - share) ** negatives
    own = share * ((1 - clean) if collide else clean)
    anchor = torch.multinomial(own, draws, replacement=True, generator=stream.generator)
    others = torch.multinomial(share, draws * negatives, replacement=True, generator=stream.generator)
    others = others.view(draws, negatives)
    # Given that it is not the anchor's, a class is drawn from the shares to its left and right.
    until = share.cumsum(0)
    mine = share[anchor][:, None]
    at = stream.uniform(draws, negatives).double() * (1 - mine)
    at += torch.where(at >= (until - share)[anchor][:, None], mine, 0.0)
    apart = torch.searchsorted(until, at, right=True).clamp(max=len(share) - 1)
    apart = torch.where(apart == anchor[:, None], (anchor[:, None] + 1) % len(share), apart)  # a tie of rounding
    if collide:
        # The first that collides: places before it do not, those after it are free.
        chance = stream.uniform(draws).double() * (1 - clean[anchor])
        first = (torch.log1p(-chance) / torch.log1p(-share[anchor])).floor().long().clamp(0, negatives - 1)[:, None]
        place = torch.arange(negatives)
        others = torch.where(place < first, apart, torch.where(place == first, anchor[:, None], others))
    else:
        others = apart
    cls = torch.cat((anchor[:, None], others), 1)

    # The anchor, then the first of every block, then the second of every block, and so on.
    which = torch.cat((anchor[:, None], cls[:, None].expand(-1, block, -1).flatten(1)), 1)
    start, size = classes.start.cpu(), classes.size.cpu()
    enough = _before(which) < size[which]

    def within(of: Tensor) -> Tensor:
        place = (stream.uniform(*of.shape).double() * size[of]).long()
        return start[of] + torch.minimum(place, size[of] - 1)

    rows = within(which)
    left = torch.arange(draws)
    while len(left):
        # Whatever came first stays: by symmetry what ends without a repetition is as likely as any other such tuple.
        here = rows[left]
        order, at = here.sort(dim=1, stable=True)
        again = torch.zeros_like(here, dtype=torch.bool).scatter(1, at[:, 1:], order[:, 1:] == order[:, :-1])
        again &= enough[left] | (here == here[:, :1])
        some = again.any(1)
        left, here, again = left[some], here[some], again[some]
        rows[left] = torch.where(again, within(which[left]), here)
    rows = rows.to(device)
    return Tuples(cls.to(device), rows[:, 0], rows[:, 1:].unflatten(1, (block, 1 + negatives)).mT)


def _before(values: Int64[Tensor, "row place"]) -> Int64[Tensor, "row place"]:
    """How many places before it in its row hold what this one does."""
    order, at = values.sort(dim=1, stable=True)
    place = torch.arange(values.shape[1]).expand_as(values)
    fresh = torch.ones_like(values, dtype=torch.bool)
    fresh[:, 1:] = order[:, 1:] != order[:, :-1]
    return torch.zeros_like(values).scatter(1, at, place - torch.where(fresh, place, 0).cummax(1).values)
