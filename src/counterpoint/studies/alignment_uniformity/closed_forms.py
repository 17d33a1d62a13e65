"""What is known exactly: minima that free points reach, and laws whose limit of the contrastive loss is known."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import exp, log, log1p
from typing import Any

import torch
from torch import Tensor

from counterpoint.evaluation import asymptote, least_uniformity, optimised_points, uniform_logit, uniform_uniformity
from counterpoint.random import Streams
from counterpoint.sphere import unit
from counterpoint.studies.study import Cell, Trained

__all__ = ["ClosedForms", "Known", "free_points", "known_laws"]

T = 2.0  # of the Gaussian potential
DIM = 8
MANY = 200  # points, in three dimensions, that come near a uniform spread


@dataclass(frozen=True)
class Known:
    """A number that was found, and what it is known to be.

    Args:
        case: in words.
        found: by computing.
        exact: by a formula.
        kind: `minimum`: of free points, which reach it; `law`: of the uniform law, to which many points come near.
    """

    case: str
    found: float
    exact: float
    kind: str

    def told(self) -> dict[str, Any]:
        """As an answer has it."""
        return {"case": self.case, "found": self.found, "exact": self.exact, "kind": self.kind}


@dataclass(frozen=True)
class ClosedForms:
    """Once for each seed, whatever was trained: free points optimised by each term, and exactly known laws.

    The answer lists under `points` and `laws` what was found and what is exact; `worst minimum`, `worst many` and
    `worst law` are the largest differences of either kind.

    Args:
        at: the place at which it is asked, in pairs of axis and value.
        rows: of a law.
        iterations: of the optimiser.
    """

    at: tuple[tuple[str, str], ...]
    rows: int = 4096
    iterations: int = 500

    name = "closed forms"

    def wanted(self, cell: Cell) -> bool:
        """One cell of each seed."""
        return all(cell.place.get(axis) == value for axis, value in self.at)

    def __call__(self, trained: Trained) -> Mapping[str, Any]:
        """Of the run nothing but its seed is read."""
        seed = trained.cell.seed
        points, laws = free_points(seed, self.iterations), known_laws(seed, self.rows)

        def worst(known: tuple[Known, ...], kind: str) -> float:
            return max(abs(one.found - one.exact) for one in known if one.kind == kind)

        return {
            "points": [one.told() for one in points],
            "laws": [one.told() for one in laws],
            "worst minimum": worst(points, "minimum"),
            "worst many": worst(points, "law"),
            "worst law": worst(laws, "law"),
        }


def _square(points: Tensor) -> Tensor:
    """Squared distances of distinct points."""
    first, second = torch.triu_indices(len(points), len(points), 1)
    return 2 - 2 * (points @ points.T)[first, second]


def _uniformity(points: Tensor) -> Tensor:
    return torch.logsumexp(-T * _square(points), 0) - log(len(points) * (len(points) - 1) / 2)


def _alignment(points: Tensor) -> Tensor:
    one, other = points.chunk(2)
    return (one - other).square().sum(1).mean()


def _both(points: Tensor) -> Tensor:
    one, other = points.chunk(2)
    return 3 * _alignment(points) + (_uniformity(one) + _uniformity(other)) / 2


def _spread(points: Tensor, temperature: float) -> Tensor:
    """The second term of the limit: the mean over points of the log of the mean over all others."""
    level = points @ points.T / temperature
    level = level.masked_fill(torch.eye(len(points), dtype=torch.bool), -torch.inf)
    return (level.logsumexp(1) - log(len(points) - 1)).mean()


def free_points(seed: int, iterations: int = 500) -> tuple[Known, ...]:
    """Each term alone, both together, and the spread of the contrastive loss, by points that nothing else moves.

    Args:
        seed: of the starts.
        iterations: of the optimiser, at most.
    """

    def best(term: Callable[[Tensor], Tensor], n: int, dim: int) -> Tensor:
        return optimised_points(term, n, dim, seed, starts=2, iterations=iterations)

    simplex = DIM + 1
    together = best(_both, 2 * simplex, DIM)
    many = best(_uniformity, MANY, 3)
    temperature = 0.5
    cold = best(lambda p: _spread(p, temperature), simplex, DIM)
    return (
        Known(
            "uniformity of 2 points",
            float(_uniformity(best(_uniformity, 2, DIM))), least_uniformity(2, DIM, T), "minimum",
        ),
        Known(
            f"uniformity of {simplex} points in {DIM} dimensions, a simplex",
            float(_uniformity(best(_uniformity, simplex, DIM))), least_uniformity(simplex, DIM, T), "minimum",
        ),
        Known(f"alignment of {simplex} pairs", float(_alignment(best(_alignment, 2 * simplex, DIM))), 0.0, "minimum"),
        Known("alignment of 3 align + uniform", float(_alignment(together)), 0.0, "minimum"),
        Known(
            "uniformity of 3 align + uniform", float(_uniformity(together.chunk(2)[0])),
            least_uniformity(simplex, DIM, T), "minimum",
        ),
        Known(
            f"spread of {simplex} points at temperature {temperature:g}", float(_spread(cold, temperature)),
            -1 / (DIM * temperature), "minimum",
        ),
        Known(
            f"uniformity of {MANY} points on the sphere, each with itself among its pairs",
            _with_itself(float(_uniformity(many)), MANY), uniform_uniformity(3, T), "law",
        ),
    )  # fmt: skip


def _with_itself(uniformity: float, n: int) -> float:
    """Over all pairs of n points, of which n have distance 0: least for the uniform law."""
    return log((1 + (n - 1) * exp(uniformity)) / n)


def known_laws(seed: int, rows: int) -> tuple[Known, ...]:
    """The limit of the contrastive loss where it is known: of one point, of two, and of a uniform spread.

    Args:
        seed: of the draws.
        rows: of the spread.
    """
    found: list[Known] = []
    one = torch.ones(rows, DIM)
    told = asymptote(one, one, negatives=(16,), rows=rows, seed=seed)
    found.append(Known("the limit, all images in one point", told.limit.value, 0.0, "law"))
    found.append(
        Known("the remainder at 16 negatives, all images in one point", told.remainder[16].value, log1p(1 / 16), "law")
    )
    for temperature in (0.5, 1.0):
        far = torch.zeros(rows, DIM)
        far[:, 0] = torch.tensor([1.0, -1.0]).repeat(rows)[:rows]
        # Of the others one fewer is at the anchor's own point.
        own = (rows / 2 - 1) / (rows - 1)
        exact = log(own * exp(1 / temperature) + (1 - own) * exp(-1 / temperature)) - 1 / temperature
        told = asymptote(far, far, temperature=temperature, negatives=(16,), rows=rows, seed=seed)
        found.append(
            Known(
                f"the limit, images in two opposite points, temperature {temperature:g}", told.limit.value, exact, "law"
            )
        )
    for dim in (3, 32):
        spread = unit(Streams(seed).at("uniform spread", dim).normal(rows, dim))
        told = asymptote(spread, spread, temperature=0.5, negatives=(16,), rows=rows, seed=seed)
        found.append(
            Known(
                f"the spread, images uniform on the sphere of {dim} dimensions",
                told.spread.value, uniform_logit(dim, 2.0), "law",
            )
        )  # fmt: skip
    return tuple(found)
