"""Losses of two tensors whose rows belong together: row i of one and row i of the other are views of one image."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from counterpoint.errors import RecipeError, ShapeError
from counterpoint.objectives._prepared import full_precision
from counterpoint.relations import Aligned
from counterpoint.types import Loss, Match

# The total, and its parts by name.
Cost = Callable[[Tensor, Tensor], tuple[Tensor, dict[str, Tensor]]]


def aligned(name: str, matches: Sequence[Match], cost: Cost) -> Loss:
    """The mean over matches, each weighted by its weight and its anchors.

    Args:
        name: of the objective, for a person.
        matches: at least one, each with one group of columns, that is `Aligned`.
        cost: of the anchors and of their columns, in float32 or better.

    Raises:
        RecipeError: there is no match, or one of another kind.
    """
    if not matches:
        raise RecipeError("there is nothing to compare: an objective needs at least one match")
    found: list[tuple[Tensor, dict[str, Tensor]]] = []
    for match in matches:
        with full_precision(match.query):
            found.append(cost(*_sides(name, match)))
    shares = [match.weight * len(match.query) for match in matches]
    whole = sum(shares)
    total = torch.stack([share / whole * value for share, (value, _) in zip(shares, found, strict=True)]).sum()
    terms = {
        term: torch.stack(
            [share / whole * of[term].detach() for share, (_, of) in zip(shares, found, strict=True)]
        ).sum()
        for term in found[0][1]
    }
    return Loss(total, terms, anchors=whole)


def same_shape(function: str, x: Tensor, y: Tensor, fewest: int = 1) -> None:
    """Two tensors [row, dim] whose rows belong together."""
    if x.ndim != 2 or x.shape != y.shape:
        raise ShapeError(
            f"{function} got {list(x.shape)} and {list(y.shape)}, but it needs two tensors [row, dim] of one shape; "
            "row i of both must be views of one image"
        )
    if len(x) < fewest:
        raise ShapeError(f"{function} got {len(x)} rows, but it needs at least {fewest}; use a larger batch")


def precise(*tensors: Tensor) -> tuple[Tensor, ...]:
    """All in float64 where one is, else in float32."""
    precision = torch.float64 if any(t.dtype == torch.float64 for t in tensors) else torch.float32
    return tuple(t.to(precision) for t in tensors)


def square_sum(x: Tensor, y: Tensor) -> Tensor:
    """The sum of all squares of x^T y, [row, dim] both, by the smaller of two ways.

    |x^T y|^2 = <x x^T, y y^T>: with fewer rows than dimensions the products of rows are the smaller matrices.
    """
    if (1 if x is y else 2) * len(x) < x.shape[1]:
        rows = x @ x.mT
        return (rows.square() if x is y else rows * (y @ y.mT)).sum()
    return (x.mT @ y).square().sum()


def _sides(name: str, match: Match) -> tuple[Tensor, Tensor]:
    first, *others = match.columns or (None,)
    if first is None or others or not isinstance(first.relation, Aligned) or first.query is not None:
        raise RecipeError(
            f"{name} compares each row with the one row beside it, and these matches hold other comparisons; "
            "use negatives=counterpoint.negatives:OtherViews"
        )
    start = first.relation.offset
    query, rows = precise(match.query, first.rows[start : start + len(match.query)])
    same_shape(name, query, rows)
    return query, rows
