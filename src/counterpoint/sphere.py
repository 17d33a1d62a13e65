"""Directions, inner products and distances: the arithmetic that scores, objectives and evaluation share."""

from dataclasses import dataclass, fields
from typing import Any, cast

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from counterpoint.first_order import first_order

__all__ = [
    "Cosine",
    "Dot",
    "Euclidean",
    "GatedCosine",
    "GatedScores",
    "bounded",
    "factor",
    "gated",
    "gated_query",
    "products",
    "unit",
]

_SMALLEST = 1e-12


def unit(rows: Float[Tensor, "*row dim"]) -> Float[Tensor, "*row dim"]:
    """Rows of length one, in float32 or better.

    A row shorter than 1e-12 has no direction: it becomes zero and gets no gradient.

    Example:
        >>> unit(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
        tensor([[0.6000, 0.8000],
                [0.0000, 0.0000]])
    """
    return cast(Tensor, _Unit.apply(rows.to(torch.promote_types(rows.dtype, torch.float32))))


class _Unit(torch.autograd.Function):
    """u = x / |x|, and dx = (g - u <u, g>) / |x|: no more than the rows themselves is kept."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        length = torch.linalg.vector_norm(rows, dim=-1, keepdim=True)
        alive = length > _SMALLEST
        shrink = torch.where(alive, torch.where(alive, length, 1.0).reciprocal(), 0.0)
        directions = rows * shrink
        ctx.save_for_backward(directions, shrink)
        return directions

    @staticmethod
    @first_order
    def backward(ctx: Any, upstream: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        directions, shrink = cast(tuple[Tensor, Tensor], ctx.saved_tensors)
        along = torch.linalg.vecdot(directions, upstream).unsqueeze(-1)
        return torch.addcmul(upstream, directions, along, value=-1).mul_(shrink)


def products(
    anchors: Float[Tensor, "anchor dim"], candidates: Float[Tensor, "*candidate dim"]
) -> Float[Tensor, "anchor candidates"]:
    """Inner products of anchors with shared [candidate, dim] or private [anchor, candidate, dim] rows."""
    if candidates.ndim == 3:
        return torch.bmm(candidates, anchors.unsqueeze(-1)).squeeze(-1)
    return anchors @ candidates.mT


@dataclass(frozen=True)
class Cosine:
    """cos(u, v) = <u, v> / (|u| |v|), in [-1, 1].

    A row of length below 1e-12 has no direction: it scores 0 and gets no gradient.

    Example:
        >>> score = Cosine()
        >>> u = score.prepare(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
        >>> score.tile(u, score.prepare(torch.tensor([[2.0, 0.0]])))
        tensor([[0.6000],
                [0.0000]])
    """

    def prepare(self, rows: Float[Tensor, "*row dim"]) -> Float[Tensor, "*row dim"]:
        """Rows of length one, in float32 or better."""
        return unit(rows)

    def tile(
        self, anchors: Float[Tensor, "anchor dim"], candidates: Float[Tensor, "*candidate dim"]
    ) -> Float[Tensor, "anchor candidates"]:
        """Cosines of prepared rows."""
        return products(anchors, candidates)


@dataclass(frozen=True)
class Dot:
    """scale * <u, v>: the logits of a linear layer whose rows are the candidates.

    Args:
        scale: of every score, dimensionless.
    """

    scale: float = 1.0

    def prepare(self, rows: Float[Tensor, "*row dim"]) -> Float[Tensor, "*row dim"]:
        """As they are."""
        return rows

    def tile(
        self, anchors: Float[Tensor, "anchor dim"], candidates: Float[Tensor, "*candidate dim"]
    ) -> Float[Tensor, "anchor candidates"]:
        """Scaled products."""
        return products(anchors if self.scale == 1.0 else anchors * self.scale, candidates)


@dataclass(frozen=True)
class GatedCosine:
    """cos(g u, g v) in [-1, 1], where each anchor u has a gate g >= 0 for the coordinates: the cosine in a subspace.

    The anchor carries its gate: its row is `gated_query` of u and the squares of g, a candidate's row is `gated` of v;
    both are twice as wide as u and v, and one more. The length of a gate does not matter. Where g u or g v is shorter
    than 1e-12 the score is 0. No anchor x candidate x dim tensor is made, and of neighbouring anchors that are said to
    have one gate the lengths of the candidates are computed once.

    Source: Wu et al. 2024 (SimLAP), equation 2 and its efficient form.

    Example:
        >>> gate, u, v = torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, -1.0]])
        >>> GatedCosine().tile(gated_query(u, gate.square()), gated(v))
        tensor([[1.]])
    """

    def prepare(self, rows: Float[Tensor, "*row dim"]) -> Float[Tensor, "*row dim"]:
        """As they are, in float32 or better."""
        return rows.to(torch.promote_types(rows.dtype, torch.float32))

    def tile(
        self, anchors: Float[Tensor, "anchor dim"], candidates: Float[Tensor, "*candidate dim"]
    ) -> Float[Tensor, "anchor candidates"]:
        """Cosines of prepared rows under each anchor's gate."""
        if candidates.ndim == 3:
            query, gates, _ = _parts(anchors)
            rows, squares, _ = _parts(candidates)
            return products(query, rows) * _inverse(products(gates, squares))
        return cast(Tensor, _GatedCosine.apply(anchors, candidates))


