"""Points on the sphere that nothing but a loss term moves: where an encoder without limits would put its images."""

from collections.abc import Callable

import torch
from jaxtyping import Float64
from torch import Tensor

from counterpoint.errors import ShapeError
from counterpoint.random import Streams
from counterpoint.sphere import unit

__all__ = ["optimised_points"]


def optimised_points(
    term: Callable[[Float64[Tensor, "point dim"]], Float64[Tensor, ""]],
    n: int,
    dim: int,
    seed: int = 0,
    *,
    starts: int = 3,
    iterations: int = 500,
) -> Float64[Tensor, "point dim"]:
    """Unit points that make a term least: the best of a few starts, by L-BFGS in float64.

    Args:
        term: of unit points, differentiable; for pairs let it read the halves as two views.
        n: points, >= 2.
        dim: >= 2.
        seed: of the starts.
        starts: >= 1, each from normal directions.
        iterations: of each, at most.

    Raises:
        ShapeError: fewer than two points, dimensions or no start.

    Example:
        Two points that repel become antipodes.

        >>> points = optimised_points(lambda p: p[0] @ p[1], 2, 3)
        >>> round(float(points[0] @ points[1]), 6)
        -1.0
    """
    if n < 2 or dim < 2 or starts < 1:
        raise ShapeError(f"{n} free points in {dim} dimensions from {starts} starts; expected at least 2, 2 and 1")
    found: list[tuple[float, Tensor]] = []
    for start in range(starts):
        free = Streams(seed).at("free points", start).normal(n, dim).double().requires_grad_()
        optimiser = torch.optim.LBFGS(
            [free],
            max_iter=iterations,
            max_eval=2 * iterations,
            history_size=20,
            tolerance_grad=1e-10,
            tolerance_change=1e-14,
            line_search_fn="strong_wolfe",
        )

        def closure(free: Tensor = free, optimiser: torch.optim.LBFGS = optimiser) -> Tensor:
            optimiser.zero_grad()
            cost = term(unit(free))
            cost.backward()
            return cost

        optimiser.step(closure)  # pyright: ignore[reportArgumentType]
        points = unit(free.detach())
        found.append((float(term(points)), points))
    return min(found, key=lambda each: each[0])[1]