@dataclass(frozen=True, eq=False)
class GatedScores:
    """Scores of `GatedCosine` with shared candidates, s = <q, v> n, and what their gradient is made of.

    With n = 1 / sqrt(<g^2, v^2>), ds = n d<q, v> - s n^2 d<g^2, v^2> / 2.

    Args:
        score: s, [anchor, candidate].
        query, rows: q and v.
        gates, squares: g^2 of each run of anchors, and v^2.
        begins: the first anchor of each run.
        run: of each anchor; None where each is a run of its own.
        inverse: n of each run.
    """

    score: Tensor
    query: Tensor
    rows: Tensor
    gates: Tensor
    squares: Tensor
    begins: Tensor
    run: Tensor | None
    inverse: Tensor

    @classmethod
    @torch.no_grad()
    def of(
        cls, anchors: Float[Tensor, "anchor marked"], candidates: Float[Tensor, "candidate marked"]
    ) -> "GatedScores":
        """Of prepared rows."""
        query, gates, mark = _parts(anchors)
        rows, squares, _ = _parts(candidates)
        first = torch.ones(len(gates), dtype=torch.bool, device=gates.device)
        first[1:] = mark[1:] != mark[:-1]
        begins, run = first.nonzero()[:, 0], None
        if len(begins) < len(gates):
            run, gates = first.cumsum(0) - 1, gates.index_select(0, begins)
        inverse = _inverse(gates @ squares.mT)
        score = (query @ rows.mT).mul_(inverse if run is None else inverse.index_select(0, run))
        return cls(score, query, rows, gates, squares, begins, run, inverse)

    @torch.no_grad()
    def slopes(self, upstream: Tensor, *, spent: bool = False) -> tuple[Tensor, Tensor]:
        """The gradient by anchors and candidates; what is spent is used up: the slope that is given, and the scores."""
        inverses = self.inverse if self.run is None else self.inverse.index_select(0, self.run)
        along = upstream.mul_(inverses) if spent else upstream * inverses
        lengths = self.score.mul_(along) if spent else self.score * along
        if self.run is not None:
            lengths = torch.zeros_like(self.inverse).index_add_(0, self.run, lengths)
        lengths.mul_(self.inverse)
        width = self.query.shape[1]
        of_anchors = self.query.new_zeros(len(self.query), 2 * width + 1)
        of_candidates = self.rows.new_zeros(len(self.rows), 2 * width + 1)
        torch.mm(along, self.rows, out=of_anchors[:, :width])
        torch.mm(along.mT, self.query, out=of_candidates[:, :width])
        # Of the lengths under a run's gate, in its first anchor.
        home = of_anchors[:, width : 2 * width]
        if self.run is None:
            torch.mm(lengths, self.squares, out=home).mul_(-0.5)
        else:
            home.index_copy_(0, self.begins, (lengths @ self.squares).mul_(-0.5))
        torch.mm(lengths.mT, self.gates, out=of_candidates[:, width : 2 * width]).mul_(-0.5)
        return of_anchors, of_candidates


class _GatedCosine(torch.autograd.Function):
    """`GatedScores`, whose gradient is asked for by autograd."""

    @staticmethod
    def forward(ctx: Any, anchors: Tensor, candidates: Tensor) -> Tensor:
        found = GatedScores.of(anchors, candidates)
        ctx.save_for_backward(*(getattr(found, field.name) for field in fields(found)))
        return found.score

    @staticmethod
    @first_order
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, Tensor]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return GatedScores(*ctx.saved_tensors).slopes(upstream)


def _parts(rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Query, squared gates and mark of rows of `gated_query`; likewise of `gated`."""
    width = rows.shape[-1] // 2
    return rows[..., :width], rows[..., width : 2 * width], rows[..., -1]


def gated_query(
    rows: Float[Tensor, "row dim"], squares: Float[Tensor, "row dim"], run: Int64[Tensor, " row"] | None = None
) -> Float[Tensor, "row marked"]:
    """[g^2 u / |g u|, g^2, mark]: an anchor of `GatedCosine`; the mark, 0 or 1, changes where a run begins.

    Args:
        rows: u.
        squares: of the gates, g^2.
        run: neighbours with one number have one gate, the same row of one table; their gradients by it are then right
            in sum. None: each has a gate of its own, whatever its values.
    """
    begins = torch.ones(len(rows), dtype=torch.int64, device=rows.device)
    if run is not None:
        begins[1:] = run[1:] != run[:-1]
    # Not the number itself, which half precision would round.
    return cast(Tensor, _GatedQuery.apply(rows, squares, begins.cumsum(0) % 2))


class _GatedQuery(torch.autograd.Function):
    """y = r s u with r = 1 / sqrt(<s u, u>): du = r (s dy - <dy, y> y), ds = r u (dy - <dy, y> r u / 2)."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, squares: Tensor, mark: Tensor) -> Tensor:
        found = torch.cat([rows * squares, squares, mark[:, None].to(squares.dtype)], 1)
        query = found[:, : rows.shape[1]]
        inverse = _inverse(torch.linalg.vecdot(query, rows))[:, None]
        query.mul_(inverse)
        ctx.save_for_backward(rows, squares, inverse, found)
        return found

    @staticmethod
    @first_order
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, Tensor, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        rows, squares, inverse, found = cast(tuple[Tensor, ...], ctx.saved_tensors)
        query, (slope, of_gates) = _parts(found)[0], _parts(upstream)[:2]
        along = torch.linalg.vecdot(slope, query)[:, None]
        of_rows = (squares * slope).addcmul_(query, along, value=-1).mul_(inverse)
        drawn = rows * inverse
        of_squares = torch.addcmul(slope, drawn, along, value=-0.5).mul_(drawn).add_(of_gates)
        return of_rows, of_squares, None


def gated(rows: Float[Tensor, "*row dim"]) -> Float[Tensor, "*row marked"]:
    """[v, v^2, 0]: a candidate of `GatedCosine`; the last number stands opposite an anchor's mark."""
    return torch.cat([rows, rows.square(), rows.new_zeros(*rows.shape[:-1], 1)], -1)


def _inverse(squares: Tensor) -> Tensor:
    """1 / length of squared lengths; 0, without a gradient, where there is none. May use up what it is given."""
    if squares.numel() and bool(squares.detach().amin() > _SMALLEST**2):  # as always, but for gates that are 0
        return squares.rsqrt() if squares.requires_grad else squares.rsqrt_()
    some = squares > _SMALLEST**2
    return torch.where(some, torch.where(some, squares, 1.0).rsqrt(), 0.0)


@dataclass(frozen=True)
class Euclidean:
    """-|u - v|, or -|u - v|^2: the nearer two rows are, the higher they score; 0 is the highest.

    Rows are compared as they are; of unit length they are where the projector ends in a normalisation. Differences are
    formed before they are squared, so that near rows keep their digits.

    Args:
        squared: the square of the distance (FaceNet).
        eps: >= 0, added to each coordinate of the difference, as in torch.nn.functional.pairwise_distance.

    Example:
        >>> score = Euclidean(eps=0.0)
        >>> score.tile(torch.tensor([[0.0, 0.0]]), torch.tensor([[3.0, 4.0], [0.0, 1.0]]))
        tensor([[-5., -1.]])
    """

    squared: bool = False
    eps: float = 1e-6

    def prepare(self, rows: Float[Tensor, "*row dim"]) -> Float[Tensor, "*row dim"]:
        """As they are, in float32 or better."""
        return rows.to(torch.promote_types(rows.dtype, torch.float32))

    def tile(
        self, anchors: Float[Tensor, "anchor dim"], candidates: Float[Tensor, "*candidate dim"]
    ) -> Float[Tensor, "anchor candidates"]:
        """Negative distances of prepared rows; the gradient at distance 0 is finite."""
        if candidates.ndim == 3:
            distance = torch.linalg.vector_norm(anchors.unsqueeze(1) - candidates + self.eps, dim=-1)
        else:
            distance = torch.cdist(anchors + self.eps, candidates, compute_mode="donot_use_mm_for_euclid_dist")
        return -distance.square() if self.squared else -distance


def bounded(score: object) -> bool:
    """Whether a score is known to lie in [-1, 1]; a subclass may have changed that."""
    return type(score) in (Cosine, GatedCosine)


def factor(score: object) -> float | None:
    """The number c of a score whose tile is c * <u, v> of its prepared rows; None for any other score.

    Of such scores an objective knows the derivative. A subclass may have changed its tile, so it counts as another.
    """
    if type(score) is Cosine:
        return 1.0
    return score.scale if type(score) is Dot else None
